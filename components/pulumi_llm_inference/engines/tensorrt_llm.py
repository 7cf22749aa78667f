"""TensorRT-LLM's own server, `trtllm-serve`: facts read on 2026-11-22 from NVIDIA/TensorRT-LLM.

The exact files of the pinned release could not be read, only those of its line (1.3 release
candidates).
"""

import re
from functools import partial

import yaml
from pydantic.alias_generators import to_camel

from pulumi_llm_inference.engines.base import (
    CONFIG_PATH,
    Engine,
    Metric,
    Probe,
    Series,
    flag_list,
    flags_of,
    parallel_sizes,
)
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, SecretKey

_CACHE_PATH = "/cache"
_CONFIG = "trtllm.yaml"

_FLAGS_OF_FIELDS = {
    "served_model_name": "--served_model_name",
    "max_model_len": "--max_seq_len",
    "max_num_seqs": "--max_batch_size",
    "max_num_batched_tokens": "--max_num_tokens",
}

_OWN_FLAGS = {
    **{flag: f"use the key '{to_camel(field)}'" for field, flag in _FLAGS_OF_FIELDS.items()},
    "--kv_cache_dtype": "use the key 'kvCacheDtype'",
    "--pipeline_parallel_size": "use the key 'pipelineParallelSize'",
    "--pp_size": "use the key 'pipelineParallelSize'",
    "--tensor_parallel_size": "use the key 'tensorParallelSize'",
    "--tp_size": "use the key 'tensorParallelSize'",
}

_FIXED_FLAGS = {
    "--config": "it is a file of the server's own, without which there are no metrics",
    "--extra_llm_api_options": "it is --config by its older name",
    "--grpc": "probes, Service and monitor speak HTTP",
    "--host": "the server listens on all addresses of the pod",
    "--port": "probes, Service and monitor use port 8000",
}

_HEALTH = Probe("/health")


def _arguments(spec: ModelServerSpec) -> list[str]:
    tensor, pipeline = parallel_sizes(spec)
    return [
        spec.model,
        *flags_of(spec, _FLAGS_OF_FIELDS),
        "--tp_size",
        str(tensor),
        *(["--pp_size", str(pipeline)] if pipeline > 1 else []),
    ]


def _always(_spec: ModelServerSpec) -> list[str]:
    return [
        "--host",
        "0.0.0.0",  # noqa: S104  by default only the pod itself could reach it
        "--port",
        "8000",
        "--config",
        f"{CONFIG_PATH}/{_CONFIG}",
    ]


def _files(spec: ModelServerSpec) -> dict[str, str]:
    """What has no flag, the metrics first of all."""
    cache = {"enable_block_reuse": spec.prefix_caching, "dtype": spec.kv_cache_dtype}
    cache = {key: value for key, value in cache.items() if value is not None}
    config = {
        "return_perf_metrics": True,
        "enable_iter_perf_stats": True,
        **({"kv_cache_config": cache} if cache else {}),
    }
    return {_CONFIG: yaml.safe_dump(config)}


def _environment(_spec: ModelServerSpec) -> dict[str, str | SecretKey]:
    return {
        "HOME": _CACHE_PATH,
        "USER": "trtllm",  # the image's user is root, and PyTorch asks for a name
        "HF_HOME": f"{_CACHE_PATH}/huggingface",
    }


def _no_queue(spec: ModelServerSpec) -> str:
    """Releases before 1.3 have five unprefixed series (vllm-project/aibrix issue 2004)."""
    version = re.search(r":v?(\d+)\.(\d+)", spec.image or TENSORRT_LLM.image)
    if version and tuple(map(int, version.groups())) < (1, 3):
        return "TensorRT-LLM exports its queue since 1.3: use a newer image, or engine 'vllm'"
    return ""


TENSORRT_LLM = Engine(
    name=EngineName.TENSORRT_LLM,
    # The queue is exported by release candidates of 1.3 only (pull request 12545).
    image="nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc24",
    command=("trtllm-serve",),
    port=8000,
    metrics_path="/prometheus/metrics",  # /metrics is JSON
    startup=_HEALTH,
    readiness=_HEALTH,
    liveness=_HEALTH,
    user_id=1000,  # not verified: the image runs as root, but writes to its home only
    group_id=0,
    cache_path=_CACHE_PATH,
    metrics={
        Metric.WAITING: Series("trtllm_num_requests_waiting"),
        Metric.RUNNING: Series("trtllm_num_requests_running"),
        Metric.KV_CACHE_USE: Series("trtllm_kv_cache_utilization"),
        Metric.TIME_TO_FIRST_TOKEN: Series("trtllm_time_to_first_token_seconds"),
        Metric.INTER_TOKEN_LATENCY: Series("trtllm_time_per_output_token_seconds"),
        Metric.REQUEST_LATENCY: Series("trtllm_e2e_request_latency_seconds"),
        Metric.PROMPT_TOKENS: Series("trtllm_prompt_tokens_total"),
        Metric.GENERATION_TOKENS: Series("trtllm_generation_tokens_total"),
    },
    least_capability=(8, 0),  # docs/source/reference/support-matrix: Ampere and newer
    flags=partial(flag_list, "tensorrt_llm"),
    fields=frozenset(
        {
            *_FLAGS_OF_FIELDS,
            "kv_cache_dtype",
            "pipeline_parallel_size",
            "prefix_caching",
            "tensor_parallel_size",
        }
    ),
    instead={
        "api_key": "put a gateway that checks keys in front, or use 'vllm' or 'sglang'",
        "dtype": "the checkpoint says it",
        "gpu_memory_utilization": "put --kv_cache_free_gpu_memory_fraction in extraArgs: a share "
        "of what the weights leave",
        "lora_adapters": "use 'vllm' or 'sglang', or merge the adapter into the weights",
        "max_lora_rank": "use 'vllm' or 'sglang'",
        "quantization": "name a quantized checkpoint as model, e.g. one of nvidia/…-FP8",
    },
    own_flags=_OWN_FLAGS,
    fixed_flags=_FIXED_FLAGS,
    arguments=_arguments,
    always=_always,
    environment=_environment,
    files=_files,
    no_queue=_no_queue,
)
"""TensorRT-LLM."""
