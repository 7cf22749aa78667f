"""The bridge answers as the engine would, and only where it would."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge import (
    ENGINES,
    TEXT,
    Handler,
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
    volume,
)

DEPLOYMENT = ("default", "vllm-inference")


def pod(name: str, workload: tuple[str, str] = DEPLOYMENT, engine: str = "vllm") -> Pod:
    return Pod(name, workload, "10.244.0.2", engine, ENGINES[engine].port, "llama")


def pod_object(**changes: Any) -> Any:
    """A ready pod of a Deployment, as the Kubernetes client returns it."""
    facts = {
        "image": "vllm/vllm-openai:v0.33.0",
        "command": ["vllm", "serve"],
        "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--port=8000"],
        "labels": {},
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
            labels={"pod-template-hash": "7b94dc965d", **facts["labels"]},
            owner_references=[owner],
            deletion_timestamp=facts["deleted"],
        ),
        spec=SimpleNamespace(
            containers=[
                SimpleNamespace(**{key: facts[key] for key in ("image", "command", "args")})
            ]
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
        "vllm",
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


OWN_IMAGE = "registry.example.com/inference:1"
SGLANG = ["sglang", "serve", "a/b", "--host=0.0.0.0"]
TRTLLM = ["trtllm-serve", "a/b", "--host=0.0.0.0"]


@pytest.mark.parametrize(
    ("image", "words", "engine", "port_and_model"),
    [
        (OWN_IMAGE, [[]], "vllm", ("8000", "unknown")),
        (OWN_IMAGE, [["a/vllm-sglang"]], "vllm", ("8000", "a/vllm-sglang")),
        (OWN_IMAGE, [["vllm", "serve"], ["a/sglang"]], "vllm", ("8000", "a/sglang")),
        ("llm-d/llm-d-inference-sim:v0.10.2", [["--model=m"]], "vllm", ("8000", "m")),
        ("lmsysorg/sglang:v0.5.23", [SGLANG, ["--enable-metrics"]], "sglang", ("30000", "a/b")),
        (
            OWN_IMAGE,
            [
                ["python3", "-m", "sglang.launch_server"],
                ["--model-path=a/b", "--port", "3000", "--host=::", "--enable-metrics"],
            ],
            "sglang",
            ("3000", "a/b"),
        ),
        (
            "nvcr.io/nvidia/tensorrt-llm/release:1.3.0",
            [["trtllm-serve"], ["a", "--served_model_name", "c", "--host=::", "--config=/x.yaml"]],
            "tensorrt-llm",
            ("8000", "c"),
        ),
        (OWN_IMAGE, [TRTLLM, ["--config", "/etc/x.yaml"]], "tensorrt-llm", ("8000", "a/b")),
        (
            "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3",
            [["tritonserver", "--model-repository=/models"], []],
            "triton",
            ("8002", "tensorrt_llm"),
        ),
    ],
)
def test_the_engine_is_told_by_image_or_program(
    image: str, words: list[list[str]], engine: str, port_and_model: tuple[str, str]
) -> None:
    command, args = words if len(words) > 1 else (None, *words)
    described = describe(pod_object(image=image, command=command, args=args))
    assert described
    assert described.engine == engine
    assert (described.port, described.model) == port_and_model


@pytest.mark.parametrize(
    "change",
    [
        {"ready": "False"},
        {"deleted": "2026-01-01"},
        {"image": "ollama/ollama:0.32.15", "command": None, "args": ["serve"]},
        {"image": OWN_IMAGE, "command": SGLANG, "args": None},  # not told to measure
        {"image": OWN_IMAGE, "command": TRTLLM, "args": None},
        {"image": OWN_IMAGE, "command": SGLANG[:-1], "args": ["--enable-metrics"]},  # loopback
        {"image": OWN_IMAGE, "command": TRTLLM[:-1], "args": ["--config=/x.yaml"]},
        {"image": OWN_IMAGE, "command": ["my-router"], "args": None},
        {"labels": {"leaderworkerset.sigs.k8s.io/worker-index": "1"}},
    ],
)
def test_who_is_not_ready_or_measures_nothing_does_not_answer(change: dict[str, Any]) -> None:
    assert describe(pod_object(**change)) is None


def test_the_leader_of_a_group_answers() -> None:
    assert describe(pod_object(labels={"leaderworkerset.sigs.k8s.io/worker-index": "0"}))


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


REQUESTS = 'nv_trt_llm_request_metrics{model="llama",request_type="%s",version="1"}'
BLOCKS = 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="%s",model="llama",version="1"}'
SGLANG_LABELS = 'engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"'


@pytest.mark.parametrize(
    ("engine", "lines"),
    [
        (
            "vllm",
            [
                'vllm:num_requests_waiting{engine="0",model_name="llama"} 5.0',
                'vllm:num_requests_running{engine="0",model_name="llama"} 3.0',
                'vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 1.0',
            ],
        ),
        (
            "sglang",
            [
                f"sglang:num_queue_reqs{{{SGLANG_LABELS}}} 5.0",
                f"sglang:num_running_reqs{{{SGLANG_LABELS}}} 3.0",
                f"sglang:token_usage{{{SGLANG_LABELS}}} 1.0",
            ],
        ),
        (
            "tensorrt-llm",
            [
                'trtllm_num_requests_waiting{engine_type="trtllm",model_name="llama"} 5.0',
                'trtllm_num_requests_running{engine_type="trtllm",model_name="llama"} 3.0',
                'trtllm_kv_cache_utilization{engine_type="trtllm",model_name="llama"} 1.0',
            ],
        ),
        (
            "triton",
            [
                f"{REQUESTS % 'waiting'} 5.0",
                f"{REQUESTS % 'scheduled'} 3.0",
                f"{REQUESTS % 'active'} 8.0",
                f"{REQUESTS % 'context'} 0.0",
                f"{REQUESTS % 'max'} 256.0",
                f"{BLOCKS % 'fraction'} 1.0",
            ],
        ),
    ],
)
def test_the_page_has_the_engines_metrics_and_labels(engine: str, lines: list[str]) -> None:
    page = exposition(pod("a", engine=engine), Share(waiting=5, running=3)).decode()
    assert set(lines) <= set(page.splitlines())
    assert list(text_string_to_metric_families(page))


@pytest.mark.parametrize(
    ("url", "status", "kind"),
    [
        (":8000/prometheus/metrics", 200, "text/plain; version=0.0.4"),
        (":8000/metrics", 200, "application/json"),  # no metrics: the scrape fails
        (":8000/other", 404, None),
        (":8002/prometheus/metrics", 404, None),
    ],
)
def test_only_the_engines_own_port_and_path_answer(
    url: str, status: int, kind: str | None, tmp_path: Path
) -> None:
    pods = Pods()
    pods.see("ADDED", pod_object(image=OWN_IMAGE, command=TRTLLM, args=["--config", "x.yaml"]))
    answers: list[tuple[int, str | None]] = []

    class Asked(Handler):
        def __init__(self) -> None:
            self.pods, self.load, self.path = pods, tmp_path / "load", f"http://10.244.0.2{url}"

        def _answer(self, status: int, body: bytes = b"", kind: str = TEXT) -> None:
            answers.append((status, kind if body else None))

    Asked().do_GET()
    assert answers == [(status, kind)]


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


def test_a_claim_gets_the_volume_that_it_asks_for() -> None:
    claim = SimpleNamespace(
        metadata=SimpleNamespace(name="engines", namespace="llm", uid="1"),
        spec=SimpleNamespace(
            resources=SimpleNamespace(requests={"storage": "60Gi"}),
            access_modes=["ReadWriteMany"],
            storage_class_name=None,
        ),
    )
    made = volume(claim)
    assert made["metadata"]["name"] == "simulated-1"
    assert made["spec"]["claimRef"] == {"namespace": "llm", "name": "engines"}
    assert made["spec"]["capacity"] == {"storage": "60Gi"}
    assert made["spec"]["accessModes"] == ["ReadWriteMany"]
    assert made["spec"]["storageClassName"] == ""
