"""Writes environments.md from the specs, so that the page cannot lag behind them."""

import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pulumi_llm_inference.spec.base import Spec
from pulumi_llm_inference.spec.environment import ENVIRONMENTS

PAGE = Path(__file__).with_suffix(".md")

INTRODUCTION = """\
# Environments

An environment is one stack configuration file, `stacks/environments/Pulumi.NAME.yaml`. Its keys
stand under `config:` and start with `llm-inference:`. The whole file is checked before the first
resource is made: `llm-inference preview NAME`.

Values are never secret: what needs a secret names a Kubernetes Secret in the environment's
namespace, for instance `huggingFaceToken: {name: hf-token}`. Pods wait until it exists. A namespace
that others made, with the Secret in it, goes with `createNamespace: false`.

Pulumi's passphrase provider writes `encryptionsalt` into a stack's configuration file. `make env`
and `. .local/env` point plain `pulumi` commands at a copy under `.local/`, so the tracked file
stays as it is; `make up` uses the same copy.

This page is made from the specs by `python docs/environments.py`.
"""


_PLAIN = {str: "text", int: "whole number", float: "number", bool: "yes or no", Any: "anything"}


def page() -> str:
    """The page's text: one table for each kind of mapping, in the order of their first mention."""
    order: list[type[BaseModel]] = list(ENVIRONMENTS.values())
    for model in order:
        mentioned = [_parent(model)] if _parent(model) else []
        for field in _own_fields(model).values():
            mentioned += _models(field.annotation)
        order += [found for found in dict.fromkeys(mentioned) if found and found not in order]
    return "\n".join([INTRODUCTION, *(_table(model) for model in order)])


def _table(model: type[BaseModel]) -> str:
    about = (model.__doc__ or "").strip().splitlines()[0]
    title = f"## {_title(model)}\n\n{about}\n"
    if parent := _parent(model):
        title += f"\nAll of {_link(parent)}, and:\n"
    rows = [
        f"| `{field.alias}` | {_type(field.annotation)} | {_default(field)} | {_text(field)} |"
        for field in _own_fields(model).values()
    ]
    if not rows:
        return title
    return "\n".join([title, "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _parent(model: type[BaseModel]) -> type[BaseModel] | None:
    """What a model adds to, if it has fields of its own."""
    [parent, *_] = model.__bases__
    return parent if issubclass(parent, Spec) and parent is not Spec else None


def _own_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields that the model adds to its parent or changes."""
    return {
        name: model.model_fields[name]
        for name in model.__annotations__
        if name in model.model_fields
    }


def _link(model: type[BaseModel]) -> str:
    return f"[{_title(model)}](#{_title(model).lower()})"


def _title(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("Spec")


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _models(part)]


def _type(annotation: Any) -> str:
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_type, parts))
    if origin is list:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"mapping to {_type(parts[1])}"
    if plain := _PLAIN.get(annotation):
        return plain
    if issubclass(annotation, BaseModel):
        return _link(annotation)
    return " \\| ".join(f"`{item.value}`" for item in annotation)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value in ([], {}) or isinstance(value, BaseModel):
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
