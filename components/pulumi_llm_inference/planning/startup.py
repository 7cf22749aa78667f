"""How long a replica may take to start, from the size of its weights and where they come from.

A start-up probe that gives up too early kills a server that loads, which then begins anew, for
ever; one that gives up too late shows a broken server an hour later. So the budget is twice the
time that is expected, which covers the slowest figure of each step below.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pulumi_llm_inference.spec.weights import WeightsSource

DEFAULT_SECONDS = 1800
"""Budget where the size of the weights is not known."""

LEAST_SECONDS = 600
"""Least budget: ten minutes, as the templates of KServe and llm-d have it for every model (a
start-up probe of period 10 and threshold 60)."""

ENGINE_SECONDS = 300
"""Time of a start besides the weights: imports, torch.compile, memory profiling, CUDA graphs. 259 s
of a 35B model on an RTX 5090 (vllm-project/vllm issue 44881); 567 s of one with tensor parallelism
2 on consumer GPUs, half of it for container and compilation (mitchross/talos-argocd-proxmox pull
request 1848); 91 s of an engine's initialization on data-centre GPUs (run-ai/runai-model-streamer
issue 67). Not covered: torch.compile of 37 min, which was seen once (vllm-project/vllm issue
34399)."""

SAFETY = 2
"""What the expected time is multiplied by."""

_STEP_SECONDS = 60
"""Budgets are whole minutes."""


@dataclass(frozen=True)
class Rate:
    """How fast one step of a start moves weights."""

    gib_per_second: float
    """What is expected."""
    slowest: float | None
    """Slowest figure found published, GiB/s; None: none was found, the expectation is assumed."""
    source: str
    """Where the figures are from."""


HUB = Rate(
    0.1,
    None,
    "assumed: a fifth of the 0.5 GiB/s at which 960 GB went from the Hub to Amazon EFS in 31 min "
    "(modelplaneai/modelplane issue 204), for smaller machines and busier days",
)
"""Download from the Hugging Face Hub."""

DISK = Rate(
    0.28,
    0.14,
    "0.3 GiB/s: Llama 3 8B, 15 GB, in 48 s from a gp3 disk (NVIDIA, Reducing Cold Start Latency "
    "for LLM Inference with NVIDIA Run:ai Model Streamer); 0.14 GiB/s: 20 GB in 142 s from NVMe of "
    "a DGX Spark (route179.dev, Optimizing vLLM cold start)",
)
"""Reading from a disk of the node into the GPUs."""

CLAIM = Rate(
    0.18,
    0.093,
    "0.35 GiB/s: 894 GiB in 43 min from Amazon EFS (modelplaneai/modelplane issue 204); 0.21 "
    "GiB/s: 13.2 GiB in 63 s from NFS (mitchross/talos-argocd-proxmox pull request 1848); 0.093 "
    "GiB/s: 100 MB/s from JuiceFS (vllm-project/vllm issue 5405)",
)
"""Reading from a shared file system into the GPUs."""

STREAM = Rate(
    0.5,
    None,
    "assumed: a twelfth of the 6.3 GiB/s of 233 GiB in 37 s from Azure Blob Storage on a machine "
    "with 80 Gbit/s (Azure SDK blog, Eliminate LLM cold starts, 2026-05-19)",
)
"""Streaming from object storage into the GPUs."""

COPY = Rate(
    0.2,
    None,
    "assumed: the 2.5 Gbit/s that small GPU machines have for long, less a third",
)
"""Copying from object storage into the cache, by rclone."""

PULL = Rate(
    0.042,
    0.021,
    "0.021 GiB/s: a 13 GB image with weights, compressed, in 571 s to the first answer; 0.3 GiB/s "
    "for the same image without compression (blog.vertexcover.io, container cold start)",
)
"""Pulling and unpacking an OCI image."""

STEPS: Mapping[WeightsSource, tuple[Rate, ...]] = {
    WeightsSource.HUB: (HUB, DISK),
    # The first replica fills it; a budget must hold for that one.
    WeightsSource.CLAIM: (HUB, CLAIM),
    WeightsSource.STREAM: (STREAM,),
    # The cache may be shared, which is the slower one to read.
    WeightsSource.DOWNLOAD: (COPY, CLAIM),
    WeightsSource.IMAGE: (PULL, DISK),
}
"""What happens one after the other at the first start of a replica."""


def startup_seconds(weights_gib: float | None, source: WeightsSource) -> int:
    """Longest time from a pod on a node to a loaded model, in seconds.

    What comes before the engine's container, pull of the weights' image or copy into the cache, is
    in it.

    Args:
        weights_gib: size of the weights in GiB; None if it is not known.
        source: where they come from.
    """
    if weights_gib is None:
        return DEFAULT_SECONDS
    expected = ENGINE_SECONDS + sum(weights_gib / step.gib_per_second for step in STEPS[source])
    budget = math.ceil(expected * SAFETY / _STEP_SECONDS) * _STEP_SECONDS
    return max(budget, LEAST_SECONDS)
