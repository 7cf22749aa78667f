"""Whether a model fits its GPUs, and how many requests it then serves at once.

An estimate of what vLLM finds out when it starts. Of each GPU's memory the engine takes the share
`gpu_memory_utilization`; weights and overhead come off, and what is left is the KV cache. Published
start-up logs leave between 2.6 GiB more and 3.1 GiB less for the cache than this says, on GPUs of
24 to 80 GB (tests/unit/test_fit.py). So what does not fit by the estimate is an error only where it
would not fit with the least overhead either (`LEAST_OVERHEAD_GIB`), and a warning otherwise.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pulumi_llm_inference.catalog.accelerators import Accelerator, accelerators
from pulumi_llm_inference.catalog.machines import sellers
from pulumi_llm_inference.catalog.models import ModelShape
from pulumi_llm_inference.spec.problems import Problem, nearest

_GIB = 2**30
_MIB_PER_GIB = 1024

_MOST_GPUS = 64
"""Where the search for enough GPUs of one machine ends, where its size is not known."""

MOST_NODES = 8
"""Where the search for enough machines ends."""


_MOST_NAMED = 3
"""Accelerators that a cure names: the smallest that would do."""

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

LEAST_OVERHEAD_GIB = 0.6
"""What no engine does without: the CUDA context and the buffers of NCCL that KAITO measured
(presets/workspace/generator/model-sku-calculation.md). The start-up logs that the tests hold have
1.6 to 8.1 GiB of overhead."""

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
    "awq_marlin": 4 + 20 / 128,
    "gptq": 4 + 20 / 128,
    "gptq_marlin": 4 + 20 / 128,
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
    """Whether, by the estimate, the engine would start and serve one request of `max_model_len`.
    Where it is false and no reason is an error, it may all the same."""
    gpus: int | None
    """GPUs that one copy needs: the fewest that its heads can be divided by and that leave room for
    one request of `max_model_len`. None: not even 64, or those of eight machines."""
    nodes: int | None
    """Machines of `gpus_per_node` GPUs that these are. None where that is not known, or `gpus` is
    None."""
    tensor_parallel: int
    """GPUs that each layer is split over in the figures below: those given, or else needed."""
    pipeline_parallel: int
    """Groups of such GPUs, each with a part of the layers."""
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
class _Split:
    """How a copy is divided."""

    tensor: int
    """GPUs that each layer is split over."""
    pipeline: int = 1
    """Groups of such GPUs, each with a part of the layers."""

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.tensor * self.pipeline

    def nodes(self, gpus_per_node: int) -> int:
        """Machines, each of which carries as many groups as it has room for."""
        return math.ceil(self.pipeline / (gpus_per_node // self.tensor))

    def stage(self, model: ModelShape) -> float:
        """Share of the layers that the fullest group has."""
        return math.ceil(model.layers / self.pipeline) / model.layers


@dataclass(frozen=True)
class _Plan:
    """What does not change with the number of GPUs."""

    model: ModelShape
    accelerator: Accelerator
    utilization: float
    """Share of each GPU's memory that the engine takes."""
    weights: float
    """Bytes of the weights."""
    kv_bytes: float
    """Bytes of a number in the KV cache."""
    max_model_len: int
    most_nodes: int

    @property
    def budget(self) -> float:
        """Bytes of each GPU that the engine may use."""
        memory = self.accelerator.memory_mib / _MIB_PER_GIB - DRIVER_GIB
        return memory * _GIB * self.utilization


def fit(
    model: ModelShape,
    accelerator: Accelerator,
    *,
    gpus: int | None = None,
    nodes: int = 1,
    tensor_parallel: int | None = None,
    pipeline_parallel: int | None = None,
    gpus_per_node: int | None = None,
    dtype: str | None = None,
    quantization: str | float | None = None,
    kv_cache_dtype: str | None = None,
    max_model_len: int | None = None,
    gpu_memory_utilization: float = 0.9,
    most_nodes: int = MOST_NODES,
) -> Fit:
    """How `model` fits `accelerator`.

    Args:
        model: the model.
        accelerator: the GPU, all of one model.
        gpus: GPUs of a replica, on each of its nodes. Default: as many as needed.
        nodes: machines of a replica. Default 1.
        tensor_parallel: GPUs that each layer is split over. Default: `gpus`.
        pipeline_parallel: groups of such GPUs, each with a part of the layers. Default: `nodes`,
            or as many as needed.
        gpus_per_node: GPUs of a machine. Default: not known, and what is needed is looked for as if
            one had them all.
        dtype: type of weights and activations. Default `auto`.
        quantization: a method of `QUANTIZATION_BITS`, or the bits of a weight other than embeddings
            and output head. Default: the checkpoint's.
        kv_cache_dtype: type of the KV cache. Default `auto`: that of the activations.
        max_model_len: longest request, tokens. Default: the model's.
        gpu_memory_utilization: share of GPU memory that the engine takes. Default 0.9.
        most_nodes: machines that a replica could be spread over. Default 8.

    Raises:
        ValueError: if a number is not positive, or a type or method is not known.
    """
    if quantization == model.quantization:
        quantization = None
    method = model.quantization if quantization is None else str(quantization)
    bits = (
        _bytes(QUANTIZATION_BITS, quantization) if isinstance(quantization, str) else quantization
    )
    length = model.max_positions if max_model_len is None else max_model_len
    _positive(gpus, nodes, tensor_parallel, pipeline_parallel, gpus_per_node, bits)
    _positive(length, gpu_memory_utilization)
    dtype_bytes = _bytes(DTYPE_BYTES, dtype or "auto")
    same = kv_cache_dtype in (None, "auto")
    plan = _Plan(
        model=model,
        accelerator=accelerator,
        utilization=gpu_memory_utilization,
        weights=weight_bytes(model, dtype_bytes, bits),
        kv_bytes=dtype_bytes if same else _bytes(KV_BYTES, kv_cache_dtype or ""),
        max_model_len=length,
        most_nodes=most_nodes,
    )
    needed = _needed(plan, gpus_per_node)
    if tensor := tensor_parallel or gpus:
        split = _Split(tensor, pipeline_parallel or nodes)
    else:
        split = needed or _splits(plan, gpus_per_node)[-1]
        split = _Split(split.tensor, pipeline_parallel or split.pipeline)
    concurrency = _concurrency(plan, split)
    reasons = (
        *type_problems(accelerator, dtype, kv_cache_dtype, method),
        *_head_problems(model, split.tensor),
        *split_problems(gpus, nodes, split.tensor, split.pipeline, gpus_per_node),
        *_memory_problems(plan, split, gpus_per_node),
    )
    return Fit(
        fits=concurrency > 0 and all(reason.warning for reason in reasons),
        gpus=needed.gpus if needed else None,
        nodes=needed.nodes(gpus_per_node) if needed and gpus_per_node else None,
        tensor_parallel=split.tensor,
        pipeline_parallel=split.pipeline,
        weights_gib=plan.weights / _GIB,
        kv_bytes_per_token=kv_bytes_per_token(model, plan.kv_bytes),
        overhead_gib=_overhead(plan, split) / _GIB,
        kv_cache_gib=_free(plan, split) / _GIB,
        max_context=_longest(plan, split),
        max_concurrency=concurrency,
        queue_target=queue_target(concurrency),
        reasons=reasons,
    )


def type_problems(
    accelerator: Accelerator,
    dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    quantization: str | None = None,
) -> Iterator[Problem]:
    """Types that a GPU has no unit for: refused where engines refuse them, else a warning.

    bfloat16 needs compute capability 8.0 (vllm/platforms/cuda.py). So does an fp8 KV cache: below,
    FlashAttention and FlashInfer do not run, and Triton knows this fp8 from 8.9 on only
    (vllm-project/vllm docs/design/attention_backends.md, issue 26431); on Ampere FlashInfer reads
    it. Weights in fp8 are unpacked to half precision below 8.9 (docs/features/quantization/
    llm_compressor/fp8.md: from 7.5 on, weights only).
    """
    if not accelerator.is_ampere_or_newer:
        if dtype == "bfloat16":
            yield Problem(
                "dtype", f"{accelerator.name} has no bfloat16", "use 'half' or leave it out"
            )
        if (kv_cache_dtype or "").startswith("fp8"):
            yield Problem(
                "kvCacheDtype", f"{accelerator.name} has no fp8", "use 'auto' or leave it out"
            )
    unit = {"fp8": "fp8", "mxfp4": "fp4"}.get(quantization or "")
    if unit and unit not in accelerator.tflops:
        yield Problem(
            "quantization",
            f"{accelerator.name} has no {unit}: the weights take the memory of {unit}, the "
            "arithmetic is done in half precision, if the engine has a kernel for it",
            "expect less speed, or choose a newer accelerator",
            warning=True,
        )


def split_problems(
    gpus: int | None,
    nodes: int,
    tensor_parallel: int,
    pipeline_parallel: int,
    gpus_per_node: int | None,
) -> Iterator[Problem]:
    """What is wrong with the way that a replica's GPUs are shared out, whatever the model.

    Tensor parallelism belongs inside a node, pipeline parallelism between nodes (vllm-project/vllm
    docs/serving/parallelism_scaling.md).
    """
    if gpus and gpus_per_node and gpus > gpus_per_node:
        yield Problem(
            "gpus",
            f"{gpus} is more than a node of the pool has ({gpus_per_node})",
            f"ask for at most {gpus_per_node}, or use a pool with larger nodes",
        )
    here = min(filter(None, (gpus, gpus_per_node)), default=tensor_parallel)
    size, has = tensor_parallel * pipeline_parallel, (gpus or here) * nodes
    if gpus and tensor_parallel > gpus and nodes == 1:
        yield Problem(
            "tensorParallelSize",
            f"{tensor_parallel} is more than gpus ({gpus})",
            "raise gpus, or leave it out: it follows gpus",
        )
    elif gpus is None and tensor_parallel > here:
        yield Problem(
            "tensorParallelSize",
            f"{tensor_parallel} is more than a node has ({here})",
            f"split layers over {here} GPUs, and share the layers out with pipelineParallelSize",
        )
    elif gpus and size > has:
        yield Problem(
            "pipelineParallelSize",
            f"{tensor_parallel} x {pipeline_parallel} GPUs are more than the replica has ({has})",
            "raise nodes or gpus, or leave it out: it follows nodes",
        )
    elif gpus and size < has:
        yield Problem(
            "gpus",
            f"{has - size} of {has} are idle beside a copy on {size}",
            "unless arguments add data parallelism, ask for fewer",
            warning=True,
        )
    elif tensor_parallel > here:
        yield Problem(
            "tensorParallelSize",
            f"{tensor_parallel} GPUs are on more than one node, and talk in every layer",
            f"use {here}, and pipelineParallelSize {nodes}, unless the network is InfiniBand or "
            "its like",
            warning=True,
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


def _share(plan: _Plan, split: _Split) -> float:
    """Bytes of the weights on the fullest GPU."""
    return plan.weights * split.stage(plan.model) / split.tensor


def _overhead(plan: _Plan, split: _Split) -> float:
    return BASE_OVERHEAD_GIB * _GIB + OVERHEAD_PER_WEIGHTS * _share(plan, split)


def _free(plan: _Plan, split: _Split) -> float:
    """Bytes of each GPU that are left for the KV cache."""
    return plan.budget - _share(plan, split) - _overhead(plan, split)


def _request(plan: _Plan, split: _Split) -> float:
    """Bytes of the longest request on each GPU."""
    whole = sequence_bytes(plan.model, plan.max_model_len, plan.kv_bytes, split.tensor)
    return whole * split.stage(plan.model)


def _concurrency(plan: _Plan, split: _Split) -> int:
    return max(0, math.floor(_free(plan, split) / _request(plan, split)))


def _may_fit(plan: _Plan, split: _Split) -> bool:
    """Whether one request has room beside the least overhead that there can be."""
    taken = _share(plan, split) + LEAST_OVERHEAD_GIB * _GIB + _request(plan, split)
    return taken <= plan.budget


def _longest(plan: _Plan, split: _Split) -> int:
    """The longest request that the KV cache holds: where its bytes, a bent line, meet the room."""
    model, window = plan.model, _window(plan.model)
    layer = _layer_bytes(model, plan.kv_bytes, split.tensor)
    room = max(0.0, _free(plan, split)) / split.stage(model) / layer
    tokens = room / model.layers
    if model.full_layers < model.layers and tokens > window:
        beyond = room - (model.layers - model.full_layers) * window
        tokens = beyond / model.full_layers if model.full_layers else math.inf
    return math.floor(min(tokens, model.max_positions))


def _splits(plan: _Plan, gpus_per_node: int | None) -> list[_Split]:
    """Ways to divide the model, the one with the fewest GPUs first.

    One node as far as heads can be divided, then groups of layers, first in the node and then one
    node after the other.
    """
    if gpus_per_node is None:
        return [_Split(size) for size in parallel_sizes(plan.model)]
    inside = [size for size in parallel_sizes(plan.model) if size <= gpus_per_node]
    groups = gpus_per_node // inside[-1]
    further = range(2 * groups, plan.most_nodes * groups + 1, groups)
    return [
        *(_Split(size) for size in inside),
        *(
            _Split(inside[-1], stages)
            for stages in (*range(2, groups + 1), *further)
            if stages <= plan.model.layers
        ),
    ]


def _needed(plan: _Plan, gpus_per_node: int | None) -> _Split | None:
    """The first way to divide the model that it fits in."""
    ways = _splits(plan, gpus_per_node)
    return next((split for split in ways if _concurrency(plan, split)), None)


def _indivisible(model: ModelShape, size: int) -> str:
    """Why the engine refuses to divide the model by `size`; empty if it does not.

    Asserted when vLLM makes the layers (vllm/model_executor/models/llama.py).
    """
    if model.heads % size:
        return f"{model.heads} attention heads cannot be divided by {size}"
    if model.attention == "gqa" and model.kv_heads % size and size % model.kv_heads:
        return f"{model.kv_heads} KV heads can neither be divided by nor copied to {size} GPUs"
    return ""


def _head_problems(model: ModelShape, size: int) -> Iterator[Problem]:
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


def _memory_problems(plan: _Plan, split: _Split, gpus_per_node: int | None) -> Iterator[Problem]:
    model, longest = plan.model, _longest(plan, split)
    if plan.max_model_len > model.max_positions:
        yield Problem(
            "maxModelLen",
            f"{plan.max_model_len} is more than the model is made for ({model.max_positions})",
            "lower it, or extend the context as the model's card says",
            warning=True,
        )
    if _concurrency(plan, split):
        return
    name = plan.accelerator.name
    where = f"{split.gpus} x {name}" if split.gpus > 1 else name
    may = _may_fit(plan, split)
    doubt = "may not fit: " if may else ""
    larger = [*_more_gpus(plan, gpus_per_node), *_other_gpus(plan, split)] or ["use larger GPUs"]
    if longest == 0:
        is_whole = plan.weights >= model.parameters * DTYPE_BYTES["half"] * 1e9
        smaller = ["a quantized checkpoint"] if is_whole else []
        yield Problem(
            "gpus",
            f"{doubt}{plan.weights / _GIB:.1f} GiB of weights leave no room for a KV cache on "
            f"{where}, {plan.budget / _GIB:.1f} GiB of which can be used on each GPU",
            ", or ".join([*larger, *smaller]),
            warning=may,
        )
    else:
        yield Problem(
            "maxModelLen",
            f"{doubt}the KV cache on {where} holds {longest} tokens, not the "
            f"{plan.max_model_len} of one request",
            ", or ".join([f"lower it to {longest}", *larger]),
            warning=may,
        )


def _more_gpus(plan: _Plan, gpus_per_node: int | None) -> Iterator[str]:
    """How many GPUs of the same model would do: of one node, of a larger one, of several."""
    here = _needed(plan, gpus_per_node)
    if here and (gpus_per_node is None or here.nodes(gpus_per_node) == 1):
        yield f"use {_said(here, 1)}"
        return
    most = max(sellers(plan.accelerator.name).values(), default=0)
    if gpus_per_node and gpus_per_node < most and (larger := _needed(plan, most)):
        nodes = larger.nodes(most)
        said = _said(larger, nodes)
        yield f"use {said}" if nodes > 1 else f"use a pool with {said} a node"
    if gpus_per_node and here:
        yield f"use {_said(here, here.nodes(gpus_per_node))}"


def _said(split: _Split, nodes: int) -> str:
    """`8 GPUs`, or `2 nodes of 8 GPUs`, with the sizes where the defaults would be others."""
    gpus = split.gpus // nodes
    counted = f"{gpus} GPU{'s' if gpus > 1 else ''}"
    of_nodes = f"{nodes} nodes of {counted}" if nodes > 1 else counted
    if split.pipeline == nodes:
        return of_nodes
    return (
        f"{of_nodes} with tensorParallelSize {split.tensor} and pipelineParallelSize "
        f"{split.pipeline}"
    )


def _other_gpus(plan: _Plan, split: _Split) -> Iterator[str]:
    """The smallest other accelerators of which the same number would do."""
    fitting = [
        other
        for other in sorted(accelerators().values(), key=lambda one: one.memory_mib)
        if _concurrency(replace(plan, accelerator=other), split)
    ]
    if fitting:
        names = [other.name for other in fitting[:_MOST_NAMED]]
        yield f"use {split.gpus} x {' or '.join(names)}"
