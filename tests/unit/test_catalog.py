"""Figures of the accelerators: sourced, and sane."""

import csv
import re
from collections import defaultdict
from importlib import resources

import pytest

from pulumi_llm_inference.catalog.accelerators import Accelerator, accelerators


def rows(file: str) -> list[dict[str, str]]:
    text = resources.files("pulumi_llm_inference.catalog").joinpath(file).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_figure_has_a_source_and_every_source_a_figure() -> None:
    sourced: dict[str, set[str]] = defaultdict(set)
    for row in rows("accelerator_sources.csv"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["retrieved"])
        assert row["verified"] in {"read", "recalled"}
        assert len(row["source"]) > 20
        sourced[row["accelerator"]] |= set(row["fields"].split(";"))
    figures = {
        row["name"]: {field for field, value in row.items() if value and field != "name"}
        for row in rows("accelerators.csv")
    }
    assert sourced == figures


def test_names_are_unique() -> None:
    for column in ("name", "product"):
        values = [row[column] for row in rows("accelerators.csv")]
        assert len(set(values)) == len(values)
    assert len(accelerators()) == len(rows("accelerators.csv"))


@pytest.fixture(params=list(accelerators().values()), ids=list(accelerators()))
def accelerator(request: pytest.FixtureRequest) -> Accelerator:
    return request.param


@pytest.mark.parametrize(
    ("dtype", "since"),
    [("fp16", (7, 0)), ("bf16", (8, 0)), ("fp8", (8, 9)), ("fp4", (10, 0)), ("int8", (7, 2))],
)
def test_types_follow_the_compute_capability(
    accelerator: Accelerator, dtype: str, since: tuple[int, int]
) -> None:
    """First tensor cores with the type: CUDA C++ Programming Guide, "Compute Capabilities"."""
    assert (dtype in accelerator.tflops) == (accelerator.compute_capability >= since)


def test_half_the_bits_are_about_twice_as_fast(accelerator: Accelerator) -> None:
    rates = accelerator.tflops
    for wide, narrow in [("fp16", "fp8"), ("fp16", "int8"), ("fp8", "fp4")]:
        if wide in rates and narrow in rates:
            assert 1.95 * rates[wide] <= rates[narrow] <= 2.05 * rates[wide]
    if "bf16" in rates:
        assert rates["bf16"] == rates["fp16"]


def test_the_driver_reports_a_little_less_than_the_name_says(accelerator: Accelerator) -> None:
    if nominal := re.search(r"-(\d+)gb$", accelerator.name):
        assert 0.9 * int(nominal[1]) <= accelerator.memory_mib / 1024 <= int(nominal[1])
    assert accelerator.name.startswith("nvidia-")


def test_generations_in_order() -> None:
    by_name = accelerators()
    order = ["nvidia-a100-40gb", "nvidia-a100-80gb", "nvidia-h100-80gb", "nvidia-h200-141gb"]
    order += ["nvidia-b200"]
    bandwidths = [by_name[name].bandwidth_gb_per_s for name in order]
    assert bandwidths == sorted(set(bandwidths))
    for item in by_name.values():
        # From GDDR to eight stacks of HBM3e; a slip of a unit or a digit falls out.
        assert 200 <= item.bandwidth_gb_per_s <= 10_000
