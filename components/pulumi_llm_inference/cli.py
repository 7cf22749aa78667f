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
    from pulumi_llm_inference.catalog.models import ModelShape
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
def fit(  # noqa: PLR0917  the command line names them
    model: Annotated[str, typer.Argument(help="Hugging Face id, or a config.json of its.")],
    accelerator: Annotated[str, typer.Option(help="GPU model, e.g. nvidia-l4.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs of a replica.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Longest request.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of the weights, e.g. half.")] = None,
    quantization: Annotated[str | None, typer.Option(help="Method, e.g. awq or fp8.")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="E.g. fp8.")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate whether a model fits GPUs, and how many requests they then serve at once.

    Exit code 1 if it does not fit. Example:

      llm-inference fit meta-llama/Llama-3.1-8B-Instruct --accelerator nvidia-l4 --gpus 1
    """
    from pulumi_llm_inference.catalog.accelerators import accelerators as catalog
    from pulumi_llm_inference.planning.fit import QUANTIZATION_BITS
    from pulumi_llm_inference.planning.fit import fit as estimate
    from pulumi_llm_inference.spec.problems import nearest

    if accelerator not in catalog():
        _fail(f"'{accelerator}' is not in the catalog: {nearest(accelerator, catalog())}")
    if quantization is not None and quantization not in QUANTIZATION_BITS:
        _fail(f"quantization '{quantization}': {nearest(quantization, QUANTIZATION_BITS)}")
    shape = _shape(model)
    try:
        found = estimate(
            shape,
            catalog()[accelerator],
            gpus=gpus,
            max_model_len=max_model_len,
            dtype=dtype,
            quantization=QUANTIZATION_BITS[quantization] if quantization else None,
            kv_cache_dtype=kv_cache_dtype,
        )
    except ValueError as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        verdict = "fits" if found.fits else "does not fit"
        _out.print(f"{shape.name or model} {verdict} {found.tensor_parallel} x {accelerator}")
        _out.print(
            f"  weights {found.weights_gib:.1f} GiB, GPUs needed: {found.gpus or 'too many'}"
        )
        _out.print(
            f"  KV cache {found.kv_cache_gib:.1f} GiB a GPU, {found.kv_bytes_per_token} B a token"
        )
        _out.print(
            f"  longest request {found.max_context} tokens, {found.max_concurrency} at once; "
            f"a queue target to start with: {found.queue_target}"
        )
        for reason in found.reasons:
            _out.print(f"  {reason}", markup=False, soft_wrap=True)
    if not found.fits:
        raise typer.Exit(1)


def _shape(model: str) -> "ModelShape":
    from pulumi_llm_inference.catalog.models import model_shape, model_shapes, shape_of_config
    from pulumi_llm_inference.spec.problems import nearest

    if shape := model_shape(model):
        return shape
    if not model.endswith(".json"):
        _fail(
            f"'{model}' is not in the catalog ({nearest(model, model_shapes())}); "
            "give its config.json instead"
        )
    try:
        return shape_of_config(json.loads(Path(model).read_text("utf-8")), name=model)
    except (OSError, ValueError) as error:
        _fail(f"{model}: {error}")


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
