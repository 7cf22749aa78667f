"""One control plane for all end-to-end tests, and a stack for each."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane
from tests.e2e.stack import Stack, objects


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that reacts within seconds."""
    folder = tmp_path_factory.mktemp("plane")
    with ControlPlane(folder, hpa_sync="2s", scrape="1s", keda=True) as started:
        yield started


@pytest.fixture
def stack(plane: ControlPlane, tmp_path: Path) -> Iterator[Stack]:
    """A stack that is destroyed after the test, and leaves nothing behind."""
    if shutil.which("pulumi") is None:
        # A machine without the engine can test all but this; CI must have it.
        assert not os.environ.get("CI"), "pulumi is not on PATH"
        pytest.skip("pulumi is not on PATH")
    plane.load(waiting=0)
    made = Stack(plane, tmp_path, "test")
    yield made
    made.unlock()
    made.destroy()
    # What took hours to compile is kept, whatever becomes of the stack that has it.
    plane.kubectl("delete", "persistentvolumeclaims", "--all")
    kinds = (
        "deployments,pods,jobs,services,serviceaccounts,configmaps,pvc,hpa,scaledobjects,"
        "servicemonitors,pdb,nodes"
    )
    left = {item["metadata"]["name"] for item in objects(plane, kinds)}
    # The API server's own Service, account and certificate.
    assert left <= {"kubernetes", "default", "kube-root-ca.crt"}
