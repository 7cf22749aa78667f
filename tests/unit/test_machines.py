"""The catalog of machines: well formed, sourced, and found by what it carries."""

import csv
import re
from fnmatch import fnmatchcase
from importlib import resources

import pytest

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.catalog.machines import (
    Machine,
    machine_for,
    machine_named,
    machines,
    offers,
    offers_text,
)

CLOUDS = ["gke", "eks", "aks"]
EVERY = [machine for cloud in CLOUDS for machine in machines(cloud)]


def rows(file: str) -> list[dict[str, str]]:
    text = resources.files("pulumi_llm_inference.catalog").joinpath(file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def names(found: list[Machine]) -> list[str]:
    return [machine.name for machine in found]


def test_every_row_is_loaded_once() -> None:
    assert {row["cloud"] for row in rows("machines.csv")} == set(CLOUDS)
    assert len(EVERY) == len(rows("machines.csv"))
    assert len({(machine.cloud, machine.name) for machine in EVERY}) == len(EVERY)
    assert machines("gke") is machines("gke")


@pytest.mark.parametrize("machine", EVERY, ids=lambda machine: f"{machine.cloud}-{machine.name}")
def test_rows_are_sane(machine: Machine) -> None:
    assert machine.accelerator in accelerators()
    assert machine.gpus in {1, 2, 4, 8, 16}
    assert machine.vcpus >= 4 * min(machine.gpus, 8)
    # Weights pass through main memory; every cloud sells at least 1.8 GiB for a vCPU.
    assert 1.8 * machine.vcpus <= machine.memory_gib <= 32 * machine.vcpus
    assert bool(machine.accelerator_name) == (machine.cloud == "gke")
    assert machine.attached == machine.name.startswith("n1-")
    assert machine.disk_type in {None, "hyperdisk-balanced"}
    assert machine.name.startswith("Standard_") == (machine.cloud == "aks")


@pytest.mark.parametrize("accelerator", accelerators())
def test_every_accelerator_can_be_had_somewhere(accelerator: str) -> None:
    assert any(machine.accelerator == accelerator for machine in EVERY)


def test_every_figure_has_a_source_and_every_source_a_figure() -> None:
    sources = rows("machine_sources.csv")
    for source in sources:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", source["retrieved"])
        assert source["verified"] in {"read", "recalled"}
        assert len(source["source"]) > 20
    unused = {(index, field) for index, item in enumerate(sources) for field in _fields(item)}
    for row in rows("machines.csv"):
        found = {
            (index, field)
            for index, item in enumerate(sources)
            if item["cloud"] == row["cloud"] and fnmatchcase(row["machine"], item["machines"])
            for field in _fields(item)
            if row[field]
        }
        figures = {field for field, value in row.items() if value} - {"cloud", "machine"}
        assert {field for _, field in found} == figures, row["machine"]
        unused -= found
    assert not unused


def _fields(source: dict[str, str]) -> list[str]:
    return source["fields"].split(";")


def test_machines_are_found_by_what_they_carry_the_smallest_first() -> None:
    assert names(machine_for("gke", "nvidia-l4", 1))[:2] == ["g2-standard-4", "g2-standard-8"]
    assert names(machine_for("gke", "nvidia-l4", 2)) == ["g2-standard-24"]
    assert names(machine_for("aks", "nvidia-a10", 1)) == [
        "Standard_NV36ads_A10_v5",
        "Standard_NV36adms_A10_v5",
    ]
    # By size, not by name: 4, 8, 12, not 12, 4, 8.
    assert names(machine_for("eks", "nvidia-l4", 4)) == ["g6.12xlarge", "g6.24xlarge"]
    for cloud in CLOUDS:
        for accelerator, sizes in offers(cloud).items():
            for gpus in sizes:
                found = machine_for(cloud, accelerator, gpus)
                assert found
                sizes_of = [(machine.vcpus, machine.memory_gib) for machine in found]
                assert sizes_of == sorted(sizes_of)
                assert {(machine.accelerator, machine.gpus) for machine in found} == {
                    (accelerator, gpus)
                }


def test_machines_of_one_size_stay_in_the_order_of_the_file() -> None:
    assert names(machine_for("gke", "nvidia-h100-80gb", 8)) == [
        "a3-highgpu-8g",
        "a3-megagpu-8g",
        "a3-edgegpu-8g",
    ]


def test_nothing_is_found_where_nothing_is_sold() -> None:
    assert machine_for("gke", "nvidia-l4", 3) == []
    assert machine_for("gke", "nvidia-a10g", 1) == []
    assert machine_for("aks", "no-such-gpu", 1) == []


def test_machines_are_found_by_name_within_their_cloud() -> None:
    found = machine_named("gke", "a3-megagpu-8g")
    assert found
    assert found.accelerator == "nvidia-h100-80gb"
    assert found.accelerator_name == "nvidia-h100-mega-80gb"
    assert machine_named("eks", "a3-megagpu-8g") is None
    assert all(machine_named(machine.cloud, machine.name) is machine for machine in EVERY)


@pytest.mark.parametrize("cloud", ["GKE", "gcp", ""])
def test_unknown_clouds_are_refused_with_the_known_ones(cloud: str) -> None:
    with pytest.raises(ValueError, match=f"'{cloud}' is not one of aks, eks, gke"):
        machines(cloud)


def test_offers_list_every_machine() -> None:
    for cloud in CLOUDS:
        listed = [
            name for sizes in offers(cloud).values() for found in sizes.values() for name in found
        ]
        assert sorted(listed) == sorted(machine.name for machine in machines(cloud))
    assert offers("gke")["nvidia-l4"][4] == ("g2-standard-48",)


def test_offers_are_said_in_a_line() -> None:
    assert (
        offers_text("gke", "nvidia-l4")
        == "1 (g2-standard-4), 2 (g2-standard-24), 4 (g2-standard-48), 8 (g2-standard-96)"
    )
    assert offers_text("aks", "nvidia-l4") == "nothing"
    assert offers_text("aks") == (
        "nvidia-a10 (1 or 2), nvidia-a100-40gb (8), nvidia-a100-80gb (1, 2, 4 or 8), "
        "nvidia-h100-80gb (8), nvidia-h100-94gb (1 or 2), nvidia-h200-141gb (8), nvidia-t4 (1 or 4)"
    )
