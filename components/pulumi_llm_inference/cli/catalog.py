"""`llm-inference accelerators` and `machines`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pulumi_llm_inference.cli.output import OUT, AsJson, fail


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
    OUT.print(table)


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
        fail(str(error))
    found = sorted(
        (item for item in known if accelerator in (None, item.accelerator)),
        key=lambda item: (item.accelerator, item.gpus, item.vcpus),
    )
    if not found:
        offered = ", ".join(sorted({item.accelerator for item in known}))
        fail(f"{cloud} sells no machine with '{accelerator}'; it sells {offered}")
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
    OUT.print(table)
