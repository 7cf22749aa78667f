"""Pieces that the clouds share: moving inputs into the API's shape, and computed names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from tests.clouds import wire
from tests.clouds.model import Problem, below

Moves = Mapping[str, str | None]

LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DNS = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.*|[^/]*")


def moved(inputs: Mapping[str, Any], moves: Moves) -> dict[str, Any]:
    """Return inputs with top-level keys moved to other (dotted) places; None drops one."""
    made: dict[str, Any] = {}
    for key, value in inputs.items():
        target = moves.get(key, key)
        if target is None:
            continue
        place = made
        *way, last = target.split(".")
        for part in way:
            place = place.setdefault(part, {})
        if isinstance(value, dict) and isinstance(place.get(last), dict):
            place[last].update(value)
        else:
            place[last] = value
    return made


def label_problems(labels: Any, path: str) -> Iterator[Problem]:
    """Yield what Kubernetes would not take as labels of a node."""
    if not isinstance(labels, dict):
        return
    for key, value in labels.items():
        if not (KEY.fullmatch(key) and DNS.fullmatch(key)):
            yield Problem(below(path, key), f"{key!r} is no label key")
        if value is wire.UNKNOWN:
            continue
        if not isinstance(value, str) or len(value) > 63 or not LABEL.fullmatch(value):
            yield Problem(below(path, key), f"{value!r} is no label value")


def required(inputs: Mapping[str, Any], paths: Iterable[str]) -> Iterator[Problem]:
    """Yield what is missing."""
    for path in paths:
        if wire.at(inputs, path) in (None, "", [], {}):
            yield Problem(path, "is required")


def whole(value: Any) -> int | None:
    """Return a number that is there and known."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ordered(numbers: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the first of known numbers that is above the one after it."""
    seen = [(path, value) for path, value in numbers.items() if whole(value) is not None]
    for (path, value), (after, other) in pairwise(seen):
        if value > other:
            yield Problem(path, f"{value} is more than {after}, {other}")


def last(path: Any) -> str:
    """Return the last part of an id or self link."""
    return str(path).rstrip("/").rsplit("/", 1)[-1]
