"""The simulated clouds themselves: plain Pulumi programs, run by the real engine."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane import ControlPlane
from tests.clouds import cloud as clouds
from tests.clouds.cloud import SimulatedCloud
from tests.clouds.fixtures import simulated_cloud
from tests.e2e.stack import Stack, objects, stays, wait_until

PROGRAMS = Path(clouds.__file__).parent / "programs"

__all__ = ["simulated_cloud"]


@dataclass(frozen=True)
class Program(Stack):
    """One of the programs, in a project of its own."""

    @property
    def environment(self) -> dict[str, str]:
        # The programs say which cluster they mean.
        return {key: value for key, value in super().environment.items() if key != "KUBECONFIG"}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi(*arguments, cwd=self.folder, check=check)

    def set(self, **values: str) -> None:
        """Configure the program anew."""
        config = {"gcp:project": "project", "aws:region": "eu-west-1"}
        config |= {f"test:{key}": value for key, value in values.items()}
        kept = yaml.safe_load(self.config.read_text()) if self.config.exists() else {}
        self.config.write_text(yaml.safe_dump({**kept, "config": config}))

    def update(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("up", "--yes", "--skip-preview", *arguments, check=check)


MakeProgram = Callable[[str], Program]


@pytest.fixture
def program(
    plane: ControlPlane, simulated_cloud: SimulatedCloud, tmp_path: Path
) -> Iterator[MakeProgram]:
    """Makes one of the programs; destroys it after the test, and nothing is left."""
    if shutil.which("pulumi") is None:
        pytest.skip("pulumi is not on PATH")
    made: list[Program] = []

    def make(name: str) -> Program:
        shutil.copy(PROGRAMS / f"{name}.py", tmp_path / "__main__.py")
        runtime = f"{{name: python, options: {{virtualenv: {sys.prefix}}}}}"
        (tmp_path / "Pulumi.yaml").write_text(f"name: test\nruntime: {runtime}\n")
        made.append(Program(plane, tmp_path, "test", simulated_cloud.environment))
        made[-1].set()
        made[-1].pulumi("stack", "init", "test", cwd=tmp_path, stack=False)
        return made[-1]

    yield make
    for one in made:
        one.run("destroy", "--yes", "--skip-preview")
    assert objects(plane, "nodes") == []
    assert simulated_cloud.pools() == []
    assert simulated_cloud.resources() == []


def pods(plane: ControlPlane, app: str) -> list[dict[str, Any]]:
    return objects(plane, "pods", f"--selector=app={app}")


def running_on(plane: ControlPlane, app: str) -> set[str]:
    """Nodes of an app's running pods."""
    return {pod["spec"]["nodeName"] for pod in pods(plane, app) if running(pod)}


def running(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] == "Running"


def gpu_pools(cloud: SimulatedCloud) -> list[str]:
    return [pool.name for pool in cloud.pools() if pool.gpus]


def names(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["metadata"]["name"] for node in nodes}


def test_gke_grows_a_pool_for_pods_that_tolerate_it(
    program: MakeProgram, plane: ControlPlane, simulated_cloud: SimulatedCloud
) -> None:
    gke = program("gcp")
    gke.update()
    (pool,) = gpu_pools(simulated_cloud)
    nodes = simulated_cloud.nodes(pool)
    assert running_on(plane, "gke-server") == names(nodes)
    assert len(nodes) == 2
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert zones == {"europe-west4-a", "europe-west4-b"}
    # Added by GKE: the system pool came first.
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    assert all(node["spec"]["taints"] == [taint] for node in nodes)
    assert not any(running(pod) for pod in pods(plane, "gke-waiting"))
    gke.update("--expect-no-changes", "--refresh")

    taken = simulated_cloud.reclaim(pool, seconds=2)
    assert len(taken) == 2
    stays(lambda: not simulated_cloud.nodes(pool), 1)
    wait_until(lambda: len(running_on(plane, "gke-server")) == 2, 20)
    assert not names(simulated_cloud.nodes(pool)) & set(taken)

    gke.set(machine="a2-highgpu-1g")
    gke.update()
    (after,) = gpu_pools(simulated_cloud)
    assert after != pool
    assert running_on(plane, "gke-server") == names(simulated_cloud.nodes(after))

    gke.set(machine="g2-standard-7")
    refused = gke.update(check=False)
    assert "'g2-standard-7' is no machine type" in refused.stdout


def test_eks_needs_tags_a_device_plugin_and_an_autoscaler(
    program: MakeProgram, plane: ControlPlane, simulated_cloud: SimulatedCloud
) -> None:
    eks = program("aws")
    eks.set(tagged="false", pluginTolerates="false")
    eks.update()
    (group,) = gpu_pools(simulated_cloud)
    # The autoscaler never saw a node of the group, and no tag tells it of one.
    stays(lambda: simulated_cloud.nodes(group) == [], 2)

    eks.set(pluginTolerates="false")
    eks.update()
    wait_until(lambda: len(simulated_cloud.nodes(group)) == 1, 10)
    # The device plugin does not tolerate the pool's taint: no GPUs, so nothing runs.
    stays(lambda: running_on(plane, "eks-server") == set(), 2)
    assert len(simulated_cloud.nodes(group)) == 1
    assert all(
        "nvidia.com/gpu" not in n["status"]["capacity"] for n in simulated_cloud.nodes(group)
    )

    eks.set()
    eks.update()
    assert running_on(plane, "eks-server") == names(simulated_cloud.nodes(group))
    eks.update("--expect-no-changes")


def test_aks_replaces_a_pool_of_a_fixed_name(
    program: MakeProgram, plane: ControlPlane, simulated_cloud: SimulatedCloud
) -> None:
    aks = program("azure")
    aks.update()
    (node,) = simulated_cloud.nodes("gpu")
    assert running_on(plane, "aks-server") == names([node])
    labels = node["metadata"]["labels"]
    assert labels["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert labels["kubernetes.azure.com/agentpool"] == labels["agentpool"] == "gpu"
    aks.update("--expect-no-changes")

    aks.set(machine="Standard_NC40ads_H100_v5")
    aks.update()
    wait_until(lambda: len(simulated_cloud.nodes("gpu")) == 1, 20)
    (after,) = simulated_cloud.nodes("gpu")
    wait_until(lambda: running_on(plane, "aks-server") == names([after]), 20)
    machine = after["metadata"]["labels"]["node.kubernetes.io/instance-type"]
    assert machine == "Standard_NC40ads_H100_v5"
