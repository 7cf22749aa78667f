"""GPU nodes on Azure Kubernetes Service."""

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import Input
from pulumi.output import Output, T  # noqa: F401
from pulumi_azure_native import containerservice

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.catalog.machines import Machine
from pulumi_llm_inference.checks.pool import machine_of, pool_problems
from pulumi_llm_inference.nodes.extra import extra_problems, merged
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec, Placement

_SPOT_LABELS = {"kubernetes.azure.com/scalesetpriority": "spot"}
"""AKS puts it on spot nodes by itself and reports it back: left out, every update would remove it
(MicrosoftDocs/azure-aks-docs articles/aks/spot-node-pool.md)."""

_FIXED = [
    "availabilityZones",
    "capacityReservationGroupID",
    "gpuProfile",
    "osDiskSizeGB",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "spotMaxPrice",
    "vnetSubnetID",
]
"""What a pool keeps for life, beside the machine and the name."""

_OWN = {"node_labels": "labels", "node_taints": "taints"}
"""Arguments of the agent pool that are the pool's, and by what a user changes them."""

_MARKET_PRICE = -1
"""Highest price of a spot node: that of the same node on demand."""


class AksGpuNodePoolArgs(GpuNodePoolSpec, Args):
    """Arguments of AksGpuNodePool: those of every GPU node pool, and where it belongs."""

    cluster_name: Input[str]
    """Name of the cluster."""
    resource_group_name: Input[str]
    """Resource group of the cluster."""
    subnet_id: Input[str] | None = None
    """Subnet of the nodes. Default: AKS' own."""
    tags: dict[str, str] = {}
    """Tags of the virtual machines, for the bill."""


class AksGpuNodePool(pulumi.ComponentResource):
    """Identical GPU nodes on AKS with NVIDIA's driver; the device plugin is an add-on."""

    placement: Placement
    """What pods need to run on the pool."""
    agent_pool: containerservice.AgentPool
    """The pool itself."""

    def __init__(
        self,
        name: str,
        args: AksGpuNodePoolArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = AksGpuNodePoolArgs.model_validate(args)
        require(
            [
                *pool_problems(name, spec, Cloud.AKS, name),
                *extra_problems(containerservice.AgentPool, spec.extra, _OWN, name),
            ],
            f"AksGpuNodePool '{name}'",
        )
        super().__init__("llm-inference:index:AksGpuNodePool", name, None, opts)
        self.placement = placement(name, spec, Cloud.AKS)
        self.agent_pool = containerservice.AgentPool(
            f"{name}-pool",
            **merged(
                agent_pool(name, spec, machine_of(Cloud.AKS, spec), self.placement), spec.extra
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["count"],  # the node autoscaler's
                # AKS refuses these changes instead of making another pool
                # (MicrosoftDocs/azure-aks-docs articles/aks/spot-node-pool.md, use-nvidia-gpu.md).
                replace_on_changes=_FIXED,
                # Twelve letters leave no room for a random end, so the old one must go first.
                delete_before_replace=True,
            ),
        )
        self.register_outputs({"placement": self.placement.model_dump(mode="json", by_alias=True)})


def agent_pool(
    name: str, spec: AksGpuNodePoolArgs, machine: Machine, placed: Placement
) -> dict[str, Any]:
    """Arguments of `azure_native.containerservice.AgentPool`."""
    spot = spec.capacity_type is CapacityType.SPOT
    gpus: containerservice.GPUProfileArgsDict = {"driver": containerservice.GPUDriver.INSTALL}
    # A surge would need as many GPUs again.
    upgrades: containerservice.AgentPoolUpgradeSettingsArgsDict = {
        "max_surge": "0",
        "max_unavailable": "1",
    }
    common = {
        "agent_pool_name": name,
        "resource_name_": spec.cluster_name,
        "resource_group_name": spec.resource_group_name,
        "vnet_subnet_id": spec.subnet_id,
        "availability_zones": spec.zones or None,
        "mode": containerservice.AgentPoolMode.USER,
        "type": containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
        "os_type": containerservice.OSType.LINUX,
        "os_sku": containerservice.OSSKU.UBUNTU,
        "vm_size": machine.name,
        "os_disk_size_gb": spec.disk_gib,
        "gpu_profile": gpus,
        "enable_auto_scaling": True,
        "count": spec.min_nodes,
        "min_count": spec.min_nodes,
        "max_count": spec.max_nodes,
        "node_labels": {**spec.labels, **placed.node_labels, **(_SPOT_LABELS if spot else {})},
        "node_taints": [f"{t.key}={t.value}:{t.effect.value}" for t in placed.taints],
        "capacity_reservation_group_id": spec.reservation,
        "tags": spec.tags or None,
    }
    if not spot:
        return {**common, "upgrade_settings": upgrades}
    return {
        **common,
        "scale_set_priority": containerservice.ScaleSetPriority.SPOT,
        # Deallocated nodes would keep their quota and their disks' price.
        "scale_set_eviction_policy": containerservice.ScaleSetEvictionPolicy.DELETE,
        "spot_max_price": _MARKET_PRICE,
    }
