"""Labels of a model server's objects."""

from collections.abc import Mapping

from pulumi_llm_inference.engines.base import Engine

NAME_LABEL = "app.kubernetes.io/name"
"""Kubernetes' label for the program: the engine."""

INSTANCE_LABEL = "app.kubernetes.io/instance"
"""Kubernetes' label for one installation of it: the Deployment's name."""

SERVER_LABEL = "app.kubernetes.io/part-of"
"""Kubernetes' label for what several installations make together: the server's name."""


def server_labels(name: str, engine: Engine) -> dict[str, str]:
    """What tells the pods of one server, of all its Deployments, from all others.

    Like `deployment_labels` nothing that a user or a release changes: a Deployment's selector is
    fixed for life.
    """
    return {NAME_LABEL: engine.name.value, SERVER_LABEL: name}


def deployment_labels(name: str, engine: Engine) -> dict[str, str]:
    """What tells the pods of one Deployment from all others."""
    return {NAME_LABEL: engine.name.value, INSTANCE_LABEL: name}


def object_labels(
    name: str, engine: Engine, extra: Mapping[str, str], instance: str | None = None
) -> dict[str, str]:
    """Labels of every object of a server: the user's, Kubernetes' usual ones, and llm-d's.

    Gateways and dashboards of other projects select by the last.
    """
    return {
        **extra,
        "app.kubernetes.io/component": "inference-server",
        "app.kubernetes.io/managed-by": "pulumi",
        "llm-d.ai/engine-type": engine.name.value,
        "llm-d.ai/inference-serving": "true",
        **server_labels(name, engine),
        **deployment_labels(instance or name, engine),
    }
