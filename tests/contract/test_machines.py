"""The catalog of machines against what the clouds and others say of them."""

import gzip
import json
from functools import cache
from importlib import resources
from typing import Any

import pytest

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.catalog.machines import machines

EC2_GPUS = {
    ("T4", 16384): "nvidia-t4",
    ("L4", 22888): "nvidia-l4",
    ("A10G", 22888): "nvidia-a10g",
    ("L40S", 45776): "nvidia-l40s",
    ("RTX PRO Server 6000", 98304): "nvidia-rtx-pro-6000",
    ("A100", 40960): "nvidia-a100-40gb",
    ("A100", 81920): "nvidia-a100-80gb",
    ("H100", 81920): "nvidia-h100-80gb",
    ("H200", 144384): "nvidia-h200-141gb",
    ("B200", 183359): "nvidia-b200",
}
"""EC2's name and MiB of a GPU → ours."""

LEFT_OUT = {
    # A fraction of an L4, which EC2 counts as 0 GPUs.
    *("g6f.large", "g6f.xlarge", "g6f.2xlarge", "g6f.4xlarge", "gr6f.4xlarge"),
}
"""EC2 instance types with GPUs of the catalog that the catalog leaves out."""

NOT_IN_CATALOG = {"B300", "RTX PRO 4500", "T4g", "V100"}
"""EC2's GPUs that are no accelerators of the catalog; T4g is the one of arm64 machines."""


@cache
def ec2() -> dict[str, dict[str, Any]]:
    """DescribeInstanceTypes of the instance types with GPUs, by name."""
    packed = resources.files("moto.ec2").joinpath("resources/instance_types.json.gz").read_bytes()
    types: dict[str, dict[str, Any]] = json.loads(gzip.decompress(packed))
    return {name: item for name, item in types.items() if "GpuInfo" in item}


def ec2_gpu(item: dict[str, Any]) -> str:
    """EC2's name of the GPU of an instance type."""
    [gpu] = item["GpuInfo"]["Gpus"]
    return gpu["Name"]


def test_ec2_machines_are_what_ec2_says() -> None:
    for machine in machines("eks"):
        item = ec2()[machine.name]
        [gpu] = item["GpuInfo"]["Gpus"]
        assert gpu["Manufacturer"] == "NVIDIA"
        assert EC2_GPUS[gpu["Name"], gpu["MemoryInfo"]["SizeInMiB"]] == machine.accelerator
        assert gpu["Count"] == machine.gpus, machine.name
        assert item["VCpuInfo"]["DefaultVCpus"] == machine.vcpus, machine.name
        assert item["MemoryInfo"]["SizeInMiB"] == machine.memory_gib * 1024, machine.name
        assert item["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
        assert {"on-demand", "spot"} <= set(item["SupportedUsageClasses"])
        assert bool(item.get("BareMetal")) == ("bare metal" in machine.notes)
        memory = accelerators()[machine.accelerator].memory_mib * machine.gpus
        # EC2 prints what is on the box, the catalog what the driver reports.
        assert memory == pytest.approx(item["GpuInfo"]["TotalGpuMemoryInMiB"], rel=0.07)


def test_no_ec2_machine_with_our_accelerators_is_missing() -> None:
    ours = {model for model, _ in EC2_GPUS}
    # A model that EC2 sells since must be put in one of the two.
    assert {ec2_gpu(item) for item in ec2().values()} == ours | NOT_IN_CATALOG
    known = {name for name, item in ec2().items() if ec2_gpu(item) in ours}
    assert known >= LEFT_OUT
    assert known - LEFT_OUT == {machine.name for machine in machines("eks")}
    for name in LEFT_OUT:
        assert ec2()[name]["GpuInfo"]["Gpus"][0]["Count"] == 0


GKE = """
n1-standard-4        nvidia-tesla-t4        1    4     15
n1-standard-8        nvidia-tesla-t4        1    8     30
n1-standard-16       nvidia-tesla-t4        2   16     60
n1-standard-32       nvidia-tesla-t4        4   32    120
g2-standard-4        nvidia-l4              1    4     16
g2-standard-8        nvidia-l4              1    8     32
g2-standard-12       nvidia-l4              1   12     48
g2-standard-16       nvidia-l4              1   16     64
g2-standard-24       nvidia-l4              2   24     96
g2-standard-32       nvidia-l4              1   32    128
g2-standard-48       nvidia-l4              4   48    192
g2-standard-96       nvidia-l4              8   96    384
g4-standard-48       nvidia-rtx-pro-6000    1   48    180
g4-standard-96       nvidia-rtx-pro-6000    2   96    360
g4-standard-192      nvidia-rtx-pro-6000    4  192    720
g4-standard-384      nvidia-rtx-pro-6000    8  384   1440
a2-highgpu-1g        nvidia-tesla-a100      1   12     85
a2-highgpu-2g        nvidia-tesla-a100      2   24    170
a2-highgpu-4g        nvidia-tesla-a100      4   48    340
a2-highgpu-8g        nvidia-tesla-a100      8   96    680
a2-megagpu-16g       nvidia-tesla-a100     16   96   1360
a2-ultragpu-1g       nvidia-a100-80gb       1   12    170
a2-ultragpu-2g       nvidia-a100-80gb       2   24    340
a2-ultragpu-4g       nvidia-a100-80gb       4   48    680
a2-ultragpu-8g       nvidia-a100-80gb       8   96   1360
a3-highgpu-1g        nvidia-h100-80gb       1   26    234
a3-highgpu-2g        nvidia-h100-80gb       2   52    468
a3-highgpu-4g        nvidia-h100-80gb       4  104    936
a3-highgpu-8g        nvidia-h100-80gb       8  208   1872
a3-edgegpu-8g        nvidia-h100-80gb       8  208   1872
a3-megagpu-8g        nvidia-h100-mega-80gb  8  208   1872
a3-ultragpu-8g       nvidia-h200-141gb      8  224   2952
a4-highgpu-8g        nvidia-b200            8  224   3968
"""
"""Machine, accelerator as GKE spells it, GPUs, vCPUs, GiB. GPUs and spelling: GKE's cluster
autoscaler (packages machinetypes, labels). vCPUs and GiB: SkyPilot's catalog of GCP (a2,
a3-highgpu-1g to -4g, a3-edgegpu-8g), offers that dstack printed (g4), else the autoscaler again."""

GKE_ACCELERATORS = {
    "nvidia-tesla-t4": "nvidia-t4",
    "nvidia-l4": "nvidia-l4",
    "nvidia-rtx-pro-6000": "nvidia-rtx-pro-6000",
    "nvidia-tesla-a100": "nvidia-a100-40gb",
    "nvidia-a100-80gb": "nvidia-a100-80gb",
    "nvidia-h100-80gb": "nvidia-h100-80gb",
    "nvidia-h100-mega-80gb": "nvidia-h100-80gb",
    "nvidia-h200-141gb": "nvidia-h200-141gb",
    "nvidia-b200": "nvidia-b200",
}
"""GKE's name of a GPU → ours."""

MOST_VCPUS = {
    "nvidia-tesla-t4": {1: 48, 2: 48, 4: 96},
    "nvidia-tesla-a100": {1: 12, 2: 24, 4: 48, 8: 96, 16: 96},
    "nvidia-a100-80gb": {1: 12, 2: 24, 4: 48, 8: 96},
    "nvidia-l4": {1: 32, 2: 24, 4: 48, 8: 96},
    "nvidia-h100-80gb": {1: 26, 2: 52, 4: 104, 8: 208},
    "nvidia-h100-mega-80gb": {8: 208},
    "nvidia-h200-141gb": {8: 224},
    "nvidia-b200": {8: 224},
    "nvidia-rtx-pro-6000": {1: 48, 2: 96, 4: 192, 8: 384},
}
"""GKE's name of a GPU → GPUs → most vCPUs: `maxCpuCount` in GKE's cluster autoscaler."""


def table(text: str) -> dict[str, tuple[str, int, int, float]]:
    """Name → accelerator, GPUs, vCPUs, GiB."""
    found = {}
    for line in text.strip().splitlines():
        name, accelerator, gpus, vcpus, memory = line.split()
        found[name] = accelerator, int(gpus), int(vcpus), float(memory)
    return found


def test_gke_machines_are_what_others_say() -> None:
    assert {
        machine.name: (machine.accelerator_name, machine.gpus, machine.vcpus, machine.memory_gib)
        for machine in machines("gke")
    } == table(GKE)


def test_gke_accelerators_are_spelled_as_gke_does() -> None:
    for machine in machines("gke"):
        assert GKE_ACCELERATORS[machine.accelerator_name] == machine.accelerator
    assert {machine.accelerator_name for machine in machines("gke")} == set(GKE_ACCELERATORS)


def test_gke_takes_the_number_of_gpus_with_the_vcpus() -> None:
    for machine in machines("gke"):
        assert machine.vcpus <= MOST_VCPUS[machine.accelerator_name][machine.gpus], machine.name
    offered = {(machine.accelerator_name, machine.gpus) for machine in machines("gke")}
    assert offered == {(name, gpus) for name, most in MOST_VCPUS.items() for gpus in most}


def test_gke_machines_that_boot_from_hyperdisk_only_say_so() -> None:
    """Supported boot disks in GKE's cluster autoscaler: g4, a4, and a3-ultragpu of the a3."""
    only = {machine.name for machine in machines("gke") if machine.disk_type}
    assert only == {name for name in table(GKE) if name.startswith(("g4-", "a4-", "a3-ultragpu-"))}


AKS = """
Standard_NC4as_T4_v3       nvidia-t4          1   4    28
Standard_NC8as_T4_v3       nvidia-t4          1   8    56
Standard_NC16as_T4_v3      nvidia-t4          1  16   110
Standard_NC64as_T4_v3      nvidia-t4          4  64   440
Standard_NV36ads_A10_v5    nvidia-a10         1  36   440
Standard_NV36adms_A10_v5   nvidia-a10         1  36   880
Standard_NV72ads_A10_v5    nvidia-a10         2  72   880
Standard_NC24ads_A100_v4   nvidia-a100-80gb   1  24   220
Standard_NC48ads_A100_v4   nvidia-a100-80gb   2  48   440
Standard_NC96ads_A100_v4   nvidia-a100-80gb   4  96   880
Standard_ND96asr_v4        nvidia-a100-40gb   8  96   900
Standard_ND96amsr_A100_v4  nvidia-a100-80gb   8  96  1900
Standard_NC40ads_H100_v5   nvidia-h100-94gb   1  40   320
Standard_NC80adis_H100_v5  nvidia-h100-94gb   2  80   640
Standard_ND96isr_H100_v5   nvidia-h100-80gb   8  96  1900
Standard_ND96isr_H200_v5   nvidia-h200-141gb  8  96  1850
"""
"""Machine, accelerator, GPUs, vCPUs, GiB. GPUs: KAITO's azure_sku_handler.go, which has not
NV36adms_A10_v5; the others: Microsoft's size pages (MicrosoftDocs/azure-compute-docs)."""

DISPUTED = {"Standard_ND96amsr_A100_v4": 1800}
"""GiB of machines of which Aspire's list of AKS sizes has less; the catalog takes the less."""


def test_aks_machines_are_what_microsofts_pages_say() -> None:
    expected = table(AKS)
    for name, memory in DISPUTED.items():
        accelerator, gpus, vcpus, printed = expected[name]
        assert memory < printed
        expected[name] = accelerator, gpus, vcpus, memory
    assert {
        machine.name: (machine.accelerator, machine.gpus, machine.vcpus, machine.memory_gib)
        for machine in machines("aks")
    } == expected


KAITO_GIB = {
    **dict.fromkeys(["NC4as_T4_v3", "NC8as_T4_v3", "NC16as_T4_v3"], 16),
    "NC64as_T4_v3": 64,
    "NV36ads_A10_v5": 24,
    "NV72ads_A10_v5": 48,
    "NC24ads_A100_v4": 80,
    "NC48ads_A100_v4": 160,
    "NC96ads_A100_v4": 320,
    "ND96asr_v4": 320,
    "ND96amsr_A100_v4": 640,
    "NC40ads_H100_v5": 94,
    "NC80adis_H100_v5": 188,
    "ND96isr_H100_v5": 640,
    "ND96isr_H200_v5": 1128,
}
"""Machine of AKS → GiB of all its GPUs: KAITO's azure_sku_handler.go."""


def test_gpu_memory_of_aks_machines_is_what_kaito_counts_on() -> None:
    found = {machine.name.removeprefix("Standard_"): machine for machine in machines("aks")}
    assert set(found) == {*KAITO_GIB, "NV36adms_A10_v5"}
    for name, gib in KAITO_GIB.items():
        memory = accelerators()[found[name].accelerator].memory_mib * found[name].gpus
        assert memory / 1024 == pytest.approx(gib, rel=0.07)
        assert memory / 1024 <= gib
