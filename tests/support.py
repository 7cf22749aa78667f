"""Runs components, stack programs and the command line, and reads what they made."""

import asyncio
import contextlib
import contextvars
import copy
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pulumi.runtime.mocks import set_mocks
from pulumi.runtime.stack import run_pulumi_func
from typer.testing import CliRunner, Result

from pulumi_llm_inference.cli import app
from pulumi_llm_inference.preview.project import find_project
from pulumi_llm_inference.preview.recorder import Recorder, Resource
from pulumi_llm_inference.preview.run import preview
from pulumi_llm_inference.preview.write import Manifest, manifests

ROOT = Path(__file__).parents[1]
TOKEN = "hf_" + "abcdefghIJKLMNOP"
"""Looks like a Hugging Face token, and is none."""


@dataclass(frozen=True)
class Recording:
    """What a program asked the engine for."""

    resources: list[Resource]
    completed: set[str] = field(default_factory=set)
    """URNs of the components that registered their outputs."""
    warnings: list[str] = field(default_factory=list)

    def resource(self, kind: str, name: str | None = None) -> Resource:
        """The one resource of a kind, or the one object of that kind called `name`."""
        [found] = [
            resource
            for resource in self.resources
            if resource.type.endswith(f":{kind}")
            and (name is None or resource.inputs.get("metadata", {}).get("name") == name)
        ]
        return found

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """Inputs of `resource`."""
        return self.resource(kind, name).inputs

    def every(self, kind: str) -> list[dict[str, Any]]:
        """Inputs of all resources of a kind."""
        return [item.inputs for item in self.resources if item.type.endswith(f":{kind}")]

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pod templates by the name of what has the replicas; of groups, the leaders'."""
        return {
            **{i["metadata"]["name"]: i["spec"]["template"] for i in self.every("Deployment")},
            **{
                i["metadata"]["name"]: i["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
                for i in self.every("LeaderWorkerSet")
            },
        }

    def pod(self, name: str) -> dict[str, Any]:
        """Pod spec of the Deployment called `name`."""
        return self.pods()[name]["spec"]

    def container(self, name: str) -> dict[str, Any]:
        """The container of the Deployment called `name`."""
        [container] = self.pod(name)["containers"]
        return container

    def manifests(self) -> list[Manifest]:
        """The Kubernetes objects, as `kubectl apply` takes them; none may be left out."""
        found, left_out = manifests(self.resources)
        assert not left_out
        return found


class _Monitor(Recorder):
    """A recorder that also remembers which components said that they are complete."""

    def __init__(self) -> None:
        super().__init__()
        self.completed: set[str] = set()

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  gRPC's name
        self.completed.add(request.urn)
        return super().RegisterResourceOutputs(request)


def record(program: Callable[[], object]) -> Recording:
    """Run `program` as a stack of its own, sharing no state of Pulumi's with other runs."""
    return contextvars.Context().run(_record, program)


def _record(program: Callable[[], object]) -> Recording:
    def run() -> None:
        program()  # what it returns is not to be awaited

    monitor, said = _Monitor(), _Said()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    set_mocks(
        monitor.mocks,
        project="llm-inference",
        stack="test",
        preview=True,
        monitor=monitor,
        logger=said.logger,
    )
    try:
        loop.run_until_complete(run_pulumi_func(run))
    finally:
        loop.close()
    return Recording(monitor.recorded, monitor.completed, said.messages)


class _Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.logger = logging.Logger("recording")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def local_config() -> dict[str, Any]:
    """Configuration of the environment `local`, with keys that lack the project's name."""
    file = ROOT / "stacks/environments/Pulumi.local.yaml"
    written = yaml.safe_load(file.read_text())["config"]
    return without_project(written)


def without_project(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a configuration file by their keys without the project's name."""
    return {key.removeprefix("llm-inference:"): value for key, value in config.items()}


def changed(path: str, value: object, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A configuration, that of `local` by default, with the value at `models.0.gpus` replaced."""
    result = copy.deepcopy(dict(local_config() if config is None else config))
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    here: Any = result
    for step in steps:
        here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
    here[last] = value
    return result


def write_environment(folder: Path, config: Mapping[str, Any], name: str = "test") -> Path:
    """Make a copy of the project in `folder` with one more environment."""
    if not (folder / "Pulumi.yaml").exists():
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        shutil.copytree(
            ROOT / "stacks", folder / "stacks", ignore=shutil.ignore_patterns("__pycache__")
        )
    written = {f"llm-inference:{key}": value for key, value in config.items()}
    file = folder / f"stacks/environments/Pulumi.{name}.yaml"
    file.write_text(yaml.safe_dump({"config": written}))
    return folder


def preview_of(folder: Path, config: Mapping[str, Any]) -> Recording:
    """Run the project's stack program for a configuration, in this process."""
    project = find_project(write_environment(folder, config))
    with _without_modules_of(project.main):
        result = contextvars.Context().run(preview, project, "test")
    return Recording(result.resources, warnings=result.warnings)


@contextlib.contextmanager
def _without_modules_of(folder: Path) -> Iterator[None]:
    """Import the modules in `folder` anew, whatever else goes by their names here."""
    names = [file.stem for file in folder.glob("[a-z]*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def cli(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `llm-inference` as a user does, with a wide terminal and without colors."""
    program = Path(sys.executable).with_name("llm-inference")
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cli_here(*arguments: str, cwd: Path = ROOT) -> Result:
    """The same in this process: quicker, and an exception would be seen as such."""
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    with contextlib.chdir(cwd), _without_modules_of(cwd / "stacks"):
        return contextvars.Context().run(runner.invoke, app, arguments)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes matches these labels."""
    if not all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", "the only operator that is used"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def flag_values(arguments: list[str]) -> dict[str, str]:
    """Values of `--flag value` pairs."""
    return {
        flag: value
        for flag, value in zip(arguments, [*arguments[1:], ""], strict=True)
        if flag.startswith("--")
    }
