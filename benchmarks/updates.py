"""Times `pulumi up` and the offline preview beside `kubectl apply` of the same objects, in one run.

Examples:
  python benchmarks/updates.py
  python benchmarks/updates.py --models 1 --models 10
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import print as show
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from control_plane import ControlPlane  # noqa: E402  found by the line above

_GPUS_PER_NODE = 16
_SKIP_CHECKPOINTS = {"PULUMI_EXPERIMENTAL": "1", "PULUMI_SKIP_CHECKPOINTS": "1"}


@dataclass(frozen=True)
class Measurement:
    """One command, measured from outside."""

    seconds: float
    """Wall time."""
    megabytes: float
    """Peak memory of the largest of its processes."""


@dataclass(frozen=True)
class Bench:
    """One size of environment on one control plane."""

    plane: ControlPlane
    folder: Path
    models: int

    def run(self) -> dict[str, Measurement]:
        """Measure everything, kubectl first; each deployment starts from an empty cluster."""
        self._write_project()
        results = {"offline preview": self._measure(self._preview)}
        results["kubectl apply and wait"] = self._measure(self._apply, self._wait)
        # Pods first: nobody ends those of a node that is gone.
        self._call(self._kubectl("delete", "deployments", "--all", "--cascade=foreground"))
        self._call(self._kubectl("delete", "--ignore-not-found", "--filename", self._manifests))
        self._call(self._pulumi("stack", "init", "bench"))
        results["pulumi up"] = self._measure(self._up)
        results["pulumi up, nothing to do"] = self._measure(self._up)
        self._empty()
        results["pulumi up, checkpoints skipped"] = self._measure(self._up, extra=_SKIP_CHECKPOINTS)
        self._empty()
        return results

    @property
    def _manifests(self) -> str:
        return str(self.folder / "preview" / "manifests")

    @property
    def _preview(self) -> list[str]:
        program = str(Path(sys.executable).with_name("llm-inference"))
        return [program, "preview", "bench", "--out", str(self.folder / "preview")]

    @property
    def _apply(self) -> list[str]:
        return self._kubectl("apply", "--server-side", "--filename", self._manifests)

    @property
    def _wait(self) -> list[str]:
        return self._kubectl(
            "wait", "deployment", "--all", "--for=condition=Available", "--timeout=300s"
        )

    @property
    def _up(self) -> list[str]:
        return self._pulumi("up", "--yes", "--skip-preview", "--stack", "bench")

    def _empty(self) -> None:
        """Take everything away again."""
        destroy = self._pulumi("destroy", "--yes", "--skip-preview", "--stack", "bench")
        self._call(destroy, _SKIP_CHECKPOINTS)
        self._wait_for_no_pods()

    def _wait_for_no_pods(self) -> None:
        while self.plane.kubectl("get", "pods", "--output=name").strip():
            time.sleep(0.5)

    def _kubectl(self, *arguments: str) -> list[str]:
        return ["kubectl", *arguments]

    def _pulumi(self, *arguments: str) -> list[str]:
        return ["pulumi", *arguments, "--non-interactive"]

    def _write_project(self) -> None:
        """A project beside ours with its program, whose only environment is the benchmark's."""
        settings = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        settings["main"] = str(ROOT / "stacks")
        settings["runtime"]["options"]["virtualenv"] = str(Path(sys.executable).parents[1])
        settings["stackConfigDir"] = "."
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
        config = {f"llm-inference:{key}": value for key, value in environment(self.models).items()}
        (self.folder / "Pulumi.bench.yaml").write_text(yaml.safe_dump({"config": config}))

    def _variables(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            **self.plane.environment,
            "PATH": os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{self.folder}",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **extra,
        }

    def _call(self, command: list[str], extra: Mapping[str, str] | None = None) -> float:
        """Run a command to its end and return its peak memory in MB."""
        with (self.folder / "output.txt").open("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._variables(extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                sys.exit(f"{' '.join(command)} failed:\n{output.read()}")
        return usage.ru_maxrss / 1024

    def _measure(self, *commands: list[str], extra: Mapping[str, str] | None = None) -> Measurement:
        started = time.monotonic()
        peaks = [self._call(command, extra) for command in commands]
        return Measurement(time.monotonic() - started, max(peaks))


def environment(models: int) -> dict[str, Any]:
    """An environment of that many autoscaled models, with room for all."""
    return {
        "cloud": "local",
        "pools": [
            {
                "name": "l4",
                "accelerator": "nvidia-l4",
                "gpusPerNode": _GPUS_PER_NODE,
                "maxNodes": -(-models * 2 // _GPUS_PER_NODE),
            }
        ],
        "models": [
            {
                "name": f"model-{index}",
                "model": "meta-llama/Llama-3.1-8B-Instruct",
                "pools": ["l4"],
                "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targets": {"queueSize": 5}},
            }
            for index in range(models)
        ],
    }


def main(
    models: Annotated[list[int] | None, typer.Option(help="Sizes of the environment.")] = None,
) -> None:
    """Time updates of environments of 1, 10 and 100 models."""
    if shutil.which("pulumi") is None:
        sys.exit("pulumi is not on PATH: `. .local/env` after `make up`, or install it")
    folder = Path(tempfile.mkdtemp(prefix="llm-inference-bench-"))
    try:
        with ControlPlane(folder / "plane") as plane:
            for size in models or [1, 10, 100]:
                place = folder / str(size)
                place.mkdir()
                show(_table(size, Bench(plane, place, size).run()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _table(models: int, results: Mapping[str, Measurement]) -> Table:
    base = results["kubectl apply and wait"].seconds
    table = Table(
        "what", "seconds", "ratio to kubectl", "largest process, MB", title=f"{models} models"
    )
    for name, found in results.items():
        ratio = f"{found.seconds / base:.2f}"
        table.add_row(name, f"{found.seconds:.1f}", ratio, f"{found.megabytes:.0f}")
    return table


if __name__ == "__main__":
    typer.run(main)
