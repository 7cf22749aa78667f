"""What every piece of a user's configuration has in common."""

import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_PREFIX = re.compile(rf"{_DNS_NAME}(\.{_DNS_NAME})*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_SUFFIXES = {"": 1, "m": 1e-3} | {
    f"{prefix}{kind}": base ** (power + 1)
    for kind, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("KMGTP" if kind else "kMGTP")
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_NAME = 63
_LONGEST_PREFIX = 253


class Spec(BaseModel):
    """Plain data that does not change once read.

    Keys are camelCase in YAML and snake_case in Python; unknown keys are refused. Numbers are read
    leniently because `pulumi config set --path` stores text and the engine sends 8 as 8.0.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_not_one(cls, value: object, info: ValidationInfo) -> object:
        """Refuse `yes` where a number is wanted; Python would take it for 1."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation not in (bool, bool | None):
            raise ValueError("is a yes or no, which has no meaning here")
        return value


def fields_of(kind: type[Spec], value: Spec) -> dict[str, Any]:
    """Those fields of a value that it has as one of `kind`, for what takes no more."""
    return {name: getattr(value, name) for name in kind.model_fields}


def optional(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """The same check for a value that may be left out."""
    return lambda value: None if value is None else check(value)


def kubernetes_name(value: str) -> str:
    """Accept a name that Kubernetes takes for a Service, and so for everything else (RFC 1035)."""
    if not _NAME.fullmatch(value) or len(value) > _LONGEST_NAME:
        raise ValueError(
            "is not a Kubernetes name: use lower-case letters, digits and '-', "
            "a letter first and no '-' last, at most 63 characters"
        )
    return value


def minor_version(value: str) -> str:
    """Accept a minor version of Kubernetes, 1.30 or newer: the oldest that everything works on."""
    if not re.fullmatch(r"1\.[3-9][0-9]", value):
        raise ValueError(
            "is not a Kubernetes version from 1.30: write for example '1.30', in quotes, "
            "or YAML reads it as the number 1.3"
        )
    return value


def kubernetes_labels(value: dict[str, str]) -> dict[str, str]:
    """Accept labels whose keys and values Kubernetes takes."""
    for key, text in value.items():
        prefix, slash, name = key.rpartition("/")
        well_prefixed = not slash or (
            _LABEL_PREFIX.fullmatch(prefix) and len(prefix) <= _LONGEST_PREFIX
        )
        if not (well_prefixed and _LABEL_NAME.fullmatch(name) and _LABEL_VALUE.fullmatch(text)):
            raise ValueError(
                f"has the label '{key}: {text}', which Kubernetes does not take: letters, digits, "
                "'-', '_' and '.', at most 63 characters, a DNS name before '/' if any"
            )
    return value


def object_name(value: str) -> str:
    """Accept the name of an object that exists, e.g. a Secret (RFC 1123 subdomain)."""
    if not _LABEL_PREFIX.fullmatch(value) or len(value) > _LONGEST_PREFIX:
        raise ValueError(
            "is not the name of a Kubernetes object: lower-case letters, digits, '-' and '.'"
        )
    return value


def variable_names(value: dict[str, Any]) -> dict[str, Any]:
    """Accept a mapping from names of environment variables."""
    for name in value:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(
                f"has the variable '{name}': use letters, digits and '_', no digit first"
            )
    return value


def quantity_value(value: str) -> float:
    """What a Kubernetes quantity is worth, in units: cores, bytes."""
    number, suffix = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", value).groups()  # type: ignore[union-attr]
    return float(number) * _SUFFIXES[suffix]


def quantity(value: str) -> str:
    """Accept a Kubernetes quantity such as `8Gi` or `500m`."""
    if not _QUANTITY.fullmatch(value):
        raise ValueError("is not a Kubernetes quantity: write for example '8Gi' or '500m'")
    return value
