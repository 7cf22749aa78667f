"""What a user adds to a cloud's own resource."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from pulumi_llm_inference.spec.problems import Problem, nearest


def merged(ours: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Our arguments with the user's over them; mappings are merged, all else is replaced."""
    result = dict(ours)
    for key, value in extra.items():
        mine = result.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            result[key] = merged(mine, value)
        else:
            result[key] = value
    return result


def extra_problems(
    resource: type[pulumi.CustomResource],
    extra: Mapping[str, Any],
    own: Mapping[str, str],
    path: str,
) -> Iterator[Problem]:
    """What of `extra` the resource does not take, or the pool does not leave to it.

    Args:
        resource: the cloud's.
        extra: what the user adds.
        own: arguments that placements rely on, and the field of the pool that makes each.
        path: of the pool.
    """
    known = set(inspect.signature(getattr(resource, "_internal_init")).parameters)  # noqa: B009
    known -= {"self", "resource_name", "opts", "__props__"}
    for key in extra:
        if key not in known:
            yield Problem(
                f"{path}.extra.{key}",
                f"is not an argument of {resource.__module__.split('.')[0]}'s {resource.__name__}",
                nearest(key, known),
            )
    for argument, field in own.items():
        here: Any = extra
        for step in argument.split("."):
            here = here.get(step) if isinstance(here, Mapping) else None
        if here is not None:
            yield Problem(
                f"{path}.extra.{argument}",
                "would take the pods' placement away from the pool",
                f"use the pool's {field}",
            )
