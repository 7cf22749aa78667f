"""GPU node pools."""

from enum import StrEnum

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.base import Spec, kubernetes_labels, kubernetes_name


class CapacityType(StrEnum):
    """How the machines are paid for, and so how long they stay."""

    ON_DEMAND = "on-demand"
    """Kept until given back."""
    SPOT = "spot"
    """Cheaper, and taken away at short notice."""
    RESERVED = "reserved"
    """Paid for in advance."""


class GpuNodePoolSpec(Spec):
    """Identical GPU nodes that grow and shrink together; the same shape on every cloud."""

    accelerator: str
    """GPU model, by its name in the catalog, e.g. `nvidia-l4`."""
    gpus_per_node: int = Field(default=1, ge=1, le=16)
    """GPUs of each node. Default 1."""
    min_nodes: int = Field(default=0, ge=0)
    """Nodes that stay when nothing runs. Default 0."""
    max_nodes: int = Field(ge=1)
    """Nodes that the pool may grow to."""
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    """`on-demand` (default), `spot` or `reserved`."""
    labels: dict[str, str] = {}
    """Labels for every node, beside the pool's own."""

    _labels = field_validator("labels")(kubernetes_labels)


class NamedPoolSpec(GpuNodePoolSpec):
    """A pool of an environment."""

    name: str
    """Unique in the environment; models refer to the pool by it."""

    _name = field_validator("name")(kubernetes_name)


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    NO_EXECUTE = "NoExecute"


class Taint(Spec):
    """What keeps pods off a node unless they tolerate it."""

    key: str
    """Name of the taint, e.g. `nvidia.com/gpu`."""
    value: str
    """Value of the taint. Tolerations ignore it: clouds differ in it."""
    effect: TaintEffect = TaintEffect.NO_SCHEDULE
    """Default `NoSchedule`."""


class Placement(Spec):
    """What a pool gives a pod so that it runs there, and nowhere else."""

    accelerator: str
    """GPU model of the pool, by its name in the catalog."""
    gpus_per_node: int
    """GPUs of each node: the most that one pod can ask for."""
    node_labels: dict[str, str]
    """Labels that the pool's nodes have and no other node has; required by node affinity."""
    taints: list[Taint]
    """Taints of the pool's nodes, all of them to be tolerated."""
    gpu_resource: str = "nvidia.com/gpu"
    """Extended resource that the GPUs are counted as."""
