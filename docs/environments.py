"""Writes environments.md from the specs, so that the page cannot lag behind them."""

import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pulumi_llm_inference.spec.environment import EnvironmentSpec

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


def page() -> str:
    """The page's text: one table for each kind of mapping, in the order of their first mention."""
    order: list[type[BaseModel]] = [EnvironmentSpec]
    for model in order:
        for field in model.model_fields.values():
            order += [found for found in _models(field.annotation) if found not in order]
    return "\n".join([INTRODUCTION, *(_table(model) for model in order)])


def _table(model: type[BaseModel]) -> str:
    rows = [
        f"| `{field.alias}` | {_type(field.annotation)} | {_default(field)} | {_text(field)} |"
        for field in model.model_fields.values()
    ]
    about = (model.__doc__ or "").strip().splitlines()[0]
    title = f"## {_title(model)}\n\n{about}\n"
    return "\n".join([title, "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


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
    if issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_title(annotation).lower()})"
    if issubclass(annotation, Enum):
        return " \\| ".join(f"`{item.value}`" for item in annotation)
    return {"str": "text", "int": "whole number", "float": "number", "bool": "yes or no"}[
        annotation.__name__
    ]


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
