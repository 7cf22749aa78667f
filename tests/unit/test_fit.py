"""Whether models fit: by hand, against published figures, against KAITO's estimator, as laws."""

import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_llm_inference.catalog.accelerators import Accelerator, accelerators
from pulumi_llm_inference.catalog.models import ModelShape, model_shapes, shape_of_config
from pulumi_llm_inference.planning.fit import (
    BATCHED_TOKENS,
    KV_BYTES,
    LEAST_OVERHEAD_GIB,
    Fit,
    fit,
    kv_bytes_per_token,
    parallel_sizes,
    queue_target,
    sequence_bytes,
    type_problems,
    weight_bytes,
)
from tests.support import ROOT

GIB = 2**30
PAGE = (ROOT / "docs/fit.md").read_text("utf-8")
LLAMA_8B = model_shapes()["meta-llama/Llama-3.1-8B-Instruct"]
LLAMA_70B = model_shapes()["meta-llama/Llama-3.1-70B-Instruct"]
LLAMA_405B = model_shapes()["meta-llama/Llama-3.1-405B-Instruct"]
DEEPSEEK = model_shapes()["deepseek-ai/DeepSeek-V3"]
GPT_OSS = model_shapes()["openai/gpt-oss-20b"]
PHI = model_shapes()["microsoft/phi-4"]
T4, L4, A100, H100, H200, B200 = (
    accelerators()[f"nvidia-{name}"]
    for name in ("t4", "l4", "a100-80gb", "h100-80gb", "h200-141gb", "b200")
)


def gpu(gib: float) -> Accelerator:
    return Accelerator("gpu", "GPU", round(gib * 1024), 1000, (8, 6), {"fp16": 1, "bf16": 1})


def errors(found: Fit) -> list[str]:
    return [str(reason) for reason in found.reasons if not reason.warning]


def warnings(found: Fit) -> list[str]:
    return [str(reason) for reason in found.reasons if reason.warning]


# By hand.


def test_llama_8b_takes_what_its_shape_says() -> None:
    found = fit(LLAMA_8B, L4, max_model_len=8192)
    # Keys and values, 32 layers, 8 heads of 128, 2 bytes.
    assert found.kv_bytes_per_token == 2 * 32 * 8 * 128 * 2 == 131072
    assert found.weights_gib == pytest.approx(15.0, abs=0.05)
    assert found.overhead_gib == pytest.approx(2.3 + 0.05 * 14.96, abs=0.01)
    # (22.49 - 0.5) x 0.9 - 14.96 - 3.05 = 1.79 GiB, in which a token takes 128 KiB.
    assert found.kv_cache_gib == pytest.approx(1.79, abs=0.01)
    assert found.max_context == math.floor(found.kv_cache_gib * GIB / 131072) == 14658
    assert found.max_concurrency == 1
    assert (found.fits, found.gpus, found.reasons) == (True, 1, ())


def test_llama_8b_does_not_fit_a_t4() -> None:
    found = fit(LLAMA_8B, T4, gpus=1, dtype="half", max_model_len=2048)
    assert not found.fits
    assert (found.max_context, found.max_concurrency) == (0, 0)
    assert found.kv_cache_gib < 0
    assert errors(found) == [
        (
            "gpus: 15.0 GiB of weights leave no room for a KV cache on nvidia-t4, 13.1 GiB of "
            "which can be used on each GPU (use 2 GPUs, or use 1 x nvidia-a10g or nvidia-l4 or "
            "nvidia-a10, or a quantized checkpoint)"
        )
    ]
    assert found.gpus == 2
    assert fit(LLAMA_8B, T4, gpus=2, dtype="half", max_model_len=2048).fits
    assert fit(LLAMA_8B, T4, gpus=1, quantization=4.16, max_model_len=2048).fits
    assert fit(LLAMA_8B, T4, gpus=1, quantization="awq", max_model_len=2048).fits


def test_a_context_that_is_too_long_is_said_with_the_longest() -> None:
    found = fit(LLAMA_8B, L4, gpus=1)
    assert errors(found) == [
        (
            "maxModelLen: the KV cache on nvidia-l4 holds 14658 tokens, not the 131072 of one "
            "request (lower it to 14658, or use 2 GPUs, or use 1 x nvidia-a100-40gb or "
            "nvidia-l40s or nvidia-h100-80gb)"
        )
    ]
    assert fit(LLAMA_8B, L4, gpus=1, max_model_len=14658).fits
    assert not fit(LLAMA_8B, L4, gpus=1, max_model_len=14659).fits


def test_compressed_attention_is_whole_on_every_gpu() -> None:
    # 61 layers, 512 + 64 numbers, 2 bytes.
    assert kv_bytes_per_token(DEEPSEEK) == 61 * 576 * 2 == 70272
    assert kv_bytes_per_token(DEEPSEEK, 2, 8) == 70272
    assert kv_bytes_per_token(DEEPSEEK, 1, 8) == 35136
    found = fit(DEEPSEEK, H200, gpus_per_node=8)
    assert (found.gpus, found.nodes, found.kv_bytes_per_token) == (8, 1, 70272)
    assert found.max_concurrency == math.floor(found.kv_cache_gib * GIB / 70272 / 163840)
    on_h100 = fit(DEEPSEEK, H100, gpus_per_node=8)
    assert (on_h100.gpus, on_h100.nodes) == (16, 2)
    assert on_h100.reasons == ()


def test_kv_heads_are_divided_and_then_copied() -> None:
    per_gpu = [kv_bytes_per_token(LLAMA_8B, 2, size) for size in (1, 2, 4, 8, 16, 32)]
    assert per_gpu == [131072, 65536, 32768, 16384, 16384, 16384]
    [warning] = warnings(fit(LLAMA_8B, L4, gpus=16))
    assert "16 GPUs share 8 KV heads, so 2 GPUs hold the same part" in warning
    assert fit(LLAMA_8B, L4, gpus=16).fits
    assert warnings(fit(LLAMA_8B, L4, gpus=8)) == []


def test_windows_hold_no_more_than_themselves_and_a_step() -> None:
    # 12 of 24 layers, 8 heads of 64, keys and values, 2 bytes: 2 KiB for a token in a layer.
    held = 127 + BATCHED_TOKENS
    assert sequence_bytes(GPT_OSS, 1000) == 24 * 2048 * 1000
    assert sequence_bytes(GPT_OSS, 100_000) == 12 * 2048 * (100_000 + held)


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", [1, 2, 4, 8, 16, 32]),
        ("meta-llama/Llama-3.2-3B-Instruct", [1, 2, 4, 8]),
        ("Qwen/Qwen2.5-7B-Instruct", [1, 2, 4]),
        ("Qwen/Qwen2.5-32B-Instruct", [1, 2, 4, 8]),
        # 40 heads could be divided by 8, 10 KV heads cannot.
        ("microsoft/phi-4", [1, 2]),
        ("deepseek-ai/DeepSeek-V3", [1, 2, 4, 8, 16, 32, 64]),
    ],
)
def test_sizes_that_heads_can_be_divided_by(model: str, sizes: list[int]) -> None:
    assert parallel_sizes(model_shapes()[model]) == sizes


def test_sizes_that_heads_cannot_be_divided_by_are_refused() -> None:
    assert errors(fit(LLAMA_8B, L4, gpus=3)) == [
        (
            "tensorParallelSize: 32 attention heads cannot be divided by 3 "
            "(use one of 1, 2, 4, 8, 16, 32)"
        )
    ]
    assert errors(fit(PHI, L4, gpus=4)) == [
        (
            "tensorParallelSize: 10 KV heads can neither be divided by nor copied to 4 GPUs "
            "(use one of 1, 2)"
        )
    ]


def test_types_that_an_accelerator_does_not_have() -> None:
    found = fit(LLAMA_8B, T4, dtype="bfloat16", kv_cache_dtype="fp8", max_model_len=2048)
    assert errors(found) == [
        "dtype: nvidia-t4 has no bfloat16 (use 'half' or leave it out)",
        "kvCacheDtype: nvidia-t4 has no fp8 (use 'auto' or leave it out)",
    ]
    assert list(type_problems(A100, "bfloat16", "fp8_e4m3")) == []
    for accelerator, said in ((T4, 1), (A100, 1), (L4, 0)):
        found = list(type_problems(accelerator, quantization="fp8"))
        assert [problem.warning for problem in found] == [True] * said
    # Engines take half precision where there is no bfloat16, unless told.
    assert fit(LLAMA_8B, T4, dtype="auto", kv_cache_dtype="auto", max_model_len=2048).fits
    assert fit(LLAMA_8B, L4, dtype="bfloat16", kv_cache_dtype="fp8", max_model_len=2048).fits
    for model, without, having in ((DEEPSEEK, A100, H100), (GPT_OSS, H100, B200)):
        assert ["quantization" in warning for warning in warnings(fit(model, without))] == [True]
        assert warnings(fit(model, having)) == []


def test_gpus_and_tensor_parallelism() -> None:
    assert fit(LLAMA_8B, L4, tensor_parallel=2) == fit(LLAMA_8B, L4, gpus=2)
    assert fit(LLAMA_8B, L4, gpus=2, tensor_parallel=2) == fit(LLAMA_8B, L4, gpus=2)
    [idle] = warnings(fit(LLAMA_8B, L4, gpus=4, tensor_parallel=2, max_model_len=8192))
    assert "2 of 4 are idle beside a copy on 2" in idle
    assert errors(fit(LLAMA_8B, L4, gpus=1, tensor_parallel=2)) == [
        "tensorParallelSize: 2 is more than gpus (1) (raise gpus, or leave it out: it follows gpus)"
    ]
    assert fit(LLAMA_8B, L4).nodes is None


def test_a_node_has_so_many_gpus() -> None:
    assert errors(fit(LLAMA_8B, L4, gpus=16, gpus_per_node=8)) == [
        (
            "gpus: 16 is more than a node of the pool has (8) (ask for at most 8, or use a pool "
            "with larger nodes)"
        )
    ]
    [refused] = errors(fit(LLAMA_8B, L4, tensor_parallel=16, gpus_per_node=8))
    assert "16 is more than a node has (8) (split layers over 8 GPUs" in refused
    [refused] = errors(fit(LLAMA_8B, L4, gpus=2, pipeline_parallel=2, gpus_per_node=4))
    assert "2 x 2 GPUs are more than the replica has (2)" in refused
    spread = fit(LLAMA_405B, H100, gpus=8, nodes=2, tensor_parallel=16, pipeline_parallel=1)
    assert spread.fits
    assert any("are on more than one node" in warning for warning in warnings(spread))


def test_layers_are_shared_out_among_nodes() -> None:
    one = fit(LLAMA_405B, H100, gpus=8, gpus_per_node=8)
    assert (one.fits, one.gpus, one.nodes) == (False, 16, 2)
    [refused] = errors(one)
    assert "(use 2 nodes of 8 GPUs, or use 8 x nvidia-h200-141gb or nvidia-b200" in refused
    two = fit(LLAMA_405B, H100, gpus=8, nodes=2, gpus_per_node=8)
    assert (two.fits, two.tensor_parallel, two.pipeline_parallel, two.reasons) == (True, 8, 2, ())
    assert two == fit(LLAMA_405B, H100, gpus_per_node=8)
    # By hand: 126 layers in two halves; a token takes 2 x 63 x 1 head x 128 x 2 bytes of each GPU.
    share = 405e9 * 2 / 16
    assert two.overhead_gib == pytest.approx(2.3 + 0.05 * share / GIB)
    budget = (81559 / 1024 - 0.5) * 0.9
    assert two.kv_cache_gib == pytest.approx(budget - share / GIB - two.overhead_gib)
    assert two.max_concurrency == math.floor(two.kv_cache_gib * GIB / (2 * 63 * 128 * 2) / 131072)
    # Three nodes have 42 layers each, four have 32 at most.
    four = fit(LLAMA_405B, H100, gpus=8, nodes=4)
    assert four.overhead_gib == pytest.approx(2.3 + 0.05 * 405e9 * 2 / 8 * 32 / 126 / GIB)
    assert fit(LLAMA_405B, H100, gpus_per_node=8, most_nodes=1).gpus is None


def test_a_larger_node_is_named_before_many_small_ones() -> None:
    [refused] = errors(fit(LLAMA_70B, L4, gpus=1, gpus_per_node=1, max_model_len=4096))
    assert "use a pool with 8 GPUs a node, or use 8 nodes of 1 GPU, or use 1 x nvidia-b200" in (
        refused
    )
    # No machine has more than two of nvidia-a10.
    a10 = accelerators()["nvidia-a10"]
    [refused] = errors(fit(LLAMA_70B, a10, gpus=2, gpus_per_node=2, max_model_len=4096))
    assert "(use 4 nodes of 2 GPUs, or use 2 x" in refused
    [refused] = errors(fit(LLAMA_70B, L4, gpus=1, gpus_per_node=2))
    assert "use 2 nodes of 8 GPUs, or use 6 nodes of 2 GPUs, or a quantized" in refused


def test_heads_that_a_node_cannot_share_leave_it_groups_of_layers() -> None:
    """phi-4 can be divided by 2, not by 4."""
    found = fit(PHI, T4, gpus=2, gpus_per_node=4, max_model_len=4096)
    assert (found.fits, found.gpus, found.nodes) == (False, 4, 1)
    [refused] = errors(found)
    assert "(use 4 GPUs with tensorParallelSize 2 and pipelineParallelSize 2, or use 2 x" in refused
    fixed = fit(PHI, T4, gpus=4, tensor_parallel=2, pipeline_parallel=2, max_model_len=4096)
    assert (fixed.fits, fixed.reasons) == (True, ())


def test_only_what_cannot_fit_is_refused() -> None:
    # Beside 14.96 GiB there are 19.79 GiB, of which 2.46 GiB are overhead that may not be there.
    longest = math.floor((19.793 - 14.958 - LEAST_OVERHEAD_GIB) * GIB / 131072)
    near = fit(LLAMA_8B, L4, gpus=1, max_model_len=longest - 100)
    assert (near.fits, errors(near)) == (False, [])
    [doubt] = warnings(near)
    assert "maxModelLen: may not fit: the KV cache on nvidia-l4 holds 14658 tokens" in doubt
    assert errors(fit(LLAMA_8B, L4, gpus=1, max_model_len=longest + 100))
    # The same of weights: 14.96 GiB of 18 x 0.9.
    [doubt] = warnings(fit(LLAMA_8B, gpu(18), gpus=1, max_model_len=1024))
    assert "gpus: may not fit: 15.0 GiB of weights leave no room" in doubt
    assert errors(fit(LLAMA_8B, gpu(17), gpus=1, max_model_len=1024))


def test_a_model_that_no_number_of_gpus_is_enough_for() -> None:
    found = fit(LLAMA_70B, gpu(4))
    assert (found.fits, found.gpus, found.tensor_parallel) == (False, None, 64)
    assert "(use 64 x nvidia-t4 or nvidia-a10g or nvidia-l4, or" in errors(found)[0]
    assert fit(PHI, T4).gpus is None
    none = fit(LLAMA_405B, B200, gpus=1, gpus_per_node=1, kv_cache_dtype="auto", most_nodes=1)
    assert "(use a pool with 8 GPUs a node, or a quantized checkpoint)" in errors(none)[0]
    huge = fit(replace(DEEPSEEK, parameters=1e6), B200, gpus=1)
    assert "(use larger GPUs)" in errors(huge)[0]


def test_longer_than_the_model_is_made_for() -> None:
    found = fit(PHI, H100, max_model_len=32768)
    assert found.fits
    assert found.max_context == 16384
    assert "32768 is more than the model is made for (16384)" in warnings(found)[0]


@pytest.mark.parametrize(
    ("concurrency", "queue"), [(0, 1), (1, 1), (7, 1), (8, 2), (39, 9), (40, 10), (500, 10)]
)
def test_suggested_queues(concurrency: int, queue: int) -> None:
    assert queue_target(concurrency) == queue


def test_impossible_arguments() -> None:
    with pytest.raises(ValueError, match="0 is not more than 0"):
        fit(LLAMA_8B, L4, gpus=0)
    with pytest.raises(ValueError, match="-1 is not more than 0"):
        fit(LLAMA_8B, L4, gpus_per_node=-1)
    with pytest.raises(ValueError, match="0 is not more than 0"):
        fit(LLAMA_8B, L4, max_model_len=0)
    with pytest.raises(ValueError, match="'int3' is not a known type: known: auto, bfloat16"):
        fit(LLAMA_8B, L4, dtype="int3")
    with pytest.raises(ValueError, match="'fp9' is not a known type: did you mean 'fp8'"):
        fit(LLAMA_8B, L4, kv_cache_dtype="fp9")
    with pytest.raises(ValueError, match="'awk' is not a known type: did you mean 'awq'"):
        fit(LLAMA_8B, L4, quantization="awk")


def test_a_shape_of_a_configuration_that_only_has_windows() -> None:
    """Mistral 7B v0.1, https://huggingface.co/Undi95/Mistral-RP-0.1-7B config.json at 6adcfec."""
    config = {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336}
    config |= {"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8}
    config |= {"vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096}
    found = fit(shape_of_config(config), L4)
    assert found.fits
    assert found.max_context == 32768


# Against figures that others published.


@pytest.mark.parametrize(
    ("model", "bits", "gpus", "gib"),
    [
        # "Loading model weights took 14.9888 GB", vllm-project/vllm issue 10517.
        ("meta-llama/Llama-3.1-8B-Instruct", None, 1, 14.9888),
        # "30.7098 GB" on each of 2 GPUs, issue 15815.
        ("Qwen/Qwen2.5-32B-Instruct", None, 2, 30.7098),
        # "67.7229 GB" of Meta-Llama-3.1-70B-Instruct-quantized.w8a8, pull request 12569.
        ("meta-llama/Llama-3.1-70B-Instruct", 8, 1, 67.7229),
    ],
)
def test_weights_are_those_that_vllm_loaded(
    model: str, bits: float | None, gpus: int, gib: float
) -> None:
    estimate = weight_bytes(model_shapes()[model], bits=bits) / GIB / gpus
    assert estimate == pytest.approx(gib, rel=0.007)


@pytest.mark.parametrize(
    ("model", "accelerator", "arguments", "gib"),
    [
        # RTX 3090 with steps of 20000 tokens, vllm-project/vllm issue 10517.
        ("meta-llama/Llama-3.1-8B-Instruct", gpu(24), (1, 0.9, None), 3.81),
        # L40S, issue 15815.
        ("Qwen/Qwen2.5-32B-Instruct", gpu(44.99), (2, 0.9, None), 7.71),
        # A GPU of 80 GB; 1381 blocks of 16 tokens of 320 KiB, pull request 12569.
        ("meta-llama/Llama-3.1-70B-Instruct", gpu(79.65), (1, 0.98, 8), 6.74),
        # A100, vLLM 0.19.0, https://myoceane.fr/index.php/ai-vllm-a100-gemma-4/.
        ("openai/gpt-oss-20b", gpu(80), (1, 0.65, None), 36.56),
        # H100, checkpoint in FP8, issue 21348.
        ("Qwen/Qwen3-235B-A22B", gpu(79.65), (4, 0.9, 8), 8.11),
    ],
)
def test_kv_caches_are_near_those_that_vllm_made(
    model: str,
    accelerator: Accelerator,
    arguments: tuple[int, float, float | None],
    gib: float,
) -> None:
    gpus, share, bits = arguments
    found = fit(
        model_shapes()[model],
        accelerator,
        gpus=gpus,
        quantization=bits,
        gpu_memory_utilization=share,
        max_model_len=2048,
    )
    assert found.fits
    assert -2.6 <= found.kv_cache_gib - gib <= 3.1
    # docs/fit.md shows them beside KAITO's formulas of 2025 and 2026.
    weights = found.weights_gib / gpus
    older = accelerator.memory_mib / 1024 * share - 1.02 * weights - 2.3
    shown = (gib, found.kv_cache_gib, older, older - 0.05 * 1.02 * weights)
    assert f"| {share} | {' | '.join(f'{value:.2f}' for value in shown)} |" in PAGE


def test_the_page_has_every_key_of_a_fit() -> None:
    keys = PAGE[PAGE.index("## `--json`") :]
    assert [key for key in asdict(fit(PHI, L4)) if f"`{key}`" not in keys] == []


def test_tokens_of_a_cache_are_those_that_vllm_counted() -> None:
    """178,880 tokens in 8.11 GiB on each of 4 GPUs, vllm-project/vllm issue 21348."""
    qwen = model_shapes()["Qwen/Qwen3-235B-A22B"]
    assert 8.11 * GIB / kv_bytes_per_token(qwen, 2, 4) == pytest.approx(178_880, rel=0.015)


def test_gpt_oss_120b_fits_one_gpu_of_80_gb() -> None:
    """What it was made for: gpt-oss model card."""
    assert fit(model_shapes()["openai/gpt-oss-120b"], H100).gpus == 1


# Against KAITO's estimator.

CASES = [
    pytest.param(model, accelerator, id=f"{model.name}-{accelerator.name}")
    for model in model_shapes().values()
    for accelerator in (L4, A100, H100)
]


@pytest.mark.parametrize(("model", "accelerator"), CASES)
def test_the_estimate_lies_between_kaitos(model: ModelShape, accelerator: Accelerator) -> None:
    """Between its formula of 2025 and the stricter one of 2026, but for what the driver keeps.

    kaito-project/kaito presets/workspace/generator/model-sku-calculation.md and
    website/docs/memory-estimator.md.
    """
    for size in parallel_sizes(model):
        share = weight_bytes(model) / GIB / size
        usable = accelerator.memory_mib / 1024 * 0.84
        older = usable - 1.02 * share - 0.6 - 1.7
        newer = older - 0.05 * 1.02 * share
        ours = fit(model, accelerator, gpus=size, gpu_memory_utilization=0.84).kv_cache_gib
        assert newer - 0.5 <= ours <= older


@pytest.mark.parametrize(("memory", "tokens"), [(80, 469_000), (24, 83_640)])
def test_kaitos_worked_example(memory: float, tokens: int) -> None:
    """Phi-4-mini on an A100 and an A10, kaito-project/kaito website/docs/memory-estimator.md."""
    shape = shape_of_config(
        {
            "model_type": "phi3",
            "num_hidden_layers": 32,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "vocab_size": 200064,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": True,
        }
    )
    found = fit(shape, gpu(memory), gpus=1, gpu_memory_utilization=0.84)
    assert found.kv_bytes_per_token == 131_072
    assert found.weights_gib == pytest.approx(7.15, rel=0.005)
    assert found.kv_cache_gib * GIB / 131_072 == pytest.approx(tokens, rel=0.04)
    assert found.max_context == min(math.floor(found.kv_cache_gib * GIB / 131_072), 131_072)


# Laws.

models = st.sampled_from(list(model_shapes().values()))
gpus_of_any_model = st.sampled_from(list(accelerators().values()))
lengths = st.integers(1, 200_000)
numbers = st.integers(1, 64)


@given(models, gpus_of_any_model, lengths, numbers, numbers)
def test_more_gpus_never_serve_less(
    model: ModelShape, accelerator: Accelerator, length: int, gpus: int, more: int
) -> None:
    few = fit(model, accelerator, gpus=gpus, max_model_len=length)
    many = fit(model, accelerator, gpus=gpus + more, max_model_len=length)
    assert many.max_concurrency >= few.max_concurrency
    assert many.max_context >= few.max_context
    assert many.queue_target >= few.queue_target


@given(models, gpus_of_any_model, lengths, lengths, numbers)
def test_longer_requests_never_run_in_larger_numbers(
    model: ModelShape, accelerator: Accelerator, length: int, more: int, gpus: int
) -> None:
    short = fit(model, accelerator, gpus=gpus, max_model_len=length)
    long = fit(model, accelerator, gpus=gpus, max_model_len=length + more)
    assert long.max_concurrency <= short.max_concurrency
    assert long.max_context == short.max_context
    assert (long.gpus or 65) >= (short.gpus or 65)


@given(models, gpus_of_any_model, lengths, st.sampled_from(["auto", *KV_BYTES]), numbers)
def test_the_cache_holds_what_is_promised_and_no_more(
    model: ModelShape, accelerator: Accelerator, length: int, kind: str, gpus: int
) -> None:
    found = fit(model, accelerator, gpus=gpus, kv_cache_dtype=kind, max_model_len=length)
    size, room = KV_BYTES.get(kind, 2), found.kv_cache_gib * GIB * (1 + 1e-9)
    taken = [sequence_bytes(model, n, size, gpus) for n in (found.max_context, length)]
    assert taken[0] <= max(room, 0)
    assert found.max_concurrency * taken[1] <= max(room, 0)
    if found.max_context < model.max_positions:
        assert sequence_bytes(model, found.max_context + 1, size, gpus) > found.kv_cache_gib * GIB


@given(models, gpus_of_any_model, lengths)
def test_the_gpus_needed_are_enough_and_half_of_them_are_not(
    model: ModelShape, accelerator: Accelerator, length: int
) -> None:
    found = fit(model, accelerator, max_model_len=length)
    assert found.fits == (found.gpus is not None)
    if found.gpus is None:
        return
    assert fit(model, accelerator, gpus=found.gpus, max_model_len=length) == found
    if found.gpus > 1:
        assert not fit(model, accelerator, gpus=found.gpus // 2, max_model_len=length).fits


def memory_grown(accelerator: Accelerator, mib: int) -> Accelerator:
    return replace(accelerator, memory_mib=accelerator.memory_mib + mib)


@given(models, gpus_of_any_model, lengths, st.integers(1, 16), st.integers(0, 200_000))
def test_more_memory_never_fits_less(
    model: ModelShape, accelerator: Accelerator, length: int, gpus: int, mib: int
) -> None:
    small = fit(model, accelerator, gpus=gpus, max_model_len=length)
    large = fit(model, memory_grown(accelerator, mib), gpus=gpus, max_model_len=length)
    assert large.fits >= small.fits
    assert large.max_concurrency >= small.max_concurrency
    assert (large.gpus or 65) <= (small.gpus or 65)
    assert len(errors(large)) <= len(errors(small))


@given(models, gpus_of_any_model, lengths, st.sampled_from([1, 2, 4, 8]), st.integers(1, 7))
def test_more_stages_never_serve_less(
    model: ModelShape, accelerator: Accelerator, length: int, gpus: int, nodes: int
) -> None:
    few = fit(model, accelerator, gpus=gpus, nodes=nodes, max_model_len=length)
    many = fit(model, accelerator, gpus=gpus, nodes=nodes + 1, max_model_len=length)
    assert many.max_concurrency >= few.max_concurrency
    assert many.fits >= few.fits


@given(models, gpus_of_any_model, lengths, st.sampled_from([1, 2, 4, 8]))
def test_the_nodes_needed_are_enough_and_one_less_is_not(
    model: ModelShape, accelerator: Accelerator, length: int, per_node: int
) -> None:
    needed = fit(model, accelerator, gpus_per_node=per_node, max_model_len=length)
    assert needed.fits == (needed.gpus is not None)
    if needed.nodes is None:
        return
    size, stages = needed.tensor_parallel, needed.pipeline_parallel
    assert needed.gpus == size * stages <= needed.nodes * per_node
    # Where heads cannot be divided among all GPUs of a node, it carries several groups of layers.
    groups = per_node // size
    for fewer in {0, groups if stages > groups else 1} if stages > 1 else {0}:
        found = fit(
            model,
            accelerator,
            tensor_parallel=size,
            pipeline_parallel=stages - fewer,
            max_model_len=length,
        )
        assert found.fits == (not fewer)
