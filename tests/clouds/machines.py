"""Machines that carry GPUs: tables of the simulated clouds' own.

An oracle must not share data with what it judges, so these are written from other sources than
the package's catalogue.
"""

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class GpuMachine:
    """A GKE machine type: its accelerator string and the counts that it can carry."""

    accelerator: str
    counts: tuple[int, ...]


def _family(accelerator: str, machines: dict[str, int]) -> dict[str, GpuMachine]:
    return {name: GpuMachine(accelerator, (count,)) for name, count in machines.items()}


GKE: dict[str, GpuMachine] = {
    # docs.cloud.google.com/compute/docs/gpus and GKE's own cluster autoscaler.
    **_family("nvidia-tesla-a100", {f"a2-highgpu-{n}g": n for n in (1, 2, 4, 8)}),
    **_family("nvidia-tesla-a100", {"a2-megagpu-16g": 16}),
    **_family("nvidia-a100-80gb", {f"a2-ultragpu-{n}g": n for n in (1, 2, 4, 8)}),
    **_family("nvidia-h100-80gb", {f"a3-highgpu-{n}g": n for n in (1, 2, 4, 8)}),
    **_family("nvidia-h100-80gb", {"a3-edgegpu-8g": 8}),
    **_family("nvidia-h100-mega-80gb", {"a3-megagpu-8g": 8}),
    **_family("nvidia-h200-141gb", {"a3-ultragpu-8g": 8}),
    **_family("nvidia-b200", {"a4-highgpu-8g": 8}),
    **_family("nvidia-gb200", {"a4x-highgpu-4g": 4}),
    **_family(
        "nvidia-l4",
        {
            "g2-standard-4": 1,
            "g2-standard-8": 1,
            "g2-standard-12": 1,
            "g2-standard-16": 1,
            "g2-standard-24": 2,
            "g2-standard-32": 1,
            "g2-standard-48": 4,
            "g2-standard-96": 8,
        },
    ),
    **_family(
        "nvidia-rtx-pro-6000",
        {"g4-standard-48": 1, "g4-standard-96": 2, "g4-standard-192": 4, "g4-standard-384": 8},
    ),
}

GKE_ATTACHED = {"nvidia-tesla-t4": (1, 2, 4)}
"""Accelerators that are attached to an n1 machine, and how many of them."""

GKE_PLAIN = re.compile(
    r"(e2|n1|n2|n2d|n4|n4d|c2|c2d|c3|c3d|c4|c4a|c4d|t2a|t2d|m1|m2|m3)-"
    r"(micro|small|medium|(standard|highmem|highcpu|ultramem|megamem)-\d+(-lssd)?)|e2-(micro|small)"
)

GKE_HYPERDISK_ONLY = ("a3-ultragpu-", "a4-", "a4x-")

MIG: dict[str, dict[str, int]] = {
    # docs.cloud.google.com/kubernetes-engine/docs/how-to/gpus-multi: size -> parts of one GPU
    "nvidia-tesla-a100": {"1g.5gb": 7, "2g.10gb": 3, "3g.20gb": 2, "7g.40gb": 1},
    "nvidia-a100-80gb": {"1g.10gb": 7, "2g.20gb": 3, "3g.40gb": 2, "7g.80gb": 1},
    "nvidia-h100-80gb": {"1g.10gb": 7, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "7g.80gb": 1},
    "nvidia-h100-mega-80gb": {"1g.10gb": 7, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "7g.80gb": 1},
    "nvidia-h200-141gb": {"1g.18gb": 7, "1g.35gb": 4, "2g.35gb": 3, "3g.71gb": 2, "7g.141gb": 1},
    "nvidia-b200": {"1g.23gb": 7, "1g.45gb": 4, "2g.45gb": 3, "3g.90gb": 2, "7g.180gb": 1},
}

AKS: dict[str, int] = {
    # kaito-project/kaito pkg/sku/azure_sku_handler.go: GPUs of each VM size
    "Standard_NC4as_T4_v3": 1,
    "Standard_NC8as_T4_v3": 1,
    "Standard_NC16as_T4_v3": 1,
    "Standard_NC64as_T4_v3": 4,
    "Standard_NV36ads_A10_v5": 1,
    "Standard_NV72ads_A10_v5": 2,
    "Standard_NC24ads_A100_v4": 1,
    "Standard_NC48ads_A100_v4": 2,
    "Standard_NC96ads_A100_v4": 4,
    "Standard_ND96asr_v4": 8,
    "Standard_ND96asr_A100_v4": 8,  # Kaito's spelling; Azure's own is the one above
    "Standard_ND96amsr_A100_v4": 8,
    "Standard_NC40ads_H100_v5": 1,
    "Standard_NC80adis_H100_v5": 2,
    "Standard_ND96isr_H100_v5": 8,
    "Standard_ND96isr_H200_v5": 8,
}

AKS_PLAIN = re.compile(r"Standard_[ABDEFLM]\d+[a-z-]*\d*[a-z]*(_v\d+)?")

AKS_MIG = {"MIG1g": 7, "MIG2g": 3, "MIG3g": 2, "MIG4g": 1, "MIG7g": 1}


@cache
def ec2() -> dict[str, dict[str, Any]]:
    """EC2's DescribeInstanceTypes, as moto recorded it."""
    file = resources.files("moto").joinpath("ec2/resources/instance_types.json.gz")
    return json.loads(gzip.decompress(file.read_bytes()))


def ec2_gpus(instance_type: str) -> int:
    """Return the whole NVIDIA GPUs of an instance type; 0 if it is not known."""
    gpus = ec2().get(instance_type, {}).get("GpuInfo", {}).get("Gpus", [])
    return sum(gpu["Count"] for gpu in gpus if gpu["Manufacturer"] == "NVIDIA")
