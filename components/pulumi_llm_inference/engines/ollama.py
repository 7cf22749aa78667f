"""Ollama 0.32.15, for development: facts read from its source on 2026-11-22."""

from pulumi_llm_inference.engines.base import Engine, Probe
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, SecretKey

_CACHE_PATH = "/cache"
_TAG = "name it in the model, e.g. 'llama3.1:8b-instruct-q4_K_M'"
_GATEWAY = "put a gateway that checks keys in front, or use 'vllm' or 'sglang'"

_VARIABLES = {  # envconfig/config.go
    "max_model_len": "OLLAMA_CONTEXT_LENGTH",
    "max_num_seqs": "OLLAMA_NUM_PARALLEL",
    "kv_cache_dtype": "OLLAMA_KV_CACHE_TYPE",
}

_LOAD = (
    "until ollama list; do sleep 1; done >/dev/null 2>&1; "
    'ollama pull "$1" && ollama run "$1" "" </dev/null'
)
"""The server listens at once and loads a model when it is first asked for."""


def _flags() -> frozenset[str]:
    """`ollama serve` has none."""
    return frozenset()


def _arguments(_spec: ModelServerSpec) -> list[str]:
    return ["serve"]


def _environment(spec: ModelServerSpec) -> dict[str, str | SecretKey]:
    values = {name: getattr(spec, field) for field, name in _VARIABLES.items()}
    return {
        "HOME": _CACHE_PATH,
        "OLLAMA_HOST": "0.0.0.0:11434",
        "OLLAMA_MODELS": f"{_CACHE_PATH}/models",
        "OLLAMA_KEEP_ALIVE": "-1",  # else the model is unloaded after five minutes
        "OLLAMA_LOAD_TIMEOUT": f"{spec.startup_seconds}s",
        **({"OLLAMA_SCHED_SPREAD": "1"} if spec.gpus > 1 else {}),
        **{name: str(value) for name, value in values.items() if value is not None},
    }


def _post_start(spec: ModelServerSpec) -> list[str]:
    return ["/bin/sh", "-c", _LOAD, "sh", spec.model]


def _no_queue(_spec: ModelServerSpec) -> str:
    return (
        "Ollama has no metrics (ollama/ollama issue 3144): use engine 'vllm' or 'sglang', or give "
        "the autoscaler a query of your gateway's requests in flight"
    )


OLLAMA = Engine(
    name=EngineName.OLLAMA,
    image="ollama/ollama:0.32.15",
    port=11434,
    metrics_path=None,
    startup=Probe("/"),
    readiness=Probe("/"),
    liveness=Probe("/"),
    user_id=1000,  # the image runs as root, but writes to its home only
    group_id=0,
    cache_path=_CACHE_PATH,
    metrics={},
    drains=False,  # server/routes.go closes all connections
    least_capability=(5, 0),
    flags=_flags,
    fields=frozenset(_VARIABLES),
    # It goes on without a word with others (fs/ggml/ggml.go).
    values={"kv_cache_dtype": frozenset({"f16", "q8_0", "q4_0"})},
    instead={
        "api_key": _GATEWAY,
        "dtype": _TAG,
        "gpu_memory_utilization": "it takes what the model needs",
        "lora_adapters": "make a model with ADAPTER in its Modelfile, or use 'vllm' or 'sglang'",
        "max_lora_rank": "use 'vllm' or 'sglang'",
        "max_num_batched_tokens": "there is no such setting",
        "pipeline_parallel_size": "it spreads layers over the GPUs by itself",
        "prefix_caching": "it is always on",
        "quantization": _TAG,
        "served_model_name": "requests name the model",
        "tensor_parallel_size": "it spreads layers over the GPUs by itself",
    },
    own_flags={},
    fixed_flags={},
    arguments=_arguments,
    environment=_environment,
    post_start=_post_start,
    no_queue=_no_queue,
)
"""Ollama."""
