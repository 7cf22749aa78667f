"""The local control plane mends itself."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import processes
from control_plane import ControlPlane
from processes import StartError

CONTROLLER = "kube-controller-manager"


def controllers(plane: ControlPlane) -> set[int]:
    """Process numbers of the controller manager."""
    found: set[int] = set()
    for pid, _ in processes.running(plane.folder):
        with suppress(OSError):
            if Path(f"/proc/{pid}/exe").resolve().name == CONTROLLER:
                found.add(pid)
    return found


def test_a_controller_manager_that_gave_up_is_started_again(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine it ends after kwokctl has returned, and no Deployment makes pods."""
    wait = processes.wait
    killed: list[int] = []

    def killing(what: str, *arguments: Any) -> None:
        if what == "controller-manager":
            killed.extend(controllers(plane))
            [one] = killed
            os.kill(one, signal.SIGKILL)
        wait(what, *arguments)

    monkeypatch.setattr(processes, "wait", killing)
    with suppress(StartError):
        plane.start()
    assert len(controllers(plane) - set(killed)) == 1
