"""The tracked environments of every cloud, by the real engine, on clouds that are simulated.

Clusters and pools are checked as the clouds would check them, and pools become nodes with the
labels and taints that the clouds add, on a control plane whose scheduler and autoscalers are real.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane
from tests.clouds.cloud import SimulatedCloud
from tests.e2e.stack import Stack, objects, wait_until
from tests.environments import CLOUDS, cloud_config, tracked_config
from tests.support import ROOT

CHARTS = Path(os.environ.get("CHARTS", ROOT.parent / "shared" / "charts"))
"""A directory of the add-ons' charts, as users without internet have it."""
PROVIDERS = {
    "gke": {"gcp:project": "my-project"},
    "eks": {"aws:region": "us-east-1"},
    "aks": {"azure-native:location": "eastus2"},
}
LARGER = {"gke": {"machine": "g2-standard-8"}, "eks": {"machine": "g6.2xlarge"}}
"""Another machine for the same pool; a pool of two GPUs a node where there is none."""


@pytest.fixture(scope="module")
def cloud(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimulatedCloud]:
    with SimulatedCloud(plane, tmp_path_factory.mktemp("cloud")) as simulated:
        yield simulated


@pytest.fixture
def stack(plane: ControlPlane, cloud: SimulatedCloud, tmp_path: Path) -> Iterator[Stack]:
    """A stack on the simulated cloud; whatever it made is gone after the test."""
    if not CHARTS.is_dir():
        assert not os.environ.get("CI"), f"no charts in {CHARTS}"
        pytest.skip(f"no charts in {CHARTS}")
    plane.load(waiting=0)
    made = Stack(plane, tmp_path, "test", cloud.environment)
    yield made
    made.unlock()
    made.destroy()
    assert cloud.resources() == []
    wait_until(lambda: objects(plane, "nodes") == [], 30)
    assert objects(plane, "deployments", "--all-namespaces") == []
    namespaces = {item["metadata"]["name"] for item in objects(plane, "namespaces")}
    assert not {name for name in namespaces if name.startswith("llm")}


def deployable(config: dict[str, Any]) -> dict[str, Any]:
    """An environment's configuration; the control plane has the adapters of metrics already."""
    config["addons"] = {
        "chartSource": str(CHARTS),
        "metricsAdapter": False,
        "keda": False,
        "leaderWorkerSet": False,
    }
    # Else nothing could be destroyed without deploying once more.
    config["cluster"]["deletionProtection"] = False
    return {**config, **PROVIDERS[config["cloud"]]}


def pods(plane: ControlPlane) -> list[dict[str, Any]]:
    """Pods of models."""
    return objects(plane, "pods", "--all-namespaces", "-l", "llm-d.ai/inference-serving=true")


def pools_in_use(plane: ControlPlane) -> list[str]:
    """Pool of each pod of a model; empty unless all of them run."""
    nodes = {node["metadata"]["name"]: node for node in objects(plane, "nodes")}
    found = pods(plane)
    if any(pod["status"]["phase"] != "Running" for pod in found):
        return []
    homes = [nodes.get(pod["spec"]["nodeName"]) for pod in found]
    if not all(homes):
        return []
    return sorted(home["metadata"]["labels"]["llm-inference/pool"] for home in homes if home)


def assert_all_run(plane: ControlPlane, config: dict[str, Any], seconds: float = 60) -> None:
    """Every replica that is wanted runs on a node of one of its model's pools."""
    [model] = config["models"]
    expected = model.get("floor", 0) + model["autoscaling"]["minReplicas"]
    wait_until(lambda: len(pools_in_use(plane)) == expected, seconds)
    assert set(pools_in_use(plane)) <= set(model["pools"])


@pytest.mark.parametrize("name", CLOUDS)
def test_a_small_environment_runs_on_its_pool_and_stays_as_it_is(
    plane: ControlPlane, stack: Stack, name: str
) -> None:
    config = deployable(tracked_config(f"{name}-dev"))
    stack.configure(config)
    stack.up()
    assert_all_run(plane, config)
    stack.up("--expect-no-changes")


@pytest.mark.parametrize("name", CLOUDS)
def test_a_pool_and_its_placement_are_replaced_together(
    plane: ControlPlane, stack: Stack, cloud: SimulatedCloud, name: str
) -> None:
    config = deployable(cloud_config(name))
    stack.configure(config)
    stack.up()
    assert_all_run(plane, config)
    stack.up("--expect-no-changes")
    before = {node["metadata"]["uid"] for node in gpu_nodes(plane)}
    lasting, spot = config["pools"]
    lasting.update(LARGER.get(name, {"gpusPerNode": 2}))
    del spot["capacityType"]
    stack.configure(config)
    stack.up()
    assert_all_run(plane, config)
    after = gpu_nodes(plane)
    assert not before & {node["metadata"]["uid"] for node in after}
    types = {
        node["metadata"]["labels"]["node.kubernetes.io/instance-type"]
        for node in after
        if node["metadata"]["labels"]["llm-inference/pool"] == lasting["name"]
    }
    assert types == {lasting.get("machine", "Standard_NC48ads_A100_v4")}
    assert all("spot" not in json.dumps(node["spec"].get("taints")) for node in after)
    stack.up("--expect-no-changes")


def gpu_nodes(plane: ControlPlane) -> list[dict[str, Any]]:
    """Nodes of GPU pools."""
    return objects(plane, "nodes", "-l", "llm-inference/pool")


POD = "/spec/template/spec"
TERM = "nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0"
MUTATIONS = {
    "no tolerations": {"op": "remove", "path": f"{POD}/tolerations"},
    "no toleration of spot": {"op": "remove", "path": f"{POD}/tolerations/1"},
    "another pool's label": {
        "op": "replace",
        "path": f"{POD}/affinity/{TERM}/matchExpressions/0/values/0",
        "value": "nowhere",
    },
}


def test_a_pod_without_what_its_pool_gives_it_runs_nowhere(
    plane: ControlPlane, stack: Stack
) -> None:
    """The check that all pods run would see each of these: it fails."""
    config = deployable(tracked_config("gke-dev"))
    stack.configure(config)
    stack.up()
    for patch in MUTATIONS.values():
        assert_all_run(plane, config)
        # All at once: no pod of the right kind is left to satisfy the check.
        recreate = [{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]
        command = ("patch", "deployment", "chat", "--namespace=llm", "--type=json")
        plane.kubectl(*command, f"--patch={json.dumps([*recreate, patch])}")
        wait_until(lambda: any(pod["status"]["phase"] == "Pending" for pod in pods(plane)), 30)
        with pytest.raises(AssertionError, match="not within"):
            assert_all_run(plane, config, seconds=8)
        stack.up("--refresh")
    assert_all_run(plane, config)


@pytest.mark.parametrize("name", CLOUDS)
def test_what_spot_takes_comes_back_on_demand(
    plane: ControlPlane, stack: Stack, cloud: SimulatedCloud, name: str
) -> None:
    config = deployable(tracked_config(f"{name}-prod"))
    config["models"][0]["autoscaling"]["minReplicas"] = 3
    stack.configure(config)
    stack.up()
    lasting, spot = (pool["name"] for pool in config["pools"])
    # Nodes that exist are taken first, so some of the burst may be where the floor is.
    wait_until(lambda: len(pools_in_use(plane)) == 5 and spot in pools_in_use(plane), 60)
    before = {node["metadata"]["uid"] for node in gpu_nodes(plane)}
    config["pools"][1]["maxNodes"] += 2
    stack.configure(config)
    stack.up("--refresh")
    assert {node["metadata"]["uid"] for node in gpu_nodes(plane)} == before
    [pool] = [pool.name for pool in cloud.pools() if "spot" in pool.name]
    cloud.reclaim(pool, seconds=120)

    def all_back() -> bool:
        assert available(plane, "chat-floor") == 2  # whatever happens to the burst
        return pools_in_use(plane) == [lasting] * 5

    wait_until(all_back, 60)
    # Voluntary drains: one pod at a time, whichever Deployment it is of.
    names = [pod["metadata"]["name"] for pod in pods(plane)]
    with ThreadPoolExecutor(len(names)) as drains:
        answers = list(drains.map(lambda name: evict(plane, name), names))
    assert "" in answers
    assert any("disruption budget" in answer for answer in answers)
    wait_until(lambda: len(pools_in_use(plane)) == 5, 60)


def available(plane: ControlPlane, name: str) -> int:
    """Replicas of a Deployment that take requests."""
    path = "--output=jsonpath={.status.availableReplicas}"
    return int(plane.kubectl("get", "deployment", name, "--namespace=llm", path) or 0)


def evict(plane: ControlPlane, pod: str) -> str:
    """Ask for a pod to go, as `kubectl drain` does; return why not, if it does not."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "llm"},
    }
    path = f"/api/v1/namespaces/llm/pods/{pod}/eviction"
    try:
        plane.kubectl("create", f"--raw={path}", "--filename=-", given=json.dumps(eviction))
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


def test_a_cluster_that_somebody_else_made(
    plane: ControlPlane, stack: Stack, cloud: SimulatedCloud
) -> None:
    where = {"name": "theirs", "location": "us-central1", "project": "my-project"}
    path = "projects/my-project/locations/us-central1/clusters/theirs"
    cloud.given("gcp:container/cluster:Cluster", path, **where, masterVersion="1.36.3-gke.1000")
    config = deployable(tracked_config("gke-dev"))
    config["pools"][0]["zones"] = config.pop("cluster")["zones"]
    # The simulated cloud gives it no nodes that charts could run on.
    config["addons"] = {"prometheus": "none", "metricsAdapter": False}
    config["existingCluster"] = {
        "kubeconfig": str(plane.kubeconfig),
        "clusterName": "theirs",
        "location": "us-central1",
        "project": "my-project",
        "serviceAccount": "nodes@my-project.iam.gserviceaccount.com",
    }
    stack.configure(config)
    try:
        stack.up()
        assert_all_run(plane, config)
        stack.up("--expect-no-changes")
    finally:
        stack.destroy()
        [theirs] = cloud.resources()
        cloud.state.forget(theirs.type, theirs.id)


@pytest.mark.parametrize("name", CLOUDS)
def test_cluster_and_models_can_be_stacks_of_their_own(
    plane: ControlPlane, stack: Stack, cloud: SimulatedCloud, name: str
) -> None:
    config = deployable(cloud_config(name))
    workloads = Stack(plane, stack.folder, "models", cloud.environment)
    stack.configure({**config, "pools": [], "models": []})
    stack.up()
    of_the_cluster = {"cluster", "addons"}
    rest = {key: value for key, value in config.items() if key not in of_the_cluster}
    zones = config["cluster"].get("zones", [])
    pools = [{**pool, "zones": zones} for pool in config["pools"]]
    borrowed = {**rest, "pools": pools, "clusterStack": "organization/llm-inference/test"}
    workloads.configure(borrowed)
    try:
        workloads.up()
        assert_all_run(plane, config)
        workloads.up("--expect-no-changes")
    finally:
        workloads.destroy()
