"""Open models: the shapes that decide how much memory they take."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """One model. The sources of the catalog's figures are in model_sources.csv."""

    name: str
    """Hugging Face id, e.g. `meta-llama/Llama-3.1-8B-Instruct`; empty if it is not known."""
    parameters: float
    """Parameters, 10⁹, of all experts, and of what sees images if the model has it."""
    active_parameters: float
    """Parameters that one token passes through, 10⁹; those of all but the chosen experts are not
    among them. In a model without experts the same as `parameters`."""
    embedding_parameters: float
    """Parameters of the token embeddings and the output head, 10⁹, once if they are shared."""
    layers: int
    """Transformer layers."""
    full_layers: int
    """Layers that attend to all of the context; the others see `sliding_window` tokens of it."""
    heads: int
    """Attention heads, which tensor parallelism divides among GPUs."""
    kv_heads: int
    """Heads of keys and values. Without meaning where `attention` is `mla`."""
    head_dim: int
    """Dimension of an attention head."""
    hidden_size: int
    """Dimension of the residual stream."""
    vocab_size: int
    """Tokens that the model knows."""
    max_positions: int
    """Longest context that the model is made for, tokens."""
    dtype: str
    """Type of the weights that are not quantized, and of the activations, e.g. `bfloat16`."""
    quantization: str
    """How the checkpoint is quantized (`fp8`, `mxfp4`, …); empty if it is not."""
    bits: float
    """Bits of a weight in the checkpoint, on average over all parameters."""
    attention: str
    """`gqa` (keys and values by head; multi-head and multi-query are its extremes) or `mla` (one
    compressed vector for all heads)."""
    kv_lora_rank: int
    """Dimension of the compressed vector; 0 unless `attention` is `mla`."""
    qk_rope_head_dim: int
    """Dimension of the key that carries the position beside it; 0 unless `attention` is `mla`."""
    sliding_window: int | None
    """Tokens that the layers see that do not see all; None if all do."""


_TYPES = frozenset(
    {
        "deepseek_v3",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "gpt_oss",
        "kimi_k2",
        "llama",
        "mistral",
        "mixtral",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_vl_moe_text",
        "qwen3_vl_text",
    }
)
"""Values of `model_type` whose memory the figures below describe. What a newer architecture keeps
beside keys and values, e.g. the state of linear attention, would be missed without a word."""

_FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gpt_oss": 2}
"""Every how many layers one sees all of the context, where the configuration may not say so
(huggingface/transformers, models' configuration classes; recalled)."""

_SHARED_EMBEDDINGS = frozenset({"gemma2", "gemma3", "gemma3_text"})
"""Types that share their embeddings with the output head unless they say otherwise."""

_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")

_HALF = 16

_BITS = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.25}
"""Bits of a quantized weight, with its share of the scales (of mxfp4: gpt-oss model card)."""

_GROUP_BITS = {"int": 20, "float": 8}
"""What a group of weights has beside them: with integers a scale of 16 bits and a zero point of 4,
with floats (NVFP4) a scale of 8."""


@cache
def model_shapes() -> Mapping[str, ModelShape]:
    """The models of the catalog by Hugging Face id, without their aliases."""
    return {row["name"]: _shape_of_row(row) for row in _rows()}


def model_shape(name: str) -> ModelShape | None:
    """The shape of a model by its Hugging Face id or an alias; None if it is not in the catalog."""
    found = _names().get(name)
    return model_shapes()[found] if found else None


def shape_of_config(
    config: Mapping[str, Any], parameters: float | None = None, name: str = ""
) -> ModelShape:
    """The shape that a Hugging Face `config.json` describes.

    `parameters` (10⁹) is for models that have more than their text layers, such as a tower for
    images; by default they are counted from the layers, without biases and norms (within 2 % of
    what is published).

    Raises:
        ValueError: if a key is missing, or the architecture is not one whose memory is known.
    """
    keys = {**config, **(config.get("text_config") or {})}
    if (kind := _need(keys, "model_type")) not in _TYPES:
        raise ValueError(f"'model_type' is '{kind}'; known: {', '.join(sorted(_TYPES))}")
    mla = bool(keys.get("kv_lora_rank"))
    layers = _need(keys, "num_hidden_layers")
    experts, active_experts = _expert_parameters(keys)
    embeddings = _embedding_parameters(keys)
    others = layers * _attention_parameters(keys) + _dense_parameters(keys) + embeddings
    quantization, bits = _quantization(keys, experts, others, embeddings)
    counted = (experts + others) / 1e9
    window, full_layers = _window(keys, layers)
    return ModelShape(
        name=name or str(keys.get("_name_or_path") or ""),
        parameters=parameters or counted,
        active_parameters=(active_experts + others) / 1e9 if experts else parameters or counted,
        embedding_parameters=embeddings / 1e9,
        layers=layers,
        full_layers=full_layers,
        heads=_need(keys, "num_attention_heads"),
        kv_heads=_kv_heads(keys),
        head_dim=_head_dim(keys),
        hidden_size=_need(keys, "hidden_size"),
        vocab_size=_need(keys, "vocab_size"),
        max_positions=_need(keys, "max_position_embeddings"),
        dtype=str(keys.get("torch_dtype") or keys.get("dtype") or "bfloat16"),
        quantization=quantization,
        bits=bits,
        attention="mla" if mla else "gqa",
        kv_lora_rank=_need(keys, "kv_lora_rank") if mla else 0,
        qk_rope_head_dim=_need(keys, "qk_rope_head_dim") if mla else 0,
        sliding_window=window,
    )


_WORDS = ("model_type", "quant_method")
"""Keys whose values are words, not numbers."""


def _need(keys: Mapping[str, Any], key: str) -> Any:
    value = keys.get(key)
    if value is None:
        raise ValueError(f"'{key}' is missing")
    if key not in _WORDS and not (isinstance(value, int | float) and value > 0):
        raise ValueError(f"'{key}' is {value!r}, which is no number above 0")
    return value


def _kv_heads(keys: Mapping[str, Any]) -> int:
    return keys.get("num_key_value_heads") or _need(keys, "num_attention_heads")


def _head_dim(keys: Mapping[str, Any]) -> int:
    if keys.get("kv_lora_rank"):
        return _need(keys, "qk_nope_head_dim") + _need(keys, "qk_rope_head_dim")
    return keys.get("head_dim") or _need(keys, "hidden_size") // _need(keys, "num_attention_heads")


def _attention_parameters(keys: Mapping[str, Any]) -> int:
    """Parameters of one layer's attention."""
    hidden, heads = _need(keys, "hidden_size"), _need(keys, "num_attention_heads")
    head_dim = _head_dim(keys)
    if not keys.get("kv_lora_rank"):
        return 2 * hidden * head_dim * (heads + _kv_heads(keys))
    rank, rope = keys["kv_lora_rank"], keys["qk_rope_head_dim"]
    value = _need(keys, "v_head_dim")
    queries = heads * head_dim
    return (
        (rank_q * (hidden + queries) if (rank_q := keys.get("q_lora_rank")) else hidden * queries)
        + hidden * (rank + rope)
        + rank * heads * (keys["qk_nope_head_dim"] + value)
        + heads * value * hidden
    )


def _experts(keys: Mapping[str, Any]) -> int:
    return next((keys[key] for key in _EXPERTS if keys.get(key)), 0)


def _dense_layers(keys: Mapping[str, Any]) -> int:
    """Layers without experts."""
    every = _need(keys, "num_hidden_layers")
    return keys.get("first_k_dense_replace") or 0 if _experts(keys) else every


def _expert_size(keys: Mapping[str, Any]) -> int:
    """Parameters of one expert: up, gate and down."""
    inner = keys.get("moe_intermediate_size") or _need(keys, "intermediate_size")
    return 3 * _need(keys, "hidden_size") * inner


def _expert_parameters(keys: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters of all experts that tokens are sent to, and of those that one token is sent to."""
    if not (experts := _experts(keys)):
        return 0, 0
    size = (_need(keys, "num_hidden_layers") - _dense_layers(keys)) * _expert_size(keys)
    return experts * size, _need(keys, "num_experts_per_tok") * size


def _dense_parameters(keys: Mapping[str, Any]) -> int:
    """Parameters of feed-forward layers that every token passes through, routers included."""
    dense = _dense_layers(keys)
    sparse = _need(keys, "num_hidden_layers") - dense
    hidden = _need(keys, "hidden_size")
    shared = (keys.get("n_shared_experts") or 0) * _expert_size(keys) if sparse else 0
    plain = 3 * hidden * _need(keys, "intermediate_size") if dense else 0
    return dense * plain + sparse * (shared + _experts(keys) * hidden)


def _embedding_parameters(keys: Mapping[str, Any]) -> int:
    shared = keys.get("tie_word_embeddings", keys["model_type"] in _SHARED_EMBEDDINGS)
    return _need(keys, "vocab_size") * _need(keys, "hidden_size") * (1 if shared else 2)


def _window(keys: Mapping[str, Any], layers: int) -> tuple[int | None, int]:
    """The sliding window, and the number of layers that have none."""
    window = keys.get("sliding_window")
    # Qwen's configurations have a window that only `use_sliding_window` turns on.
    if not window or not keys.get("use_sliding_window", True):
        return None, layers
    if window >= _need(keys, "max_position_embeddings"):
        return None, layers
    kinds = keys.get("layer_types")
    if kinds:
        if unknown := set(kinds) - {"full_attention", "sliding_attention"}:
            raise ValueError(f"'layer_types' has '{min(unknown)}', whose memory is not known")
        return window, kinds.count("full_attention")
    every = keys.get("sliding_window_pattern") or keys.get("_sliding_window_pattern")
    every = every or _FULL_EVERY.get(keys["model_type"])
    return window, layers // every if every else 0


def _quantization(
    keys: Mapping[str, Any], experts: int, others: int, embeddings: int
) -> tuple[str, float]:
    """How the checkpoint is quantized, and the bits of a weight on average.

    Embeddings and the output head stay as they are; of mxfp4 all but the experts does, as
    `modules_to_not_convert` of openai/gpt-oss-20b says.
    """
    found = keys.get("quantization_config")
    if not found:
        full = str(keys.get("torch_dtype") or keys.get("dtype")) == "float32"
        return "", 2.0 * _HALF if full else _HALF
    method = str(_need(found, "quant_method"))
    quantized = experts if method == "mxfp4" else experts + others - embeddings
    kept = experts + others - quantized
    return method, (quantized * _bits(method, found) + kept * _HALF) / (experts + others)


def _bits(method: str, found: Mapping[str, Any]) -> float:
    """Bits of a quantized weight; of the widest, where layers differ."""
    if method in _BITS:
        return _BITS[method]
    groups = [group["weights"] for group in (found.get("config_groups") or {}).values()]
    groups = groups or [{"num_bits": found.get("bits"), "group_size": found.get("group_size")}]
    if not all(group.get("num_bits") for group in groups):
        raise ValueError(f"'quantization_config.bits' is missing beside '{method}'")
    return max(group["num_bits"] + _scale_bits(group) for group in groups)


def _scale_bits(group: Mapping[str, Any]) -> float:
    """Bits of the scales of a group of weights, for each of them; -1 is a group of a whole row."""
    size = group.get("group_size") or -1
    return _GROUP_BITS[group.get("type", "int")] / size if size > 0 else 0


@cache
def _rows() -> tuple[Mapping[str, str], ...]:
    text = resources.files("pulumi_llm_inference.catalog").joinpath("models.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def _names() -> Mapping[str, str]:
    """Every id and alias to the id that the catalog has it under."""
    return {
        name: row["name"]
        for row in _rows()
        for name in (row["name"], *filter(None, row["aliases"].split(";")))
    }


_TEXTS = ("name", "aliases", "parameters", "active_parameters", "model_type", "torch_dtype")
_TEXTS += ("quant_method", "tie_word_embeddings")


def config_of_row(row: Mapping[str, str]) -> Mapping[str, Any]:
    """A row of models.csv as the `config.json` that its columns are named after."""
    numbers = {key: int(value) for key, value in row.items() if value and key not in _TEXTS}
    return {
        **numbers,
        "model_type": row["model_type"],
        "torch_dtype": row["torch_dtype"],
        "tie_word_embeddings": row["tie_word_embeddings"] == "yes",
        "quantization_config": {"quant_method": row["quant_method"]} if row["quant_method"] else {},
    }


def _shape_of_row(row: Mapping[str, str]) -> ModelShape:
    shape = shape_of_config(config_of_row(row), float(row["parameters"]), row["name"])
    if not row["active_parameters"]:
        return shape
    return replace(shape, active_parameters=float(row["active_parameters"]))
