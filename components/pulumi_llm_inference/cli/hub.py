"""Reads a model's `config.json` from the Hugging Face Hub, for commands that are told to."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pulumi_llm_inference.spec.problems import quoted

DEADLINE_SECONDS = 8.0
"""How long the Hub may take before the cache must do. Offline, huggingface_hub 2.4 itself looks
there after 23 s only."""

_FILE = "config.json"

_QUIET = {"HF_HUB_VERBOSITY": "critical", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""It would tell of every retry. Read when it is imported."""

_INSTALL = "--hub needs huggingface_hub: pip install 'pulumi-llm-inference[hub]'"

_UNREACHABLE = (
    "the Hub at {endpoint} cannot be reached: check the network, name a mirror in HF_ENDPOINT, or "
    "give a config.json that you have"
)

_SAID: Mapping[str, str] = {
    "GatedRepoError": "it is gated: accept its terms on its page, and set HF_TOKEN to a token that "
    "may read it",
    "RepositoryNotFoundError": "there is no such model on {endpoint}, or it is private and "
    "HF_TOKEN is not set to a token that may read it",
    "LocalEntryNotFoundError": _UNREACHABLE,
    "EntryNotFoundError": "it has no config.json: its weights may be in another format, e.g. GGUF",
    "HFValidationError": "this is no Hugging Face id, which looks like 'owner/name'",
    "JSONDecodeError": "its config.json is not JSON",
    "TimeoutError": _UNREACHABLE,
    "HfHubHTTPError": "the Hub at {endpoint} refused",
}
"""What to say of an error by the names of its classes, the most special first."""


class HubError(Exception):
    """A configuration could not be read from the Hub."""


def config(model: str) -> Mapping[str, Any]:
    """The `config.json` of a model on the Hub, from the cache if it is the newest.

    The token is that of `HF_TOKEN`, never one that was stored at a login.

    Raises:
        HubError: with what to do.
    """
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]  an extra
    except ImportError:
        raise HubError(_INSTALL) from None
    try:
        return json.loads(Path(_path(huggingface_hub, model)).read_text("utf-8"))
    except Exception as error:
        raise HubError(f"{quoted(model)}: {_said(error)}") from None


def _path(huggingface_hub: Any, model: str) -> str:
    """Where the file is once it is here: of the Hub in time, or else of the cache."""
    path = _within(DEADLINE_SECONDS, huggingface_hub.hf_hub_download, model)
    path = path or huggingface_hub.try_to_load_from_cache(model, _FILE)
    if not isinstance(path, str):
        raise TimeoutError
    return path


def _said(error: Exception) -> str:
    """One sentence about an error, without its text, which may hold what a request held."""
    names = [kind.__name__ for kind in type(error).__mro__]
    text = next((_SAID[name] for name in names if name in _SAID), "it cannot be read ({kind})")
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return text.format(endpoint=endpoint, kind=names[0])


def _within(seconds: float, download: Callable[..., str], model: str) -> str | None:
    """Path of the file, None if it does not come in time; what is late ends with the program."""
    found: list[str | Exception] = []

    def read() -> None:
        token = os.environ.get("HF_TOKEN") or False
        try:
            found.append(download(model, _FILE, token=token, etag_timeout=5))
        except Exception as error:  # raised again below
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(seconds)
    [result] = found or [None]
    if isinstance(result, Exception):
        raise result
    return result
