"""SGLang 0.5.23: facts read from its wheel on 2026-11-22, paths relative to it."""

from functools import partial

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.engines.base import (
    POD_IP,
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
_PORT = 30000
_RENDEZVOUS_PORT = 5000
_API_KEY = "SGLANG_API_KEY"

_FLAGS_OF_FIELDS = {
    "served_model_name": "--served-model-name",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_model_len": "--context-length",
    "max_num_seqs": "--max-running-requests",
    "gpu_memory_utilization": "--mem-fraction-static",
    "max_lora_rank": "--max-lora-rank",
}

_OWN_FLAGS = {
    **{flag: f"use the key '{to_camel(field)}'" for field, flag in _FLAGS_OF_FIELDS.items()},
    "--model": "use the key 'model'",
    "--model-path": "use the key 'model'",
    "--disable-radix-cache": "use the key 'prefixCaching'",
    "--enable-lora": "use the key 'loraAdapters'",
    "--lora-paths": "use the key 'loraAdapters'",
    "--pipeline-parallel-size": "use the key 'pipelineParallelSize'",
    "--pp-size": "use the key 'pipelineParallelSize'",
    "--tensor-parallel-size": "use the key 'tensorParallelSize'",
    "--tp-size": "use the key 'tensorParallelSize'",
}

_FIXED_FLAGS = {
    "--api-key": "it would stand in the state; use the key 'apiKey'",
    "--admin-api-key": "it would stand in the state",
    "--dist-init-addr": "use the key 'nodes'",
    "--enable-metrics": "it is always on: the autoscaler needs it",
    "--enable-metrics-for-all-schedulers": "it is on where each rank has a queue of its own",
    "--nnodes": "use the key 'nodes'",
    "--node-rank": "use the key 'nodes'",
    "--ssl-certfile": "probes and monitor speak plain HTTP",
    "--ssl-keyfile": "probes and monitor speak plain HTTP",
    "--ssl-keyfile-password": "it would stand in the state",
    "--host": "the server listens on all addresses of the pod",
    "--port": f"probes, Service and monitor use port {_PORT}",
}


_OWN_QUEUES = {"--attn-dp-size", "--attention-data-parallel-size", "--enable-dp-attention"}
"""Flags that give each rank a queue of its own."""


def _arguments(spec: ModelServerSpec) -> list[str]:
    tensor, pipeline = parallel_sizes(spec)
    adapters = [f"{adapter.name}={adapter.source}" for adapter in spec.lora_adapters]
    return [
        "--model-path",
        spec.model,
        *flags_of(spec, _FLAGS_OF_FIELDS),
        "--tp-size",
        str(tensor),
        *(["--pp-size", str(pipeline)] if pipeline > 1 else []),
        *(["--disable-radix-cache"] if spec.prefix_caching is False else []),
        *(["--enable-lora", "--lora-paths", *adapters] if adapters else []),
    ]


def _always(spec: ModelServerSpec) -> list[str]:
    given = {word.split("=")[0] for word in (*(spec.args or []), *spec.extra_args)}
    return [
        "--host",
        "0.0.0.0",  # noqa: S104  by default only the pod itself could reach it
        "--port",
        str(_PORT),
        "--enable-metrics",
        # With data-parallel attention each rank has a queue, and one alone reports by default;
        # without it all have the same one, which would be counted for each.
        *(["--enable-metrics-for-all-schedulers"] if given & _OWN_QUEUES else []),
        # Kubernetes fills it in, so the state has the name of the Secret only.
        *(["--api-key", f"$({_API_KEY})"] if spec.api_key else []),
    ]


def _node_arguments(spec: ModelServerSpec, _leader: bool) -> list[str]:
    """Ranks other than 0 serve no requests by themselves (sglang/srt/entrypoints/engine.py)."""
    return [
        "--nnodes",
        str(spec.nodes),
        "--node-rank",
        "$(LWS_WORKER_INDEX)",
        "--dist-init-addr",
        f"$(LWS_LEADER_ADDRESS):{_RENDEZVOUS_PORT}",
    ]


def _environment(spec: ModelServerSpec) -> dict[str, str | SecretKey]:
    return {
        "HOME": _CACHE_PATH,  # kernels are compiled into directories of the home
        "USER": "sglang",  # the image's user is root, and PyTorch asks for a name
        "HF_HOME": f"{_CACHE_PATH}/huggingface",
        **({_API_KEY: spec.api_key} if spec.api_key else {}),
        **({"SGLANG_HOST_IP": f"$({POD_IP})"} if spec.nodes > 1 else {}),
    }


SGLANG = Engine(
    name=EngineName.SGLANG,
    image="lmsysorg/sglang:v0.5.23",
    command=("python3", "-m", "sglang.launch_server"),
    port=_PORT,
    metrics_path="/metrics",
    startup=Probe("/ready"),
    readiness=Probe("/ready"),
    # Generates a token, which takes a second at least and is given 20
    # (sglang/srt/entrypoints/http_server.py).
    liveness=Probe("/health", timeout_seconds=25, period_seconds=30),
    user_id=1000,  # not verified: the image runs as root, but writes to its home only
    group_id=0,
    cache_path=_CACHE_PATH,
    metrics={  # sglang/srt/observability/metrics_collector.py
        Metric.WAITING: Series("sglang:num_queue_reqs"),
        Metric.RUNNING: Series("sglang:num_running_reqs"),
        Metric.KV_CACHE_USE: Series("sglang:token_usage"),
        Metric.TIME_TO_FIRST_TOKEN: Series("sglang:time_to_first_token_seconds"),
        Metric.INTER_TOKEN_LATENCY: Series("sglang:inter_token_latency_seconds"),
        Metric.REQUEST_LATENCY: Series("sglang:e2e_request_latency_seconds"),
        Metric.PROMPT_TOKENS: Series("sglang:prompt_tokens_total"),
        Metric.GENERATION_TOKENS: Series("sglang:generation_tokens_total"),
    },
    flags=partial(flag_list, "sglang"),
    fields=frozenset(
        {
            *_FLAGS_OF_FIELDS,
            "api_key",
            "lora_adapters",
            "pipeline_parallel_size",
            "prefix_caching",
            "tensor_parallel_size",
        }
    ),
    values={"dtype": frozenset({"auto", "bfloat16", "float", "float16", "float32", "half"})},
    instead={
        "max_num_batched_tokens": "put --chunked-prefill-size or --max-prefill-tokens in extraArgs"
    },
    own_flags=_OWN_FLAGS,
    fixed_flags=_FIXED_FLAGS,
    arguments=_arguments,
    always=_always,
    environment=_environment,
    node_arguments=_node_arguments,
)
"""SGLang."""
