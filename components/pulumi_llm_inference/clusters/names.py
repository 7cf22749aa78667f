"""Names within the limits of the clouds, and keys as other languages write them."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

_HASH_LENGTH = 6


def shortened(name: str, longest: int) -> str:
    """The name, or its beginning and a hash of it where the cloud takes no more."""
    return name if len(name) <= longest else unique(name, longest)


def unique(name: str, longest: int, *scope: str) -> str:
    """The name's beginning, and a hash of it and of what it is unique in.

    Args:
        name: lower-case letters, digits and '-'.
        longest: most characters that the cloud takes.
        scope: for example the project and the stack.
    """
    end = hashlib.sha256("/".join([*scope, name]).encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: longest - _HASH_LENGTH - 1].rstrip('-')}-{end}"


def camel_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the names that other languages use."""
    return {to_camel(key): value for key, value in values.items()}
