"""Background programs that belong to a folder: started once, found again, ended.

There are no pid files. Every program carries the folder in its environment, so whatever has it
there was started here: a killed starter leaves no orphan behind, and after a reboot a reused
process number is never mistaken for one of ours.
"""

import hashlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "LLM_LOCAL_FOLDER"
PROGRAM = "LLM_LOCAL_PROGRAM"
DIGEST = "LLM_LOCAL_DIGEST"


class StartError(RuntimeError):
    """A program did not come up."""


@dataclass(frozen=True)
class Background:
    """A program to keep running.

    Attributes:
        name: What its log is called.
        command: The program and its arguments.
        reads: Files it reads only when it starts; a change restarts it.
        environment: Variables it needs beside our own.
    """

    name: str
    command: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Tell one configuration of the program from another."""
        built = Path(self.command[0]).stat().st_mtime_ns
        text = repr((self.command, built, sorted(self.environment.items())))
        contents = [path.read_bytes() for path in self.reads]
        return hashlib.sha256(b"\0".join([text.encode(), *contents])).hexdigest()


def mark(folder: Path) -> dict[str, str]:
    """Return the variable by which the folder's programs are known."""
    return {FOLDER: str(folder)}


def running(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield process number and environment of the folder's programs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            environment = _environment(int(entry.name))
            if environment.get(FOLDER) == str(folder):
                yield int(entry.name), environment


def ensure(folder: Path, program: Background, logs: Path) -> None:
    """Start the program, unless it runs already with the same configuration."""
    digest = program.digest()
    found = [(pid, env) for pid, env in running(folder) if env.get(PROGRAM) == program.name]
    if [env.get(DIGEST) for _, env in found] == [digest]:
        return
    stop(folder, [pid for pid, _ in found])
    logs.mkdir(parents=True, exist_ok=True)
    ours = {**mark(folder), PROGRAM: program.name, DIGEST: digest}
    with (logs / f"{program.name}.log").open("wb") as log:
        subprocess.Popen(
            program.command,
            env={**os.environ, **program.environment, **ours},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(folder: Path, pids: Iterable[int] | None = None, patience: float = 1) -> None:
    """End the folder's programs (or only those of pids): ask, wait, then insist."""
    handles = []
    for pid in [pid for pid, _ in running(folder)] if pids is None else pids:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            # Asked again now that the handle pins the process: the number may be another's.
            if _environment(pid).get(FOLDER) == str(folder):
                handles.append(handle)
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        handles = _left_after(handles, seconds)


def wait(what: str, ready: Callable[[], bool], seconds: float, log: Path | None = None) -> None:
    """Wait until ready; else raise StartError with the end of the log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace").splitlines()[-5:] if log else []
            told = "\n  ".join(["", f"the end of {log}:", *tail]) if tail else ""
            raise StartError(f"{what} did not answer within {seconds:.0f} s{told}")
        time.sleep(0.1)


def _environment(pid: int) -> dict[str, str]:
    """Return what a process was started with; nothing if it is gone or another user's."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    entries = (entry.partition("=") for entry in text.split("\0"))
    return {name: value for name, _, value in entries}


def _left_after(handles: list[int], seconds: float) -> list[int]:
    """Return the handles of processes that live on after the time; close the others."""
    deadline = time.monotonic() + seconds
    while handles and (left := deadline - time.monotonic()) > 0:
        # A handle turns readable when its process ends, reaped or not.
        for handle in select.select(handles, [], [], left)[0]:
            handles.remove(handle)
            os.close(handle)
    return handles
