"""vLLM 0.33.0: facts read from its source distribution on 2026-11-22, paths relative to it."""

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

_CACHE_PATH = "/home/vllm/.cache"

_FLAGS_OF_FIELDS = {
    "served_model_name": "--served-model-name",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_model_len": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "max_lora_rank": "--max-lora-rank",
}

_OWN_FLAGS = {
    **{flag: f"use the key '{to_camel(field)}'" for field, flag in _FLAGS_OF_FIELDS.items()},
    "--model": "use the key 'model'",
    "--enable-lora": "use the key 'loraAdapters'",
    "--lora-modules": "use the key 'loraAdapters'",
    "--enable-prefix-caching": "use the key 'prefixCaching'",
    "--no-enable-prefix-caching": "use the key 'prefixCaching'",
    "--pipeline-parallel-size": "use the key 'pipelineParallelSize'",
    "--shutdown-timeout": "use the key 'drainSeconds'",
    "-pp": "use the key 'pipelineParallelSize'",
    "-q": "use the key 'quantization'",
    "-tp": "use the key 'tensorParallelSize'",
    "--tensor-parallel-size": "use the key 'tensorParallelSize'",
}

_FIXED_FLAGS = {
    "--api-key": "it would stand in the state; use the key 'apiKey'",
    "--hf-token": "it would stand in the state; use the key 'huggingFaceToken'",
    "--host": "the image listens on all addresses of the pod",
    "--port": "probes, Service and monitor use port 8000",
    "--disable-log-stats": "there would be no metrics, and nothing would ever scale",
    "--headless": "a server that answers nobody; use the key 'nodes'",
    "--master-addr": "use the key 'nodes'",
    "--nnodes": "use the key 'nodes'",
    "--node-rank": "use the key 'nodes'",
    "--ssl-certfile": "probes and monitor speak plain HTTP",
    "--ssl-keyfile": "probes and monitor speak plain HTTP",
}

_HEALTH = Probe("/health")
"""Nothing listens until the model is loaded (vllm/entrypoints/serve/instrumentator/health.py)."""


def _canonical(flag: str) -> str:
    """Underscores count as dashes; JSON takes dotted keys (vllm/utils/argparse_utils.py)."""
    return flag.split(".", maxsplit=1)[0].replace("_", "-")


def _arguments(spec: ModelServerSpec) -> list[str]:
    """`MODEL --flag value …` for the image's entry point, `vllm serve`."""
    tensor, pipeline = parallel_sizes(spec)
    adapters = [f"{adapter.name}={adapter.source}" for adapter in spec.lora_adapters]
    prefix_caching = {True: "--enable-prefix-caching", False: "--no-enable-prefix-caching"}
    return [
        spec.model,
        *flags_of(spec, _FLAGS_OF_FIELDS),
        "--tensor-parallel-size",
        str(tensor),
        *(["--pipeline-parallel-size", str(pipeline)] if pipeline > 1 else []),
        *([] if spec.prefix_caching is None else [prefix_caching[spec.prefix_caching]]),
        *(["--load-format", "runai_streamer"] if spec.weights.stream else []),
        *(["--enable-lora", "--lora-modules", *adapters] if adapters else []),
        # Without it SIGTERM aborts running requests (vllm/config/vllm.py, since 0.18).
        "--shutdown-timeout",
        str(spec.drain_seconds),
    ]


def _node_arguments(spec: ModelServerSpec, leader: bool) -> list[str]:
    """docs/deployment/frameworks/lws.md."""
    return [
        "--nnodes",
        str(spec.nodes),
        "--node-rank",
        "$(LWS_WORKER_INDEX)",
        "--master-addr",
        "$(LWS_LEADER_ADDRESS)",
        *([] if leader else ["--headless"]),
    ]


def _environment(spec: ModelServerSpec) -> dict[str, str | SecretKey]:
    return {
        "HF_HOME": f"{_CACHE_PATH}/huggingface",
        "VLLM_CACHE_ROOT": f"{_CACHE_PATH}/vllm",
        # Gives up by itself after 600 s otherwise, whatever the probe allows (vllm/envs.py).
        "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.startup_seconds),
        **({"VLLM_API_KEY": spec.api_key} if spec.api_key else {}),
        **({"VLLM_HOST_IP": f"$({POD_IP})"} if spec.nodes > 1 else {}),
    }


VLLM = Engine(
    name=EngineName.VLLM,
    image="vllm/vllm-openai:v0.33.0",
    port=8000,
    metrics_path="/metrics",
    startup=_HEALTH,
    readiness=_HEALTH,
    liveness=_HEALTH,
    user_id=2000,  # docs/deployment/docker.md: the built-in user
    group_id=0,  # any other group cannot write to its home
    cache_path=_CACHE_PATH,
    metrics={  # vllm/v1/metrics/loggers.py
        Metric.WAITING: Series("vllm:num_requests_waiting"),
        Metric.RUNNING: Series("vllm:num_requests_running"),
        Metric.KV_CACHE_USE: Series("vllm:kv_cache_usage_perc"),
        Metric.TIME_TO_FIRST_TOKEN: Series("vllm:time_to_first_token_seconds"),
        Metric.INTER_TOKEN_LATENCY: Series("vllm:inter_token_latency_seconds"),
        Metric.REQUEST_LATENCY: Series("vllm:e2e_request_latency_seconds"),
        Metric.PROMPT_TOKENS: Series("vllm:prompt_tokens_total"),
        Metric.GENERATION_TOKENS: Series("vllm:generation_tokens_total"),
    },
    reserved_service_names=frozenset({"vllm"}),  # VLLM_PORT=tcp://… (vllm/envs.py)
    gpu_memory_utilization=0.92,  # vllm/config/cache.py
    flags=partial(flag_list, "vllm"),
    canonical=_canonical,
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
    instead={},
    own_flags=_OWN_FLAGS,
    fixed_flags=_FIXED_FLAGS,
    arguments=_arguments,
    environment=_environment,
    node_arguments=_node_arguments,
)
"""vLLM."""
