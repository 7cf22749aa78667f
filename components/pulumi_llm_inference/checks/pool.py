"""Problems of a GPU node pool."""

from collections.abc import Iterator

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec
from pulumi_llm_inference.spec.problems import Problem, nearest

_LONGEST_NODE_NAME = 63


def pool_problems(name: str, pool: GpuNodePoolSpec, path: str) -> Iterator[Problem]:
    """What is wrong with a pool called `name` by itself."""
    yield from name_problems(name, f"{path}.name")
    last_node = f"{name}-{pool.max_nodes - 1}"
    if len(last_node) > _LONGEST_NODE_NAME:
        yield Problem(
            f"{path}.name",
            f"'{name}' leaves no room for the numbers of its nodes",
            f"use at most {_LONGEST_NODE_NAME - len(last_node) + len(name)} characters",
        )
    if pool.accelerator not in accelerators():
        yield Problem(
            f"{path}.accelerator",
            f"'{pool.accelerator}' is not in the catalog",
            nearest(pool.accelerator, accelerators()),
        )
    if pool.min_nodes > pool.max_nodes:
        yield Problem(
            f"{path}.minNodes",
            f"{pool.min_nodes} is more than maxNodes ({pool.max_nodes})",
            "lower minNodes or raise maxNodes",
        )
