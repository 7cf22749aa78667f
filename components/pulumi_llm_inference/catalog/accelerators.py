"""GPU models: what they hold and what they do."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_AMPERE = (8, 0)
"""Its first compute capability (developer.nvidia.com/cuda-gpus)."""


@dataclass(frozen=True)
class Accelerator:
    """One GPU model. The sources of the figures are in accelerator_sources.csv."""

    name: str
    """Name in configurations, e.g. `nvidia-l4`."""
    product: str
    """Value of the node label `nvidia.com/gpu.product` that GPU feature discovery sets."""
    memory_mib: int
    """Memory that the driver reports, MiB."""
    bandwidth_gb_per_s: float
    """Memory bandwidth, 10⁹ bytes per second."""
    compute_capability: tuple[int, int]
    """CUDA compute capability, (major, minor)."""
    tflops: Mapping[str, float]
    """Dense tensor-core rate by type (`fp16`, `bf16`, `fp8`, `int8`, `fp4`), 10¹² per second; types
    that the hardware has no unit for are not there."""

    @property
    def is_ampere_or_newer(self) -> bool:
        """Whether it has bfloat16, and the engines an fp8 KV cache for it."""
        return self.compute_capability >= _AMPERE


_RATES = {
    "fp16": "fp16_tflops",
    "bf16": "bf16_tflops",
    "fp8": "fp8_tflops",
    "int8": "int8_tops",
    "fp4": "fp4_tflops",
}


@cache
def accelerators() -> Mapping[str, Accelerator]:
    """All known GPU models by name."""
    text = (
        resources.files("pulumi_llm_inference.catalog")
        .joinpath("accelerators.csv")
        .read_text("utf-8")
    )
    return {row["name"]: _accelerator(row) for row in csv.DictReader(text.splitlines())}


def _accelerator(row: Mapping[str, str]) -> Accelerator:
    major, minor = row["compute_capability"].split(".")
    return Accelerator(
        name=row["name"],
        product=row["product"],
        memory_mib=int(row["memory_mib"]),
        bandwidth_gb_per_s=float(row["bandwidth_gb_per_s"]),
        compute_capability=(int(major), int(minor)),
        tflops={kind: float(row[column]) for kind, column in _RATES.items() if row[column]},
    )
