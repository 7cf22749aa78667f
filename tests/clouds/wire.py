"""Values as the engine sends them: unknowns in previews, secrets, integers as floats.

The signatures are those of pulumi/pulumi sdk/python/lib/pulumi/runtime/rpc.py.
"""

from typing import Any, Final

from google.protobuf import json_format, struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key of a map that stands for something else: a secret or an output value, see WRAPPERS."""
WRAPPERS = ("1b47061264138c4ac30d75fd1eb44270", "d0e6a833031e9bbcd3f4e8bde6ca49a4")
UNKNOWN_VALUES = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # a string, and what the Python SDK always sends
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # an array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    }
)


class Unknown:
    """A value that a preview does not have yet."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()


def decode(value: Any) -> Any:
    """Return a plain value: secrets bared, unknowns as UNKNOWN, 8.0 as 8."""
    made = value
    match value:
        case struct_pb2.Struct():
            made = decode(json_format.MessageToDict(value))
        case dict() if value.get(SIGNATURE) in WRAPPERS:
            made = decode(value["value"]) if "value" in value else UNKNOWN
        case dict():
            made = {key: decode(item) for key, item in value.items()}
        case list():
            made = [decode(item) for item in value]
        case str() if value in UNKNOWN_VALUES:
            made = UNKNOWN
        case float() if value.is_integer():
            made = int(value)
    return made


def encode(value: dict[str, Any]) -> struct_pb2.Struct:
    """Return a message that holds the value."""
    return json_format.ParseDict(_encoded(value), struct_pb2.Struct())


def _encoded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _encoded(item) for key, item in value.items()}
        case list() | tuple():
            return [_encoded(item) for item in value]
        case Unknown():
            return "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    return value


def has_unknown(value: Any) -> bool:
    """Tell whether a value is not wholly known."""
    match value:
        case dict():
            return any(has_unknown(item) for item in value.values())
        case list():
            return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def known(value: Any) -> Any:
    """Return a value without what is unknown in it."""
    match value:
        case dict():
            return {key: known(item) for key, item in value.items() if item is not UNKNOWN}
        case list():
            return [known(item) for item in value if item is not UNKNOWN]
    return value


def at(value: Any, path: str) -> Any:
    """Return what is at a dotted path, or None; unknown if something on the way is."""
    for part in path.split("."):
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = (value or {}).get(part)
    return value
