"""What the README promises, typed as a user types it: `make`, then plain kubectl and pulumi.

It all happens in a copy of the checkout, so that nobody's `.local` is touched.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import processes
import programs
from control_plane import ControlPlane
from tests.e2e.stack import LOOPBACK, addresses, objects, wait_until
from tests.support import ROOT

STEERING = (
    *("CONTEXT", "HPA_SYNC", "KUBE", "KWOK_", "STACK"),
    *("GIT_", "MAKE", "MFLAGS", "PULUMI_"),
)
"""How variables begin that would change what make, git or the programs do."""
TRIAL = "stacks/environments/Pulumi.trial.yaml"


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout and the variables of its user."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def local(self) -> Path:
        return self.folder / ".local"

    def run(self, *command: str, code: int = 0, **variables: str) -> str:
        """Run a command, which must end with `code`; return all it says, on one line."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        return " ".join(done.stdout.split())

    def make(self, *arguments: str, code: int = 0, **variables: str) -> str:
        return self.run("make", *arguments, code=code, **variables)

    def status(self) -> dict[str, Any]:
        return json.loads(self.run(".venv/bin/python", "tools/local.py", "status", "--json"))

    def changed(self) -> str:
        """What git sees beside what is committed."""
        return self.run("git", "status", "--porcelain")

    def running(self) -> set[int]:
        """Processes with our mark."""
        return {pid for pid, _ in processes.running(self.local)}

    def mentioned(self) -> dict[int, str]:
        """Processes that have to do with the folder, marked or not."""
        found: dict[int, str] = {}
        for pid in _pids():
            with suppress(OSError):
                about = Path(f"/proc/{pid}")
                command = (about / "cmdline").read_bytes()
                if os.fsencode(self.folder) in command + (about / "environ").read_bytes():
                    found[pid] = command.decode(errors="replace")
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy that shares packages and programs with this checkout; stopped in the end."""
    folder = tmp_path_factory.mktemp("checkout")
    wanted = ("--cached", "--others", "--exclude-standard", "-z")
    listed = subprocess.check_output(("git", "ls-files", *wanted), cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Folders of its own, because `.venv/` and `.tools/` in .gitignore match no symbolic link, and
    # make must not install anything into ours.
    for shared in (".venv", ".tools/bin"):
        (folder / shared).mkdir(parents=True)
        for entry in (ROOT / shared).iterdir():
            if entry.name not in {"installed", "installed-dev", "prometheus-adapter", "pulumi"}:
                (folder / shared / entry.name).symlink_to(entry)
    (folder / ".venv" / "installed").touch()
    home = tmp_path_factory.mktemp("home")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(STEERING)}
    made = Checkout(folder, {**environment, "HOME": str(home), "HPA_SYNC": "5s"})
    made.run("git", "init", "--quiet")
    made.run("git", "add", ".")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    made.run("git", *author, "commit", "--quiet", "--message=copy")
    yield made
    made.make("down")
    # The Makefile's first line.
    assert not list(home.iterdir()), "a run wrote into the home folder"


@pytest.fixture(scope="module")
def with_pulumi(checkout: Checkout) -> Checkout:
    if shutil.which("pulumi") is None:
        assert not os.environ.get("CI"), "pulumi is not on PATH"
        pytest.skip("pulumi is not on PATH")
    return checkout


@pytest.fixture(scope="module")
def up(with_pulumi: Checkout) -> str:
    """What the first `make up` says."""
    return with_pulumi.make("up", HPA_SYNC="15s")  # as it is for a user


@pytest.fixture
def stopped(checkout: Checkout) -> Iterator[Checkout]:
    """The copy, in which nothing runs yet; nor later."""
    checkout.make("down")
    yield checkout
    checkout.make("down")


@pytest.fixture
def trial(with_pulumi: Checkout, stopped: Checkout) -> Iterator[Checkout]:
    """The same for a user who has chosen an environment that the test writes."""
    chosen = replace(stopped, environment={**stopped.environment, "STACK": "trial"})
    yield chosen
    chosen.make("down")
    (chosen.folder / TRIAL).unlink(missing_ok=True)


def test_up_shows_what_runs_and_what_to_try(checkout: Checkout, up: str) -> None:
    for shown in ("l4-4", "default/vllm-inference-", "Running", "2 to 20", "make load WAITING=40"):
        assert shown in up
    assert "<unknown>" not in up
    assert "2 to 20" in checkout.make("status")
    status = checkout.status()
    autoscaler = status["autoscalers"][0]
    assert sum(node["gpus"] for node in status["nodes"]) == 20
    assert [pod["status"] for pod in status["pods"]] == ["Running"] * 2
    shown = [autoscaler[key] for key in ("replicas", "minimum", "maximum", "current", "target")]
    assert shown == [2, 2, 20, "0", "5"]


def test_second_up_is_quick_and_changes_nothing(checkout: Checkout, up: str) -> None:
    before, started = checkout.running(), time.monotonic()
    said = checkout.make("up", HPA_SYNC="15s")
    assert time.monotonic() - started < 30
    assert "unchanged" in said
    assert not [word for word in ("created", "updated", "deleted") if word in said]
    assert before <= checkout.running()


def test_plain_kubectl_and_pulumi_work_and_no_tracked_file_changes(
    checkout: Checkout, up: str
) -> None:
    said = sourced(checkout, "kubectl get nodes && pulumi preview --expect-no-changes")
    assert "l4-0 Ready" in said
    assert "unchanged" in said
    assert not checkout.changed()


def test_everything_listens_on_the_loopback_only(checkout: Checkout, up: str) -> None:
    listening = addresses(checkout.running())
    assert len(listening) >= 8
    assert set(listening) <= LOOPBACK


def test_the_passphrase_is_private_and_nowhere_else(checkout: Checkout, up: str) -> None:
    passphrase = checkout.local / "passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o600
    secret = passphrase.read_bytes().strip()
    places = (checkout.local, checkout.folder / ".tools" / "pulumi")  # state and logs
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert [file for file in files if secret in file.read_bytes()] == [passphrase]


def test_load_multiplies_the_servers(checkout: Checkout, up: str) -> None:
    checkout.make("load", "WAITING=40")
    wait_until(lambda: checkout.status()["autoscalers"][0]["replicas"] > 2, 120)


def test_down_leaves_nothing(checkout: Checkout, up: str) -> None:
    assert checkout.running()
    for _ in range(2):
        checkout.make("down")
        assert not checkout.mentioned()
        assert not checkout.local.exists()
        assert not checkout.changed()


def test_up_goes_on_after_a_mistake_and_a_kill_but_not_beside_another(trial: Checkout) -> None:
    plane = ControlPlane(trial.local)
    right = (ROOT / "stacks/environments/Pulumi.local.yaml").read_text()

    (trial.folder / TRIAL).write_text(right.replace("pools: [l4]", "pools: [l40]"))
    said = trial.make("up", code=2)
    assert "models[0].pools[0]: there is no pool 'l40'" in said
    assert not plane.kubeconfig.exists()  # not even the control plane was started

    (trial.folder / TRIAL).write_text(right)
    with frozen(trial, "up", moment=lambda: has_nodes(plane)):
        assert "the stack is being updated by process" in trial.make("up", code=2)
    # Killed now: it holds a lock, and its state lacks what it was making.
    assert "2 to 20" in trial.make("up")
    sourced(trial, "pulumi preview --expect-no-changes")
    trial.make("load", "WAITING=1")


def has_nodes(plane: ControlPlane) -> bool:
    """Whether the cluster is there and has nodes."""
    try:
        return plane.kubeconfig.exists() and bool(objects(plane, "nodes"))
    except subprocess.CalledProcessError:  # its API server is still starting
        return False


def test_without_pulumi_kubectl_applies_the_manifests(stopped: Checkout) -> None:
    # Ours stands in for prometheus-adapter.
    [adapter] = programs.ensure(["queue-metrics-adapter"]).values()
    link = stopped.folder / ".tools" / "bin" / adapter.name
    if not link.exists():
        link.symlink_to(adapter)
    lacking = [
        folder
        for folder in stopped.environment["PATH"].split(os.pathsep)
        if not any(Path(folder, name).exists() for name in ("pulumi", "prometheus-adapter"))
    ]
    said = stopped.make(
        "up",
        PATH=os.pathsep.join(lacking),
        https_proxy="http://127.0.0.1:9",  # refuses: no machine can download Pulumi
        no_proxy="127.0.0.1,localhost",
    )
    assert "The Pulumi CLI cannot be had here: applying the manifests" in said
    assert "<unknown>" not in said
    autoscaler = stopped.status()["autoscalers"][0]
    assert (autoscaler["current"], autoscaler["replicas"]) == ("0", 2)
    commands = " ".join(stopped.mentioned().values())
    assert "queue-metrics-adapter" in commands
    assert "prometheus-adapter" not in commands
    stopped.make("down")
    assert not stopped.mentioned()
    assert not stopped.local.exists()


def test_an_unknown_environment_is_said(stopped: Checkout) -> None:
    said = stopped.make("up", "STACK=nope", code=2)
    assert "no environment 'nope'" in said
    assert "Set STACK to one of: local" in said
    assert not stopped.local.exists()


def test_an_unreachable_cluster_is_said_and_nothing_is_started(
    stopped: Checkout, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "nowhere.yaml"
    cluster = {"name": "nowhere", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "nowhere", "context": {"cluster": "nowhere", "user": ""}}
    config = {"clusters": [cluster], "contexts": [context], "current-context": "nowhere"}
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    said = stopped.make("up", code=2, KUBECONFIG=str(kubeconfig))
    assert "nowhere.yaml does not answer" in said
    assert "Set KUBECONFIG or CONTEXT to one that does" in said
    assert not stopped.mentioned()


def sourced(checkout: Checkout, script: str) -> str:
    """Run a script in a shell that has sourced `.local/env`."""
    return checkout.run("sh", "-ec", f". .local/env; {script}")


@contextmanager
def frozen(checkout: Checkout, *arguments: str, moment: Callable[[], bool]) -> Iterator[None]:
    """Hold a `make`, and all it runs in the foreground, still from a moment on; then kill it."""
    with subprocess.Popen(
        ("make", *arguments),
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as started:
        try:
            wait_until(moment, 120)
            assert started.poll() is None, "it ended before it could be held"
            _signal_session(started.pid, signal.SIGSTOP)
            yield
        finally:
            _signal_session(started.pid, signal.SIGKILL)


def _signal_session(leader: int, number: signal.Signals) -> None:
    """Signal a session's processes, also such as start meanwhile; those of ours in the background
    have sessions of their own."""
    for _ in range(2):
        for pid in _pids():
            with suppress(ProcessLookupError):
                if os.getsid(pid) == leader:
                    os.kill(pid, number)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
