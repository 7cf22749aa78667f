"""Problems of a GPU node pool."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.catalog.machines import (
    Machine,
    machine_for,
    machine_named,
    machines,
    offers,
    offers_text,
)
from pulumi_llm_inference.checks.bounds import bounds_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec
from pulumi_llm_inference.spec.problems import Problem, nearest

_LONGEST_NODE_NAME = 63

_CLOUD_FIELDS = ("machine", "reservation", "zones", "disk_gib", "extra")
"""Fields that only a cloud's pool has a use for."""


@dataclass(frozen=True)
class _Rules:
    """What one cloud says of pools."""

    name: str
    """Names that it takes, as a regular expression."""
    name_cure: str
    reservation: str
    """What names a reservation, as a regular expression."""
    reservation_cure: str
    queue: bool = False
    """Whether capacity can be reserved without naming a reservation."""


_RULES = {
    # 40 characters, less `-pool` and Pulumi's random end of 8 (container.v1 NodePool.name).
    Cloud.GKE: _Rules(
        name=r".{1,27}",
        name_cure="use at most 27 characters",
        reservation=r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?|projects/[^/]+/reservations/[^/]+",
        reservation_cure="give the reservation's name, or leave it out for flex-start",
        queue=True,
    ),
    Cloud.EKS: _Rules(
        # 63 characters, less `-group` and the same (botocore eks CreateNodegroup).
        name=r".{1,49}",
        name_cure="use at most 49 characters",
        reservation=r"cr-[0-9a-f]+",
        reservation_cure="give the capacity block's id, 'cr-…'",
    ),
    # azure-mgmt-containerservice, AgentPools.create_or_update.
    Cloud.AKS: _Rules(
        name=r"[a-z][a-z0-9]{0,11}",
        name_cure="use at most 12 lower-case letters and digits, a letter first",
        reservation=r"(?i)/subscriptions/.+/capacityReservationGroups/[^/]+",
        reservation_cure="give the capacity reservation group's id, '/subscriptions/…'",
    ),
}


def machines_of(cloud: Cloud, pool: GpuNodePoolSpec) -> list[Machine]:
    """Machines that the pool may use, the preferred first; none if there are none."""
    if pool.machine is None:
        return machine_for(cloud, pool.accelerator, pool.gpus_per_node)
    machine = machine_named(cloud, pool.machine)
    return [machine] if machine else []


def machine_of(cloud: Cloud, pool: GpuNodePoolSpec) -> Machine:
    """The machine of a pool that has no problems."""
    return machines_of(cloud, pool)[0]


def pool_problems(
    name: str,
    pool: GpuNodePoolSpec,
    cloud: Cloud,
    path: str,
    zones: Collection[str] | None = None,
) -> Iterator[Problem]:
    """What is wrong with a pool called `name`; `zones` are the cluster's, where they are known."""
    yield from name_problems(name, f"{path}.name")
    known = accelerators()
    if pool.accelerator not in known:
        yield Problem(
            f"{path}.accelerator",
            f"'{pool.accelerator}' is not in the catalog",
            nearest(pool.accelerator, known),
        )
    yield from bounds_problems("Nodes", pool.min_nodes, pool.max_nodes, path)
    if cloud is Cloud.LOCAL:
        yield from _local_problems(name, pool, path)
        return
    if not re.fullmatch(_RULES[cloud].name, name):
        yield Problem(
            f"{path}.name",
            f"'{name}' ({len(name)} characters) is no name for a pool on {cloud.upper()}",
            _RULES[cloud].name_cure,
        )
    if pool.accelerator in known:
        yield from _machine_problems(pool, cloud, path)
    yield from _reservation_problems(pool, cloud, path)
    for index, zone in enumerate(pool.zones):
        if zones is not None and zone not in zones:
            yield Problem(
                f"{path}.zones[{index}]",
                f"'{zone}' is no zone of the cluster",
                nearest(zone, zones),
            )


def _local_problems(name: str, pool: GpuNodePoolSpec, path: str) -> Iterator[Problem]:
    last_node = f"{name}-{pool.max_nodes - 1}"
    if len(last_node) > _LONGEST_NODE_NAME:
        yield Problem(
            f"{path}.name",
            f"'{name}' leaves no room for the numbers of its nodes",
            f"use at most {_LONGEST_NODE_NAME - len(last_node) + len(name)} characters",
        )
    for field in _CLOUD_FIELDS:
        if getattr(pool, field) != type(pool).model_fields[field].get_default():
            yield Problem(
                f"{path}.{to_camel(field)}",
                "has no meaning for simulated nodes",
                "remove it, or choose a cloud",
            )


def _machine_problems(pool: GpuNodePoolSpec, cloud: Cloud, path: str) -> Iterator[Problem]:
    if pool.machine is None:
        sold = offers(cloud).get(pool.accelerator)
        if sold is None:
            yield Problem(
                f"{path}.accelerator",
                f"{cloud.upper()} sells no machine with '{pool.accelerator}'",
                f"it sells {offers_text(cloud)}",
            )
        elif pool.gpus_per_node not in sold:
            yield Problem(
                f"{path}.gpusPerNode",
                f"{cloud.upper()} sells no machine with {pool.gpus_per_node} x {pool.accelerator}",
                f"it sells {offers_text(cloud, pool.accelerator)}",
            )
        else:
            yield from _capacity_problems(pool, machine_of(cloud, pool), path)
        return
    machine = machine_named(cloud, pool.machine)
    if machine is None:
        yield Problem(
            f"{path}.machine",
            f"'{pool.machine}' is no GPU machine of {cloud.upper()} that the catalog knows",
            nearest(pool.machine, [item.name for item in machines(cloud)]),
        )
    elif (machine.accelerator, machine.gpus) != (pool.accelerator, pool.gpus_per_node):
        yield Problem(
            f"{path}.machine",
            f"'{pool.machine}' carries {machine.gpus} x {machine.accelerator}, "
            f"not {pool.gpus_per_node} x {pool.accelerator}",
            f"set accelerator to '{machine.accelerator}' and gpusPerNode to {machine.gpus}, or "
            "leave machine out",
        )
    else:
        yield from _capacity_problems(pool, machine, path)


def _capacity_problems(pool: GpuNodePoolSpec, machine: Machine, path: str) -> Iterator[Problem]:
    if machine.capacity_types and pool.capacity_type not in machine.capacity_types:
        yield Problem(
            f"{path}.capacityType",
            f"'{machine.name}' is not sold '{pool.capacity_type}'",
            f"use {' or '.join(machine.capacity_types)}, or another number of GPUs",
        )


def _reservation_problems(pool: GpuNodePoolSpec, cloud: Cloud, path: str) -> Iterator[Problem]:
    rules = _RULES[cloud]
    if pool.reservation is not None and pool.capacity_type is not CapacityType.RESERVED:
        yield Problem(
            f"{path}.reservation",
            f"'{pool.reservation}' has no meaning with capacityType '{pool.capacity_type}'",
            "set capacityType to 'reserved', or remove the reservation",
        )
    elif pool.reservation is not None and not re.fullmatch(rules.reservation, pool.reservation):
        yield Problem(
            f"{path}.reservation",
            f"'{pool.reservation}' names no reservation on {cloud.upper()}",
            rules.reservation_cure,
        )
    elif pool.capacity_type is CapacityType.RESERVED and pool.reservation is None:
        if not rules.queue:
            yield Problem(
                f"{path}.reservation",
                "is missing, and capacityType is 'reserved'",
                rules.reservation_cure,
            )
        elif pool.min_nodes:
            yield Problem(
                f"{path}.minNodes",
                f"{pool.min_nodes} nodes cannot stay: flex-start lends each for seven days",
                "set minNodes to 0, or name a reservation",
            )
