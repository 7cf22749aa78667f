"""The environment `local` is the guide's, number by number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import WrittenPreview
from tests.support import Recording, cli, flag_values


def test_autoscaler(local: Recording) -> None:
    hpa = local.one("HorizontalPodAutoscaler")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 20)
    assert hpa["scaleTargetRef"]["name"] == "vllm-inference"
    assert hpa["metrics"][0] == {
        "type": "Pods",
        "pods": {
            "metric": {"name": "vllm_queue_size"},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    }
    assert hpa["behavior"] == {
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}],
        },
    }


def test_the_only_other_metric_holds_replicas_when_scrapes_are_lost(local: Recording) -> None:
    metrics = local.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [metric["pods"]["metric"]["name"] for metric in metrics[1:]] == ["vllm_scrapes_lost"]


def test_container(local: Recording) -> None:
    container = local.container("vllm-inference")
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    requests, limits = (container["resources"][kind] for kind in ("requests", "limits"))
    assert requests["nvidia.com/gpu"] == limits["nvidia.com/gpu"] == "1"
    assert container["args"][0] == "meta-llama/Llama-3.1-8B-Instruct"
    flags = flag_values(container["args"])
    assert flags["--max-model-len"] == "4096"
    assert flags["--gpu-memory-utilization"] == "0.9"
    assert "--dtype" in flags
    assert not any(flag.startswith("--disable-log-requests") for flag in flags)


def test_names(local: Recording) -> None:
    names = {
        resource.type.rsplit(":", 1)[1]: resource.inputs["metadata"]["name"]
        for resource in local.resources
        if "metadata" in resource.inputs and not resource.type.endswith(":Node")
    }
    assert names == {
        "Deployment": "vllm-inference",
        "Service": "vllm-service",
        "ServiceAccount": "vllm-inference",
        "PodDisruptionBudget": "vllm-inference",
        "HorizontalPodAutoscaler": "vllm-inference",
        "ServiceMonitor": "vllm-metrics",
    }


def _labelled(recording: Recording) -> Iterator[tuple[str, dict[str, Any]]]:
    """Labels of every object of the model."""
    for resource in recording.resources:
        if "metadata" in resource.inputs and not resource.type.endswith((":Node", ":Monitor")):
            kind = resource.type.rsplit(":", 1)[1]
            if kind == "ServiceMonitor":  # belongs to all models; it selects by the label
                yield kind, resource.inputs["spec"]["selector"]["matchLabels"]
            else:
                yield kind, resource.inputs["metadata"]["labels"]
    for name, pod in recording.pods().items():
        yield f"pods of {name}", pod["metadata"]["labels"]


def test_label_app(local: Recording) -> None:
    found = dict(_labelled(local))
    assert len(found) == 7
    assert {kind for kind, labels in found.items() if labels.get("app") != "vllm"} == set()


def test_service_and_monitor(local: Recording) -> None:
    [port] = local.one("Service")["spec"]["ports"]
    assert (port["name"], port["port"]) == ("http", 8000)
    [endpoint] = local.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "15s"}


def test_the_pool_holds_the_most_replicas(local: Recording) -> None:
    gpus = sum(int(node["status"]["allocatable"]["nvidia.com/gpu"]) for node in local.every("Node"))
    assert gpus >= local.one("HorizontalPodAutoscaler")["spec"]["maxReplicas"]


def test_summary_names_every_object_and_the_next_step(local_preview: WrittenPreview) -> None:
    for manifest in local_preview.recording.manifests():
        assert manifest.content["metadata"]["name"] in local_preview.terminal
    assert f"kubectl apply --server-side -f {local_preview.folder}" in local_preview.terminal


def test_two_runs_write_the_same_bytes(local_preview: WrittenPreview, tmp_path: Path) -> None:
    done = cli("preview", "local", "--out", str(tmp_path), env={"PYTHONHASHSEED": "2"})
    assert done.returncode == 0, done.stderr

    def contents(folder: Path) -> dict[Path, bytes]:
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(folder): file.read_bytes() for file in files}

    assert contents(tmp_path) == contents(local_preview.folder)


def test_preview_is_quick(local_preview: WrittenPreview) -> None:
    assert local_preview.seconds < 10
