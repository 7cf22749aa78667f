"""Add-ons: which a cluster needs, what they are told, and collection by the clouds themselves."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from pulumi_llm_inference.addons.addons import Addons
from pulumi_llm_inference.addons.charts import (
    CHARTS,
    chart_location,
    device_plugin_values,
    keda_values,
    leader_worker_set_values,
    prometheus_adapter_values,
    prometheus_stack_values,
    pull_command,
)
from pulumi_llm_inference.addons.cluster_autoscaler import (
    NODE_GROUPS,
    cluster_rules,
    flags,
    image,
    priorities,
)
from pulumi_llm_inference.checks.addons import metrics_source
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.monitoring.monitor import Monitor
from pulumi_llm_inference.scaling.queries import adapter_rules
from pulumi_llm_inference.scaling.queue_autoscaler import QueueAutoscaler
from pulumi_llm_inference.serving.model_server import ModelServer
from pulumi_llm_inference.spec.addons import (
    LACKING,
    PROMETHEUS_ADDRESS,
    Addon,
    AddonsSpec,
    addons_needed,
)
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod, MetricsSource
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec, Placement
from pulumi_llm_inference.spec.problems import SpecError, parse
from tests.contract.test_pod_security import RULES
from tests.support import ROOT, Recording, record, selects

HPA, KEDA = AutoscalingMethod.HPA, AutoscalingMethod.KEDA
STACK, ADAPTER, GOOGLE = Addon.PROMETHEUS_STACK, Addon.PROMETHEUS_ADAPTER, Addon.GOOGLE_ADAPTER
PLUGIN, NODES = Addon.DEVICE_PLUGIN, Addon.CLUSTER_AUTOSCALER
GROUPS = Addon.LEADER_WORKER_SET
UUID = "1ec8f2ab-5f8c-4a3e-9d1c-0123456789ab"


@pytest.mark.parametrize(
    ("cloud", "addons", "methods", "needed"),
    [
        ("local", {}, {HPA, KEDA}, set()),
        ("gke", {}, {HPA}, {STACK, ADAPTER}),
        ("gke", {}, {KEDA}, {STACK, Addon.KEDA}),
        ("gke", {"prometheus": "managed"}, {HPA}, {GOOGLE}),
        ("gke", {"prometheus": "managed", "metricsAdapter": False}, {HPA}, set()),
        ("eks", {}, set(), {STACK, PLUGIN, NODES}),
        ("eks", {}, {HPA, KEDA}, {STACK, ADAPTER, Addon.KEDA, PLUGIN, NODES}),
        ("eks", {"devicePlugin": False, "nodeAutoscaler": False}, {HPA}, {STACK, ADAPTER}),
        ("eks", {"prometheus": "none"}, {HPA}, {ADAPTER, PLUGIN, NODES}),
        ("eks", {"keda": False}, {KEDA}, {STACK, PLUGIN, NODES}),
        ("aks", {}, {HPA, KEDA}, {STACK, ADAPTER, PLUGIN}),
        ("aks", {"prometheus": "managed"}, {KEDA}, {PLUGIN}),
    ],
)
def test_what_a_cluster_needs(
    cloud: str, addons: dict[str, Any], methods: set[AutoscalingMethod], needed: set[Addon]
) -> None:
    assert addons_needed(Cloud(cloud), parse(AddonsSpec, addons), methods) == needed


@pytest.mark.parametrize("cloud", [Cloud.GKE, Cloud.EKS, Cloud.AKS])
def test_groups_need_a_controller(cloud: Cloud) -> None:
    found = addons_needed(cloud, AddonsSpec(), {HPA}, groups=True)
    assert found - addons_needed(cloud, AddonsSpec(), {HPA}) == {GROUPS}
    theirs = parse(AddonsSpec, {"leaderWorkerSet": False})
    assert GROUPS not in addons_needed(cloud, theirs, {HPA}, groups=True)


def test_bottlerocket_has_the_device_plugin() -> None:
    assert PLUGIN not in addons_needed(Cloud.EKS, AddonsSpec(), set(), bottlerocket=True)


def test_every_cloud_is_known() -> None:
    assert set(LACKING) == set(Cloud)


def test_charts_are_pinned() -> None:
    """The versions that the values were held against (tests/contract/test_charts.py)."""
    assert {chart.name: chart.version for chart in CHARTS.values()} == {
        "kube-prometheus-stack": "88.5.3",
        "prometheus-adapter": "5.3.0",
        "keda": "2.20.2",
        "nvidia-device-plugin": "0.20.0",
        "lws": "0.10.0",
    }
    assert len({chart.namespace for chart in CHARTS.values()}) == len(CHARTS)


def test_where_charts_come_from() -> None:
    keda = CHARTS[Addon.KEDA]
    assert chart_location(keda, None) == {
        "chart": "keda",
        "version": "2.20.2",
        "repository_opts": {"repo": "https://kedacore.github.io/charts"},
    }
    assert chart_location(keda, "charts") == {"chart": "charts/keda-2.20.2.tgz"}
    assert chart_location(keda, "oci://mirror.example.com/charts") == {
        "chart": "oci://mirror.example.com/charts/keda",
        "version": "2.20.2",
    }
    groups = CHARTS[GROUPS]
    assert chart_location(groups, None) == {
        "chart": "oci://registry.k8s.io/lws/charts/lws",
        "version": "0.10.0",
    }
    assert chart_location(groups, "charts") == {"chart": "charts/lws-0.10.0.tgz"}


def test_how_a_chart_is_pulled() -> None:
    assert pull_command(CHARTS[Addon.KEDA]) == (
        "helm pull keda --repo https://kedacore.github.io/charts --version 2.20.2"
    )
    assert pull_command(CHARTS[GROUPS]) == (
        "helm pull oci://registry.k8s.io/lws/charts/lws --version 0.10.0"
    )


def test_a_chart_repository_is_not_a_mirror() -> None:
    with pytest.raises(SpecError, match="oci://"):
        parse(AddonsSpec, {"chartSource": "https://charts.example.com"})
    assert parse(AddonsSpec, {"chartSource": "./charts/"}).chart_source == "./charts"


def addons(**args: Any) -> Recording:
    return record(lambda: Addons("addons", args))


EKS = {"cloud": "eks", "methods": ["hpa", "keda"], "cluster_name": "prod", "groups": True}


def test_releases() -> None:
    recording = addons(**EKS)
    releases = {item["name"]: item for item in recording.every("Release")}
    assert set(releases) == {chart.name for chart in CHARTS.values()}
    namespaces = {item["metadata"]["name"]: item for item in recording.every("Namespace")}
    for chart in CHARTS.values():
        release = releases[chart.name]
        assert release["namespace"] == chart.namespace
        assert release["atomic"]
        assert release["timeout"] >= 600
        labels = namespaces[chart.namespace]["metadata"]["labels"]
        assert labels == {"pod-security.kubernetes.io/enforce": chart.pod_security}
    timeouts = [item for item in recording.resources if item.type.endswith(":Release")]
    assert all(item.customTimeouts["create"] == "600s" for item in timeouts)


def test_children_are_the_components() -> None:
    recording = addons(**EKS, pool_priorities=[["a"]])
    [component] = [item for item in recording.resources if item.type.startswith("llm-inference:")]
    assert component.type == "llm-inference:index:Addons"
    assert component.urn in recording.completed
    for item in recording.resources:
        if item is not component:
            assert item.parent == component.urn
            assert item.name.startswith("addons-")


def test_a_release_goes_before_its_namespace() -> None:
    for release in (item for item in addons(**EKS).resources if item.type.endswith(":Release")):
        assert [urn for urn in release.dependencies if urn.endswith("-namespace")]


def test_monitors_and_autoscalers_can_wait() -> None:
    found: list[Addons] = []
    record(lambda: found.append(Addons("addons", EKS)))
    assert len(found[0].ready) == len(CHARTS)
    assert found[0].prometheus_address == PROMETHEUS_ADDRESS
    stack = CHARTS[STACK]
    assert f"http://prometheus-operated.{stack.namespace}.svc:9090" == PROMETHEUS_ADDRESS


def test_an_environment_may_need_nothing() -> None:
    recording = addons(cloud="local", methods=["hpa"])
    assert [item.type for item in recording.resources] == ["llm-inference:index:Addons"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"cloud": "eks", "prometheus": "managed", "cluster_name": "c"}, "'managed' is not known"),
        ({"cloud": "gke", "prometheus": "none", "methods": ["hpa"]}, "address is not given"),
        ({"cloud": "eks"}, "clusterName: is missing"),
        ({"cloud": "gke", "chart_source": "nowhere"}, "no file 'nowhere/kube-prometheus-stack-"),
        ({"cloud": "gke", "chartsource": "x"}, "unknown key"),
    ],
)
def test_problems(args: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        addons(**args)


def test_charts_from_a_directory(tmp_path: Path) -> None:
    chart = tmp_path / "kube-prometheus-stack-88.5.3.tgz"
    chart.touch()
    release = addons(cloud="gke", chart_source=str(tmp_path)).one("Release")
    assert release["chart"] == str(chart)
    assert "repositoryOpts" not in release


def test_prometheus_takes_every_monitor_and_nothing_is_secret() -> None:
    values = prometheus_stack_values()
    spec = values["prometheus"]["prometheusSpec"]
    for kind in ("serviceMonitor", "podMonitor", "probe", "rule", "scrapeConfig"):
        assert spec[f"{kind}SelectorNilUsesHelmValues"] is False
    assert values["grafana"] == {"enabled": False}
    for made in (values, keda_values(), device_plugin_values(), leader_worker_set_values()):
        assert "password" not in yaml.safe_dump(made).lower()


@pytest.mark.parametrize("groups", [True, False])
def test_keda_may_scale_groups_where_there_are_any(groups: bool) -> None:
    args = {"cloud": "gke", "methods": ["keda"], "groups": groups}
    [rbac] = [
        item["values"]["rbac"]
        for item in addons(**args).every("Release")
        if item["name"] == CHARTS[Addon.KEDA].name
    ]
    assert rbac["enabledCustomScaledRefKinds"] is groups
    [kind] = rbac["scaledRefKinds"]
    definition = yaml.safe_load(next((ROOT / "tools/crds/lws").glob("leader*")).read_text())["spec"]
    assert kind == {"apiGroup": definition["group"], "kind": definition["names"]["plural"]}


def test_the_controller_of_groups_outlives_a_node() -> None:
    values = leader_worker_set_values()
    assert values["replicaCount"] > 1
    [term] = values["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.parametrize("address", [PROMETHEUS_ADDRESS, "https://thanos.example.com/prom"])
def test_the_adapter_has_the_rules_and_asks_prometheus(address: str) -> None:
    values = prometheus_adapter_values(address)
    rules = adapter_rules(ENGINES.values())["rules"]
    assert values["rules"] == {"default": False, "custom": rules}
    assert values["prometheus"] == {"url": address, "port": 0, "path": ""}
    assert values["replicas"] > values["podDisruptionBudget"]["maxUnavailable"]


def test_the_adapter_asks_the_prometheus_that_exists() -> None:
    args = {"prometheus": "none", "prometheus_address": "http://p:9090", "methods": ["hpa"]}
    values = addons(cloud="gke", **args).one("Release")["values"]
    assert values["prometheus"]["url"] == "http://p:9090"


@pytest.mark.parametrize("cloud", [Cloud.EKS, Cloud.AKS])
@pytest.mark.parametrize("capacity", [CapacityType.ON_DEMAND, CapacityType.SPOT])
def test_the_device_plugin_runs_on_every_pool(cloud: Cloud, capacity: CapacityType) -> None:
    own = {"key": "team", "value": "search"}
    pool = place(cloud, capacity_type=capacity, taints=[own])
    [values] = [
        release["values"]
        for release in addons(cloud=cloud, cluster_name="c").every("Release")
        if release["name"] == "nvidia-device-plugin"
    ]
    # Whatever the taints: it would be missed on exactly the nodes that have one more.
    assert values["tolerations"] == [{"operator": "Exists"}]
    [term] = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert all(rule["key"] in pool.node_labels for rule in term["matchExpressions"])


def test_cluster_autoscaler() -> None:
    recording = addons(
        **EKS,
        kubernetes_version="1.34",
        region="eu-west-1",
        identity_annotations={"eks.amazonaws.com/role-arn": "arn"},
    )
    container = recording.container("cluster-autoscaler")
    assert container["image"].endswith(":v1.34.4")
    assert container["args"] == flags("prod")
    assert "k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/prod" in str(flags("prod"))
    assert container["env"] == [{"name": "AWS_REGION", "value": "eu-west-1"}]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    account = recording.one("ServiceAccount", "cluster-autoscaler")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn"}
    pod = recording.pod("cluster-autoscaler")
    assert [name for name, rule in RULES.items() if not rule(pod)] == []
    for binding in (recording.one("ClusterRoleBinding"), recording.one("RoleBinding")):
        assert binding["subjects"][0]["name"] == pod["serviceAccountName"]


def test_cluster_autoscaler_may_do_little() -> None:
    changes = {
        (resource, verb)
        for rule in cluster_rules()
        for resource in rule.resources  # type: ignore[union-attr]
        for verb in rule.verbs  # type: ignore[union-attr]
        if verb not in {"get", "list", "watch"}
    }
    assert changes == {
        ("nodes", "update"),
        ("pods/eviction", "create"),
        ("pods/status", "update"),
        ("events", "create"),
        ("events", "patch"),
    }
    assert "secrets" not in {name for rule in cluster_rules() for name in rule.resources}  # type: ignore[union-attr]


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(30, 37)])
def test_cluster_autoscaler_is_of_the_clusters_version(version: str) -> None:
    assert f":v{version}." in image(version)


def test_a_newer_kubernetes_gets_the_newest_cluster_autoscaler() -> None:
    assert image("1.40") == image("1.36")


@pytest.mark.parametrize(
    ("cloud", "group"), [(Cloud.EKS, f"eks-{{}}-{UUID}"), (Cloud.AKS, "aks-{}-31415926-vmss")]
)
def test_priorities(cloud: Cloud, group: str) -> None:
    """The first group of pools has the highest number, and no pool is taken for another."""
    tiers = [["l4"], ["l4-spot", "a100"]]
    written: dict[int, list[str]] = yaml.safe_load(priorities(tiers, NODE_GROUPS[cloud]))
    for index, names in enumerate(tiers):
        for name in names:
            found = [
                number
                for number, patterns in written.items()
                if any(re.search(pattern, group.format(name)) for pattern in patterns)
            ]
            assert max(found) == sorted(written, reverse=True)[index]
    assert written[min(written)] == [".*"]


@pytest.mark.parametrize(
    ("pools", "written"),
    [
        ([], {1: [".*"]}),
        (
            [["spot"], ["steady"]],
            {20: ["^aks-spot-[0-9]+-vmss$"], 10: ["^aks-steady-[0-9]+-vmss$"], 1: [".*"]},
        ),
    ],
)
def test_priorities_become_the_configmap(
    pools: list[list[str]], written: dict[int, list[str]]
) -> None:
    """Also without an order: cluster-autoscaler chooses nothing where there is no ConfigMap."""
    recording = addons(cloud="aks", pool_priorities=pools)
    found = recording.one("ConfigMap", "cluster-autoscaler-priority-expander")
    assert found["metadata"]["namespace"] == "kube-system"
    assert yaml.safe_load(found["data"]["priorities"]) == written


def test_the_order_of_an_own_node_autoscaler_is_left_alone() -> None:
    assert addons(cloud="aks", node_autoscaler=False).every("ConfigMap") == []
    assert addons(cloud="gke").every("ConfigMap") == []


def test_googles_adapter() -> None:
    identity = {"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com"}
    recording = addons(
        cloud="gke", prometheus="managed", methods=["hpa"], identity_annotations=identity
    )
    account = recording.one("ServiceAccount")
    assert account["metadata"]["annotations"] == identity
    apis = {item["metadata"]["name"] for item in recording.every("APIService")}
    assert apis == {"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
    service, deployment = recording.one("Service"), recording.one("Deployment")
    pod = deployment["spec"]["template"]
    assert selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
    [port] = pod["spec"]["containers"][0]["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    subjects = [
        binding["subjects"][0]
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in recording.every(kind)
    ]
    assert len(subjects) == 3
    for subject in subjects:
        assert subject["name"] == account["metadata"]["name"]
        assert subject["namespace"] == account["metadata"]["namespace"]


@pytest.mark.parametrize(
    ("cloud", "addons", "source"),
    [
        (Cloud.GKE, {}, MetricsSource.PROMETHEUS),
        (Cloud.GKE, {"prometheus": "managed"}, MetricsSource.GOOGLE),
        (Cloud.AKS, {"prometheus": "managed"}, MetricsSource.AZURE),
        (Cloud.AKS, {"prometheus": "none"}, MetricsSource.PROMETHEUS),
        (Cloud.LOCAL, {}, MetricsSource.PROMETHEUS),
    ],
)
def test_who_collects(cloud: Cloud, addons: dict[str, Any], source: MetricsSource) -> None:
    assert metrics_source(cloud, parse(AddonsSpec, addons)) is source


def place(cloud: Cloud = Cloud.LOCAL, **pool: Any) -> Placement:
    spec = GpuNodePoolSpec(accelerator="nvidia-l4", max_nodes=1, **pool)
    return placement("pool", spec, cloud)


def scaled(floor: int = 0, **args: Any) -> Callable[[], None]:
    """A program with a scaled server and its monitor."""

    def program() -> None:
        server = ModelServer(
            "chat", {"model": "m", "placements": [place()], "replicas": None, "floor": floor}
        )
        bounds = {"min_replicas": 1, "max_replicas": 2, "targets": {"queue_size": 5}}
        QueueAutoscaler("chat", {**bounds, "target": server, **args})
        source = args.get("source", "prometheus")
        Monitor("metrics", {"servers": [server], "source": source})

    return program


AZURE: dict[str, Any] = {
    "source": "azure",
    "method": "keda",
    "prometheus_address": "https://w.example.com",
}


@pytest.mark.parametrize(
    ("args", "kind", "api_version"),
    [
        ({}, "ServiceMonitor", "monitoring.coreos.com/v1"),
        ({"source": "google"}, "PodMonitoring", "monitoring.googleapis.com/v1"),
        (AZURE, "ServiceMonitor", "azmonitoring.coreos.com/v1"),
    ],
)
def test_monitors(args: dict[str, Any], kind: str, api_version: str) -> None:
    """Each selects what it is made for: the Service, or all pods of the server."""
    recording = record(scaled(**args, floor=1))
    monitor = recording.one(kind)
    assert monitor["apiVersion"] == api_version
    selector = monitor["spec"]["selector"]
    pods = [pod["metadata"]["labels"] for pod in recording.pods().values()]
    assert len(pods) == 2
    found = pods if kind == "PodMonitoring" else [recording.one("Service")["metadata"]["labels"]]
    assert all(selects(selector, labels) for labels in found)
    [endpoint] = monitor["spec"]["endpoints"]
    ports = {port["name"] for pod in ("chat",) for port in recording.container(pod)["ports"]}
    assert endpoint["port"] in ports


def test_googles_metrics_are_gauges() -> None:
    metrics = record(scaled(source="google")).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metrics == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"},
                "target": {"type": "AverageValue", "averageValue": "5"},
            },
        }
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"source": "google", "targets": {"concurrency": 9}}, "is vllm:num"),
        ({**AZURE, "source": "google"}, "use method 'hpa'"),
        ({"source": "azure"}, "use method 'keda'"),
    ],
)
def test_what_managed_collection_cannot_do(args: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        record(scaled(**args))


@pytest.mark.parametrize("client", ["c0ffee", None])
def test_keda_proves_to_azure_who_it_is(client: str | None) -> None:
    recording = record(scaled(**AZURE, identity_client_id=client))
    authentication = recording.one("TriggerAuthentication")
    identity = {"provider": "azure-workload", **({"identityId": client} if client else {})}
    assert authentication["spec"] == {"podIdentity": identity}
    triggers = recording.one("ScaledObject")["spec"]["triggers"]
    for trigger in triggers:
        assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    needed = recording.resource("ScaledObject").dependencies
    assert recording.resource("TriggerAuthentication").urn in needed


def test_keda_counts_the_pods_that_it_scales() -> None:
    """Those of the floor serve the same Service; an HPA does not see them either."""
    args: dict[str, Any] = {"method": "keda", "prometheus_address": PROMETHEUS_ADDRESS}
    for trigger in record(scaled(**args, floor=1)).one("ScaledObject")["spec"]["triggers"]:
        for selected in re.findall(r"\{(.*?)\}", trigger["metadata"]["query"]):
            assert selected.endswith(',pod!~"chat-floor-.+"')
    without = record(scaled(**args)).one("ScaledObject")["spec"]["triggers"]
    assert "pod!~" not in str(without)
