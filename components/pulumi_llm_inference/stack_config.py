"""The configuration of the running stack, as its environment file has it."""

import json
from typing import Any

import pulumi


def stack_config() -> dict[str, Any]:
    """All values of the project, by their keys without the project's name.

    Read as a whole, because Pulumi's own getters would never see an unknown key.
    """
    prefix = f"{pulumi.get_project()}:"
    values = pulumi.runtime.config.CONFIG.get()  # the only place that lists the keys
    return {
        key.removeprefix(prefix): _decoded(text)
        for key, text in values.items()
        if key.startswith(prefix)
    }


def _decoded(text: str) -> Any:
    """Lists and mappings come as JSON, everything else as text."""
    try:
        return json.loads(text) if text.startswith(("[", "{")) else text
    except json.JSONDecodeError:
        return text
