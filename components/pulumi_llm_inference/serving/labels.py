"""Labels of a model server's objects."""

from collections.abc import Mapping

from pulumi_llm_inference.engines.base import Engine

NAME_LABEL = "app.kubernetes.io/name"
"""Kubernetes' label for the program: the engine."""

INSTANCE_LABEL = "app.kubernetes.io/instance"
"""Kubernetes' label for one installation of it: the server's name."""


def selector_labels(name: str, engine: Engine) -> dict[str, str]:
    """What tells the pods of one server from all others.

    Nothing that a user or a release changes: a Deployment's selector is fixed for life.
    """
    return {NAME_LABEL: engine.name.value, INSTANCE_LABEL: name}


def object_labels(name: str, engine: Engine, extra: Mapping[str, str]) -> dict[str, str]:
    """Labels of every object of a server: the user's, Kubernetes' usual ones, and llm-d's.

    Gateways and dashboards of other projects select by the last.
    """
    return {
        **extra,
        "app.kubernetes.io/component": "inference-server",
        "app.kubernetes.io/managed-by": "pulumi",
        "llm-d.ai/engine-type": engine.name.value,
        "llm-d.ai/inference-serving": "true",
        **selector_labels(name, engine),
    }
