"""A Pulumi stack of this project, run by the real engine on a real cluster."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from control_plane import ControlPlane
from tests.support import ROOT

LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}
"""127.0.0.1, ::1 and the first again as IPv6, as /proc writes them."""


@dataclass(frozen=True)
class Stack:
    """One environment on a control plane, with its state in a folder of its own."""

    plane: ControlPlane
    folder: Path
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """What commands get beside the plane's own."""
    project: Path = ROOT
    """Folder of the Pulumi project."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.plane.environment,
            **self.variables,
            "PULUMI_BACKEND_URL": f"file://{self.folder}",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_OPTION_CONFIG_FILE": str(self.config),
        }

    @property
    def config(self) -> Path:
        """The stack's configuration, beside its state."""
        return self.folder / f"config-{self.name}.yaml"

    def configure(self, config: Mapping[str, Any]) -> None:
        """Make the stack, or give it another configuration."""
        new = not self.config.exists()
        name = yaml.safe_load((self.project / "Pulumi.yaml").read_text())["name"]
        values = {key if ":" in key else f"{name}:{key}": value for key, value in config.items()}
        self.config.write_text(yaml.safe_dump({"config": values}))
        if new:
            # Made in a project of the same name: `stack init` writes beside its Pulumi.yaml.
            project = self.folder / "Pulumi.yaml"
            project.write_text(f"name: {name}\nruntime: python\n")
            self.pulumi("stack", "init", self.name, cwd=self.folder, stack=False)

    def pulumi(
        self, *arguments: str, cwd: Path | None = None, stack: bool = True, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the CLI; `check` shows its output where it fails."""
        done = subprocess.run(
            self._command(arguments, stack),
            cwd=cwd or self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments, check=check)

    def up_killed_when(self, moment: Callable[[], bool]) -> None:
        """Start an update and kill the engine, and all that it started, at a moment of it."""
        process = subprocess.Popen(
            self._command(("up", "--yes", "--skip-preview"), stack=True),
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(moment, seconds=60)
            assert process.poll() is None, "the update ended before it could be killed"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def unlock(self) -> None:
        """Let go of the lock that a test leaves which ran out of time."""
        self.pulumi("cancel", "--yes", check=False)

    def destroy(self) -> None:
        self.pulumi("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[str]:
        """Types of what the state holds, the stack itself and providers left out."""
        state = json.loads(self.pulumi("stack", "export").stdout)
        types = [item["type"] for item in state["deployment"].get("resources", [])]
        return [name for name in types if not name.startswith("pulumi:")]

    def _command(self, arguments: tuple[str, ...], stack: bool) -> list[str]:
        chosen = ["--stack", self.name] if stack else []
        return ["pulumi", *arguments, *chosen, "--non-interactive", "--color", "never"]


def objects(plane: ControlPlane, *arguments: str) -> list[dict[str, Any]]:
    """What `kubectl get` finds."""
    return json.loads(plane.kubectl("get", *arguments, "--output=json"))["items"]


def replicas(plane: ControlPlane, name: str = "vllm-inference") -> int:
    """Replicas that a Deployment is asked to have."""
    return int(
        plane.kubectl("get", "deployment", name, "--output=jsonpath={.spec.replicas}").strip()
    )


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    """Wait for something to become true; fail if it does not."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.25)


def stays(holds: Callable[[], bool], seconds: float) -> None:
    """Fail if something stops being true within a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds()
        time.sleep(0.5)


def addresses(pids: set[int]) -> list[str]:
    """Addresses on which processes listen, as /proc writes them."""
    sockets: set[str] = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [
        row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    ]
