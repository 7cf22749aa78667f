"""What a cluster needs once, whatever runs on it."""

import re
from collections.abc import Mapping, Set
from enum import StrEnum

from pydantic import field_validator

from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.base import Spec, optional
from pulumi_llm_inference.spec.pool import Cloud

PROMETHEUS_NAMESPACE = "llm-inference-monitoring"
"""Namespace of the Prometheus that the add-ons install."""

PROMETHEUS_ADDRESS = f"http://prometheus-operated.{PROMETHEUS_NAMESPACE}.svc:9090"
"""URL of it: of the Service that prometheus-operator makes for it."""


class PrometheusKind(StrEnum):
    """Which Prometheus collects the servers' metrics."""

    KUBE_PROMETHEUS_STACK = "kube-prometheus-stack"
    """prometheus-operator and a Prometheus in the cluster, from their Helm chart."""
    MANAGED = "managed"
    """The cloud's: Google's managed collection, Azure Monitor's managed Prometheus."""
    NONE = "none"
    """None is installed: the cluster has one."""


def _chart_source(value: str) -> str:
    """Accept what Helm can take charts from in place of their own repositories."""
    if re.match(r"(?!oci://)[a-z]+://", value):
        raise ValueError("is neither a directory of NAME-VERSION.tgz files nor an oci:// address")
    return value.rstrip("/")


class AddonsSpec(Spec):
    """Which add-ons to install: of those that are yes, what the cloud lacks and the models use."""

    prometheus: PrometheusKind = PrometheusKind.KUBE_PROMETHEUS_STACK
    """`kube-prometheus-stack` (default), `managed` (GKE, AKS) or `none` where one exists."""
    metrics_adapter: bool = True
    """The custom-metrics adapter that autoscalers of method `hpa` ask; no where one exists, since a
    cluster has room for one only. Default yes."""
    keda: bool = True
    """KEDA, for autoscalers of method `keda`; no where it exists. Default yes."""
    leader_worker_set: bool = True
    """LeaderWorkerSet's controller, for models that need several nodes each; no where it exists.
    Default yes."""
    device_plugin: bool = True
    """NVIDIA's device plugin, which makes GPUs a resource; no where it exists, for instance in the
    GPU operator. Default yes."""
    node_autoscaler: bool = True
    """cluster-autoscaler, where the cloud has none of its own (EKS), and the order in which pools
    grow (EKS, AKS); no where either exists. Default yes."""
    chart_source: str | None = None
    """Where charts come from in place of their own repositories, for clusters without internet: a
    directory of NAME-VERSION.tgz files (relative to the program's), or an `oci://` address."""

    _chart_source = field_validator("chart_source")(optional(_chart_source))


class Addon(StrEnum):
    """One thing that is installed once in a cluster."""

    PROMETHEUS_STACK = "kube-prometheus-stack"
    """prometheus-operator, a Prometheus, kube-state-metrics."""
    PROMETHEUS_ADAPTER = "prometheus-adapter"
    """Prometheus' series as Kubernetes' custom metrics, for autoscalers of method `hpa`."""
    GOOGLE_ADAPTER = "custom-metrics-stackdriver-adapter"
    """The same of the series in Google Cloud Monitoring."""
    KEDA = "keda"
    """Autoscalers of method `keda`."""
    LEADER_WORKER_SET = "lws"
    """Groups of pods on several nodes that serve one model together."""
    DEVICE_PLUGIN = "nvidia-device-plugin"
    """Makes a node's GPUs a resource that pods can ask for."""
    CLUSTER_AUTOSCALER = "cluster-autoscaler"
    """Grows and shrinks node groups."""


_EVERYWHERE = frozenset({Addon.PROMETHEUS_STACK, Addon.PROMETHEUS_ADAPTER, Addon.LEADER_WORKER_SET})
"""What no cloud brings."""

LACKING: Mapping[Cloud, frozenset[Addon]] = {
    # Has a Prometheus, an adapter, KEDA and LeaderWorkerSet's controller as programs beside it, and
    # GPUs that KWOK plays.
    Cloud.LOCAL: frozenset(),
    # Nodes come with driver and device plugin
    # (docs.cloud.google.com/kubernetes-engine/docs/how-to/gpus).
    Cloud.GKE: _EVERYWHERE | {Addon.GOOGLE_ADAPTER, Addon.KEDA},
    # awsdocs: latest/ug/ml/ml-eks-k8s-device-plugin.adoc
    Cloud.EKS: _EVERYWHERE | {Addon.KEDA, Addon.DEVICE_PLUGIN, Addon.CLUSTER_AUTOSCALER},
    # Nodes come with the driver only (MicrosoftDocs/azure-aks-docs articles/aks/use-nvidia-gpu.md);
    # KEDA is a feature of the cluster (workloadAutoScalerProfile.keda), as is the node autoscaler.
    Cloud.AKS: _EVERYWHERE | {Addon.DEVICE_PLUGIN},
}
"""What a cluster of each cloud comes without."""


def addons_needed(
    cloud: Cloud,
    addons: AddonsSpec,
    methods: Set[AutoscalingMethod],
    *,
    bottlerocket: bool = False,
    groups: bool = False,
) -> frozenset[Addon]:
    """Add-ons to install: of those that the cloud lacks, those that are wanted and of use.

    Args:
        cloud: where the cluster is.
        addons: what the user wants.
        methods: autoscaling methods of all models.
        bottlerocket: whether all GPU nodes run Bottlerocket, which has the device plugin built in.
        groups: whether a model needs several nodes.
    """
    hpa = addons.metrics_adapter and AutoscalingMethod.HPA in methods
    managed = addons.prometheus is PrometheusKind.MANAGED
    wanted = {
        Addon.PROMETHEUS_STACK: addons.prometheus is PrometheusKind.KUBE_PROMETHEUS_STACK,
        Addon.PROMETHEUS_ADAPTER: hpa and not managed,
        Addon.GOOGLE_ADAPTER: hpa and managed,
        Addon.KEDA: addons.keda and AutoscalingMethod.KEDA in methods,
        Addon.LEADER_WORKER_SET: addons.leader_worker_set and groups,
        Addon.DEVICE_PLUGIN: addons.device_plugin and not bottlerocket,
        Addon.CLUSTER_AUTOSCALER: addons.node_autoscaler,
    }
    return frozenset(addon for addon in LACKING[cloud] if wanted[addon])
