"""From requests that wait to replicas that serve them, on real programs all the way.

The load source answers scrapes like vLLM; prometheus-operator makes Prometheus' configuration from
our ServiceMonitor; the metrics adapter or KEDA asks Prometheus; the HPA controller scales.
"""

from typing import Any

import pytest

import processes
from control_plane import ControlPlane
from tests.e2e.stack import (
    LOOPBACK,
    Stack,
    addresses,
    objects,
    replicas,
    stays,
    wait_until,
)
from tests.support import local_config

WINDOW_SECONDS = 8
"""Down-scaling window in place of the guide's 300 s, which would make tests slow."""


def rules(window: int, percent: int) -> dict[str, Any]:
    """The guide's kind of rules, but with a period of 4 s."""
    policy = {"type": "Percent", "value": percent, "periodSeconds": 4}
    return {"stabilizationWindowSeconds": window, "policies": [policy]}


@pytest.fixture(params=["hpa", "keda"])
def scaled(request: pytest.FixtureRequest, plane: ControlPlane, stack: Stack) -> Stack:
    """The environment `local` with a short window, scaled by an HPA or by KEDA."""
    config: dict[str, Any] = local_config()
    autoscaling = config["models"][0]["autoscaling"]
    autoscaling["method"] = request.param
    autoscaling["scaleUp"] = rules(window=0, percent=100)
    autoscaling["scaleDown"] = rules(window=WINDOW_SECONDS, percent=50)
    config["monitoring"] = {"prometheusAddress": plane.prometheus_url}
    stack.configure(config)
    stack.up()
    wait_until(lambda: replicas(plane) == 2, 90)
    return stack


def test_everything_listens_on_the_loopback_only(plane: ControlPlane) -> None:
    """KEDA too, which `make up` starts for those who use it."""
    listening = addresses({pid for pid, _ in processes.running(plane.folder)})
    assert len(listening) >= 10
    assert set(listening) <= LOOPBACK


def test_a_queue_grows_the_replicas_and_its_end_shrinks_them(
    plane: ControlPlane, scaled: Stack
) -> None:
    plane.load(waiting=10)
    stays(lambda: replicas(plane) == 2, 10)
    plane.load(waiting=40)
    wait_until(lambda: replicas(plane) == 8, 120)
    wait_until(lambda: len(objects(plane, "pods")) == 8, 30)
    stays(lambda: replicas(plane) == 8, 10)
    plane.load(waiting=0)
    wait_until(lambda: replicas(plane) == 2, 120)


@pytest.mark.parametrize("lost", ["all", 1])
def test_a_lost_scrape_scales_nothing_down(
    plane: ControlPlane, scaled: Stack, lost: str | int
) -> None:
    plane.load(waiting=40)
    wait_until(lambda: replicas(plane) == 8, 120)
    plane.load(waiting=0, lost=lost)
    stays(lambda: replicas(plane) == 8, 4 * WINDOW_SECONDS)
    assert scaling_stands(plane)
    plane.load(waiting=0)
    wait_until(lambda: replicas(plane) == 2, 120)


def test_load_still_adds_replicas_while_one_is_not_scraped(
    plane: ControlPlane, scaled: Stack
) -> None:
    plane.load(waiting=40)
    wait_until(lambda: replicas(plane) == 8, 120)
    plane.load(waiting=90, lost=1)
    wait_until(lambda: replicas(plane) > 8, 120)


def scaling_stands(plane: ControlPlane) -> bool:
    """Whether the HPA says that it is held because metrics are missing."""
    [autoscaler] = objects(plane, "hpa")
    said = str(autoscaler["status"].get("conditions"))
    return "FailedGet" in said or "unable to" in said or "invalid metrics" in said
