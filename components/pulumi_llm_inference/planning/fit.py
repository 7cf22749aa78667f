"""Whether a model fits its GPUs, and how many requests it then serves at once.

An estimate of what vLLM finds out when it starts. Of each GPU's memory the engine takes the share
`gpu_memory_utilization`; weights and overhead come off, and what is left is the KV cache. Published
start-up logs leave between 2.6 GiB more and 3.1 GiB less for the cache than this says, on GPUs of
24 to 80 GB (tests/unit/test_fit.py): where the estimate is close to the edge, try it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pulumi_llm_inference.catalog.accelerators import Accelerator
from pulumi_llm_inference.catalog.models import ModelShape
from pulumi_llm_inference.spec.problems import Problem, nearest

_GIB = 2**30
_MIB_PER_GIB = 1024

_MOST_GPUS = 64
"""Where the search for enough GPUs ends: eight of the largest machines."""

DRIVER_GIB = 0.5
"""Memory that the driver reports and CUDA does not have: 24 GiB and 23.58 GiB of an RTX 3090
(vllm-project/vllm issue 10517), 44.99 and 44.42 GiB of an L40S (issue 15815)."""

BASE_OVERHEAD_GIB = 2.3
"""Memory of each GPU that holds neither weights nor KV cache, whatever the model: 0.6 GiB of CUDA
context and buffers of NCCL, 1.7 GiB of activations, the most that KAITO measured on vLLM 0.10.1
(kaito-project/kaito presets/workspace/generator/model-sku-calculation.md)."""

OVERHEAD_PER_WEIGHTS = 0.05
"""What it grows by with the weights of a GPU, for the larger activations and CUDA graphs of larger
models (kaito-project/kaito website/docs/memory-estimator.md). KAITO also counts the weights 2 %
larger than their files; start-up logs of vLLM have them at most 0.7 % larger, MXFP4 aside."""

BATCHED_TOKENS = 8192
"""Tokens of a step that a layer with a sliding window holds beside the window, since vLLM admits a
request by `sliding_window - 1 + max_num_batched_tokens` (vllm/v1/kv_cache_interface.py). Its
default for servers is 8192 on large GPUs and 2048 on others (recalled); the larger is the safe
one."""

DTYPE_BYTES: Mapping[str, float] = {
    "auto": 2,
    "bfloat16": 2,
    "float16": 2,
    "half": 2,
    "float": 4,
    "float32": 4,
}
"""Bytes of a weight or activation by the engine's name of its type. `auto` is half precision: also
of float32 checkpoints engines make float16."""

KV_BYTES: Mapping[str, float] = {
    "bfloat16": 2,
    "bf16": 2,
    "float16": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
}
"""Bytes of a number in the KV cache by the engine's name of its type; `auto` follows the
activations."""

QUANTIZATION_BITS: Mapping[str, float] = {
    "awq": 4 + 20 / 128,
    "gptq": 4 + 20 / 128,
    "bitsandbytes": 4.5,
    "fp8": 8,
}
"""Bits of a weight by the engine's name of the method, with its share of the scales: groups of 128
with a scale of 16 bits and a zero point of 4; NF4 blocks of 64 with a scale of 32 (the usual
settings, recalled; a checkpoint's `config.json` has its own)."""

LEAST_QUEUE, MOST_QUEUE = 1, 10
"""Bounds of the suggested queue, which are those of published settings for waiting requests per
replica: llm-d 1 (keda-epp/optimized-baseline), vllm-project/production-stack 5 (helm/values.yaml),
KAITO 10 (docs/proposals/20250704-keda-scaler…)."""

_QUEUE_SHARE = 4


@dataclass(frozen=True)
class Fit:
    """How one copy of a model lies in its GPUs."""

    fits: bool
    """Whether the engine would start and serve one request of `max_model_len`."""
    gpus: int | None
    """GPUs that one copy needs: the smallest power of two that its heads can be divided by and
    that leaves room for one request of `max_model_len`. None: not even 64."""
    tensor_parallel: int
    """GPUs that the figures below are for: those given, or else those needed."""
    nodes: int | None
    """Machines that carry them. None where the GPUs of a machine are not known."""
    weights_gib: float
    """Weights, all GPUs together, GiB."""
    kv_bytes_per_token: float
    """KV cache that one token takes in all layers, all GPUs together, without the copies that some
    of them may hold. Past a sliding window only the layers without one go on growing."""
    overhead_gib: float
    """Memory of each GPU for neither weights nor KV cache: `BASE_OVERHEAD_GIB`, and
    `OVERHEAD_PER_WEIGHTS` of its weights."""
    kv_cache_gib: float
    """KV cache of each GPU, GiB; below 0, what is missing."""
    max_context: int
    """Longest context of one request, tokens; at most what the model is made for."""
    max_concurrency: int
    """Requests of `max_model_len` tokens that run at once; shorter ones are more."""
    queue_target: int
    """Suggested waiting requests per replica for an autoscaler: a quarter of `max_concurrency`,
    between 1 and 10. A rule of thumb: who waits behind a quarter of those that run, waits about a
    quarter of the time that one request takes. Measure the real traffic and correct it."""
    reasons: tuple[Problem, ...]
    """Why it does not fit, and warnings. Paths are fields of a model server."""


@dataclass(frozen=True)
class _Plan:
    """What does not change with the number of GPUs."""

    model: ModelShape
    budget: float
    """Bytes of each GPU that the engine may use."""
    weights: float
    """Bytes of the weights."""
    kv_bytes: float
    """Bytes of a number in the KV cache."""
    max_model_len: int


def fit(
    model: ModelShape,
    accelerator: Accelerator,
    *,
    gpus: int | None = None,
    tensor_parallel: int | None = None,
    gpus_per_node: int | None = None,
    dtype: str | None = None,
    quantization: float | None = None,
    kv_cache_dtype: str | None = None,
    max_model_len: int | None = None,
    gpu_memory_utilization: float = 0.9,
) -> Fit:
    """How `model` fits `accelerator`.

    Args:
        model: the model.
        accelerator: the GPU, all of one model.
        gpus: GPUs of a replica. Default: `tensor_parallel`, or as many as needed.
        tensor_parallel: GPUs that a copy is split over. Default: `gpus`.
        gpus_per_node: GPUs of a machine. Default: not known.
        dtype: type of weights and activations. Default `auto`.
        quantization: bits of a weight other than embeddings and output head, e.g. 8 for fp8;
            `QUANTIZATION_BITS` has those of methods. Default: the checkpoint's.
        kv_cache_dtype: type of the KV cache. Default `auto`: that of the activations.
        max_model_len: longest request, tokens. Default: the model's.
        gpu_memory_utilization: share of GPU memory that the engine takes. Default 0.9.

    Raises:
        ValueError: if a number is not positive, or a type is not known.
    """
    given = tensor_parallel or gpus
    length = model.max_positions if max_model_len is None else max_model_len
    _positive(gpus, tensor_parallel, gpus_per_node, quantization, length, gpu_memory_utilization)
    dtype_bytes = _bytes(DTYPE_BYTES, dtype or "auto")
    same = kv_cache_dtype in (None, "auto")
    plan = _Plan(
        model=model,
        budget=(accelerator.memory_mib / _MIB_PER_GIB - DRIVER_GIB) * _GIB * gpu_memory_utilization,
        weights=weight_bytes(model, dtype_bytes, quantization),
        kv_bytes=dtype_bytes if same else _bytes(KV_BYTES, kv_cache_dtype or ""),
        max_model_len=length,
    )
    needed = next((size for size in parallel_sizes(model) if _concurrency(plan, size)), None)
    size = given or needed or max(parallel_sizes(model))
    concurrency = _concurrency(plan, size)
    reasons = (
        *_type_problems(model, accelerator, dtype, kv_cache_dtype, quantization),
        *_parallel_problems(model, size, gpus),
        *_memory_problems(plan, accelerator, size, needed),
    )
    return Fit(
        fits=all(reason.warning for reason in reasons),
        gpus=needed,
        tensor_parallel=size,
        nodes=math.ceil(max(size, gpus or 0) / gpus_per_node) if gpus_per_node else None,
        weights_gib=plan.weights / _GIB,
        kv_bytes_per_token=kv_bytes_per_token(model, plan.kv_bytes),
        overhead_gib=_overhead(plan, size) / _GIB,
        kv_cache_gib=_free(plan, size) / _GIB,
        max_context=_longest(plan, size),
        max_concurrency=concurrency,
        queue_target=queue_target(concurrency),
        reasons=reasons,
    )


def weight_bytes(model: ModelShape, dtype_bytes: float = 2, bits: float | None = None) -> float:
    """Bytes of the weights, in the checkpoint's bits or in `bits`.

    Methods that quantize what was not leave embeddings and output head in `dtype_bytes`.
    """
    if bits is not None:
        kept = model.embedding_parameters
        return ((model.parameters - kept) * bits / 8 + kept * dtype_bytes) * 1e9
    if model.quantization:
        return model.parameters * model.bits / 8 * 1e9
    return model.parameters * dtype_bytes * 1e9


def kv_bytes_per_token(model: ModelShape, kv_bytes: float = 2, tensor_parallel: int = 1) -> float:
    """Bytes of KV cache that a token takes in all layers, on each of `tensor_parallel` GPUs."""
    return model.layers * _layer_bytes(model, kv_bytes, tensor_parallel)


def sequence_bytes(
    model: ModelShape, tokens: int, kv_bytes: float = 2, tensor_parallel: int = 1
) -> float:
    """Bytes of KV cache of one request of `tokens`, on each of `tensor_parallel` GPUs."""
    windowed = (model.layers - model.full_layers) * min(tokens, _window(model))
    layer = _layer_bytes(model, kv_bytes, tensor_parallel)
    return layer * (model.full_layers * tokens + windowed)


def parallel_sizes(model: ModelShape) -> list[int]:
    """Powers of two that tensor parallelism can divide the model by."""
    sizes = [2**power for power in range(int(math.log2(_MOST_GPUS)) + 1)]
    return [size for size in sizes if not _indivisible(model, size)]


def queue_target(concurrency: int) -> int:
    """Waiting requests per replica to scale at, for a replica that runs `concurrency` at once."""
    return min(max(concurrency // _QUEUE_SHARE, LEAST_QUEUE), MOST_QUEUE)


def _positive(*numbers: float | None) -> None:
    for number in numbers:
        if number is not None and number <= 0:
            raise ValueError(f"{number} is not more than 0")


def _bytes(known: Mapping[str, float], name: str) -> float:
    if name not in known:
        raise ValueError(f"'{name}' is not a known type: {nearest(name, known)}")
    return known[name]


def _layer_bytes(model: ModelShape, kv_bytes: float, tensor_parallel: int) -> float:
    """KV cache of a token in one layer, on each GPU.

    Heads are divided among GPUs, and copied where there are fewer. The compressed vector of MLA
    serves all heads, so every GPU has it whole (vLLM and SGLang without data-parallel attention;
    kaito-project/kaito website/docs/memory-estimator.md).
    """
    if model.attention == "mla":
        return (model.kv_lora_rank + model.qk_rope_head_dim) * kv_bytes
    return 2 * math.ceil(model.kv_heads / tensor_parallel) * model.head_dim * kv_bytes


def _window(model: ModelShape) -> int:
    """Tokens that a layer with a sliding window holds at most."""
    return (model.sliding_window or 0) - 1 + BATCHED_TOKENS


def _overhead(plan: _Plan, size: int) -> float:
    return BASE_OVERHEAD_GIB * _GIB + OVERHEAD_PER_WEIGHTS * plan.weights / size


def _free(plan: _Plan, size: int) -> float:
    """Bytes of each GPU that are left for the KV cache."""
    return plan.budget - plan.weights / size - _overhead(plan, size)


def _concurrency(plan: _Plan, size: int) -> int:
    request = sequence_bytes(plan.model, plan.max_model_len, plan.kv_bytes, size)
    return max(0, math.floor(_free(plan, size) / request))


def _longest(plan: _Plan, size: int) -> int:
    """The longest request that the KV cache holds: where its bytes, a bent line, meet the room."""
    model, window = plan.model, _window(plan.model)
    room = max(0.0, _free(plan, size)) / _layer_bytes(model, plan.kv_bytes, size)
    tokens = room / model.layers
    if model.full_layers < model.layers and tokens > window:
        beyond = room - (model.layers - model.full_layers) * window
        tokens = beyond / model.full_layers if model.full_layers else math.inf
    return math.floor(min(tokens, model.max_positions))


def _indivisible(model: ModelShape, size: int) -> str:
    """Why the engine refuses to divide the model by `size`; empty if it does not.

    Asserted when vLLM makes the layers (vllm/model_executor/models/llama.py).
    """
    if model.heads % size:
        return f"{model.heads} attention heads cannot be divided by {size}"
    if model.attention == "gqa" and model.kv_heads % size and size % model.kv_heads:
        return f"{model.kv_heads} KV heads can neither be divided by nor copied to {size} GPUs"
    return ""


def _type_problems(
    model: ModelShape,
    accelerator: Accelerator,
    dtype: str | None,
    kv_cache_dtype: str | None,
    quantization: float | None,
) -> Iterator[Problem]:
    if not accelerator.is_ampere_or_newer:
        if dtype == "bfloat16":
            yield Problem(
                "dtype", f"{accelerator.name} has no bfloat16", "use 'half' or leave it out"
            )
        if (kv_cache_dtype or "").startswith("fp8"):
            yield Problem(
                "kvCacheDtype", f"{accelerator.name} has no fp8", "use 'auto' or leave it out"
            )
    unit = {"fp8": "fp8", "mxfp4": "fp4"}.get("" if quantization else model.quantization)
    if unit and unit not in accelerator.tflops:
        yield Problem(
            "quantization",
            f"{accelerator.name} has no {unit}: the weights take the memory of {unit}, the "
            "arithmetic is done in half precision, if the engine has a kernel for it",
            "expect less speed, or choose a newer accelerator",
            warning=True,
        )


def _parallel_problems(model: ModelShape, size: int, gpus: int | None) -> Iterator[Problem]:
    fitting = ", ".join(map(str, parallel_sizes(model)))
    if why := _indivisible(model, size):
        yield Problem("tensorParallelSize", why, f"use one of {fitting}")
    elif model.attention == "gqa" and size > model.kv_heads:
        yield Problem(
            "tensorParallelSize",
            f"{size} GPUs share {model.kv_heads} KV heads, so "
            f"{math.ceil(size / model.kv_heads)} GPUs hold the same part of the KV cache",
            f"where {model.kv_heads} GPUs have room, more replicas of these serve more requests",
            warning=True,
        )
    if gpus is not None and gpus < size:
        yield Problem(
            "tensorParallelSize",
            f"{size} is more than gpus ({gpus})",
            "raise gpus, or leave it out: it follows gpus",
        )
    if gpus is not None and gpus > size:
        yield Problem(
            "gpus",
            f"{gpus - size} of {gpus} are idle beside a copy on {size}",
            "unless arguments add pipeline or data parallelism, ask for fewer",
            warning=True,
        )


def _memory_problems(
    plan: _Plan, accelerator: Accelerator, size: int, needed: int | None
) -> Iterator[Problem]:
    model, longest = plan.model, _longest(plan, size)
    if plan.max_model_len > model.max_positions:
        yield Problem(
            "maxModelLen",
            f"{plan.max_model_len} is more than the model is made for ({model.max_positions})",
            "lower it, or extend the context as the model's card says",
            warning=True,
        )
    if _concurrency(plan, size):
        return
    where = f"{size} x {accelerator.name}" if size > 1 else accelerator.name
    more = f"use {needed} GPUs" if needed else "use larger GPUs"
    if longest == 0:
        yield Problem(
            "gpus",
            f"{plan.weights / _GIB:.1f} GiB of weights leave no room for a KV cache on {where}, "
            f"{plan.budget / _GIB:.1f} GiB of which can be used on each GPU",
            f"{more}, or a quantized checkpoint",
        )
    else:
        yield Problem(
            "maxModelLen",
            f"the KV cache on {where} holds {longest} tokens, not the {plan.max_model_len} of "
            "one request",
            f"lower it to {longest}, or {more}",
        )
