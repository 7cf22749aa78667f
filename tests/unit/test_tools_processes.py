"""Background programs are started once, found again, and only ours are ended."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import processes
from processes import Background, StartError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.stop(tmp_path)


def sleeper(folder: Path, seconds: int = 60) -> Background:
    settings = folder / "settings"
    settings.touch()
    code = f"import time; time.sleep({seconds})"
    return Background("sleeper", (sys.executable, "-c", code), reads=(settings,))


def pids(folder: Path) -> list[int]:
    return [pid for pid, _ in processes.running(folder)]


def start(folder: Path, program: Background) -> int:
    processes.ensure(folder, program, folder / "logs")
    # Between fork and exec a child still has its parent's environment.
    processes.wait("sleeper", lambda: bool(pids(folder)), 5)
    [pid] = pids(folder)
    return pid


def test_a_program_is_started_once(folder: Path) -> None:
    assert start(folder, sleeper(folder)) == start(folder, sleeper(folder))


def test_it_is_restarted_when_its_arguments_or_its_files_change(folder: Path) -> None:
    first = start(folder, sleeper(folder))
    second = start(folder, sleeper(folder, seconds=61))
    (folder / "settings").write_text("new")
    third = start(folder, sleeper(folder, seconds=61))
    assert len({first, second, third}) == 3


def test_only_the_folders_own_programs_are_ended(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        start(folder, sleeper(folder))
        kept = start(other, sleeper(other))
        processes.stop(folder)
        processes.stop(folder, [stranger.pid, kept])  # numbers that are not ours any more
        assert pids(folder) == []
        assert pids(other) == [kept]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        processes.stop(other)


def test_one_that_will_not_end_is_killed(folder: Path) -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=1); time.sleep(60)"
    )
    start(folder, Background("stubborn", (sys.executable, "-c", code)))
    log = folder / "logs" / "stubborn.log"
    processes.wait("stubborn", lambda: log.read_text() == "1\n", 5)
    started = time.monotonic()
    processes.stop(folder, patience=0.2)
    assert pids(folder) == []
    assert time.monotonic() - started < 2


def test_waiting_ends_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("first\nport in use\n")
    with pytest.raises(StartError, match=r"tool did not answer(.|\n)*port in use"):
        processes.wait("tool", lambda: False, 0, log)
