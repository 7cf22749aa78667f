"""Programs come from the first source that has them, whole and checked, or not at all."""

import hashlib
import io
import tarfile
from pathlib import Path
from types import MappingProxyType

import pytest

import programs
from programs import MissingProgramError, Program, Release, SourceError

URL = "https://example.test/tool-linux-amd64"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and a PATH with nothing on it."""
    programs._answers.cache_clear()
    monkeypatch.setattr("socket.create_connection", _refuse)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


def _refuse(*_: object, **__: object) -> None:
    raise OSError("no network")


def install(folder: Path, name: str, prints: str) -> Path:
    """Put a program that prints something into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("says", "prints", "taken"),
    [
        (" 3.7.", "etcd Version: 3.7.9", True),
        (" 3.7.", "etcd Version: 3.6.1", False),
        (None, "anything", True),
    ],
)
def test_path_is_taken_if_it_is_of_the_pinned_release(
    tmp_path: Path, says: str | None, prints: str, taken: bool
) -> None:
    on_path = install(tmp_path / "path", "tool", prints)
    program = Program("tool", says=says)
    assert programs._installed(program, tmp_path, []) == (on_path if taken else None)


def test_a_program_of_an_older_pin_is_made_again(tmp_path: Path) -> None:
    target = install(tmp_path / "bin", "tool", "")
    program = Program("tool")
    assert programs._installed(program, tmp_path, []) == target  # put there by hand
    programs._stamp(target).write_text(programs._fingerprint(program))
    assert programs._installed(program, tmp_path, []) == target
    assert programs._installed(Program("tool", says="2."), tmp_path, []) is None


def test_a_missing_program_is_one_message_with_all_that_was_tried(tmp_path: Path) -> None:
    program = Program("tool", release=Release(URL, f"{URL}.sha256"))
    with pytest.raises(MissingProgramError) as caught:
        programs._ensure(program, tmp_path)
    message = str(caught.value)
    for part in (
        "tool cannot be had",
        "PATH (not there)",
        f"{tmp_path}/bin/tool",
        URL,
        "building",
        "Put tool on PATH",
    ):
        assert part in message


def test_a_dead_host_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def connect(*address: object, **_: object) -> None:
        asked.append(address)
        raise OSError

    monkeypatch.setattr("socket.create_connection", connect)
    assert not programs._answers("dead.test")
    assert not programs._answers("dead.test")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("sums", "found"),
    [("abc\n", "abc"), ("abc  tool\n012  other\n", "abc"), ("abc *tool\n", "abc")],
)
def test_the_published_sum_is_found(sums: str, found: str) -> None:
    assert programs._published_sum(sums, "tool") == found


def test_an_unpublished_sum_is_an_error() -> None:
    with pytest.raises(ValueError, match="no published SHA-256 of tool"):
        programs._published_sum("abc  other\n", "tool")


def archive_of(name: str, content: bytes) -> bytes:
    """A .tar.gz with a program in a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"tool-1.0/{name}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


class Response(io.BytesIO):
    """What urlopen returns."""

    url = URL
    headers = MappingProxyType({})


@pytest.mark.parametrize("content", [b"program", archive_of("tool", b"program")])
@pytest.mark.parametrize("tampered", [False, True])
def test_a_download_is_checked_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, tampered: bool
) -> None:
    served = {URL: content + b"!" * tampered, f"{URL}.sha256": _sum(content)}
    monkeypatch.setattr(programs, "_open", lambda url: Response(served[url]))
    program = Program("tool", release=Release(URL, f"{URL}.sha256"))
    if tampered:
        with pytest.raises(SourceError, match="SHA-256"):
            programs._download(program, tmp_path / "part", tmp_path)
    else:
        programs._download(program, tmp_path / "part", tmp_path)
    assert (tmp_path / "part").exists() is not tampered
    if not tampered:
        assert (tmp_path / "part").read_bytes() == b"program"


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def test_every_go_module_is_pinned() -> None:
    modules = {program.module for program in programs.PROGRAMS.values() if program.module}
    assert modules == {folder.name for folder in programs.GO_MODULES.iterdir()}
    for module in modules:
        assert (programs.GO_MODULES / module / "go.sum").exists()


def test_versions_of_the_table_and_of_the_go_modules_agree() -> None:
    for module, pin in {
        "kubernetes": f"k8s.io/kubernetes v{programs.KUBERNETES}",
        "etcd": f"go.etcd.io/etcd/server/v3 v{programs.ETCD}",
        "kwok": f"sigs.k8s.io/kwok v{programs.KWOK}",
    }.items():
        assert pin in (programs.GO_MODULES / module / "go.mod").read_text()
