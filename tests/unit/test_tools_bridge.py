"""The bridge answers as the engine would, and only where it would."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import (
    Load,
    Pod,
    Pods,
    Share,
    describe,
    exposition,
    read_load,
    set_load,
    share,
    through_proxy,
)

DEPLOYMENT = ("default", "vllm-inference")


def pod(name: str, workload: tuple[str, str] = DEPLOYMENT) -> Pod:
    return Pod(name, workload, "10.244.0.2", "8000", "llama")


def pod_object(**changes: Any) -> Any:
    """A ready pod of a Deployment, as the Kubernetes client returns it."""
    facts = {
        "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--port=8000"],
        "ready": "True",
        "deleted": None,
        "uid": "1",
        "address": "10.244.0.2",
    } | changes
    owner = SimpleNamespace(name="vllm-inference-7b94dc965d", controller=True)
    return SimpleNamespace(
        metadata=SimpleNamespace(
            name="vllm-inference-7b94dc965d-abcde",
            namespace="default",
            uid=facts["uid"],
            labels={"pod-template-hash": "7b94dc965d"},
            owner_references=[owner],
            deletion_timestamp=facts["deleted"],
        ),
        spec=SimpleNamespace(
            containers=[SimpleNamespace(command=["vllm", "serve"], args=facts["args"])]
        ),
        status=SimpleNamespace(
            pod_ip=facts["address"],
            conditions=[SimpleNamespace(type="Ready", status=facts["ready"])],
        ),
    )


def test_load_is_spread_evenly_and_completely() -> None:
    pods = [pod("a"), pod("b"), pod("c"), pod("other", ("default", "other"))]
    parts = [share(Load(waiting=40, running=5), pods, one) for one in pods[:3]]
    assert parts == [Share(14, 2), Share(13, 2), Share(13, 1)]


@pytest.mark.parametrize(
    ("lost", "silent"), [(0, []), (1, ["a"]), ("2", ["a", "b"]), ("all", ["a", "b", "c"])]
)
def test_lost_pods_do_not_answer(lost: int | str, silent: list[str]) -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    found = [one.name for one in pods if share(Load(9, lost=lost), pods, one) is None]
    assert found == silent


def test_a_pod_is_described_by_its_deployment_and_its_flags() -> None:
    assert describe(pod_object()) == Pod(
        "vllm-inference-7b94dc965d-abcde",
        DEPLOYMENT,
        "10.244.0.2",
        "8000",
        "meta-llama/Llama-3.1-8B-Instruct",
    )


@pytest.mark.parametrize(
    ("words", "model", "port"),
    [
        (["--model=a", "--served-model-name=b", "--port", "9000"], "b", "9000"),
        (["a/b", "--dtype", "auto"], "a/b", "8000"),
    ],
)
def test_flags_are_read_as_the_engine_reads_them(words: list[str], model: str, port: str) -> None:
    described = describe(pod_object(args=words))
    assert described
    assert (described.model, described.port) == (model, port)


@pytest.mark.parametrize("change", [{"ready": "False"}, {"deleted": "2026-01-01"}])
def test_a_pod_that_is_not_ready_does_not_answer(change: dict[str, Any]) -> None:
    assert describe(pod_object(**change)) is None


def test_pods_are_found_by_address_until_they_go() -> None:
    pods = Pods()
    pods.see("ADDED", pod_object())
    assert pods.at("10.244.0.2")
    pods.see("MODIFIED", pod_object(deleted="2026-01-01"))
    assert pods.at("10.244.0.2") is None
    # The address is given to another pod before the old one's end is told.
    pods.see("ADDED", pod_object(uid="2"))
    pods.see("DELETED", pod_object())
    assert pods.at("10.244.0.2")


def test_the_page_has_the_engines_metrics_and_labels() -> None:
    page = exposition(pod("a"), Share(waiting=5, running=3)).decode()
    assert 'vllm:num_requests_waiting{engine="0",model_name="llama"} 5.0' in page
    assert 'vllm:num_requests_running{engine="0",model_name="llama"} 3.0' in page
    assert 'vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 1.0' in page


def test_every_job_goes_through_the_proxy_and_is_else_unchanged() -> None:
    job = {"job_name": "a", "scrape_interval": "15s", "relabel_configs": [{"action": "keep"}]}
    scrapes = {"global": {"scrape_interval": "30s"}, "scrape_configs": [job]}
    proxy = "http://127.0.0.1:1"
    assert through_proxy(scrapes, proxy, None) == {
        **scrapes,
        "scrape_configs": [{**job, "proxy_url": proxy}],
    }
    [faster] = through_proxy(scrapes, proxy, "1s")["scrape_configs"]
    assert (faster["scrape_interval"], faster["scrape_timeout"]) == ("1s", "1s")
    assert through_proxy({}, proxy, None) == {"scrape_configs": []}


def test_load_of_one_workload_and_of_all(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    assert read_load(file, "a") == Load()
    set_load(file, None, {"waiting": 40})
    set_load(file, "a", {"waiting": 3, "lost": "all"})
    assert read_load(file, "a") == Load(3, 0, "all")
    assert read_load(file, "b") == Load(40)
    set_load(file, None, {"waiting": 1})
    assert read_load(file, "a") == Load(1)


def test_an_unknown_field_of_a_load_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        set_load(tmp_path / "load.json", None, {"wating": 40})
