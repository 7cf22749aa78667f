"""The command line: `llm-inference …`."""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from pulumi_llm_inference.preview.run import Preview
    from pulumi_llm_inference.preview.write import Manifest, Omission

app = typer.Typer(
    name="llm-inference",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Self-hosted LLMs on Kubernetes that scale by the requests waiting.",
    epilog="Exit codes: 0 done, 1 problems in the configuration, 2 wrong use of the command.",
    pretty_exceptions_enable=False,
)

_out, _err = Console(), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        _out.print(version("pulumi-llm-inference"))
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Self-hosted LLMs on Kubernetes that scale by the requests waiting."""


@app.command()
def preview(
    environment: Annotated[str, typer.Argument(help="Name of the environment, e.g. 'local'.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for resources.json and manifests/.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an environment would deploy, without engine, cluster or credentials.

    Checks the whole environment first, then runs the stack program. Examples:

      llm-inference preview local

      llm-inference preview local --out build && kubectl apply --server-side -f build/manifests
    """
    import pulumi

    from pulumi_llm_inference.preview.project import find_project
    from pulumi_llm_inference.preview.run import preview as run
    from pulumi_llm_inference.preview.write import manifests, write
    from pulumi_llm_inference.spec.problems import SpecError

    try:
        result = run(find_project(Path.cwd()), environment)
    except (SpecError, pulumi.RunError) as error:
        _fail(str(error))
    try:
        found, left_out = write(result.resources, out) if out else manifests(result.resources)
    except OSError as error:
        _fail(f"{out} cannot be written: {error.strerror}; give --out a folder that can")
    for warning in result.warnings:
        _err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(resource) for resource in result.resources], indent=2))
    else:
        _summarize(result, found, left_out, out)


@app.command()
def accelerators(as_json: AsJson = False) -> None:
    """List the GPU models that pools can be made of.

    Example:
      llm-inference accelerators --json
    """
    from rich.table import Table

    from pulumi_llm_inference.catalog.accelerators import accelerators as catalog

    if as_json:
        print(json.dumps([asdict(item) for item in catalog().values()], indent=2))
        return
    table = Table("accelerator", "memory GiB", "GB/s", "compute", "dense TFLOPS")
    for item in catalog().values():
        rates = ", ".join(f"{kind} {rate:g}" for kind, rate in item.tflops.items())
        capability = ".".join(map(str, item.compute_capability))
        table.add_row(
            item.name,
            f"{item.memory_mib / 1024:.1f}",
            f"{item.bandwidth_gb_per_s:g}",
            capability,
            rates,
        )
    _out.print(table)


@app.command()
def machines(
    cloud: Annotated[str, typer.Argument(help="gke, eks or aks.")],
    accelerator: Annotated[str | None, typer.Argument(help="Only those with this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a cloud's machines with GPUs, the smallest of each kind first.

    Example:
      llm-inference machines gke nvidia-l4
    """
    from rich.table import Column, Table

    from pulumi_llm_inference.catalog.machines import machines as catalog

    try:
        known = catalog(cloud)
    except ValueError as error:
        _fail(str(error))
    found = sorted(
        (item for item in known if accelerator in (None, item.accelerator)),
        key=lambda item: (item.accelerator, item.gpus, item.vcpus),
    )
    if not found:
        offered = ", ".join(sorted({item.accelerator for item in known}))
        _fail(f"{cloud} sells no machine with '{accelerator}'; it sells {offered}")
    if as_json:
        print(json.dumps([asdict(item) for item in found], indent=2))
        return
    table = Table(Column("accelerator", no_wrap=True), "GPUs", Column("machine", no_wrap=True))
    for title in ("vCPUs", "GiB", "notes"):
        table.add_column(title)
    for item in found:
        table.add_row(
            item.accelerator,
            str(item.gpus),
            item.name,
            str(item.vcpus),
            f"{item.memory_gib:g}",
            item.notes,
        )
    _out.print(table)


@app.command()
def adapter_rules() -> None:
    """Print the configuration of prometheus-adapter for all engines.

    It names no model, so it stays as it is when models come and go. Example:

      llm-inference adapter-rules > adapter.yaml
    """
    import yaml

    from pulumi_llm_inference.engines import ENGINES
    from pulumi_llm_inference.scaling.queries import adapter_rules as rules

    yaml.safe_dump(rules(ENGINES.values()), sys.stdout, sort_keys=False, width=200)


def _fail(message: str) -> NoReturn:
    _err.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _summarize(
    result: "Preview", found: "list[Manifest]", left_out: "list[Omission]", out: Path | None
) -> None:
    from rich.table import Table

    from pulumi_llm_inference.preview.write import cloud_resources

    if of_cloud := cloud_resources(result.resources):
        table = Table("type", "names", title=f"the cloud's part of '{result.environment}'")
        for kind, names in of_cloud.items():
            table.add_row(kind, ", ".join(names))
        _out.print(table)
    table = Table("kind", "name", "namespace", title=f"environment '{result.environment}'")
    for manifest in found:
        metadata = manifest.content["metadata"]
        table.add_row(
            manifest.content["kind"], metadata.get("name", ""), metadata.get("namespace", "")
        )
    _out.print(table)
    for omission in left_out:
        _out.print(f"no manifest: {omission.urn}: {omission.reason}", style="yellow", markup=False)
    counts = f"{len(result.resources)} resources, {len(found)} Kubernetes objects"
    if out:
        _out.print(f"{counts}, written to {out}", markup=False)
        _out.print(f"next: kubectl apply --server-side -f {out / 'manifests'}", markup=False)
    else:
        _out.print(f"{counts}; --out DIR writes them to files", markup=False)


if __name__ == "__main__":
    app()
