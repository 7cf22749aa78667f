"""vLLM as somebody else simulates it (llm-d/llm-d-inference-sim), run as a ModelServer's container.

The way to run it is a user's: its image, and `args` in place of the engine's own, since it refuses
flags of vLLM that it does not know.
"""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pulumi_llm_inference import ModelServer
from pulumi_llm_inference.engines.base import Metric
from pulumi_llm_inference.engines.vllm import VLLM
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, GpuNodePoolSpec
from tests.support import record

NAME = "llm-d-inference-sim"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
POOL = placement("l4", GpuNodePoolSpec(accelerator="nvidia-l4", max_nodes=1), Cloud.LOCAL)
SERVER: dict[str, Any] = {
    "model": MODEL,
    "placements": [POOL],
    "image": f"ghcr.io/llm-d/{NAME}:v0.10.2",
    "runAsUser": 65532,
    "args": [
        *("--model", MODEL, "--served-model-name", "chat", "--force-dummy-tokenizer"),
        # Two requests at once, which answer with their prompt and take their time.
        *("--max-num-seqs", "2", "--mode", "echo", "--inter-token-latency", "100ms"),
    ],
}
HISTOGRAMS = {Metric.TIME_TO_FIRST_TOKEN, Metric.INTER_TOKEN_LATENCY, Metric.REQUEST_LATENCY}

ASK = """
import fcntl, json, re, socket, struct, subprocess, sys, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
command, url, paths, metrics = json.loads(sys.argv[1])
# The simulator listens on every address: this network has no other than loopback.
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP

def ask(path, body=None):
    headers = {"Content-Type": "application/json"}
    data = body and json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=30) as a:
        return a.status, a.read().decode()

def complete(words):
    return ask("/v1/completions", {"model": "chat", "prompt": "a " * words, "max_tokens": words})

simulator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for attempt in range(100):
        try:
            statuses = {path: ask(path)[0] for path in paths}
            break
        except OSError:
            time.sleep(0.1)
    models = json.loads(ask("/v1/models")[1])
    complete(3)  # a histogram has no series until something was observed
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(complete, 20) for _ in range(5)]
        for attempt in range(50):
            page = ask(metrics)[1]
            if re.search(r"num_requests_waiting\\S* 3", page):
                break
            time.sleep(0.1)
        done = [answer.result()[0] for answer in answers]
    print(json.dumps({"statuses": statuses, "models": models, "page": page, "done": done}))
finally:
    simulator.kill()
"""


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """What the program of the container answers, started as the container says."""
    if shutil.which(NAME) is None:
        assert not os.environ.get("CI"), f"{NAME} is not on PATH"
        pytest.skip(f"{NAME} is not on PATH")
    container = record(lambda: ModelServer("sim", SERVER)).container("sim")
    assert "command" not in container  # else the image's entry point would not run
    [port] = [port["containerPort"] for port in container["ports"]]
    probes = {
        container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    task = (
        [NAME, *container["args"]],
        f"http://127.0.0.1:{port}",
        sorted(probes),
        VLLM.metrics_path,
    )
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", sys.executable, "-c", ASK, json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_serves_where_probes_and_service_look(asked: dict[str, Any]) -> None:
    assert asked["statuses"] == {"/health": 200}
    assert [model["id"] for model in asked["models"]["data"]] == ["chat"]
    assert asked["done"] == [200] * 5


def test_it_measures_all_that_is_asked_of_the_engine(asked: dict[str, Any]) -> None:
    found = {
        sample.name
        for family in text_string_to_metric_families(asked["page"])
        for sample in family.samples
    }
    wanted = {
        series.name + ("_bucket" if metric in HISTOGRAMS else "")
        for metric, series in VLLM.metrics.items()
    }
    assert wanted <= found


def test_the_signals_are_the_requests_that_wait_and_run(asked: dict[str, Any]) -> None:
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(asked["page"])
        for sample in family.samples
    }
    load = {signal: sum(values[g.name] for g in VLLM.gauges(signal)) for signal in Signal}
    assert load == {Signal.QUEUE_SIZE: 3, Signal.CONCURRENCY: 5}
