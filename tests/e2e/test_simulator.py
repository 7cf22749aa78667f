"""vLLM's metrics as somebody else's simulator of it reports them (llm-d/llm-d-inference-sim)."""

import os
import shutil
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pulumi_llm_inference.engines.vllm import VLLM
from pulumi_llm_inference.spec.autoscaling import Signal

SCRAPE = """
import fcntl, json, socket, struct, subprocess, sys, time, urllib.request
# The simulator listens on every address: this network has no other than loopback.
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
simulator = subprocess.Popen(
    ["llm-d-inference-sim", "--model", "m", "--port", sys.argv[1], "--force-dummy-tokenizer",
     "--fake-metrics", json.dumps({"waiting-requests": 30, "running-requests": 5})],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
try:
    for attempt in range(100):
        try:
            page = urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{sys.argv[2]}", timeout=1)
            sys.exit(print(page.read().decode()))
        except OSError:
            time.sleep(0.1)
finally:
    simulator.kill()
"""


def test_the_engines_gauges_are_what_the_simulator_reports() -> None:
    if shutil.which("llm-d-inference-sim") is None:
        assert not os.environ.get("CI"), "llm-d-inference-sim is not on PATH"
        pytest.skip("llm-d-inference-sim is not on PATH")
    scrape = [sys.executable, "-c", SCRAPE, str(VLLM.port), VLLM.metrics_path]
    page = subprocess.run(
        ["unshare", "--net", "--map-root-user", *scrape], capture_output=True, text=True, check=True
    ).stdout
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    load = {
        signal: sum(values[gauge] for gauge in gauges) for signal, gauges in VLLM.signals.items()
    }
    assert load == {Signal.QUEUE_SIZE: 30, Signal.CONCURRENCY: 35}
