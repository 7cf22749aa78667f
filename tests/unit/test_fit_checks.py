"""What is refused of models that do not fit their pools, and what is only doubted."""

from typing import Any

import pytest

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.fit import CHANGE_MEMORY, fit_problems
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.planning.fit import type_problems
from pulumi_llm_inference.spec.model_server import ModelServerSpec
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.problems import Problem

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
LLAMA_405B = "meta-llama/Llama-3.1-405B-Instruct"


def nodes(accelerator: str, gpus: int = 8) -> Placement:
    return Placement(accelerator=accelerator, gpus_per_node=gpus, node_labels={}, taints=[])


def found(model: str, *placements: Placement, **fields: Any) -> list[Problem]:
    spec = ModelServerSpec(model=model, **fields)
    return list(fit_problems(spec, ENGINES[spec.engine], placements, "models[0]"))


def errors(problems: list[Problem]) -> list[str]:
    return [str(problem) for problem in problems if not problem.warning]


def test_the_model_of_the_guide_fits() -> None:
    assert found(LLAMA_8B, nodes("nvidia-l4", 4), dtype="auto", max_model_len=4096) == []


def test_a_model_that_is_too_large_for_a_gpu() -> None:
    t4 = {"dtype": "half", "max_model_len": 2048}
    assert errors(found(LLAMA_8B, nodes("nvidia-t4", 4), **t4)) == [
        (
            "models[0].gpus: 15.0 GiB of weights leave no room for a KV cache on nvidia-t4, 13.3 "
            "GiB of which can be used on each GPU (use 2 GPUs, or use 1 x nvidia-a10g or nvidia-l4 "
            "or nvidia-a10, or a quantized checkpoint)"
        )
    ]
    assert found(LLAMA_8B, nodes("nvidia-t4", 4), gpus=2, **t4) == []
    assert found(LLAMA_8B, nodes("nvidia-t4", 4), quantization="bitsandbytes", **t4) == []


def test_a_model_that_is_too_large_for_a_node() -> None:
    [refused] = errors(found(LLAMA_70B, nodes("nvidia-l4", 1), max_model_len=4096))
    assert refused.startswith("models[0].gpus: 131.5 GiB of weights leave no room")
    assert "(use a pool with 8 GPUs a node, or use 8 nodes of 1 GPU, or use 1 x nvidia-b200" in (
        refused
    )
    assert found(LLAMA_70B, nodes("nvidia-l4"), gpus=8, max_model_len=4096) == []
    [refused] = errors(found(LLAMA_405B, nodes("nvidia-h100-80gb"), gpus=8))
    assert "(use 2 nodes of 8 GPUs, or use 8 x nvidia-h200-141gb or nvidia-b200" in refused
    assert found(LLAMA_405B, nodes("nvidia-h100-80gb"), gpus=8, nodes=2) == []


def test_nodes_are_not_advised_where_the_engine_has_one() -> None:
    single = [name for name, engine in ENGINES.items() if engine.node_arguments is None]
    for engine in {"tensorrt-llm"} & set(single):
        [refused] = errors(found(LLAMA_405B, nodes("nvidia-h100-80gb"), gpus=8, engine=engine))
        assert "(use 8 x nvidia-h200-141gb" in refused


def test_a_context_that_is_too_long() -> None:
    [refused] = errors(found(LLAMA_8B, nodes("nvidia-l4", 4)))
    assert refused.startswith("models[0].maxModelLen: the KV cache on nvidia-l4 holds 18261 tokens")
    assert "(lower it to 18261, or use 2 GPUs, or use 1 x nvidia-a100-40gb" in refused
    assert found(LLAMA_8B, nodes("nvidia-l4", 4), max_model_len=18261) == []


def test_what_is_near_the_edge_is_only_doubted() -> None:
    near = found(LLAMA_8B, nodes("nvidia-l4", 4), max_model_len=30000)
    assert [problem.warning for problem in near] == [True]
    assert near[0].message.startswith("may not fit: ")
    [over] = found(LLAMA_8B, nodes("nvidia-l4", 4), max_model_len=60000)
    assert not over.warning


def test_the_share_of_memory_is_the_servers_or_the_engines() -> None:
    short = {"max_model_len": 16384}
    assert found(LLAMA_8B, nodes("nvidia-l4", 4), **short) == []
    assert found(LLAMA_8B, nodes("nvidia-l4", 4), gpu_memory_utilization=0.8, **short)
    assert found(LLAMA_8B, nodes("nvidia-l4", 4), gpu_memory_utilization=0.97, **short) == []


def test_heads_that_cannot_be_divided() -> None:
    assert errors(found(LLAMA_8B, nodes("nvidia-l4"), gpus=3)) == [
        (
            "models[0].tensorParallelSize: 32 attention heads cannot be divided by 3 "
            "(use one of 1, 2, 4, 8, 16, 32)"
        )
    ]
    # Layers can be shared out unevenly.
    stages = {"gpus": 3, "tensor_parallel_size": 1, "pipeline_parallel_size": 3}
    assert found(LLAMA_8B, nodes("nvidia-l4"), **stages) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": "bfloat16", "quantization": "bitsandbytes"},
        {"kv_cache_dtype": "fp8", "quantization": "bitsandbytes"},
        {"gpus": 8},
        {"gpus": 2, "tensor_parallel_size": 4},
        {"gpus": 2, "pipeline_parallel_size": 2},
    ],
)
def test_what_no_model_can_have_is_said_once(fields: dict[str, Any]) -> None:
    """By `model_server_problems`, of models that are not in the catalog too."""
    placement = nodes("nvidia-t4", 4)
    assert errors(found(LLAMA_8B, placement, max_model_len=2048, **fields)) == []
    for model in (LLAMA_8B, "/models/ours"):
        spec = ModelServerSpec(model=model, max_model_len=2048, **fields)
        problems = list(model_server_problems("chat", spec, [placement], "models[0]"))
        assert len(errors(problems)) == 1


def test_types_by_accelerator() -> None:
    """bfloat16 and an fp8 cache from Ampere on; fp8 weights are unpacked where there is no unit."""
    said = {
        name: [
            [problem.path for problem in type_problems(accelerator, **types)]
            for types in (
                {"dtype": "bfloat16"},
                {"kv_cache_dtype": "fp8"},
                {"kv_cache_dtype": "fp8_e5m2"},
                {"quantization": "fp8"},
            )
        ]
        for name, accelerator in accelerators().items()
    }
    refused = [["dtype"], ["kvCacheDtype"], ["kvCacheDtype"]]
    assert said["nvidia-t4"] == [*refused, ["quantization"]]
    assert said["nvidia-a100-80gb"] == said["nvidia-a10g"] == [[], [], [], ["quantization"]]
    assert said["nvidia-l4"] == said["nvidia-h100-80gb"] == said["nvidia-b200"] == [[]] * 4
    [slow] = found(LLAMA_8B, nodes("nvidia-a100-80gb"), quantization="fp8", max_model_len=8192)
    assert slow.warning
    assert slow.path == "models[0].quantization"


def test_pools_of_a_kind_have_their_problems_once() -> None:
    twice = found(LLAMA_70B, nodes("nvidia-l4"), nodes("nvidia-l4"), max_model_len=4096)
    assert len(twice) == 1
    both = found(LLAMA_70B, nodes("nvidia-l4"), nodes("nvidia-t4"), max_model_len=4096)
    assert len(both) == 2
    assert found(LLAMA_70B, nodes("own-gpu")) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "org/unknown"},
        {"args": ["--whatever"]},
        {"extra_args": ["--cpu-offload-gb=8"]},
        {"extra_args": ["--data_parallel_size", "2"]},
        {"quantization": "a-method-of-tomorrow"},
        {"dtype": "float8"},
        {"kv_cache_dtype": "nvfp4"},
        {"engine": "ollama"},
    ],
)
def test_nothing_is_said_of_what_is_not_known(fields: dict[str, Any]) -> None:
    assert errors(found(LLAMA_405B, nodes("nvidia-t4")))
    spec = ModelServerSpec(**{"model": LLAMA_405B, **fields})
    assert list(fit_problems(spec, ENGINES[spec.engine], [nodes("nvidia-t4")], "models[0]")) == []


@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm"])
def test_other_engines_start_with_a_shorter_context(engine: str) -> None:
    """Their share of the memory means something else, so less of the estimate is certain."""
    long = found(LLAMA_8B, nodes("nvidia-l4", 4), engine=engine)
    assert [problem.path for problem in long] == ["models[0].maxModelLen"]
    assert long[0].warning
    # 15.0 GiB of weights in all of 15.5 - 0.5, and in 22.0.
    [refused] = found(LLAMA_8B, nodes("nvidia-t4"), engine=engine, max_model_len=2048)
    assert not refused.warning
    [refused] = found(LLAMA_70B, nodes("nvidia-l4"), engine=engine, max_model_len=2048)
    assert not refused.warning
    assert errors(found(LLAMA_8B, nodes("nvidia-l4"), gpus=3, engine=engine))


def test_flags_that_change_the_memory_exist() -> None:
    known = {flag.replace("_", "-") for engine in ENGINES.values() for flag in engine.flags()}
    for start in CHANGE_MEMORY:
        assert start.startswith("-d") or any(flag.startswith(start) for flag in known), start
