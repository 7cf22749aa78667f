"""Problems of a GPU node pool."""

from collections.abc import Iterator

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec
from pulumi_llm_inference.spec.problems import Problem, nearest


def pool_problems(pool: GpuNodePoolSpec, path: str) -> Iterator[Problem]:
    """What is wrong with a pool by itself."""
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
