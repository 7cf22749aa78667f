"""The environment `local-engines`: each engine is scraped where it measures, and scales by that.

The bridge answers as the engines do (tools/bridge.py has their metrics from their own documents),
so a wrong name, label, port or path finds nothing here.
"""

from typing import Any

import pytest

from control_plane import ControlPlane
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.scaling.queries import scrapes_lost_query, signal_query
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName
from tests.e2e.stack import Stack, objects, stays, wait_until
from tests.e2e.test_closed_loop import WINDOW_SECONDS, rules
from tests.e2e.test_promql import query, targets
from tests.environments import tracked_config

SCRAPED = {
    EngineName.VLLM: ":8000/metrics",
    EngineName.SGLANG: ":30000/metrics",
    EngineName.TENSORRT_LLM: ":8000/prometheus/metrics",
    EngineName.TRITON: ":8002/metrics",
}
"""Where the engines that measure something do so."""

WAITING = {
    EngineName.VLLM: 25,
    EngineName.SGLANG: 20,
    EngineName.TENSORRT_LLM: 15,
    EngineName.TRITON: 10,
}
"""Requests that wait, for each engine another number; the target is 5."""

REPLICAS = {engine: waiting // 5 for engine, waiting in WAITING.items()}

BY_KEDA = {EngineName.SGLANG, EngineName.TRITON}
"""Whose autoscalers ask Prometheus themselves; the others' metrics come from the adapter."""


@pytest.mark.timeout(600)  # five engines, one after the other, on a slow machine
def test_each_engine_is_scraped_and_scales_by_its_own_queue(
    plane: ControlPlane, stack: Stack
) -> None:
    config = tracked_config("local-engines")
    for model in config["models"]:
        if autoscaling := model.get("autoscaling"):
            autoscaling["scaleUp"] = rules(window=0, percent=100)
            autoscaling["scaleDown"] = rules(window=WINDOW_SECONDS, percent=50)
            autoscaling["method"] = "keda" if model["engine"] in BY_KEDA else "hpa"
    config["monitoring"] = {"prometheusAddress": plane.prometheus_url}
    names = {EngineName(model["engine"]): model["name"] for model in config["models"]}
    assert set(names) == set(EngineName)
    ollama = names.pop(EngineName.OLLAMA)
    stack.configure(config)
    stack.up()

    # Of all but the Job that compiled Triton's engine, which is done.
    pods = ("pods", "--field-selector=status.phase!=Succeeded")
    wait_until(lambda: all(is_ready(pod) for pod in objects(plane, *pods)), 30)
    wait_until(lambda: scraped(plane) == {names[e]: {url} for e, url in SCRAPED.items()}, 60)
    wait_until(lambda: replicas(plane, names) == dict.fromkeys(names, 1), 60)
    # Two of them are KEDA's to make, when it comes to it.
    wait_until(lambda: scaled(plane) == set(names.values()), 90)
    wait_until(lambda: "<unknown>" not in plane.kubectl("get", "hpa"), 60)

    # What waits for Ollama is not measured, so it moves nothing.
    for name, waiting in {ollama: 100, **{names[e]: n for e, n in WAITING.items()}}.items():
        plane.load(waiting=waiting, running=2, model=name)
    wait_until(lambda: replicas(plane, names) == REPLICAS, 120)
    stays(lambda: replicas(plane, names) == REPLICAS, 4)
    assert replicas(plane, {EngineName.OLLAMA: ollama}) == {EngineName.OLLAMA: 2}

    wait_until(lambda: all(asked(plane, engine, name) for engine, name in names.items()), 30)
    for name in names.values():
        plane.load(waiting=0, model=name, lost=1)
    wait_until(lambda: all(held(plane, engine, name) for engine, name in names.items()), 30)
    stays(lambda: replicas(plane, names) == REPLICAS, WINDOW_SECONDS + 4)

    plane.load(waiting=0)
    wait_until(lambda: replicas(plane, names) == dict.fromkeys(names, 1), 120)


def scaled(plane: ControlPlane) -> set[str]:
    """What autoscalers there are."""
    return {item["metadata"]["name"] for item in objects(plane, "hpa")}


def replicas(plane: ControlPlane, names: dict[EngineName, str]) -> dict[EngineName, int]:
    """Replicas that each engine's Deployment is asked to have."""
    found = {
        item["metadata"]["name"]: item["spec"]["replicas"] for item in objects(plane, "deployments")
    }
    return {engine: found[name] for engine, name in names.items()}


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod runs and takes requests."""
    conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions", ())}
    return pod["status"]["phase"] == "Running" and conditions.get("Ready") == "True"


def scraped(plane: ControlPlane) -> dict[str, set[str]]:
    """Ports and paths at which pods are scraped and answer, by Service."""
    found: dict[str, set[str]] = {}
    for target in targets(plane):
        where = target["scrapeUrl"].removeprefix("http://").lstrip("0123456789.")
        answer = where if target["health"] == "up" else f"{where} {target['lastError']}"
        found.setdefault(target["labels"]["service"], set()).add(answer)
    return found


def asked(plane: ControlPlane, engine: EngineName, name: str) -> bool:
    """Whether the autoscalers' queries tell the load: of the Service as one, of each pod by pod."""
    matchers = f'namespace="default",service="{name}"'
    waiting = signal_query(ENGINES[engine], Signal.QUEUE_SIZE, matchers)
    both = signal_query(ENGINES[engine], Signal.CONCURRENCY, matchers)
    by_pod = signal_query(ENGINES[engine], Signal.QUEUE_SIZE, matchers, by="pod")
    lost = scrapes_lost_query(ENGINES[engine], matchers)
    return (
        query(plane, waiting) == [WAITING[engine]]
        and query(plane, both) == [WAITING[engine] + 2]
        and query(plane, by_pod) == [5] * REPLICAS[engine]
        and query(plane, lost) == [0]
    )


def held(plane: ControlPlane, engine: EngineName, name: str) -> bool:
    """Whether the metric that holds the replicas has no value: a pod is not scraped."""
    lost = scrapes_lost_query(ENGINES[engine], f'namespace="default",service="{name}"')
    return query(plane, lost) == []
