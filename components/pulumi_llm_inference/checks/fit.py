"""Whether a model fits the GPUs that it is to run on, and what would do if it does not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pulumi_llm_inference.catalog.accelerators import Accelerator, accelerators
from pulumi_llm_inference.catalog.models import ModelShape, model_shape
from pulumi_llm_inference.engines.base import Engine, parallel_sizes
from pulumi_llm_inference.planning.fit import (
    DTYPE_BYTES,
    KV_BYTES,
    MOST_NODES,
    QUANTIZATION_BITS,
    fit,
    split_problems,
)
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.problems import Problem

_LOAD_CHECKPOINTS = frozenset({EngineName.VLLM, EngineName.SGLANG, EngineName.TENSORRT_LLM})
"""Engines that load the Hugging Face checkpoint in its type. Ollama serves GGUF, mostly in 4 bits;
Triton may load an engine that was built before, in whatever type."""

_MEMORY = frozenset({"gpus", "maxModelLen"})
"""Fields that problems of memory stand at."""

_SAID_ELSEWHERE = frozenset({"dtype", "kvCacheDtype"})
"""Fields whose problems do not depend on the model: `model_server_problems` has them."""

CHANGE_MEMORY = (
    "--config",
    "--context-parallel-size",
    "--cp-size",
    "--cpu-offload-gb",
    "--data-parallel-size",
    "--decode-context-parallel-size",
    "--dp-size",
    "--enable-attention-dp",
    "--enable-dp-attention",
    "--extra-llm-api-options",
    "--free-gpu-memory-fraction",
    "--hf-overrides",
    "--json-model-override-args",
    "--kv-cache-free-gpu-memory-fraction",
    "--kv-cache-memory-bytes",
    "--load-format",
    "--max-total-tokens",
    "--num-gpu-blocks-override",
    "--offload-",
    "-dcp",
    "-dp",
)
"""Beginnings of flags that put something else on a GPU than the fields say."""


def fit_problems(
    spec: ModelServerSpec, engine: Engine, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    """Why a model of the catalog does not fit those of its pools that are known.

    What is refused would not fit with the least overhead that there can be; what is only estimated
    not to fit is a warning. Nothing is said of models that are not in the catalog, and where
    arguments of the user's may change what a GPU holds.
    """
    model = model_shape(spec.model)
    if model is None or spec.engine not in _LOAD_CHECKPOINTS or _is_unknown(spec, model):
        return
    kinds = dict.fromkeys((nodes.accelerator, nodes.gpus_per_node) for nodes in placements)
    found = dict.fromkeys(
        problem
        for name, gpus_per_node in kinds
        if name in accelerators()
        for problem in _problems(spec, engine, model, accelerators()[name], gpus_per_node)
    )
    for problem in found:
        yield replace(problem, path=f"{path}.{problem.path}")


def _is_unknown(spec: ModelServerSpec, model: ModelShape) -> bool:
    """Whether something is set whose memory is not known."""
    flags = [argument.replace("_", "-") for argument in spec.extra_args]
    return (
        spec.args is not None
        or any(flag.startswith(CHANGE_MEMORY) for flag in flags)
        or (spec.dtype or "auto") not in DTYPE_BYTES
        or (spec.kv_cache_dtype or "auto") not in (*KV_BYTES, "auto")
        or (spec.quantization or model.quantization) not in (*QUANTIZATION_BITS, model.quantization)
    )


def _problems(
    spec: ModelServerSpec,
    engine: Engine,
    model: ModelShape,
    accelerator: Accelerator,
    gpus_per_node: int,
) -> Iterator[Problem]:
    """Problems on one kind of node; the paths are fields."""
    tensor, pipeline = parallel_sizes(spec)
    shared = list(split_problems(spec.gpus, spec.nodes, tensor, pipeline, gpus_per_node))
    if any(not problem.warning for problem in shared):
        # What a replica or a node does not have is `model_server_problems`'s to say.
        return

    def reasons(share: float) -> Sequence[Problem]:
        return fit(
            model,
            accelerator,
            gpus=spec.gpus,
            nodes=spec.nodes,
            tensor_parallel=tensor,
            pipeline_parallel=pipeline,
            gpus_per_node=gpus_per_node,
            dtype=spec.dtype,
            quantization=spec.quantization,
            kv_cache_dtype=spec.kv_cache_dtype,
            max_model_len=spec.max_model_len,
            gpu_memory_utilization=share,
            most_nodes=1 if engine.node_arguments is None else MOST_NODES,
        ).reasons

    # The estimate is of vLLM. Shares of other engines leave out the overhead (SGLang) or the
    # weights (TensorRT-LLM), and both start with a KV cache shorter than the longest request
    # (sgl-project/sglang issue 4048; TensorRT-LLM: recalled). Of these only weights are certain not
    # to fit that are too large for all of the memory.
    certain = spec.engine is EngineName.VLLM
    sure = set() if certain else {p.path for p in reasons(1) if not p.warning} - {"maxModelLen"}
    for problem in reasons(spec.gpu_memory_utilization or engine.gpu_memory_utilization):
        if problem.path not in _SAID_ELSEWHERE:
            doubted = not certain and problem.path in _MEMORY - sure
            yield replace(problem, warning=problem.warning or doubted)
