"""Runs a stack program against the recorder."""

import asyncio
import contextlib
import logging
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi.runtime.mocks import set_mocks
from pulumi.runtime.stack import run_pulumi_func

from pulumi_llm_inference.preview.project import Project, environment_config
from pulumi_llm_inference.preview.recorder import Recorder, Resource


@dataclass(frozen=True)
class Preview:
    """What a stack program asks for in one environment."""

    environment: str
    """Name of the environment."""
    resources: list[Resource]
    """What it would make, by URN."""
    warnings: list[str]
    """What the program said of it."""


def preview(project: Project, environment: str) -> Preview:
    """Run the program of `project` for `environment`, once in a process.

    Raises:
        pulumi.RunError: what the program found wrong.
        SpecError: if the environment's file cannot be read.
    """
    config = environment_config(project, environment)
    recorder, said = Recorder(), _Warnings()
    # The SDK keeps futures of the loop that it meets first, so it must be the one that runs.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    set_mocks(
        recorder.mocks,
        project=project.name,
        stack=environment,
        preview=True,
        logger=said.logger(),
        monitor=recorder,
    )
    pulumi.runtime.set_all_config(config.values, list(config.secret_keys))
    with _inside(project.main), contextlib.closing(loop):
        loop.run_until_complete(run_pulumi_func(lambda: _run_program(project.main / "__main__.py")))
    resources = sorted(recorder.recorded, key=lambda resource: resource.urn)
    return Preview(environment, resources, said.messages)


def _run_program(file: Path) -> None:
    runpy.run_path(str(file), run_name="__main__")


class _Warnings(logging.Handler):
    """Keeps the warnings that a program logs through Pulumi."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def logger(self) -> logging.Logger:
        logger = logging.Logger("pulumi-preview", logging.WARNING)
        logger.addHandler(self)
        return logger


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Be where the engine runs a program: in its folder, with its modules importable."""
    sys.path.insert(0, str(folder))
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        sys.path.remove(str(folder))
