"""Problems of bounds."""

from collections.abc import Iterator

from pulumi_llm_inference.spec.problems import Problem


def bounds_problems(things: str, least: int, most: int, path: str) -> Iterator[Problem]:
    """What is wrong with `min…` and `max…` of things (`Nodes`, `Replicas`) at a path."""
    if least > most:
        yield Problem(
            f"{path}.min{things}",
            f"{least} is more than max{things} ({most})",
            f"lower min{things} or raise max{things}",
        )
