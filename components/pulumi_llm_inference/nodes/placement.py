"""Labels, taints and tolerations of a pool: made once, so that they cannot disagree."""

from pulumi_llm_inference.spec.pool import CapacityType, GpuNodePoolSpec, Placement, Taint

POOL_LABEL = "llm-inference/pool"
ACCELERATOR_LABEL = "llm-inference/accelerator"
CAPACITY_LABEL = "llm-inference/capacity-type"

GPU_TAINT = Taint(key="nvidia.com/gpu", value="present")
"""Keeps pods without GPUs off the nodes; GKE's own name and value."""

SPOT_TAINT = Taint(key=CAPACITY_LABEL, value=CapacityType.SPOT)
"""Keeps pods off nodes that go away at short notice unless they were placed there."""


def placement(name: str, pool: GpuNodePoolSpec) -> Placement:
    """What the pool `name` puts on its nodes and what its pods need to run there."""
    spot = [SPOT_TAINT] if pool.capacity_type is CapacityType.SPOT else []
    return Placement(
        accelerator=pool.accelerator,
        gpus_per_node=pool.gpus_per_node,
        node_labels={
            POOL_LABEL: name,
            ACCELERATOR_LABEL: pool.accelerator,
            CAPACITY_LABEL: pool.capacity_type,
        },
        taints=[GPU_TAINT, *spot],
    )
