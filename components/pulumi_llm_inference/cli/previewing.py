"""`llm-inference preview`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulumi_llm_inference.cli.output import ERR, OUT, AsJson, fail

if TYPE_CHECKING:
    from pulumi_llm_inference.preview.run import Preview
    from pulumi_llm_inference.preview.write import Manifest, Omission


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

      llm-inference preview local --out build
    """
    import pulumi

    from pulumi_llm_inference.preview.project import find_project
    from pulumi_llm_inference.preview.run import preview as run
    from pulumi_llm_inference.preview.write import manifests, write
    from pulumi_llm_inference.spec.problems import SpecError

    try:
        result = run(find_project(Path.cwd()), environment)
    except (SpecError, pulumi.RunError) as error:
        fail(str(error))
    try:
        found, left_out = write(result.resources, out) if out else manifests(result.resources)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}; give --out a folder that can")
    for warning in result.warnings:
        ERR.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(resource) for resource in result.resources], indent=2))
    else:
        _summarize(result, found, left_out, out)


def _summarize(
    result: "Preview", found: "list[Manifest]", left_out: "list[Omission]", out: Path | None
) -> None:
    from rich.table import Table

    from pulumi_llm_inference.preview.write import cloud_resources

    if of_cloud := cloud_resources(result.resources):
        table = Table("type", "names", title=f"the cloud's part of '{result.environment}'")
        for kind, names in of_cloud.items():
            table.add_row(kind, ", ".join(names))
        OUT.print(table)
    table = Table("kind", "name", "namespace", title=f"environment '{result.environment}'")
    for manifest in found:
        metadata = manifest.content["metadata"]
        table.add_row(
            manifest.content["kind"], metadata.get("name", ""), metadata.get("namespace", "")
        )
    OUT.print(table)
    for omission in left_out:
        OUT.print(f"no manifest: {omission.urn}: {omission.reason}", style="yellow", markup=False)
    counts = f"{len(result.resources)} resources, {len(found)} Kubernetes objects"
    if out:
        OUT.print(f"{counts}, written to {out}", markup=False)
        OUT.print(f"next: kubectl apply --server-side -f {out / 'manifests'}", markup=False)
    else:
        OUT.print(f"{counts}; --out DIR writes them to files", markup=False)
