"""Pulumi projects and environments, read from their files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pulumi_llm_inference.spec.problems import Problem, SpecError, nearest


@dataclass(frozen=True)
class Project:
    """A Pulumi project."""

    folder: Path
    """Where Pulumi.yaml is."""
    name: str
    """Name of the project."""
    main: Path
    """Folder of the program."""
    environments: dict[str, Path]
    """Configuration file of each environment, by name."""
    defaults: dict[str, Any]
    """Values that environments have unless they say otherwise."""


def find_project(start: Path) -> Project:
    """The project that `start` lies in.

    Raises:
        SpecError: if no folder from `start` upward has a Pulumi.yaml.
    """
    for folder in (start, *start.parents):
        if (file := folder / "Pulumi.yaml").is_file():
            break
    else:
        raise SpecError(
            [Problem(str(start), "no Pulumi.yaml here or above", "go to the project's folder")],
            "the project",
        )
    settings = _load(file)
    if "name" not in settings:
        raise SpecError([Problem("Pulumi.yaml.name", "is missing", "add it")], "the project")
    configs = folder / settings.get("stackConfigDir", ".")
    return Project(
        folder=folder,
        name=settings["name"],
        main=folder / settings.get("main", "."),
        environments={
            path.stem.removeprefix("Pulumi."): path
            for path in sorted(configs.glob("Pulumi.*.yaml"))
        },
        defaults={
            _qualified(key, settings["name"]): declared["default"]
            for key, declared in settings.get("config", {}).items()
            if isinstance(declared, dict) and "default" in declared
        },
    )


@dataclass(frozen=True)
class EnvironmentConfig:
    """Configuration of a stack as the engine hands it to the program."""

    values: dict[str, str]
    """Text by full key; lists and mappings as JSON."""
    secret_keys: set[str]
    """Keys whose values are encrypted in the file; a preview has a placeholder for them."""


def environment_config(project: Project, environment: str) -> EnvironmentConfig:
    """Read an environment's file.

    Raises:
        SpecError: if there is no such environment, or its file is not YAML.
    """
    if environment not in project.environments:
        problem = Problem(
            environment, "there is no such environment", nearest(environment, project.environments)
        )
        raise SpecError([problem], "the environment")
    file = project.environments[environment]
    written = _load(file).get("config") or {}
    if not isinstance(written, dict):
        raise SpecError([Problem("config", "is not a mapping", "write 'key: value'")], file.name)
    values = project.defaults | {
        _qualified(str(key), project.name): value
        for key, value in written.items()
        if value is not None
    }
    return EnvironmentConfig(
        values={key: _text(value) for key, value in values.items()},
        secret_keys={key for key, value in values.items() if _is_encrypted(value)},
    )


def _load(file: Path) -> dict[str, Any]:
    """A YAML file that is a mapping."""
    problem = Problem(file.name, "is not a mapping", "write 'key: value' lines")
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f"line {where.line + 1}, column {where.column + 1}: " if where else ""
        problem = Problem(file.name, f"is not YAML: {place}{error.problem or error.context}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = Problem(file.name, f"is not YAML in UTF-8: {error}")
    else:
        if content is None or isinstance(content, dict):
            return content or {}
    raise SpecError([problem], file.name)


def _qualified(key: str, project: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _is_encrypted(value: Any) -> bool:
    """Whether a value is encrypted, or has a part that is, as `config set --secret` writes it."""
    if isinstance(value, dict):
        return list(value) == ["secure"] or any(map(_is_encrypted, value.values()))
    return isinstance(value, list) and any(map(_is_encrypted, value))


def _text(value: Any) -> str:
    if _is_encrypted(value):
        return "secret"
    return value if isinstance(value, str) else json.dumps(value, default=str)
