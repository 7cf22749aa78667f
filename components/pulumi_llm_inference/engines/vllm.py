"""vLLM 0.33.0: facts read from its source distribution on 2026-11-22, paths relative to it."""

from functools import cache
from importlib import resources

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec

_CACHE_PATH = "/home/vllm/.cache"

_WAITING = "vllm:num_requests_waiting"
_RUNNING = "vllm:num_requests_running"

_FLAGS_OF_FIELDS = {
    "served_model_name": "--served-model-name",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_model_len": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}


_OWN_FLAGS = {
    **{flag: f"use the key '{to_camel(field)}'" for field, flag in _FLAGS_OF_FIELDS.items()},
    "--model": "use the key 'model'",
    "--shutdown-timeout": "use the key 'drainSeconds'",
    "-q": "use the key 'quantization'",
    "-tp": "use the key 'tensorParallelSize'",
    "--tensor-parallel-size": "use the key 'tensorParallelSize'",
}

_FIXED_FLAGS = {
    "--api-key": "it would stand in the state; set env.VLLM_API_KEY to a Secret's {name, key}",
    "--hf-token": "it would stand in the state; use the key 'huggingFaceToken'",
    "--host": "the image listens on all addresses of the pod",
    "--port": "probes, Service and monitor use port 8000",
}


@cache
def _flags() -> frozenset[str]:
    """All long flags of `vllm serve`, hidden aliases included."""
    text = (
        resources.files("pulumi_llm_inference.engines")
        .joinpath("vllm_flags.txt")
        .read_text("utf-8")
    )
    return frozenset(line for line in text.splitlines() if line.startswith("--"))


def _arguments(spec: ModelServerSpec) -> list[str]:
    """`MODEL --flag value …` for the image's entry point, `vllm serve`."""
    values = {flag: getattr(spec, field) for field, flag in _FLAGS_OF_FIELDS.items()}
    values["--tensor-parallel-size"] = spec.tensor_parallel_size or spec.gpus
    # Without it SIGTERM aborts running requests (vllm/config/vllm.py, since 0.18).
    values["--shutdown-timeout"] = spec.drain_seconds
    flags = [(flag, str(value)) for flag, value in values.items() if value is not None]
    return [spec.model, *(item for flag in flags for item in flag)]


def _environment(spec: ModelServerSpec) -> dict[str, str]:
    return {
        "HF_HOME": f"{_CACHE_PATH}/huggingface",
        "VLLM_CACHE_ROOT": f"{_CACHE_PATH}/vllm",
        # Gives up by itself after 600 s otherwise, whatever the probe allows (vllm/envs.py).
        "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.startup_seconds),
    }


VLLM = Engine(
    name=EngineName.VLLM,
    image="vllm/vllm-openai:v0.33.0",
    port=8000,
    metrics_path="/metrics",
    health_path="/health",
    user_id=2000,  # docs/deployment/docker.md: the built-in user
    group_id=0,  # any other group cannot write to its home
    cache_path=_CACHE_PATH,
    signals={Signal.QUEUE_SIZE: (_WAITING,), Signal.CONCURRENCY: (_WAITING, _RUNNING)},
    reserved_service_names=frozenset({"vllm"}),  # VLLM_PORT=tcp://… (vllm/envs.py)
    flags=_flags,
    fields=frozenset({*_FLAGS_OF_FIELDS, "tensor_parallel_size"}),
    own_flags=_OWN_FLAGS,
    fixed_flags=_FIXED_FLAGS,
    arguments=_arguments,
    environment=_environment,
)
"""vLLM."""
