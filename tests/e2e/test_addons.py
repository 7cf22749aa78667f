"""Every add-on, from its chart, into a cluster that has none of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane
from tests.clouds.cloud import SimulatedCloud
from tests.e2e.stack import Stack, objects
from tests.e2e.test_clouds import CHARTS, PROVIDERS
from tests.environments import tracked_config

HELM_CRDS = "monitoring.coreos.com"
"""Group of the kinds that are in a chart's `crds/`, which Helm never deletes."""


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of its own, without the metrics APIs of the local one, and without KEDA."""
    with ControlPlane(tmp_path / "bare", scrape="1s") as plane:
        served = [f"{version}.custom.metrics.k8s.io" for version in ("v1beta1", "v1beta2")]
        plane.kubectl("delete", "apiservice", *served)
        yield plane


def crds(plane: ControlPlane) -> set[str]:
    """Names of the kinds that are not Kubernetes' own."""
    return {item["metadata"]["name"] for item in objects(plane, "customresourcedefinitions")}


def test_add_ons_come_before_what_needs_them_and_go_after_it(
    bare: ControlPlane, tmp_path: Path
) -> None:
    if not CHARTS.is_dir():
        assert not os.environ.get("CI"), f"no charts in {CHARTS}"
        pytest.skip(f"no charts in {CHARTS}")
    config = {**tracked_config("eks-dev"), **PROVIDERS["eks"], "namespace": "default"}
    config["addons"] = {"chartSource": str(CHARTS)}
    config["cluster"]["deletionProtection"] = False
    [chat] = config["models"]
    by_keda = {**chat["autoscaling"], "method": "keda"}
    config["models"].append({**chat, "name": "coder", "autoscaling": by_keda})
    before = crds(bare)
    with SimulatedCloud(bare, tmp_path / "cloud") as cloud:
        stack = Stack(bare, tmp_path, "test", cloud.environment)
        stack.configure(config)
        try:
            stack.up()
            # Nobody runs in KWOK's pods, but all of them are where their charts want them.
            names = {item["metadata"]["name"] for item in objects(bare, "deployments", "-A")}
            assert names >= {"chat", "coder", "cluster-autoscaler", "prometheus-adapter"}
            assert any("keda-operator" in name for name in names)
            [plugin] = [
                item
                for item in objects(bare, "daemonsets", "-A")
                if item["metadata"]["name"] == "nvidia-device-plugin"
            ]
            assert plugin["status"]["numberReady"] == len(
                objects(bare, "nodes", "-l", "llm-inference/pool")
            )
            assert len(objects(bare, "scaledobjects")) == 1
            assert len(objects(bare, "hpa")) == 1
            stack.up("--expect-no-changes")
        finally:
            stack.unlock()
            stack.destroy()
        assert cloud.resources() == []
    assert {name.partition(".")[2] for name in crds(bare) - before} <= {HELM_CRDS}
    names = {item["metadata"]["name"] for item in objects(bare, "namespaces")}
    assert not {name for name in names if name.startswith("llm")}
