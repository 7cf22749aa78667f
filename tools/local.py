"""Runs an environment on this machine: the commands behind the Makefile."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import programs
from processes import StartError
from programs import CHECKOUT, MissingProgramError
from progress import console, output, step
from report import KINDS, Report, report, tables
from workspace import INTERRUPTED, Target, Workspace, WorkspaceError

VALUE_PATIENCE = 120  # seconds: a scrape, the adapter's discovery and the autoscaler's own period

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

Stack = Annotated[str, typer.Option(envvar="STACK", help="The environment.")]
Context = Annotated[
    str | None,
    typer.Option(envvar="CONTEXT", help="A context of yours; no control plane is started then."),
]
HpaSync = Annotated[
    str, typer.Option(envvar="HPA_SYNC", help="How often autoscalers are evaluated.")
]


@app.command()
def up(
    stack: Stack = "local",
    context: Context = None,
    hpa_sync: HpaSync = "15s",
) -> None:
    """Start a control plane, deploy the environment and show what runs."""
    with plain_errors():
        workspace = Workspace(_target(stack, context), hpa_sync=hpa_sync)
        workspace.prepare()
        workspace.start(workspace.check())
        workspace.deploy()
        output.print(tables(_settled_report(workspace)), NEXT)


NEXT = """Next:
  make load WAITING=40                      let 40 requests wait: servers multiply
  make status                               what runs now
  . .local/env && kubectl get hpa --watch   plain kubectl and pulumi work
  make down                                 stop everything\
"""


@app.command()
def status(
    stack: Stack = "local",
    context: Context = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show nodes, pods and autoscalers."""
    with plain_errors():
        found = report(_running(stack, context).objects(*KINDS))
        if as_json:
            typer.echo(json.dumps(found.as_dict(), indent=2))
        else:
            output.print(tables(found))


@app.command()
def load(
    waiting: Annotated[int, typer.Argument(min=0, help="Requests waiting, in all its pods.")],
    *,
    running: Annotated[int, typer.Option(min=0, help="Requests in work, in all its pods.")] = 0,
    model: Annotated[str | None, typer.Option(help="One deployment; else every one.")] = None,
    lost: Annotated[str, typer.Option(help="Pods that do not answer scrapes, or 'all'.")] = "0",
    stack: Stack = "local",
    context: Context = None,
) -> None:
    """Set how many requests wait for the simulated servers."""
    with plain_errors():
        workspace = _running(stack, context)
        if workspace.target.own_cluster:
            raise WorkspaceError("load is simulated on the local control plane only.")
        workspace.control_plane.load(waiting, running, model, lost)
        console.print(f"{waiting} requests wait for {model or 'each model'}: see `make status`.")


@app.command()
def down(stack: Stack = "local", context: Context = None) -> None:
    """Stop everything and forget it; from a cluster of yours the stack is destroyed."""
    with plain_errors():
        Workspace(_target(stack, context)).destroy()


@app.command()
def env(stack: Stack = "local", context: Context = None) -> None:
    """Write `.local/env` without starting anything."""
    with plain_errors():
        Workspace(_target(stack, context)).prepare()


@app.command()
def tools() -> None:
    """Get every program, those of KEDA and LeaderWorkerSet included."""
    with plain_errors():
        optional = (*programs.KEDA, *programs.LWS, "queue-metrics-adapter")
        programs.ensure((*programs.CLUSTER, *optional))
        programs.tidy()
        if programs.pulumi() is None and os.environ.get("CI"):
            raise MissingProgramError(
                "pulumi cannot be had, and CI must not do without: put it on PATH."
            )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what can go wrong into a message and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        console.print("\n[yellow]Interrupted.[/] `make up` goes on from here, `make down` ends it.")
        raise typer.Exit(INTERRUPTED) from None
    except (MissingProgramError, StartError, WorkspaceError) as error:
        console.print(f"[red]error:[/] {error}")
        raise typer.Exit(1) from None
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        console.print(f"[red]error:[/] {command} failed:\n{error.stderr or error.stdout}")
        raise typer.Exit(1) from None


def _target(stack: str, context: str | None) -> Target:
    """Return the target that the user names; a KUBECONFIG of ours names none."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if kubeconfig and Path(kubeconfig).is_relative_to(CHECKOUT / ".local"):
        kubeconfig = None
    return Target(stack, kubeconfig, context)


def _running(stack: str, context: str | None) -> Workspace:
    """Return the workspace, in which something must run."""
    workspace = Workspace(_target(stack, context))
    if not workspace.control_plane.kubeconfig.exists():
        raise WorkspaceError("nothing runs here: `make up` starts it.")
    return workspace


def _settled_report(workspace: Workspace) -> Report:
    """Return a report, once the autoscalers have values or patience ends."""
    deadline = time.monotonic() + VALUE_PATIENCE
    with step("waiting for the autoscalers' first values"):
        while not (found := report(workspace.objects(*KINDS))).settled:
            if time.monotonic() > deadline:
                console.print("[yellow]an autoscaler has no value yet: `kubectl describe hpa`[/]")
                break
            time.sleep(1)
    return found


if __name__ == "__main__":
    app()
