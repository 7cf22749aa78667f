"""Triton Inference Server 25.12 with TensorRT-LLM 1.1.0: facts read on 2026-11-22.

The versions belong together: docs.nvidia.com/deeplearning/triton-inference-server/user-guide
(introduction/compatibility). Paths below `triton_backend/` are of NVIDIA/TensorRT-LLM, `src/` of
triton-inference-server/server; stored versions near the release, not the release's own files.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache, partial
from importlib import resources
from typing import Any

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.engines.base import (
    CONFIG_PATH,
    Engine,
    Metric,
    Probe,
    Series,
    flag_list,
    parallel_sizes,
)
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, SecretKey
from pulumi_llm_inference.spec.triton import TritonModelKind

MODELS_PATH = "/models"
"""Where a server finds its model repository."""

_CACHE_PATH = "/cache"
_SERVE = "serve.sh"

_LAYOUT = 1
"""Counts up when the Job makes something else of the same inputs."""

_HASH_LENGTH = 10
LONGEST_REPOSITORY_NAME = 63 - len("-sm120-") - _HASH_LENGTH
"""Name of a component that builds: its Jobs' pods have it and the name of a build as a label."""

_ANY_GENERATION = "any"

DTYPES = {
    **{name: name for name in ("auto", "bfloat16", "float16", "float32")},
    "half": "float16",
    "float": "float32",
}
"""Types of weights, and what examples/…/convert_checkpoint.py calls them."""

_REQUESTS = "nv_trt_llm_request_metrics"
_READY = Probe("/v2/health/ready")

_OWN_FLAGS = {
    "--exit-timeout-secs": "use the key 'drainSeconds'",
    "--model-repository": "use the key 'triton.modelRepositoryClaim'",
    "--model-store": "use the key 'triton.modelRepositoryClaim'",
}

_FIXED_FLAGS = {
    "--allow-http": "probes and Service use it",
    "--allow-metrics": "the monitor reads them",
    "--http-address": "the server listens on all addresses of the pod",
    "--http-port": "probes and Service use port 8000",
    "--load-model": "all models of the repository are served",
    "--metrics-address": "the server listens on all addresses of the pod",
    "--metrics-port": "the monitor uses port 8002",
    "--model-control-mode": "all models of the repository are served",
}


def _is_python(spec: ModelServerSpec) -> bool:
    return spec.triton is not None and spec.triton.kind is TritonModelKind.PYTHON


def _arguments(spec: ModelServerSpec) -> list[str]:
    """The program too: the image's entry point runs whatever it is given.

    A compiled engine has a process for each GPU (triton_backend/scripts/launch_triton_server.py);
    the PyTorch runtime starts its own.
    """
    tensor, pipeline = parallel_sizes(spec)
    ranks = tensor * pipeline
    launch = (
        ["tritonserver"]
        if ranks == 1 or _is_python(spec)
        else ["bash", f"{CONFIG_PATH}/{_SERVE}", str(ranks)]
    )
    return [
        *launch,
        f"--model-repository={MODELS_PATH}",
        f"--exit-timeout-secs={spec.drain_seconds}",
    ]


def _files(spec: ModelServerSpec) -> dict[str, str]:
    tensor, pipeline = parallel_sizes(spec)
    if tensor * pipeline == 1 or _is_python(spec):
        return {}
    return {_SERVE: _serve()}


@cache
def _serve() -> str:
    file = resources.files("pulumi_llm_inference.engines").joinpath("triton_serve.txt")
    return file.read_text("utf-8")


def _environment(_spec: ModelServerSpec) -> dict[str, str | SecretKey]:
    return {
        "HOME": _CACHE_PATH,
        "USER": "triton-server",  # PyTorch asks for a name
        "HF_HOME": f"{_CACHE_PATH}/huggingface",
    }


def _no_queue(spec: ModelServerSpec) -> str:
    if _is_python(spec):
        return (
            "Triton's Python model exports no queue (tensorrtllm_backend issue 479): use "
            "triton.kind 'batcher' or engine 'tensorrt-llm', or give the autoscaler a query"
        )
    return ""


def build_inputs(spec: ModelServerSpec, generation: str) -> dict[str, Any]:
    """All that a built model repository depends on, as the Job reads it."""
    triton = spec.triton
    if triton is None:
        raise ValueError("a model repository is built for engine 'triton' only")
    tensor, pipeline = parallel_sizes(spec)
    return {
        "layout": _LAYOUT,
        "image": spec.image or TRITON.image,
        "kind": triton.kind.value,
        "generation": generation,
        "model": spec.model,
        "dtype": DTYPES[spec.dtype or "auto"],
        "tensor_parallel_size": tensor,
        "pipeline_parallel_size": pipeline,
        "max_batch_size": spec.max_num_seqs,
        "max_num_tokens": spec.max_num_batched_tokens,
        "max_seq_len": spec.max_model_len,
        "prefix_caching": spec.prefix_caching,
        "max_queue_delay_microseconds": triton.max_queue_delay_microseconds or 0,
    }


def build_name(inputs: dict[str, Any]) -> str:
    """Name of a build: the GPU generation, and a hash that changes with any input."""
    text = json.dumps(inputs, sort_keys=True)
    return f"{inputs['generation']}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]}"


def generation(spec: ModelServerSpec, accelerator: str) -> str:
    """What a compiled engine is made for, e.g. `sm80`; `any` where nothing is compiled."""
    if _is_python(spec):
        return _ANY_GENERATION
    major, minor = accelerators()[accelerator].compute_capability
    return f"sm{major}{minor}"


def repository_paths(spec: ModelServerSpec, names: Iterable[str]) -> dict[str, str | None]:
    """By accelerator, the directory of the claim with its model repository; None: the root.

    A change of inputs gives another directory, so that servers of the old one can go on while
    those of the new one start.
    """
    triton = spec.triton
    if triton is None:
        raise ValueError("only engine 'triton' has a model repository")
    if triton.build is None or triton.model_repository_path:
        return dict.fromkeys(names, triton.model_repository_path)
    return {name: build_name(build_inputs(spec, generation(spec, name))) for name in names}


TRITON = Engine(
    name=EngineName.TRITON,
    # The newest whose TensorRT-LLM is documented; it still compiles engines.
    image="nvcr.io/nvidia/tritonserver:25.12-trtllm-python-py3",
    port=8000,
    metrics_port=8002,
    metrics_path="/metrics",
    startup=_READY,
    readiness=_READY,
    liveness=Probe("/v2/health/live"),
    user_id=1000,  # triton-server (build.py of the server)
    group_id=1000,
    cache_path=_CACHE_PATH,
    metrics={
        # Requests of the running batch that have no place in this step. Those that wait for a place
        # in a full batch are not exported (triton_backend/…/model_instance_state.cc, WaitForStats).
        Metric.WAITING: Series(_REQUESTS, 'request_type="waiting"'),
        Metric.RUNNING: Series(_REQUESTS, 'request_type="scheduled"'),
        Metric.KV_CACHE_USE: Series(
            "nv_trt_llm_kv_cache_block_metrics", 'kv_cache_block_type="fraction"'
        ),
        # Its time to first token is in milliseconds and opt-in, and there are no token counters.
    },
    # TensorRT-LLM's, whatever Triton itself could run on.
    least_capability=(8, 0),
    flags=partial(flag_list, "triton"),
    fields=frozenset(
        {
            "dtype",
            "max_model_len",
            "max_num_batched_tokens",
            "max_num_seqs",
            "pipeline_parallel_size",
            "prefix_caching",
            "tensor_parallel_size",
        }
    ),
    instead={
        "api_key": "put a gateway that checks keys in front, or use 'vllm' or 'sglang'",
        "gpu_memory_utilization": "it takes 0.9 of what the engine leaves; a repository of "
        "your own can say kv_cache_free_gpu_mem_fraction",
        "kv_cache_dtype": "use 'vllm' or 'tensorrt-llm', or a repository of your own",
        "lora_adapters": "use 'vllm' or 'sglang', or merge the adapter into the weights",
        "max_lora_rank": "use 'vllm' or 'sglang'",
        "quantization": "name an AWQ or GPTQ checkpoint as model, or use 'vllm'",
        "served_model_name": "requests name a model of the repository: 'ensemble' or "
        "'tensorrt_llm_bls' with kind 'batcher', else 'tensorrt_llm'",
    },
    own_flags=_OWN_FLAGS,
    fixed_flags=_FIXED_FLAGS,
    arguments=_arguments,
    environment=_environment,
    files=_files,
    no_queue=_no_queue,
)
"""Triton with TensorRT-LLM."""
