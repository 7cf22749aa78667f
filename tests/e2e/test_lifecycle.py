"""The environment `local` under the real engine: up, again, refreshed, interrupted, gone."""

import subprocess

import pytest

from control_plane import ControlPlane
from tests.e2e.stack import Stack, objects, replicas, wait_until
from tests.support import ROOT, local_config


def test_up_runs_every_pod_on_a_gpu_node(plane: ControlPlane, stack: Stack) -> None:
    stack.configure(local_config())
    stack.up()
    wait_until(lambda: replicas(plane) == 2, 60)  # the autoscaler's floor

    def running() -> bool:
        pods = objects(plane, "pods")
        return len(pods) == 2 and all(pod["status"]["phase"] == "Running" for pod in pods)

    wait_until(running, 60)
    gpus = {
        node["metadata"]["name"]: int(node["status"]["allocatable"]["nvidia.com/gpu"])
        for node in objects(plane, "nodes")
    }
    assert gpus == {f"l4-{index}": 4 for index in range(5)}
    assert {pod["spec"]["nodeName"] for pod in objects(plane, "pods")} <= gpus.keys()


def test_second_up_changes_nothing_also_after_the_autoscaler_did(
    plane: ControlPlane, stack: Stack
) -> None:
    stack.configure(local_config())
    stack.up()
    stack.up("--expect-no-changes")
    plane.load(waiting=40)
    wait_until(lambda: replicas(plane) == 8, 90)
    stack.up("--expect-no-changes")
    stack.up("--refresh", "--expect-no-changes")
    assert replicas(plane) == 8


def test_new_engine_flags_leave_the_replicas_alone(plane: ControlPlane, stack: Stack) -> None:
    config = local_config()
    stack.configure(config)
    stack.up()
    plane.load(waiting=40)
    wait_until(lambda: replicas(plane) == 8, 90)
    config["models"][0]["maxModelLen"] = 8192
    stack.configure(config)
    stack.up()
    assert replicas(plane) == 8


def test_killed_up_ends_well_when_started_again(plane: ControlPlane, stack: Stack) -> None:
    stack.configure(local_config())
    stack.up_killed_when(lambda: len(objects(plane, "nodes")) > 1)
    locked = stack.up(check=False)
    assert locked.returncode != 0
    assert "lock" in locked.stdout + locked.stderr
    stack.pulumi("cancel", "--yes")
    # What the engine was making when it died is in the cluster and not in its state.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_K8S_UPSERT_EXISTING_OBJECTS", "true")
        stack.up("--refresh")
    stack.up("--expect-no-changes")


def test_nothing_is_made_of_a_wrong_environment(plane: ControlPlane, stack: Stack) -> None:
    config = local_config()
    config["models"][0]["pools"] = ["l40"]
    config["models"].append({**config["models"][0], "pools": ["l4"]})
    stack.configure(config)
    failed = stack.up(check=False)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert "models[0].pools[0]: there is no pool 'l40'" in said
    assert "models[1].name: 'vllm-inference' is the name of 2 models" in said
    assert "Traceback" not in said
    assert stack.resources() == []


def test_an_unreachable_cluster_is_said(stack: Stack) -> None:
    stack.configure(local_config())
    kubeconfig = stack.folder / "nowhere.yaml"
    text = stack.plane.kubeconfig.read_text()
    [server] = {line.split()[1] for line in text.splitlines() if line.strip().startswith("server:")}
    kubeconfig.write_text(text.replace(server, "https://127.0.0.1:9"))
    done = subprocess.run(
        ["pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name, "--non-interactive"],
        cwd=ROOT,
        env={**stack.environment, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "configured Kubernetes cluster is unreachable" in done.stdout + done.stderr
