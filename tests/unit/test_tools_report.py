"""The report says which GPUs are used, by whom, and where the autoscalers stand."""

from typing import Any

from rich.console import Console

from report import Autoscaler, Node, Pod, report, tables

GPU = "nvidia.com/gpu"


def node(name: str, gpus: str | None) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "allocatable": {"cpu": "8"} | ({GPU: gpus} if gpus else {}),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, on: str | None, ready: str = "True", **metadata: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "llm", **metadata},
        "spec": {"containers": [{"resources": {"limits": {GPU: "2"}}}, {}]}
        | ({"nodeName": on} if on else {}),
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


def autoscaler(metrics: list[Any], current: list[Any] | None) -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "vllm", "namespace": "llm"},
        "spec": {
            "scaleTargetRef": {"name": "vllm"},
            "minReplicas": 2,
            "maxReplicas": 20,
            "metrics": metrics,
        },
        "status": {"currentReplicas": 2, "currentMetrics": current},
    }


def metric(kind: str, name: str, **numbers: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind.capitalize(), kind: {"metric": {"name": name}, **numbers}}


def test_gpus_are_counted_per_node() -> None:
    found = report([node("gpu-0", "4"), node("cpu-0", None), pod("a", "gpu-0"), pod("b", None)])
    assert found.nodes == [Node("gpu-0", ready=True, gpus=4, used=2)]
    assert found.pods[1] == Pod("b", "llm", "Running", "none yet", 2)


def test_the_pod_of_a_finished_job_holds_no_gpu() -> None:
    done = pod("a", "gpu-0", ready="False")
    done["status"]["phase"] = "Succeeded"
    found = report([node("gpu-0", "4"), done])
    assert found.nodes == [Node("gpu-0", ready=True, gpus=4, used=0)]
    assert found.pods == []


def test_a_pods_status_says_what_is_wrong() -> None:
    objects = [pod("a", "n", ready="False"), pod("b", "n", deletionTimestamp="2026-01-01")]
    assert [p.status for p in report(objects).pods] == ["Running, not ready", "Terminating"]


def test_each_metric_is_matched_with_its_current_value() -> None:
    wanted = [
        metric("pods", "queue", target={"averageValue": "5"}),
        metric("external", "s0-prometheus", target={"value": "7"}),
    ]
    got = [metric("external", "s0-prometheus", current={"value": "3"})]
    found = report([autoscaler(wanted, got)])
    assert found.autoscalers == [
        Autoscaler("vllm", "llm", "vllm", "queue", "<unknown>", "5", 2, 20, 2),
        Autoscaler("vllm", "llm", "vllm", "s0-prometheus", "3", "7", 2, 20, 2),
    ]
    assert not found.settled
    assert report([autoscaler(wanted[:1], None)]).settled is False
    assert report([]).settled


def test_the_tables_name_everything() -> None:
    objects = [node("gpu-0", "4"), pod("a", "gpu-0"), autoscaler([metric("pods", "queue")], None)]
    console = Console(width=120, record=True)
    console.print(tables(report(objects)))
    text = console.export_text()
    for part in ("gpu-0", "llm/a", "llm/vllm", "queue", "<unknown>", "2 to 20"):
        assert part in text
