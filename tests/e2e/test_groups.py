"""Models on several nodes: groups of pods, made and scaled by the real controller."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import processes
from control_plane import ControlPlane
from pulumi_llm_inference.serving.groups import API_VERSION, KIND, LEADERS, NAME_LABEL
from tests.e2e.stack import LOOPBACK, Stack, addresses, objects, wait_until
from tests.support import local_config

NAME = "chat"
GPU = "nvidia.com/gpu"
LEADER = ",".join(f"{key}={value}" for key, value in LEADERS.items())


@pytest.fixture(scope="module")
def groups_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own, in which groups can be made."""
    folder = tmp_path_factory.mktemp("groups")
    with ControlPlane(folder, hpa_sync="2s", scrape="1s", lws=True) as started:
        yield started


def node(number: int) -> dict[str, Any]:
    """A node with GPUs that KWOK plays."""
    room = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: "8"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"gpu-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": room, "capacity": room},
    }


def template(arguments: list[str]) -> dict[str, Any]:
    """A pod that takes all GPUs of a node."""
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai",
        "args": ["--master-addr", "$(LWS_LEADER_ADDRESS)", *arguments],
        "env": [{"name": "NODE_RANK", "value": "$(LWS_WORKER_INDEX)"}],
        "resources": {"limits": {GPU: "8"}},
    }
    return {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}}


def group(replicas: int) -> dict[str, Any]:
    """Groups of two, of what the library says only what matters here."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
            "leaderWorkerTemplate": {
                "size": 2,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": template([]),
                "workerTemplate": template(["--headless"]),
            },
        },
    }


def running(plane: ControlPlane, *arguments: str) -> list[dict[str, Any]]:
    """The server's pods that run, by name."""
    pods = objects(plane, "pods", "-l", f"{NAME_LABEL}={NAME}", *arguments)
    return [
        pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def apply(plane: ControlPlane, *made: dict[str, Any]) -> None:
    """Make or change objects."""
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(made)})
    plane.kubectl("apply", "--server-side", "--filename=-", given=given)


@pytest.fixture
def environment(groups_plane: ControlPlane, tmp_path: Path) -> Iterator[Stack]:
    """The environment `local`, of which each replica needs two nodes."""
    if shutil.which("pulumi") is None:
        assert not os.environ.get("CI"), "pulumi is not on PATH"
        pytest.skip("pulumi is not on PATH")
    config: dict[str, Any] = local_config()
    [model] = config["models"]
    at_once = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 4}]}
    model |= {"name": NAME, "nodes": 2, "gpus": 4}
    model["autoscaling"] |= {
        "minReplicas": 1,
        "maxReplicas": 2,
        "scaleUp": {"stabilizationWindowSeconds": 0, **at_once},
        "scaleDown": {"stabilizationWindowSeconds": 4, **at_once},
    }
    groups_plane.load(waiting=0)
    stack = Stack(groups_plane, tmp_path, "test")
    stack.configure(config)
    yield stack
    stack.unlock()
    stack.destroy()
    left = objects(groups_plane, "leaderworkersets,pods,statefulsets,services,nodes")
    assert {item["metadata"]["name"] for item in left} <= {"kubernetes"}


def test_a_queue_grows_the_groups_of_a_model(
    groups_plane: ControlPlane, environment: Stack
) -> None:
    """Before the tests below, which leave nodes behind."""
    environment.up()
    # Pulumi waits for groups as it does for Deployments.
    assert len(running(groups_plane)) == 2
    assert len({pod["spec"]["nodeName"] for pod in running(groups_plane)}) == 2
    groups_plane.load(waiting=40)
    wait_until(lambda: len(running(groups_plane)) == 4, 60)
    environment.up("--expect-no-changes")
    groups_plane.load(waiting=0)
    wait_until(lambda: len(objects(groups_plane, "pods")) == 2, 60)


@pytest.fixture(scope="module")
def two_groups(groups_plane: ControlPlane) -> ControlPlane:
    """Six nodes and two groups of two."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME, **LEADERS}, "ports": [{"port": 8000}]},
    }
    # The Service is there first: the controller must not take it for one of its own.
    apply(groups_plane, *(node(number) for number in range(6)), service, group(2))
    wait_until(lambda: len(running(groups_plane)) == 4, 60)
    return groups_plane


def test_everything_listens_on_the_loopback_only(groups_plane: ControlPlane) -> None:
    listening = addresses({pid for pid, _ in processes.running(groups_plane.folder)})
    assert len(listening) >= 8
    assert set(listening) <= LOOPBACK


def test_each_group_has_a_leader_that_its_workers_find(two_groups: ControlPlane) -> None:
    pods = running(two_groups)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 4
    found: dict[str, dict[str, str]] = {}
    for pod in pods:
        [container] = pod["spec"]["containers"]
        variables = container["env"]
        # Ours comes last: only what is before it can be named in it.
        assert variables[-1]["name"] == "NODE_RANK"
        found[pod["metadata"]["name"]] = {item["name"]: item["value"] for item in variables[:-1]}
    for index in range(2):
        leader = f"{NAME}-{index}"
        for rank, name in enumerate((leader, f"{leader}-1")):
            assert found.pop(name) == {
                "LWS_LEADER_ADDRESS": f"{leader}.{leader}.default",
                "LWS_GROUP_SIZE": "2",
                "LWS_WORKER_INDEX": str(rank),
            }
    assert not found
    names = {item["metadata"]["name"]: item for item in objects(two_groups, "services")}
    assert names[f"{NAME}-0"]["spec"]["clusterIP"] == "None"
    assert names[NAME]["spec"]["clusterIP"] != "None"


def test_a_lost_worker_costs_its_group(two_groups: ControlPlane) -> None:
    """What is left of it waits for a process that never comes back."""
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in running(two_groups)}
    two_groups.kubectl("delete", "pod", f"{NAME}-0-1", "--wait=false")

    def renewed() -> set[str]:
        now = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in running(two_groups)}
        return {name for name, uid in now.items() if before[name] != uid}

    wait_until(lambda: renewed() == {f"{NAME}-0", f"{NAME}-0-1"}, 60)


def test_its_scale_counts_groups_by_their_leaders(two_groups: ControlPlane) -> None:
    [made] = objects(two_groups, "leaderworkersets")
    selector = made["status"]["hpaPodSelector"]
    assert set(selector.split(",")) == {f"{NAME_LABEL}={NAME}", LEADER}
    two_groups.kubectl("scale", "leaderworkerset", NAME, "--replicas=3")
    wait_until(lambda: len(running(two_groups)) == 6, 60)
    leaders = {pod["metadata"]["name"] for pod in running(two_groups, "-l", LEADER)}
    assert leaders == {f"{NAME}-{index}" for index in range(3)}
    two_groups.kubectl("scale", "leaderworkerset", NAME, "--replicas=1")
    wait_until(
        lambda: (
            {pod["metadata"]["name"] for pod in objects(two_groups, "pods")}
            == {f"{NAME}-0", f"{NAME}-0-1"}
        ),
        60,
    )
