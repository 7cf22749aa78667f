"""Previews that several tests look at, each made once."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pulumi_llm_inference.preview.recorder import Resource
from tests.environments import (
    CLOUDS,
    cloud_config,
    engines_config,
    managed_config,
    rich_config,
)
from tests.support import Recording, cli, preview_of


@dataclass(frozen=True)
class WrittenPreview:
    """`llm-inference preview local --out FOLDER`."""

    recording: Recording
    folder: Path
    terminal: str
    seconds: float


@pytest.fixture(scope="session")
def local_preview(tmp_path_factory: pytest.TempPathFactory) -> WrittenPreview:
    folder = tmp_path_factory.mktemp("local")
    started = time.monotonic()
    done = cli("preview", "local", "--out", str(folder), env={"PYTHONHASHSEED": "1"})
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    records = json.loads((folder / "resources.json").read_text())
    recording = Recording([Resource(**record) for record in records])
    return WrittenPreview(recording, folder, done.stdout, seconds)


@pytest.fixture(scope="session")
def local(local_preview: WrittenPreview) -> Recording:
    """The environment `local`."""
    return local_preview.recording


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """An environment that uses every option."""
    return preview_of(tmp_path_factory.mktemp("rich"), rich_config())


@pytest.fixture(scope="session")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The same on Kubernetes 1.35, with options that older versions do not have."""
    config = rich_config(kubernetes_version="1.35", tolerance=0.05)
    return preview_of(tmp_path_factory.mktemp("tolerant"), config)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Every engine in every variant."""
    return preview_of(tmp_path_factory.mktemp("engines"), engines_config())


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """The production environment of each cloud, and one whose Prometheus is the cloud's."""
    configs = {cloud: cloud_config(cloud) for cloud in CLOUDS}
    configs["managed"] = managed_config()
    return {name: preview_of(tmp_path_factory.mktemp(name), configs[name]) for name in configs}
