"""Problems in what a user wrote: every one at once, each with its path, the value and the cure."""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")
_LONGEST_VALUE = 60
_MOST_LISTED = 40

_SECRETS: Mapping[str, tuple[str, str]] = {
    "SecretKey": ("key", "{name: SECRET, key: KEY}"),
    "HuggingFaceToken": ("token", "{name: SECRET}"),
}
"""What stands in a Secret, and how it is named, by the class of the fields that name one."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where it is, and what to do about it."""

    path: str
    """Where it stands, as the user wrote it: `models[1].pools[0]`."""
    message: str
    """What is wrong, with the offending value."""
    cure: str = ""
    """What to do about it."""
    warning: bool = False
    """Whether it can be deployed all the same."""

    def __str__(self) -> str:
        """The problem as one line, without any token that it is about."""
        cure = f" ({self.cure})" if self.cure else ""
        return _TOKEN.sub("hf_…", f"{self.path}: {self.message}{cure}")


class SpecError(ValueError):
    """What a user wrote cannot be used; `problems` has every reason found."""

    def __init__(self, problems: Iterable[Problem], subject: str = "the configuration") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{subject} has {count} problem{'s' if count > 1 else ''}; nothing was deployed"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


def quoted(value: object) -> str:
    """The value as an error message shows it: short, and without any token in it."""
    text = _TOKEN.sub("hf_…", repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def nearest(name: str, names: Iterable[str]) -> str:
    """A cure that names the closest of `names` to a misspelt `name`, and all if they are few."""
    known = sorted(names)
    hints = [f"did you mean '{close}'?" for close in _closest(name, known)]
    if len(known) <= _MOST_LISTED:
        hints.append(f"known: {', '.join(known) or 'none'}")
    return " ".join(hints)


def _closest(name: str, known: Sequence[str]) -> Sequence[str]:
    """At most one of `known`: the shortest that has all of `name` in it, or else one much like it.

    Other letters and more or fewer digits are another name, no slip: a V100 is no A10.
    """
    if len(name) > 1 and (longer := [one for one in known if name.lower() in one.lower()]):
        return [min(longer, key=len)]
    close = difflib.get_close_matches(name, known, n=1)
    letters, digits = _letters(name), len(name) - len(_letters(name))
    return [
        one for one in close if _letters(one) == letters or len(one) - len(_letters(one)) == digits
    ]


def _letters(name: str) -> str:
    """What is no digit."""
    return "".join(sign for sign in name if not sign.isdigit())


def path_of(location: Iterable[str | int], start: str = "") -> str:
    """Join the steps to a value as a user would write them: `pools[0].gpusPerNode`."""
    path = start
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


def parse(model: type[Model], value: object, path: str = "") -> Model:
    """Read `value` as `model`.

    Raises:
        SpecError: with every problem of shape: unknown keys, wrong types, values out of range,
            tokens in clear.
    """
    try:
        parsed = model.model_validate(value)
    except ValidationError as error:
        raise shape_error(model, error, value, path) from None
    if tokens := list(literal_tokens(value, path)):
        raise SpecError(tokens, path or "the configuration")
    return parsed


def shape_error(
    model: type[BaseModel], error: ValidationError, value: object, path: str = ""
) -> SpecError:
    """All that is wrong with the shape of `value`, in the words of the one who wrote it."""
    # The last problem wins at a path: a field that takes a plain value or an Output gives one for
    # each, the plain value's first; and of a token it matters only that it is one.
    problems = [_problem(model, details, path) for details in error.errors(include_url=False)]
    at_path = {problem.path: problem for problem in reversed(problems)}
    at_path |= {problem.path: problem for problem in literal_tokens(value, path)}
    return SpecError(
        sorted(at_path.values(), key=lambda problem: problem.path), path or "the configuration"
    )


def literal_tokens(value: object, path: str = "") -> Iterator[Problem]:
    """Find Hugging Face tokens in clear; whatever holds one ends in state, files and logs."""
    if isinstance(value, BaseModel):
        value = {f.alias or n: getattr(value, n) for n, f in type(value).model_fields.items()}
    if isinstance(value, str) and _TOKEN.search(value):
        yield Problem(
            path or "the configuration",
            "is a Hugging Face token in clear",
            "revoke it, put a new one in a Kubernetes Secret, and name that: "
            "'huggingFaceToken: {name: SECRET}'",
        )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            place = path_of([str(key)], path)
            yield from literal_tokens(str(key), place)
            yield from literal_tokens(item, place)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from literal_tokens(item, path_of([index], path))


def _problem(model: type[BaseModel], details: Mapping[str, Any], start: str) -> Problem:
    """Say one of pydantic's errors in the words of the one who wrote the value."""
    location, known = _known_steps(model, details["loc"])
    path = path_of(location, start) or model.__name__
    value = details["input"]
    match details["type"]:
        case "extra_forbidden":
            name = str(details["loc"][-1])
            return Problem(path, f"unknown key '{name}'", nearest(name, known))
        case "missing":
            return Problem(path, "is missing", "add it")
        case "model_type" if details["ctx"]["class_name"] in _SECRETS:
            # The value is what should have been in the Secret: it is not repeated.
            what, name = _SECRETS[details["ctx"]["class_name"]]
            return Problem(
                path,
                f"is {'text' if isinstance(value, str) else 'no mapping'}, and a {what} in clear "
                "ends in state and logs",
                f"put it in a Kubernetes Secret, and name that: '{location[-1]}: {name}'",
            )
        case "value_error":
            return Problem(path, f"{quoted(value)} {details['ctx']['error']}")
        case _:
            return Problem(path, f"{quoted(value)}: {details['msg']}")


def _known_steps(
    model: type[BaseModel], location: tuple[str | int, ...]
) -> tuple[list[str | int], list[str]]:
    """The steps of `location` that a user wrote, and the keys known where it ends.

    pydantic adds steps of its own, such as the branch of a union that it tried.
    """
    steps: list[str | int] = []
    fields: dict[str, Any] = {}
    here: Any = model
    for step in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {f.alias or n: f.annotation for n, f in here.model_fields.items()}
            steps.append(step)
            here = _bare(fields.get(str(step)))
        elif typing.get_origin(here) in (list, tuple, dict, Mapping):
            fields = {}
            steps.append(step)
            here = _bare(typing.get_args(here)[-1])
        else:
            break
    return steps, list(fields)


def _bare(annotation: Any) -> Any:
    """The annotation without `| None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for choice in typing.get_args(annotation):
            if choice is not type(None):
                return _bare(choice)
    return annotation
