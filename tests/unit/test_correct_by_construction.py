"""What belongs together agrees: made once, or derived from the other."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_llm_inference import ModelServer, Monitor, QueueAutoscaler, SimulatedGpuNodePool
from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.monitoring.monitor import service_selector
from pulumi_llm_inference.serving.labels import object_labels
from pulumi_llm_inference.serving.model_server import MetricsEndpoint
from pulumi_llm_inference.spec.model_server import EngineName
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec, Placement
from tests.support import Recording, flag_values, record, selects

L4 = placement(
    "l4", GpuNodePoolSpec(accelerator="nvidia-l4", gpus_per_node=8, max_nodes=1), Cloud.LOCAL
)


def server(name: str = "chat", **args: Any) -> ModelServer:
    return ModelServer(name, {"model": "m", "placements": [L4], **args})


def scaler(target: ModelServer, name: str = "chat", **args: Any) -> QueueAutoscaler:
    bounds = {"min_replicas": 1, "max_replicas": 2, "targets": {"queue_size": 5}}
    return QueueAutoscaler(name, {**bounds, "target": target, **args})


def is_schedulable(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether Kubernetes' scheduler would let the pod onto the node."""
    tolerated = all(
        any(
            (toleration["operator"] == "Exists" or toleration.get("value") == taint["value"])
            and toleration["key"] == taint["key"]
            and toleration.get("effect", taint["effect"]) == taint["effect"]
            for toleration in pod.get("tolerations", [])
        )
        for taint in node["spec"]["taints"]
    )
    affinity = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    wanted = any(
        selects(term, node["metadata"]["labels"]) for term in affinity["nodeSelectorTerms"]
    )
    free = node["status"]["allocatable"]
    fits = all(
        int(container["resources"]["limits"][resource]) <= int(free.get(resource, "0"))
        for container in pod["containers"]
        for resource in container["resources"]["limits"]
    )
    return tolerated and wanted and fits


@pytest.fixture(scope="module")
def pools() -> Recording:
    """One pool and one server on it for every accelerator and capacity type."""

    def program() -> None:
        kinds = itertools.product(accelerators(), CapacityType)
        for index, (accelerator, capacity) in enumerate(kinds):
            pool = SimulatedGpuNodePool(
                f"pool-{index}",
                {
                    "accelerator": accelerator,
                    "gpus_per_node": 4,
                    "max_nodes": 1,
                    "capacity_type": capacity,
                    # A user's label never takes the place of what placement relies on.
                    "labels": {"llm-inference/pool": "pool-0", "nvidia.com/gpu.product": "none"},
                },
            )
            server(f"model-{index}", placements=[pool.placement], gpus=4)

    return record(program)


def test_a_pod_runs_on_its_pool_and_on_no_other(pools: Recording) -> None:
    nodes = {node["metadata"]["name"]: node for node in pools.every("Node")}
    pods = pools.pods()
    assert len(nodes) == len(pods) == len(accelerators()) * len(CapacityType)
    for name, pod in pods.items():
        homes = [node for node, spec in nodes.items() if is_schedulable(pod["spec"], spec)]
        assert homes == [f"{name.replace('model', 'pool')}-0"]


def test_a_pod_without_gpus_stays_off_gpu_nodes(pools: Recording) -> None:
    for node in pools.every("Node"):
        assert "NoSchedule" in {taint["effect"] for taint in node["spec"]["taints"]}


@pytest.fixture(params=["local", "rich", "tolerant"])
def environment(request: pytest.FixtureRequest) -> Recording:
    return request.getfixturevalue(request.param)


def test_selectors_match_the_pods_of_their_server_only(environment: Recording) -> None:
    pods = {name: pod["metadata"]["labels"] for name, pod in environment.pods().items()}

    def chosen(selector: Mapping[str, Any]) -> list[str]:
        return [name for name, labels in pods.items() if selects(selector, labels)]

    for name, pod in environment.pods().items():
        assert chosen(environment.one("Deployment", name)["spec"]["selector"]) == [name]
        assert chosen(environment.one("PodDisruptionBudget", name)["spec"]["selector"]) == [name]
        [spread] = pod["spec"]["topologySpreadConstraints"]
        assert chosen(spread["labelSelector"]) == [name]
    services = [
        chosen({"matchLabels": s["spec"]["selector"]}) for s in environment.every("Service")
    ]
    assert sorted(services) == [[name] for name in sorted(pods)]


def test_ports_are_named_alike_from_monitor_to_container(environment: Recording) -> None:
    [endpoint] = environment.one("ServiceMonitor")["spec"]["endpoints"]
    for service in environment.every("Service"):
        [port] = service["spec"]["ports"]
        assert port["name"] == endpoint["port"]
        [name] = [
            name
            for name, pod in environment.pods().items()
            if selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
        ]
        container = environment.container(name)
        [by_name] = [p for p in container["ports"] if p["name"] == port["targetPort"]]
        assert by_name["containerPort"] == port["port"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == by_name["name"]


def test_the_monitor_of_an_environment_scrapes_all_its_services(environment: Recording) -> None:
    selector = environment.one("ServiceMonitor")["spec"]["selector"]
    for service in environment.every("Service"):
        assert selects(selector, service["metadata"]["labels"])


labels = st.dictionaries(
    st.sampled_from(["app", "team", "app.kubernetes.io/instance", "app.kubernetes.io/component"]),
    st.sampled_from(["vllm", "a", "b"]),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), labels, min_size=1), st.data())
def test_a_monitor_selects_its_services_and_no_other(
    servers: dict[str, dict[str, str]], data: st.DataObject
) -> None:
    engine = ENGINES[EngineName.VLLM]
    all_labels = {name: object_labels(name, engine, extra) for name, extra in servers.items()}
    mine = data.draw(st.lists(st.sampled_from(sorted(servers)), min_size=1, unique=True))
    endpoints = [
        MetricsEndpoint("default", all_labels[name], "http", "/metrics", cast("Any", None))
        for name in mine
    ]
    selector = service_selector(endpoints)
    assert {name for name, found in all_labels.items() if selects(selector, found)} == set(mine)


def test_two_monitors_share_no_service() -> None:
    def program() -> None:
        servers = [server(name, labels={"app": "vllm"}) for name in ("a", "b", "c")]
        Monitor("first", {"servers": servers[:2]})
        Monitor("second", {"servers": servers[2:]})

    recording = record(program)
    for service in recording.every("Service"):
        found = [
            monitor["metadata"]["name"]
            for monitor in recording.every("ServiceMonitor")
            if selects(monitor["spec"]["selector"], service["metadata"]["labels"])
        ]
        assert len(found) == 1


def test_one_owner_of_the_replicas(environment: Recording) -> None:
    targets = [
        scaled["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for scaled in environment.every(kind)
    ]
    for name in environment.pods():
        deployment = environment.resource("Deployment", name)
        if name in targets:
            assert "replicas" not in deployment.inputs["spec"]
            assert deployment.ignoreChanges == ["spec.replicas"]
        else:
            assert deployment.inputs["spec"]["replicas"] >= 1
            assert deployment.ignoreChanges == []


@pytest.mark.parametrize("startup", [60, 61, 599, 1800, 7205])
@pytest.mark.parametrize("drain", [1, 45, 900])
def test_times_cover_one_another(startup: int, drain: int) -> None:
    recording = record(lambda: server(startup_seconds=startup, drain_seconds=drain))
    deployment, pod = recording.resource("Deployment"), recording.pod("chat")
    container = recording.container("chat")
    probe = container["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    deadline = deployment.inputs["spec"]["progressDeadlineSeconds"]
    assert startup <= budget <= deadline
    for step in ("create", "update"):
        assert deadline <= int(deployment.customTimeouts[step].removesuffix("s"))
    flag = int(flag_values(container["args"])["--shutdown-timeout"])
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain <= flag
    assert sleep + flag <= pod["terminationGracePeriodSeconds"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert int(environment["VLLM_ENGINE_READY_TIMEOUT_S"] or 0) >= startup


def test_pods_get_no_variables_of_services_and_no_token(environment: Recording) -> None:
    for name in environment.pods():
        pod = environment.pod(name)
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        account = environment.one("ServiceAccount", pod["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False


def test_gpus_are_requested_as_limited_and_shared_memory_is_mounted(environment: Recording) -> None:
    for name in environment.pods():
        container, pod = environment.container(name), environment.pod(name)
        resources = container["resources"]
        for resource, amount in resources["limits"].items():
            assert resources["requests"][resource] == amount
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert len(mounts) == len(volumes)
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"  # noqa: S108


def test_everything_in_a_namespace_of_its_own_waits_for_it(rich: Recording) -> None:
    namespace = rich.resource("Namespace")
    objects = [
        resource
        for resource in rich.resources
        if resource.type.startswith("kubernetes:")
        and not resource.type.endswith((":Namespace", ":Node"))
    ]
    assert {item.inputs["metadata"]["namespace"] for item in objects} == {"llm"}
    assert [item.urn for item in objects if namespace.urn not in item.dependencies] == []


def test_the_default_namespace_is_not_made(local: Recording) -> None:
    assert local.every("Namespace") == []


def test_labels_reach_every_child(rich: Recording) -> None:
    for name, pod in rich.pods().items():
        wanted = rich.one("Deployment", name)["metadata"]["labels"]
        [server_urn] = [
            item.urn
            for item in rich.resources
            if item.type == "llm-inference:index:ModelServer" and item.name == name
        ]
        children = [item for item in rich.resources if item.parent == server_urn]
        assert len(children) == 4
        for child in children:
            assert child.inputs["metadata"]["labels"] == wanted
        assert pod["metadata"]["labels"] == wanted
    assert rich.one("Deployment", "chat")["metadata"]["labels"]["team"] == "search"
    for kind, name in (("ScaledObject", "chat"), ("HorizontalPodAutoscaler", "coder")):
        assert rich.one(kind, name)["metadata"]["labels"]["team"] == "search"
    assert rich.one("ServiceMonitor")["metadata"]["labels"] == {"release": "prometheus"}
    spot = [node for node in rich.every("Node") if node["metadata"]["labels"].get("team")]
    assert len(spot) == 4


def test_services_are_not_awaited(environment: Recording) -> None:
    for service in environment.every("Service"):
        assert service["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    for manifest in environment.manifests():
        annotations = manifest.content["metadata"].get("annotations", {})
        assert not any(key.startswith("pulumi.com/") for key in annotations)


def _two_scalers() -> None:
    target = server(replicas=None)
    scaler(target, "first")
    scaler(target, "second", method="keda", prometheus_address="http://prometheus:9090")


def _fixed_and_scaled() -> None:
    scaler(server(replicas=3))


def _ports_that_differ() -> None:
    one, other = server("one"), server("other")
    assert other.metrics_endpoint
    other.metrics_endpoint = MetricsEndpoint(
        "default", other.metrics_endpoint.labels, "metrics", "/metrics", other.service
    )
    Monitor("both", {"servers": [one, other]})


def _namespaces_that_differ() -> None:
    Monitor("both", {"servers": [server("one", namespace="a"), server("other", namespace="b")]})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (_two_scalers, ["'chat'", "scaled by 'first' already", "remove 'first' or 'second'"]),
        (_fixed_and_scaled, ["replicas: 3", "set replicas to None"]),
        (_ports_that_differ, ["'both'", "metrics", "monitor of its own"]),
        (_namespaces_that_differ, ["'both'", "namespace"]),
    ],
)
def test_what_would_fight_is_refused(program: Callable[[], None], said: list[str]) -> None:
    with pytest.raises(pulumi.RunError) as error:
        record(program)
    for text in said:
        assert text in str(error.value)


def test_a_refused_autoscaler_makes_nothing() -> None:
    made: list[str] = []

    def program() -> None:
        target = server(replicas=None)
        scaler(target, "first")
        with pytest.raises(pulumi.RunError):
            scaler(target, "second")
        made.append("all")

    recording = record(program)
    assert made == ["all"]
    assert len(recording.every("HorizontalPodAutoscaler")) == 1
    assert len(recording.every("QueueAutoscaler")) == 1


def test_a_namespace_may_come_from_another_resource() -> None:
    def program() -> None:
        namespace = k8s.core.v1.Namespace("made", metadata={"name": "made"})
        target = server(namespace=namespace.metadata["name"], replicas=None)
        scaler(target, method="keda", prometheus_address="http://prometheus:9090")
        Monitor("metrics", {"servers": [target]})

    recording = record(program)
    assert recording.one("Deployment")["metadata"]["namespace"] == "made"
    assert recording.one("ServiceMonitor")["metadata"]["namespace"] == "made"
    [trigger, _] = recording.one("ScaledObject")["spec"]["triggers"]
    assert 'namespace="made"' in trigger["metadata"]["query"]


def test_the_placement_is_a_pure_function_of_the_pool() -> None:
    spec = GpuNodePoolSpec(accelerator="nvidia-l4", max_nodes=3, capacity_type=CapacityType.SPOT)
    found: list[Placement] = []
    record(lambda: found.append(SimulatedGpuNodePool("p", spec.model_dump()).placement))
    assert found == [placement("p", spec, Cloud.LOCAL)]
