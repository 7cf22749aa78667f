"""A stack outside the repository, which installs the package and uses two of its parts."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane
from tests.clouds.cloud import SimulatedCloud
from tests.e2e.stack import Stack, objects, wait_until
from tests.support import ROOT


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack's folder, with the package installed by pip into its own environment."""
    folder = tmp_path_factory.mktemp("outside") / "project"
    shutil.copytree(ROOT / "tests" / "outside", folder)
    # A copy, or the build would leave its files in the checkout.
    source = folder.parent / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "tests", "tools")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pins = [
        f"--constraint={ROOT / name}" for name in ("requirements.txt", "requirements-clouds.txt")
    ]
    pip = (folder / "venv/bin/python", "-m", "pip", "install", "--quiet")
    subprocess.run([*pip, "--disable-pip-version-check", *pins, f"{source}[gcp]"], check=True)
    return folder


@pytest.fixture
def stack(plane: ControlPlane, tmp_path: Path, project: Path) -> Iterator[tuple[Stack, Path]]:
    with SimulatedCloud(plane, tmp_path / "cloud") as cloud:
        where = {"name": "theirs", "location": "us-central1", "project": "my-project"}
        path = "projects/my-project/locations/us-central1/clusters/theirs"
        versions = {"masterVersion": "1.36.3-gke.1000"}
        cloud.given("gcp:container/cluster:Cluster", path, **where, **versions)
        made = Stack(plane, tmp_path, "test", cloud.environment, project)
        yield made, project
        made.destroy()
        assert [record.id for record in cloud.resources()] == [path]


def test_it_runs_what_it_imports(plane: ControlPlane, stack: tuple[Stack, Path]) -> None:
    outside, _ = stack
    kubeconfig = plane.kubeconfig.read_text()
    outside.configure({"gcp:project": "my-project", "outside:kubeconfig": kubeconfig})
    outside.up()

    def running() -> bool:
        [pod] = objects(plane, "pods")
        return pod["status"]["phase"] == "Running"

    wait_until(running, 60)
    outputs = json.loads(outside.pulumi("stack", "output", "--json").stdout)
    assert outputs == {"accelerator": "nvidia-l4", "url": "http://chat.default.svc:8000"}
    outside.up("--expect-no-changes")


def test_its_editor_knows_the_types(project: Path) -> None:
    def complaints() -> str:
        command = ("pyright", "--pythonpath", project / "venv/bin/python", "__main__.py")
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        return done.stdout

    assert "0 errors" in complaints()
    program = project / "__main__.py"
    right = program.read_text()
    program.write_text(right.replace("max_nodes=2", 'max_nodes="two"').replace("model=", "modell="))
    try:
        said = complaints()
    finally:
        program.write_text(right)
    assert '"Literal[\'two\']" is not assignable to "int"' in said.replace("\n", " ")
    assert 'No parameter named "modell"' in said
