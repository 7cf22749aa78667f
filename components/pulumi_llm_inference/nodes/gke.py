"""GPU nodes on Google Kubernetes Engine."""

import math
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
from pulumi import Input
from pulumi.output import Output, T  # noqa: F401

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.catalog.machines import Machine
from pulumi_llm_inference.checks.pool import machine_of, pool_problems
from pulumi_llm_inference.nodes.extra import extra_problems, merged
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import (
    CapacityType,
    Cloud,
    GpuNodePoolSpec,
    Placement,
)

_OWN = {"node_config.labels": "labels", "node_config.taints": "taints"}
"""Arguments of the node pool that are the pool's, and by what a user changes them."""

_FLEX_START_SECONDS = 7 * 24 * 3600
"""Longest time that flex-start leaves a node
(docs.cloud.google.com/kubernetes-engine/docs/concepts/dws)."""


class GkeGpuNodePoolArgs(GpuNodePoolSpec, Args):
    """Arguments of GkeGpuNodePool: those of every GPU node pool, and where it belongs."""

    cluster_name: Input[str]
    """Name of the cluster."""
    location: Input[str]
    """Region of the cluster, or zone of a zonal one."""
    service_account: Input[str]
    """E-mail of the nodes' service account. GKE's default may edit the whole project; give one with
    `roles/container.defaultNodeServiceAccount` and no more."""
    project: Input[str] | None = None
    """Project of the cluster. Default: the provider's."""
    tags: dict[str, str] = {}
    """Labels of the virtual machines, for the bill."""


class GkeGpuNodePool(pulumi.ComponentResource):
    """Identical GPU nodes on GKE; the driver and the device plugin are GKE's."""

    placement: Placement
    """What pods need to run on the pool."""
    node_pool: gcp.container.NodePool
    """The pool itself. Its name has a random end, so that a new one comes before the old goes."""

    def __init__(
        self,
        name: str,
        args: GkeGpuNodePoolArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = GkeGpuNodePoolArgs.model_validate(args)
        require(
            [
                *pool_problems(name, spec, Cloud.GKE, name),
                *extra_problems(gcp.container.NodePool, spec.extra, _OWN, name),
            ],
            f"GkeGpuNodePool '{name}'",
        )
        super().__init__("llm-inference:index:GkeGpuNodePool", name, None, opts)
        self.placement = placement(name, spec, Cloud.GKE)
        self.node_pool = gcp.container.NodePool(
            f"{name}-pool",
            **merged(
                node_pool(spec, machine_of(Cloud.GKE, spec), self.placement),
                spec.extra,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # GKE's autoscaler counts once the pool is there.
                ignore_changes=["initialNodeCount"],
            ),
        )
        self.register_outputs({"placement": self.placement.model_dump(mode="json", by_alias=True)})


def node_pool(spec: GkeGpuNodePoolArgs, machine: Machine, placed: Placement) -> dict[str, Any]:
    """Arguments of `gcp.container.NodePool`."""
    spot = spec.capacity_type is CapacityType.SPOT
    reserved = spec.capacity_type is CapacityType.RESERVED
    flex_start = reserved and spec.reservation is None
    autoscaling: gcp.container.NodePoolAutoscalingArgsDict = {
        "total_min_node_count": spec.min_nodes,
        "total_max_node_count": spec.max_nodes,
        # ANY takes machines where there are some: for reservations and for spot.
        "location_policy": "ANY" if spot or reserved else "BALANCED",
    }
    management: gcp.container.NodePoolManagementArgsDict = {
        "auto_repair": not flex_start,
        "auto_upgrade": True,
    }
    # A surge would need as many GPUs again.
    upgrades: gcp.container.NodePoolUpgradeSettingsArgsDict = {"max_surge": 0, "max_unavailable": 1}
    return {
        "cluster": spec.cluster_name,
        "location": spec.location,
        "project": spec.project,
        "node_locations": spec.zones or None,
        # For each zone. The autoscaler keeps a least number, but does not start with it
        # (hashicorp/terraform-provider-google issue 8270).
        "initial_node_count": math.ceil(spec.min_nodes / max(1, len(spec.zones))),
        "autoscaling": autoscaling,
        "management": management,
        "upgrade_settings": None if flex_start else upgrades,
        "node_config": _node_config(spec, machine, placed, spot=spot, flex_start=flex_start),
    }


def _node_config(
    spec: GkeGpuNodePoolArgs, machine: Machine, placed: Placement, *, spot: bool, flex_start: bool
) -> "gcp.container.NodePoolNodeConfigArgsDict":
    config: gcp.container.NodePoolNodeConfigArgsDict = {
        "machine_type": machine.name,
        "spot": spot,
        "guest_accelerators": [
            {
                "type": machine.accelerator_name,
                "count": machine.gpus,
                "gpu_driver_installation_config": {"gpu_driver_version": "LATEST"},
            }
        ],
        "labels": {**spec.labels, **placed.node_labels},
        "taints": [
            {"key": taint.key, "value": taint.value, "effect": taint.effect.name}
            for taint in placed.taints
        ],
        "resource_labels": spec.tags or None,
        "image_type": "COS_CONTAINERD",
        "disk_size_gb": spec.disk_gib,
        "disk_type": machine.disk_type or "pd-balanced",
        # Images of engines start before all of their 10 GB are there.
        "gcfs_config": {"enabled": True},
        "gvnic": {"enabled": True},
        "service_account": spec.service_account,
        "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "workload_metadata_config": {"mode": "GKE_METADATA"},
        "shielded_instance_config": {"enable_integrity_monitoring": True},
        "metadata": {"disable-legacy-endpoints": "true"},
    }
    if flex_start:
        config["flex_start"] = True
        config["max_run_duration"] = f"{_FLEX_START_SECONDS}s"
        config["reservation_affinity"] = {"consume_reservation_type": "NO_RESERVATION"}
    elif spec.reservation:
        config["reservation_affinity"] = {
            "consume_reservation_type": "SPECIFIC_RESERVATION",
            "key": "compute.googleapis.com/reservation-name",
            "values": [spec.reservation],
        }
    return config
