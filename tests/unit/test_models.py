"""The catalog of models: sourced, as published, and read from configurations."""

import csv
import re
from collections import defaultdict
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from pulumi_llm_inference.catalog.models import (
    ModelShape,
    config_of_row,
    model_shape,
    model_shapes,
    shape_of_config,
)


def rows(file: str) -> list[dict[str, str]]:
    text = resources.files("pulumi_llm_inference.catalog").joinpath(file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


ROWS = {row["name"]: row for row in rows("models.csv")}
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def config(name: str = LLAMA, **changes: Any) -> dict[str, Any]:
    return {**config_of_row(ROWS[name]), **changes}


def test_every_figure_has_a_source_and_every_source_a_figure() -> None:
    sourced: dict[str, list[str]] = defaultdict(list)
    for row in rows("model_sources.csv"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["retrieved"])
        assert row["verified"] in {"read", "recalled"}
        assert len(row["source"]) > 20
        sourced[row["model"]] += row["fields"].split(";")
    figures = {
        name: {field for field, value in row.items() if value and field != "name"}
        for name, row in ROWS.items()
    }
    assert {name: set(fields) for name, fields in sourced.items()} == figures
    assert all(len(set(fields)) == len(fields) for fields in sourced.values())


def test_models_are_found_by_their_ids_and_aliases() -> None:
    assert len(model_shapes()) == len(rows("models.csv")) >= 20
    ids = [name for row in ROWS.values() for name in [row["name"], *row["aliases"].split(";")]]
    ids = list(filter(None, ids))
    assert len(set(ids)) == len(ids)
    for name, row in ROWS.items():
        for alias in filter(None, (name, *row["aliases"].split(";"))):
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", alias)
            assert model_shape(alias) is model_shapes()[name]
    assert model_shape("meta-llama/Llama-9-1T") is None
    assert model_shape("") is None


@pytest.mark.parametrize("name", ROWS)
def test_counted_parameters_are_those_published(name: str) -> None:
    shape, counted = model_shapes()[name], shape_of_config(config(name))
    assert counted.parameters == pytest.approx(shape.parameters, rel=0.02)
    # What OpenAI calls active is without the embeddings of the tokens.
    embeddings = counted.embedding_parameters / 2 if shape.quantization == "mxfp4" else 0
    assert counted.active_parameters - embeddings == pytest.approx(
        shape.active_parameters, rel=0.02
    )


@pytest.mark.parametrize("shape", model_shapes().values(), ids=lambda shape: shape.name)
def test_shapes_are_sane(shape: ModelShape) -> None:
    assert shape.active_parameters <= shape.parameters
    assert shape.embedding_parameters < 0.4 * shape.parameters
    assert 0 < shape.full_layers <= shape.layers
    assert (shape.full_layers < shape.layers) == (shape.sliding_window is not None)
    assert shape.heads % shape.kv_heads == 0
    assert shape.head_dim in {64, 128, 192, 256}
    assert (shape.attention == "mla") == (shape.kv_lora_rank > 0) == (shape.qk_rope_head_dim > 0)
    assert shape.max_positions % 1024 == 0
    assert shape.dtype == "bfloat16"
    assert (shape.bits == 16) == (shape.quantization == "")


def test_some_shapes_in_full() -> None:
    assert model_shape(LLAMA) == ModelShape(
        name=LLAMA,
        parameters=8.030261248,
        active_parameters=8.030261248,
        embedding_parameters=2 * 128256 * 4096 / 1e9,
        layers=32,
        full_layers=32,
        heads=32,
        kv_heads=8,
        head_dim=128,
        hidden_size=4096,
        vocab_size=128256,
        max_positions=131072,
        dtype="bfloat16",
        quantization="",
        bits=16,
        attention="gqa",
        kv_lora_rank=0,
        qk_rope_head_dim=0,
        sliding_window=None,
    )
    deepseek = model_shapes()["deepseek-ai/DeepSeek-R1"]
    assert (deepseek.attention, deepseek.kv_lora_rank, deepseek.qk_rope_head_dim) == (
        "mla",
        512,
        64,
    )
    assert deepseek.bits == pytest.approx(8, rel=0.005)
    gemma = model_shapes()["google/gemma-3-27b-it"]
    assert (gemma.layers, gemma.full_layers, gemma.sliding_window) == (62, 10, 1024)


@pytest.mark.parametrize(
    ("name", "gib"), [("openai/gpt-oss-20b", 12.8), ("openai/gpt-oss-120b", 60.8)]
)
def test_mxfp4_is_of_the_experts_alone(name: str, gib: float) -> None:
    """Sizes of the checkpoints: gpt-oss model card, as quoted on fitmygpu.com."""
    shape = model_shapes()[name]
    assert shape.parameters * 1e9 * shape.bits / 8 / 2**30 == pytest.approx(gib, rel=0.005)


@pytest.mark.parametrize(
    "key",
    [
        "model_type",
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_size",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ],
)
def test_missing_keys_are_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"^'{key}' is missing$"):
        shape_of_config({**config(), key: None})


@pytest.mark.parametrize("key", ["v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim"])
def test_missing_keys_of_compressed_attention_are_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"^'{key}' is missing$"):
        shape_of_config({**config("deepseek-ai/DeepSeek-V3"), key: None})


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="'model_type' is 'mamba2'; known: deepseek_v3, "):
        shape_of_config(config(model_type="mamba2"))
    layers = ["linear_attention", "full_attention"] * 16
    with pytest.raises(ValueError, match="'layer_types' has 'linear_attention'"):
        shape_of_config(config(sliding_window=1024, layer_types=layers))
    with pytest.raises(ValueError, match=r"'quantization_config.bits' is missing beside 'odd'"):
        shape_of_config(config(quantization_config={"quant_method": "odd"}))
    with pytest.raises(ValueError, match="'quant_method' is missing"):
        shape_of_config(config(quantization_config={"bits": 4}))


@pytest.mark.parametrize("value", [0, -1, "32", [32]])
def test_counts_are_numbers_above_zero(value: object) -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "num_attention_heads": value,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
    }
    with pytest.raises(ValueError, match=r"'num_attention_heads' is .* no number"):
        shape_of_config(config)


def test_what_configurations_leave_out() -> None:
    assert shape_of_config(config(num_key_value_heads=None)).kv_heads == 32
    assert shape_of_config(config(), 9.0, "mine/llama").name == "mine/llama"
    assert shape_of_config(config(), 9.0).parameters == 9.0
    assert shape_of_config(config(torch_dtype=None, dtype="float16")).dtype == "float16"
    assert shape_of_config(config(torch_dtype="float32")).bits == 32
    untied, tied = config(), config(tie_word_embeddings=True)
    difference = shape_of_config(untied).parameters - shape_of_config(tied).parameters
    assert difference == pytest.approx(128256 * 4096 / 1e9)
    gemma = config("google/gemma-2-9b-it")
    gemma.pop("tie_word_embeddings")
    gemma.pop("sliding_window_pattern")
    assert replace(shape_of_config(gemma), parameters=0) == replace(
        shape_of_config(config("google/gemma-2-9b-it")), parameters=0
    )


def test_text_layers_are_found_beside_a_tower_for_images() -> None:
    text = config("google/gemma-3-27b-it")
    text.pop("model_type")
    text.pop("sliding_window_pattern")
    nested = {
        "model_type": "gemma3",
        "text_config": {
            **text,
            "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10
            + ["sliding_attention"] * 2,
        },
        "vision_config": {"hidden_size": 1152},
    }
    assert shape_of_config(nested) == shape_of_config(config("google/gemma-3-27b-it"))


@pytest.mark.parametrize(
    ("changes", "window", "full"),
    [
        # Mistral 7B v0.1: every layer has the window.
        ({"model_type": "mistral", "sliding_window": 4096}, 4096, 0),
        # Qwen2.5 and Phi-3.5: a window that is never reached.
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, None, 32),
        ({"model_type": "phi3", "sliding_window": 262144}, None, 32),
    ],
)
def test_sliding_windows(changes: dict[str, Any], window: int | None, full: int) -> None:
    shape = shape_of_config(config(**changes))
    assert (shape.sliding_window, shape.full_layers) == (window, full)


@pytest.mark.parametrize(
    ("found", "bits"),
    [
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "group_size": None}}},
            },
            8,
        ),
        # nvidia/Kimi-K2.5-NVFP4; the widest counts where layers differ.
        (
            {
                "quant_method": "modelopt",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 4, "group_size": 16, "type": "float"}}
                },
            },
            4.5,
        ),
        (
            {
                "quant_method": "modelopt",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "float"}},
                    "group_1": {"weights": {"num_bits": 4, "group_size": 16, "type": "float"}},
                },
            },
            8,
        ),
    ],
)
def test_embeddings_are_not_quantized(found: dict[str, Any], bits: float) -> None:
    shape = shape_of_config(config(quantization_config=found))
    kept = shape.embedding_parameters
    expected = (16 * kept + bits * (shape.parameters - kept)) / shape.parameters
    assert shape.bits == pytest.approx(expected)
    assert shape.quantization == found["quant_method"]
