"""GPU node pools."""

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.base import Spec, kubernetes_labels, kubernetes_name


class Cloud(StrEnum):
    """Where an environment runs."""

    LOCAL = "local"
    """A cluster with simulated GPU nodes (KWOK)."""
    GKE = "gke"
    """Google Kubernetes Engine."""
    EKS = "eks"
    """Amazon Elastic Kubernetes Service."""
    AKS = "aks"
    """Azure Kubernetes Service."""


class EksAmi(StrEnum):
    """Operating system of GPU nodes on EKS."""

    AL2023 = "al2023"
    """Amazon Linux 2023 with NVIDIA's driver; needs the device plugin as an add-on."""
    BOTTLEROCKET = "bottlerocket"
    """Bottlerocket with NVIDIA's driver and device plugin."""


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it.

    GKE and EKS call it by the members' names (google-cloud-container NodeTaint.Effect, botocore eks
    TaintEffect).
    """

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


class CapacityType(StrEnum):
    """How the machines are paid for, and so how long they stay."""

    ON_DEMAND = "on-demand"
    """Kept until given back."""
    SPOT = "spot"
    """Cheaper, and taken away at short notice."""
    RESERVED = "reserved"
    """Paid for or queued for in advance, so that it is there when it is needed."""


class GpuNodePoolSpec(Spec):
    """Identical GPU nodes that grow and shrink together; the same shape on every cloud."""

    accelerator: str
    """GPU model, by its name in the catalog, e.g. `nvidia-l4`."""
    gpus_per_node: int = Field(default=1, ge=1, le=16)
    """GPUs of each node. Default 1."""
    machine: str | None = None
    """The cloud's instance type, e.g. `g2-standard-12`. Default: the smallest that carries
    `gpusPerNode` of the accelerator (`llm-inference machines` lists them)."""
    min_nodes: int = Field(default=0, ge=0)
    """Nodes that stay when nothing runs. Default 0."""
    max_nodes: int = Field(ge=1)
    """Nodes that the pool may grow to."""
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    """`on-demand` (default), `spot` or `reserved`."""
    reservation: str | None = Field(default=None, min_length=1)
    """What `reserved` draws on. GKE: name of a reservation, left out for flex-start; EKS: id of the
    capacity block (`cr-…`); AKS: resource id of the capacity reservation group."""
    zones: list[str] = []
    """Zones of the nodes. Default: the cluster's."""
    disk_gib: int = Field(default=200, ge=50, le=65536)
    """Boot disk of each node in GiB: engine images take 10 to 20, weights kept on the node come on
    top. Default 200."""
    taints: list[Taint] = []
    """Taints beside the pool's own; models on the pool tolerate them."""
    extra: dict[str, Any] = {}
    """Arguments of the cloud's own resource (`gcp.container.NodePool`, `aws.eks.NodeGroup`,
    `azure_native.containerservice.AgentPool`) by their Python names, merged over the pool's."""
    labels: dict[str, str] = {}
    """Labels for every node, beside the pool's own."""

    _labels = field_validator("labels")(kubernetes_labels)


class NamedPoolSpec(GpuNodePoolSpec):
    """A pool of an environment."""

    name: str
    """Unique in the environment; models refer to the pool by it."""

    _name = field_validator("name")(kubernetes_name)


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
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    """How long the nodes stay. Default `on-demand`."""
    shutdown_seconds: int | None = None
    """Time that a pod has to end when its node is taken away at short notice. Default: as long as
    it asks for."""
