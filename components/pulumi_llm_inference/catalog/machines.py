"""Machines with GPUs that the clouds sell."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Machine:
    """One machine type of a cloud. The sources of the figures are in machine_sources.csv.

    Only x86 machines that carry whole GPUs are listed: images of engines are built for x86, and a
    fraction of a GPU is not a `nvidia.com/gpu`.
    """

    cloud: str
    """Who sells it: `gke`, `eks` or `aks`."""
    name: str
    """The cloud's name of the machine type, as its API wants it, e.g. `g2-standard-4`."""
    accelerator: str
    """GPU model, a name of accelerators.csv, e.g. `nvidia-l4`."""
    gpus: int
    """GPUs that a machine carries."""
    accelerator_name: str
    """What GKE's API calls the GPU, e.g. `nvidia-tesla-a100`; also the value of the node label
    `cloud.google.com/gke-accelerator`. Empty on EKS and AKS, where the machine type says it all."""
    vcpus: int
    """Virtual CPUs; a node keeps some for itself."""
    memory_gib: float
    """Main memory, GiB; a node keeps some for itself."""
    attached: bool
    """Whether the GPUs are attached to a general machine, which can also be had with other numbers
    of them. Each such machine is listed once, with one number."""
    disk_type: str | None
    """Type that the boot disk must have; None where the cloud's default will do."""
    capacity_types: tuple[str, ...]
    """How it is sold, if not in every way, e.g. `("spot", "reserved")`."""
    notes: str
    """What else to know before choosing it; empty mostly."""


@cache
def _all() -> Mapping[str, tuple[Machine, ...]]:
    text = (
        resources.files("pulumi_llm_inference.catalog").joinpath("machines.csv").read_text("utf-8")
    )
    clouds: dict[str, list[Machine]] = {}
    for row in csv.DictReader(text.splitlines()):
        clouds.setdefault(row["cloud"], []).append(_machine(row))
    return {cloud: tuple(found) for cloud, found in clouds.items()}


def _machine(row: Mapping[str, str]) -> Machine:
    return Machine(
        cloud=row["cloud"],
        name=row["machine"],
        accelerator=row["accelerator"],
        gpus=int(row["gpus"]),
        accelerator_name=row["accelerator_name"],
        vcpus=int(row["vcpus"]),
        memory_gib=float(row["memory_gib"]),
        attached=row["attached"] == "yes",
        disk_type=row["disk_type"] or None,
        capacity_types=tuple(filter(None, row["capacity_types"].split(";"))),
        notes=row["notes"],
    )


def machines(cloud: str) -> tuple[Machine, ...]:
    """All known machines with GPUs of a cloud (`gke`, `eks`, `aks`), in the order of the file."""
    try:
        return _all()[cloud]
    except KeyError:
        raise ValueError(f"'{cloud}' is not one of {', '.join(sorted(_all()))}") from None


def machine_for(cloud: str, accelerator: str, gpus: int) -> list[Machine]:
    """The cloud's machines with exactly this many GPUs of this model, the smallest first.

    Sorted by vCPUs, then by memory: with the same GPUs the smaller machine costs less. What is
    equal in both stays in the order of the file.
    """
    found = [
        machine
        for machine in machines(cloud)
        if machine.accelerator == accelerator and machine.gpus == gpus
    ]
    return sorted(found, key=lambda machine: (machine.vcpus, machine.memory_gib))


def machine_named(cloud: str, name: str) -> Machine | None:
    """The cloud's machine of this name; None if it is not in the catalog."""
    return next((machine for machine in machines(cloud) if machine.name == name), None)


def offers(cloud: str) -> Mapping[str, Mapping[int, tuple[str, ...]]]:
    """What a cloud sells: GPU model → GPUs per machine → names of machines, the smallest first."""
    pairs = sorted({(machine.accelerator, machine.gpus) for machine in machines(cloud)})
    found: dict[str, dict[int, tuple[str, ...]]] = {}
    for accelerator, gpus in pairs:
        names = tuple(machine.name for machine in machine_for(cloud, accelerator, gpus))
        found.setdefault(accelerator, {})[gpus] = names
    return found


def sellers(accelerator: str) -> dict[str, int]:
    """Clouds that sell machines with this GPU model, with the most GPUs that one carries."""
    found = {cloud: offers(cloud).get(accelerator) for cloud in _all()}
    return {cloud: max(sizes) for cloud, sizes in found.items() if sizes}


def offers_text(cloud: str, accelerator: str | None = None) -> str:
    """What a cloud sells, for messages.

    Of one GPU model, with the smallest machine for each number:
    `1 (g2-standard-4), 2 (g2-standard-24)`. Of all models, the numbers only:
    `nvidia-l4 (1, 2, 4 or 8)`. `nothing` if the cloud does not sell the model.
    """
    found = offers(cloud)
    if accelerator is None:
        return ", ".join(f"{model} ({_any_of(sizes)})" for model, sizes in found.items())
    sizes = found.get(accelerator, {})
    return ", ".join(f"{gpus} ({names[0]})" for gpus, names in sizes.items()) or "nothing"


def _any_of(numbers: Mapping[int, object]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last
