"""Local use keeps to its folder and to one target at a time."""

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

import workspace
from workspace import Target, Workspace, WorkspaceError


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tracked environment `local`."""
    folder = tmp_path / "environments"
    folder.mkdir()
    file = folder / "Pulumi.local.yaml"
    file.write_text("config:\n  llm-inference:cloud: local # as in the guide\n")
    monkeypatch.setattr(workspace, "ENVIRONMENTS", folder)
    return file


def make(tmp_path: Path, target: Target | None = None) -> Workspace:
    return Workspace(target or Target("local"), folder=tmp_path / "it's local")


@pytest.mark.parametrize(
    ("kinds", "started"),
    [
        (set(), (False, False)),
        ({"ScaledObject"}, (True, False)),
        ({"LeaderWorkerSet"}, (False, True)),
    ],
)
def test_controllers_run_where_there_is_something_to_do(
    kinds: set[str],
    started: tuple[bool, bool],
    tmp_path: Path,
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        workspace.ControlPlane, "start", lambda plane: seen.append((plane.keda, plane.lws))
    )
    make(tmp_path).start(kinds)
    assert seen == [started]


def test_the_tracked_environment_is_copied_and_its_salt_kept(
    tmp_path: Path, environment: Path
) -> None:
    tracked = environment.read_text()
    made = make(tmp_path)
    made.prepare()
    copy = made.folder / "Pulumi.local.yaml"
    assert copy.read_text() == tracked
    copy.write_text(f"{tracked}encryptionsalt: v1:abc=:v1:def\n")
    environment.write_text(tracked.replace("cloud: local #", "namespace: other #"))
    made.prepare()
    assert yaml.safe_load(copy.read_text()) == {
        "config": {"llm-inference:namespace": "other"},
        "encryptionsalt": "v1:abc=:v1:def",
    }


def test_a_clouds_environment_is_not_deployed_here(tmp_path: Path, environment: Path) -> None:
    environment.write_text("config:\n  llm-inference:cloud: gke\n")
    with pytest.raises(WorkspaceError, match="runs on gke: make deploy STACK=local"):
        make(tmp_path).prepare()


def test_secrets_are_their_owners_only_and_the_passphrase_stays(
    tmp_path: Path, environment: Path
) -> None:
    made = make(tmp_path)
    made.prepare()
    passphrase = made.folder / "passphrase"
    before = passphrase.read_text()
    made.prepare()
    assert passphrase.read_text() == before
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700


def test_the_file_to_source_works_in_a_plain_shell(tmp_path: Path, environment: Path) -> None:
    made = make(tmp_path)
    made.prepare()
    script = '. "$0" && printf "%s\\n" "$KUBECONFIG" "$PULUMI_BACKEND_URL" "$PATH"'
    done = subprocess.run(
        ["sh", "-c", script, made.folder / "env"],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    kubeconfig, backend, path = done.stdout.splitlines()
    assert kubeconfig == str(made.folder / "kubeconfig.yaml")
    assert backend == f"file://{made.folder}/state"
    assert path == f"{made.path}:{os.environ['PATH']}"


def test_an_unknown_environment_names_those_there_are(tmp_path: Path, environment: Path) -> None:
    with pytest.raises(WorkspaceError, match="Set STACK to one of: local"):
        make(tmp_path, Target("nope")).prepare()


@pytest.mark.parametrize(
    ("wanted", "clash"),
    [
        (Target("local"), False),  # whoever names no cluster goes on with the one in use
        (Target("local", context="a"), False),
        (Target("local", context="b"), True),
        (Target("local", kubeconfig="/c"), True),
        (Target("other"), True),
    ],
)
def test_one_target_at_a_time(tmp_path: Path, wanted: Target, clash: bool) -> None:
    made = make(tmp_path, wanted)
    made.folder.mkdir()
    (made.folder / "target.json").write_text(json.dumps(vars(Target("local", context="a"))))
    if clash:
        with pytest.raises(WorkspaceError, match="make down STACK=local CONTEXT=a"):
            _ = made.target
    else:
        assert made.target == Target("local", context="a")


@pytest.mark.parametrize(
    ("holder", "respected"),
    [
        ({"pid": 2**22 + 1, "hostname": socket.gethostname()}, False),
        ({"pid": os.getpid(), "hostname": socket.gethostname()}, False),  # not Pulumi any more
        ({"pid": 1, "hostname": "another machine"}, True),
    ],
)
def test_only_a_dead_processs_lock_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: dict[str, object], respected: bool
) -> None:
    made = make(tmp_path)
    lock = made.folder / "state/.pulumi/locks/organization/llm-inference/local/1.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps(holder))
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(Workspace, "_pulumi", lambda _, *arguments: ran.append(arguments))
    if respected:
        with pytest.raises(WorkspaceError, match="being updated by process 1 on another machine"):
            made._unlock()
    else:
        made._unlock()
    assert ran == ([] if respected else [("cancel", "--yes")])
