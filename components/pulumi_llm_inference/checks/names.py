"""Problems of names."""

from collections.abc import Iterator

from pulumi_llm_inference.spec.base import kubernetes_name
from pulumi_llm_inference.spec.problems import Problem


def name_problems(name: str, path: str) -> Iterator[Problem]:
    """What is wrong with a component's name, which Kubernetes objects get too."""
    try:
        kubernetes_name(name)
    except ValueError as error:
        yield Problem(path, f"'{name}' {error}")
