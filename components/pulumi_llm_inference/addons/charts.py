"""Helm charts of add-ons: which, which version, where from, with what values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.scaling.queries import adapter_rules
from pulumi_llm_inference.spec.addons import PROMETHEUS_NAMESPACE, Addon
from pulumi_llm_inference.spec.placement import POOL_LABEL

_OCI = "oci://"
_PROMETHEUS_COMMUNITY = "https://prometheus-community.github.io/helm-charts"


@dataclass(frozen=True)
class Chart:
    """A Helm chart at a version whose values these functions were written for."""

    name: str
    """Name of the chart, and of its release."""
    version: str
    """Version of the chart."""
    repository: str
    """Where it is published: a chart repository's URL or an `oci://` address."""
    namespace: str
    """Namespace that is made for it."""
    pod_security: str = "restricted"
    """Pod Security Standard that its pods meet, enforced on the namespace."""


CHARTS: Mapping[Addon, Chart] = {
    Addon.PROMETHEUS_STACK: Chart(
        "kube-prometheus-stack", "88.5.3", _PROMETHEUS_COMMUNITY, PROMETHEUS_NAMESPACE
    ),
    Addon.PROMETHEUS_ADAPTER: Chart(
        "prometheus-adapter", "5.3.0", _PROMETHEUS_COMMUNITY, "llm-inference-metrics-adapter"
    ),
    Addon.KEDA: Chart("keda", "2.20.2", "https://kedacore.github.io/charts", "llm-inference-keda"),
    Addon.DEVICE_PLUGIN: Chart(
        "nvidia-device-plugin",
        "0.20.0",
        "https://nvidia.github.io/k8s-device-plugin",
        "llm-inference-device-plugin",
        # It talks to the kubelet through a directory of the node.
        pod_security="privileged",
    ),
    Addon.LEADER_WORKER_SET: Chart(
        "lws",
        "0.10.0",
        # kubernetes-sigs/lws: site/content/en/docs/installation/_index.md
        "oci://registry.k8s.io/lws/charts",
        # The chart's kind names it, as where the Service of its conversion webhook would be.
        "lws-system",
    ),
}
"""Charts by add-on."""


def chart_location(chart: Chart, source: str | None) -> dict[str, Any]:
    """Arguments of a Release that say where its chart comes from."""
    source = source or chart.repository
    if source.startswith(_OCI):
        return {"chart": f"{source}/{chart.name}", "version": chart.version}
    if source == chart.repository:
        return {
            "chart": chart.name,
            "version": chart.version,
            "repository_opts": {"repo": chart.repository},
        }
    return {"chart": chart_file(chart, source)}


def pull_command(chart: Chart) -> str:
    """Command that brings the file of a chart."""
    if chart.repository.startswith(_OCI):
        named = f"{chart.repository}/{chart.name}"
    else:
        named = f"{chart.name} --repo {chart.repository}"
    return f"helm pull {named} --version {chart.version}"


def chart_file(chart: Chart, folder: str) -> str:
    """Path of a chart in a directory of charts: as `helm pull` names it."""
    return f"{folder}/{chart.name}-{chart.version}.tgz"


def _resources(cpu: str, memory: str, most_memory: str) -> dict[str, Any]:
    """Resources of a container: what it is sure to get, and the memory it is stopped at."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": most_memory}}


def prometheus_stack_values() -> dict[str, Any]:
    """A Prometheus that scrapes every monitor in the cluster, and nothing else.

    Left out is what scaling does not need: Grafana with its administrator's password, Alertmanager,
    alert rules, and the scraping of nodes and of a control plane that clouds hide or bill for.
    History is lost with the pod: autoscalers look back seconds.
    """
    off = {"enabled": False}
    control_plane = (
        "coreDns",
        "kubeApiServer",
        "kubeControllerManager",
        "kubeEtcd",
        "kubeProxy",
        "kubeScheduler",
        "kubelet",
    )
    kinds = ("serviceMonitor", "podMonitor", "probe", "rule", "scrapeConfig")
    return {
        "alertmanager": off,
        "grafana": off,
        "nodeExporter": off,
        "defaultRules": {"create": False},
        **dict.fromkeys(control_plane, off),
        # Replicas wished and had, pods pending, conditions of autoscalers: why nothing scales.
        "kube-state-metrics": {
            # Of all kinds it would read Secrets too.
            "collectors": [
                "daemonsets",
                "deployments",
                "horizontalpodautoscalers",
                "nodes",
                "pods",
                "replicasets",
                "statefulsets",
            ],
            "resources": _resources("20m", "64Mi", "512Mi"),
        },
        "prometheusOperator": {
            # Checks alert rules only, at the price of jobs at every install and a certificate.
            "admissionWebhooks": off,
            "tls": off,
            # Its Service in kube-system would outlive the release.
            "kubeletService": off,
            "kubeletEndpointsEnabled": False,
            "resources": _resources("50m", "128Mi", "512Mi"),
            "prometheusConfigReloader": {"resources": _resources("10m", "32Mi", "64Mi")},
        },
        "prometheus": {
            "prometheusSpec": {
                **{f"{kind}SelectorNilUsesHelmValues": False for kind in kinds},
                "retention": "7d",
                "retentionSize": "8GB",
                "resources": _resources("200m", "512Mi", "4Gi"),
            }
        },
    }


def prometheus_adapter_values(prometheus_address: str) -> dict[str, Any]:
    """An adapter with the rules of all engines, asking the Prometheus at an address."""
    return {
        # The chart puts `:PORT` behind the URL unless there is none.
        "prometheus": {"url": prometheus_address, "port": 0, "path": ""},
        "rules": {"default": False, "custom": adapter_rules(ENGINES.values())["rules"]},
        "replicas": 2,
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus-adapter"}},
            }
        ],
        "logLevel": 2,
        "resources": _resources("50m", "128Mi", "512Mi"),
    }


def keda_values(*, groups: bool = False) -> dict[str, Any]:
    """KEDA for triggers without secrets and Deployments, which is all that we make.

    Args:
        groups: whether it scales LeaderWorkerSets too.
    """
    replicas = {"replicaCount": 2}
    return {
        "operator": replicas,
        "metricsServer": replicas,
        "podDisruptionBudget": {
            "operator": {"maxUnavailable": 1},
            "metricServer": {"maxUnavailable": 1},
        },
        "image": {"pullPolicy": "IfNotPresent"},
        "enableServiceLinks": False,
        # Not every Secret of the cluster, and not every kind that has a scale.
        "permissions": {
            "operator": {"restrict": {"secret": True}},
            "metricServer": {"restrict": {"secret": True}},
        },
        "rbac": {
            "enabledCustomScaledRefKinds": groups,
            "scaledRefKinds": [
                {"apiGroup": "leaderworkerset.x-k8s.io", "kind": "leaderworkersets"}
            ],
        },
    }


def leader_worker_set_values() -> dict[str, Any]:
    """A controller that outlives a node: while none runs, no pod of a group can be made."""
    chart = CHARTS[Addon.LEADER_WORKER_SET]
    selector = {"matchLabels": {"app.kubernetes.io/name": chart.name}}
    return {
        "replicaCount": 2,
        # Of the chart's source the tag is a branch.
        "image": {"manager": {"tag": f"v{chart.version}", "pullPolicy": "IfNotPresent"}},
        "podSecurityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "resources": _resources("50m", "128Mi", "1Gi"),
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": selector,
                        },
                    }
                ]
            }
        },
    }


def device_plugin_values() -> dict[str, Any]:
    """A device plugin on every node of a GPU pool, whatever taints it has.

    The chart's own affinity asks for labels of node-feature-discovery, which is not installed.
    """
    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": POOL_LABEL, "operator": "Exists"}]}
                    ]
                }
            }
        },
        "tolerations": [{"operator": "Exists"}],
        "resources": _resources("10m", "32Mi", "256Mi"),
    }
