"""The checkout's `.local` folder: one target, one stack, and the variables that select them.

Pulumi's state, configuration and passphrase of local use all live there, so no tracked file is
changed by a run: the environment's YAML is copied, because Pulumi writes an encryption salt into
it, and every Pulumi command finds the copy through PULUMI_OPTION_CONFIG_FILE.
"""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

import processes
import programs
from control_plane import ControlPlane
from programs import CHECKOUT, TOOLS
from progress import console, step

ENVIRONMENTS = CHECKOUT / "stacks" / "environments"
INTERRUPTED = 130


class WorkspaceError(RuntimeError):
    """The workspace cannot do what it is asked; says why and what to do."""


@dataclass(frozen=True)
class Target:
    """Where a stack goes.

    Attributes:
        stack: Name of the environment.
        kubeconfig: The user's own; None for the local control plane.
        context: The user's own context; None for the current one of the kubeconfig.
    """

    stack: str
    kubeconfig: str | None = None
    context: str | None = None

    @property
    def own_cluster(self) -> bool:
        """Whether it is a cluster of the user's."""
        return bool(self.kubeconfig or self.context)

    def __str__(self) -> str:
        """Name it as the user does."""
        named = {"STACK": self.stack, "KUBECONFIG": self.kubeconfig, "CONTEXT": self.context}
        return " ".join(f"{name}={value}" for name, value in named.items() if value)


@dataclass(frozen=True)
class Workspace:
    """What local use of the checkout keeps.

    Attributes:
        folder: Where.
        wanted: The target that the user named.
        hpa_sync: See ControlPlane.
    """

    wanted: Target
    folder: Path = CHECKOUT / ".local"
    hpa_sync: str = "15s"

    @cached_property
    def target(self) -> Target:
        """The target in use, else the one that the user names.

        Raises:
            WorkspaceError: The user names another one than the one in use.
        """
        if not self._record.exists():
            return self.wanted
        used = Target(**json.loads(self._record.read_text()))
        named = self.wanted.own_cluster or self.wanted.stack != used.stack
        if named and self.wanted != used:
            raise WorkspaceError(
                f"this checkout is in use for {used}, not for {self.wanted}.\n"
                f"Run `make down {used}` first."
            )
        return used

    @property
    def control_plane(self) -> ControlPlane:
        """The local control plane."""
        return ControlPlane(self.folder, hpa_sync=self.hpa_sync)

    @property
    def variables(self) -> dict[str, str]:
        """What `.local/env` exports beside PATH."""
        return {
            **self.control_plane.environment,
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_HOME": str(TOOLS / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PULUMI_STACK": self.target.stack,
            "PULUMI_OPTION_CONFIG_FILE": str(self._config),
            "PULUMI_OPTION_PRESERVE_CONFIG": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # Pulumi's language host runs pip, which would look for a newer pip on the web.
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    @property
    def path(self) -> str:
        """PATH with our programs first."""
        ours = [CHECKOUT / ".venv" / "bin", TOOLS / "bin", TOOLS / "pulumi" / "bin"]
        return os.pathsep.join(map(str, ours))

    def prepare(self) -> None:
        """Make the folder, the file to source and what the variables point at."""
        environment = ENVIRONMENTS / f"Pulumi.{self.target.stack}.yaml"
        if not environment.exists():
            files = sorted(ENVIRONMENTS.glob("Pulumi.*.yaml"))
            known = [file.name.split(".")[1] for file in files if _cloud(file) == "local"]
            raise WorkspaceError(
                f"no environment {self.target.stack!r}: {environment} is not there.\n"
                f"Set STACK to one of: {', '.join(known)}."
            )
        if (cloud := _cloud(environment)) != "local":
            raise WorkspaceError(
                f"the environment {self.target.stack!r} runs on {cloud}: "
                f"make deploy STACK={self.target.stack}"
            )
        (self.folder / "state").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        passphrase = self.folder / "passphrase"
        if not passphrase.exists():
            _write_private(passphrase, secrets.token_urlsafe(32))
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        lines.append(f'export PATH={shlex.quote(self.path)}:"$PATH"')
        (self.folder / "env").write_text("\n".join(lines) + "\n")
        salt = ""
        if self._config.exists():
            salt = yaml.safe_load(self._config.read_text()).get("encryptionsalt", "")
        text = environment.read_text()
        self._config.write_text(f"{text}\nencryptionsalt: {salt}\n" if salt else text)

    def check(self) -> set[str]:
        """Prove the environment before anything starts, and return the kinds that it makes."""
        with step("checking the environment"):
            resources = json.loads(self._preview("--json"))
        return {resource["type"].rpartition(":")[2] for resource in resources}

    def start(self, kinds: Container[str] = ()) -> None:
        """Have a cluster: the user's own, reached, or the local control plane, started.

        Args:
            kinds: What is to be made on it. Controllers that not every environment needs run on
                the local one if it has something for them to do.
        """
        if self.target.own_cluster:
            with step("reaching the cluster"):
                self._reach()
        else:
            plane = self.control_plane
            keda, lws = "ScaledObject" in kinds, "LeaderWorkerSet" in kinds
            replace(plane, keda=keda, lws=lws).start()
        _write_private(self._record, json.dumps(vars(self.target)))

    def _reach(self) -> None:
        """Copy the user's credentials for their cluster and see that it answers.

        Raises:
            WorkspaceError: It does not.
        """
        source = {"KUBECONFIG": self.target.kubeconfig} if self.target.kubeconfig else {}
        context = ["--context", self.target.context] if self.target.context else []
        view = [self._kubectl_program, "config", "view", "--raw", "--minify", "--flatten", *context]
        shown = _capture(view, {**os.environ, **source})
        if shown.returncode == 0:
            _write_private(self.control_plane.kubeconfig, shown.stdout)
            shown = self._kubectl("version", "--request-timeout=5s")
        if shown.returncode:
            raise WorkspaceError(
                f"the cluster of {self.target} does not answer:\n  {shown.stderr.strip()}\n"
                "Set KUBECONFIG or CONTEXT to one that does, or unset both to use the local"
                " control plane."
            )
        server = self._kubectl("config", "view", "--output=jsonpath={.clusters[0].cluster.server}")
        console.print(
            f"Using your cluster at {server.stdout}, because KUBECONFIG or CONTEXT is set."
            " Simulated nodes become ready only where KWOK runs."
        )

    def deploy(self) -> None:
        """Put the stack onto the cluster: by Pulumi, else by kubectl."""
        if self._pulumi_program is None:
            console.print(
                "[yellow]The Pulumi CLI cannot be had here: applying the manifests of the offline"
                " preview with kubectl instead.[/]"
            )
            self._apply()
            return
        project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())
        # `stack init` knows no --config-file and would write into the tracked environment: it is
        # given a project of its own, whose environment is our copy.
        stub = {"name": project["name"], "runtime": "python"}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(stub))
        self._unlock()
        self._pulumi("-C", str(self.folder), "stack", "select", "--create", self.target.stack)
        # Only then may an object that exists already be taken over.
        adopt = {"PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true"} if self._interrupted() else {}
        self._pulumi("up", "--yes", "--skip-preview", extra=adopt)

    def destroy(self) -> None:
        """Take the stack off the user's own cluster, or stop the local control plane."""
        if self.target.own_cluster:
            if self._manifests.exists():
                deleted = self._kubectl("delete", "--ignore-not-found", *self._manifest_flags)
                if deleted.returncode:
                    raise WorkspaceError(f"kubectl delete failed:\n{deleted.stderr}")
            elif (self.folder / "Pulumi.yaml").exists():
                self._unlock()
                self._pulumi("destroy", "--yes", "--skip-preview")
        with step("stopping"):
            self.control_plane.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def objects(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the cluster's objects of these kinds.

        Raises:
            WorkspaceError: The cluster does not answer.
        """
        done = self._kubectl("get", ",".join(kinds), "--all-namespaces", "--output=json")
        if done.returncode:
            raise WorkspaceError(f"the cluster does not answer: {done.stderr.strip()}")
        return json.loads(done.stdout)["items"]

    @property
    def _config(self) -> Path:
        """The copy of the environment that Pulumi may write to."""
        return self.folder / f"Pulumi.{self.target.stack}.yaml"

    @property
    def _record(self) -> Path:
        """Says which target is in use."""
        return self.folder / "target.json"

    @property
    def _manifests(self) -> Path:
        """What kubectl applied where there was no Pulumi; `make preview` writes elsewhere."""
        return self.folder / "applied" / "manifests"

    @property
    def _manifest_flags(self) -> tuple[str, ...]:
        """How kubectl is told of them."""
        return ("--recursive", f"--filename={self._manifests}")

    @cached_property
    def _pulumi_program(self) -> Path | None:
        """The Pulumi CLI, if it can be had."""
        return programs.pulumi()

    @cached_property
    def _kubectl_program(self) -> Path:
        """Found once: asking the one on PATH for its version takes a process each time."""
        return programs.ensure(["kubectl"])["kubectl"]

    @cached_property
    def _environment(self) -> dict[str, str]:
        """The variables of a program run in the workspace."""
        path = os.pathsep.join([self.path, os.environ.get("PATH", "")])
        return {**os.environ, **self.variables, "PATH": path}

    def _kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl on the cluster."""
        return _capture([self._kubectl_program, *arguments], self._environment)

    def _pulumi(self, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        """Run Pulumi in the foreground, with `extra` variables.

        Raises:
            WorkspaceError: It failed.
            KeyboardInterrupt: It was interrupted, and ended in good order.
        """
        program = str(self._pulumi_program or "pulumi")
        command = [program, "--non-interactive", *arguments]
        # Marked as ours, so that what a killed Pulumi leaves behind is ended with the rest.
        marked = self._environment | processes.mark(self.folder) | dict(extra or {})
        code = _foreground(command, marked)
        if code:
            raise WorkspaceError(f"`pulumi {' '.join(arguments)}` failed: see above.")

    def _unlock(self) -> None:
        """Cancel the stack's lock if its holder is dead; respect it if it lives.

        Raises:
            WorkspaceError: Somebody works on the stack.
        """
        locks = list((self.folder / "state").rglob(f"locks/**/{self.target.stack}/*.json"))
        for lock in locks:
            holder = json.loads(lock.read_text())
            here = holder.get("hostname") == socket.gethostname()
            if not here or _is_pulumi(holder["pid"]):
                raise WorkspaceError(
                    f"the stack is being updated by process {holder['pid']} on"
                    f" {holder.get('hostname')}: wait for it, or end it, and try again."
                )
        if locks:
            self._pulumi("cancel", "--yes")

    def _interrupted(self) -> bool:
        """Whether the last update was killed: some objects may exist that the state lacks."""
        states = (self.folder / "state").rglob(f"stacks/**/{self.target.stack}.json")
        checkpoints = (json.loads(state.read_text())["checkpoint"] for state in states)
        return any(
            (checkpoint.get("latest") or {}).get("pending_operations") for checkpoint in checkpoints
        )

    def _preview(self, *options: str | Path) -> str:
        """Run the offline preview and return what it prints.

        Raises:
            WorkspaceError: The environment has problems; says all of them.
        """
        program = Path(sys.executable).with_name("llm-inference")
        rendered = _capture([program, "preview", self.target.stack, *options], self._environment)
        if rendered.returncode:
            raise WorkspaceError(rendered.stderr.strip())
        return rendered.stdout

    def _apply(self) -> None:
        """Apply the offline preview's manifests and wait for what they start."""
        shutil.rmtree(self._manifests.parent, ignore_errors=True)
        self._preview("--out", self._manifests.parent)
        with step("applying the manifests"):
            applied = self._kubectl(
                "apply", "--server-side", "--output=json", *self._manifest_flags
            )
            if applied.returncode:
                raise WorkspaceError(f"kubectl apply failed:\n{applied.stderr}")
        with step("waiting for the deployments"):
            for item in json.loads(applied.stdout)["items"]:
                if item["kind"] == "Deployment":
                    self._wait_for(item["metadata"]["namespace"], item["metadata"]["name"])

    def _wait_for(self, namespace: str, deployment: str) -> None:
        """Wait until a deployment is rolled out.

        Raises:
            WorkspaceError: It is not within the time that it gives itself.
        """
        done = self._kubectl(
            "rollout", "status", f"deployment/{deployment}", f"--namespace={namespace}"
        )
        if done.returncode:
            raise WorkspaceError(f"deployment {namespace}/{deployment}: {done.stderr.strip()}")


def _cloud(environment: Path) -> str:
    """Return where an environment runs; what is no environment is the preview's to say."""
    try:
        return yaml.safe_load(environment.read_text())["config"]["llm-inference:cloud"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return "local"


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


def _capture(
    command: Sequence[str | Path], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _foreground(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command for the user to see; an interrupt reaches it once and is waited for."""
    interrupted = False
    # A process group of its own, so that Ctrl-C reaches it through us alone: a second one, straight
    # from the terminal, would make Pulumi drop what it has in hand.
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, process_group=0
    ) as child:
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
    if interrupted:
        raise KeyboardInterrupt
    return code


def _is_pulumi(pid: int) -> bool:
    """Tell whether a process lives and is Pulumi, not another that got its number."""
    try:
        return b"pulumi" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
