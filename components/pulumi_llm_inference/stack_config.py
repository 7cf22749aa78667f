"""The configuration of the running stack, as its environment file has it."""

import json
from typing import Any

import pulumi
from pulumi.runtime.config import is_config_secret

from pulumi_llm_inference.spec.problems import Problem, SpecError


def stack_config() -> dict[str, Any]:
    """All values of the project, by their keys without the project's name.

    Read as a whole, because Pulumi's own getters would never see an unknown key.

    Raises:
        SpecError: if one is encrypted: what is made of it would show it in clear.
    """
    prefix = f"{pulumi.get_project()}:"
    values = pulumi.runtime.config.CONFIG.get()  # the only place that lists the keys
    mine = {key.removeprefix(prefix): key for key in values if key.startswith(prefix)}
    secrets = [
        Problem(
            name,
            "is encrypted, but would stand in clear in what is deployed",
            "put the secret into a Kubernetes Secret, and name that",
        )
        for name, key in mine.items()
        if is_config_secret(key)
    ]
    if secrets:
        raise SpecError(secrets)
    return {name: _decoded(values[key]) for name, key in mine.items()}


def _decoded(text: str) -> Any:
    """Lists and mappings come as JSON, everything else as text."""
    try:
        return json.loads(text) if text.startswith(("[", "{")) else text
    except json.JSONDecodeError:
        return text
