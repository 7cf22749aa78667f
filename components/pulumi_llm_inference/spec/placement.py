"""Labels, taints and tolerations of a pool: made once, so that they cannot disagree."""

from dataclasses import dataclass

from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec, Placement, Taint

POOL_LABEL = "llm-inference/pool"
ACCELERATOR_LABEL = "llm-inference/accelerator"
CAPACITY_LABEL = "llm-inference/capacity-type"

GPU_TAINT = Taint(key="nvidia.com/gpu", value="present")
"""Keeps pods without GPUs off the nodes; GKE's own name and value."""


@dataclass(frozen=True)
class Spot:
    """What a cloud does to spot nodes."""

    taint: Taint
    """Keeps pods off them unless they were placed there."""
    shutdown_seconds: int | None
    """Of the notice before a node is taken away, what pods have; None: nodes are never taken."""


SPOT = {
    Cloud.LOCAL: Spot(Taint(key=CAPACITY_LABEL, value=CapacityType.SPOT), None),
    # 30 s, of which the kubelet keeps 15 for system pods; GKE adds the label of this name but not
    # the taint (docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms).
    Cloud.GKE: Spot(Taint(key="cloud.google.com/gke-spot", value="true"), 15),
    # Two minutes, and some of it passes until the node is drained
    # (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
    Cloud.EKS: Spot(Taint(key=CAPACITY_LABEL, value=CapacityType.SPOT), 105),
    # 30 s at least; AKS adds this taint by itself
    # (MicrosoftDocs/azure-aks-docs articles/aks/spot-node-pool.md).
    Cloud.AKS: Spot(Taint(key="kubernetes.azure.com/scalesetpriority", value="spot"), 20),
}


def placement(name: str, pool: GpuNodePoolSpec, cloud: Cloud) -> Placement:
    """What the pool `name` puts on its nodes and what its pods need to run there."""
    is_spot = pool.capacity_type is CapacityType.SPOT
    spot = SPOT[cloud]
    return Placement(
        accelerator=pool.accelerator,
        gpus_per_node=pool.gpus_per_node,
        node_labels={
            POOL_LABEL: name,
            ACCELERATOR_LABEL: pool.accelerator,
            CAPACITY_LABEL: pool.capacity_type,
        },
        taints=[GPU_TAINT, *([spot.taint] if is_spot else []), *pool.taints],
        capacity_type=pool.capacity_type,
        shutdown_seconds=spot.shutdown_seconds if is_spot else None,
    )
