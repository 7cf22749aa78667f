"""Kubernetes clusters: one to make, or one that is there."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from pulumi_llm_inference.spec.base import Spec


class NodeBounds(Spec):
    """How far a pool of machines grows and shrinks."""

    min_nodes: int = Field(default=2, ge=1)
    """Nodes that stay when nothing runs. Default 2: an upgrade takes one at a time."""
    max_nodes: int = Field(default=5, ge=1)
    """Nodes that the pool may grow to. Default 5."""


class ClusterSpec(Spec):
    """A cluster with private nodes in a network of its own; the same on every cloud."""

    name: str | None = None
    """Name of the cluster. Default: the component's."""
    region: str
    """Region of everything, e.g. `us-central1`, `us-east-1`, `eastus2`."""
    zones: list[str] = []
    """Zones of the nodes; EKS needs two or more. Default: the cloud's choice."""
    api_networks: list[str] = []
    """Networks (CIDR) from which the API's public address may be reached, e.g. an office's or a
    pipeline's. Default none: the API has a private address only, and whatever deploys to the
    cluster must be in its network or joined to it."""
    system_nodes: NodeBounds = NodeBounds()
    """Nodes without GPUs for what every cluster runs: DNS, Prometheus, autoscalers, routers."""
    deletion_protection: bool = True
    """Whether deleting the cluster takes two steps: set this to no and deploy, then delete.
    Default yes."""
    tags: dict[str, str] = {}
    """Tags (GKE: labels) of everything that takes them, for the bill."""


class ReleaseChannel(StrEnum):
    """How soon GKE upgrades a cluster to a new version."""

    RAPID = "rapid"
    """As soon as there is one, to try it."""
    REGULAR = "regular"
    """When it has proven itself in the rapid channel."""
    STABLE = "stable"
    """When it has proven itself in the regular channel."""


class GkeClusterSpec(ClusterSpec):
    """A cluster on Google Kubernetes Engine, its control plane in three zones."""

    project: str
    """Id of the project."""
    release_channel: ReleaseChannel = ReleaseChannel.REGULAR
    """`rapid`, `regular` (default) or `stable`."""
    network: str = "10.0.0.0/20"
    """Addresses of nodes and load balancers (CIDR). Default 10.0.0.0/20."""
    pod_network: str = "10.4.0.0/14"
    """Addresses of pods (CIDR); each node takes 256. Default 10.4.0.0/14: 1,024 nodes."""
    service_network: str = "10.8.0.0/20"
    """Addresses of Services (CIDR). Default 10.8.0.0/20."""
    system_machine: str = "e2-standard-4"
    """Machine of the system's nodes. Default e2-standard-4."""


class EksClusterSpec(ClusterSpec):
    """A cluster on Amazon Elastic Kubernetes Service."""

    network: str = "10.0.0.0/16"
    """Addresses of nodes, pods and load balancers (CIDR). Default 10.0.0.0/16: 8,192 a zone."""
    system_machine: str = "m6i.xlarge"
    """Machine of the system's nodes, with an x86 processor. Default m6i.xlarge."""


class AksClusterSpec(ClusterSpec):
    """A cluster on Azure Kubernetes Service."""

    resource_group: str | None = None
    """Name of an existing resource group. Default: one of the cluster's own."""
    admin_groups: list[str] = []
    """Object ids of the Microsoft Entra groups that administer the cluster; people and pipelines
    then log in as themselves (`az login`, `kubelogin`). Default none: the kubeconfig holds a client
    certificate."""
    network: str = "10.224.0.0/16"
    """Addresses of nodes and load balancers (CIDR). Default 10.224.0.0/16."""
    pod_network: str = "10.244.0.0/16"
    """Addresses of pods (CIDR), used inside the cluster only; each node takes 256. Default
    10.244.0.0/16: 256 nodes."""
    service_network: str = "10.0.0.0/16"
    """Addresses of Services (CIDR), used inside the cluster only. Default 10.0.0.0/16."""
    system_machine: str = "Standard_D4s_v5"
    """Machine of the system's nodes. Default Standard_D4s_v5."""


class ExistingClusterSpec(Spec):
    """A cluster that somebody else made."""

    kubeconfig: str | None = None
    """Path of a kubeconfig. Default: the one in use (`KUBECONFIG`, `~/.kube/config`)."""
    context: str | None = None
    """Context in the kubeconfig. Default: its current one."""
    cluster_name: str
    """Name of the cluster, as the cloud knows it."""

    @property
    def connection(self) -> dict[str, Any]:
        """What a GPU node pool needs to know of the cluster, by the names of its arguments."""
        raise NotImplementedError

    @property
    def storage_connection(self) -> dict[str, Any]:
        """What storage access needs to know of the cluster, by the names of its arguments."""
        raise NotImplementedError


class GkeExistingSpec(ExistingClusterSpec):
    """A cluster on Google Kubernetes Engine that is there."""

    location: str
    """Region of the cluster, or zone of a zonal one."""
    project: str
    """Id of its project."""
    service_account: str
    """E-mail of the service account that GPU nodes run as; it needs
    `roles/container.defaultNodeServiceAccount`."""

    @property
    def connection(self) -> dict[str, Any]:
        """What a GPU node pool needs to know of the cluster, by the names of its arguments."""
        return {
            "cluster_name": self.cluster_name,
            "location": self.location,
            "project": self.project,
            "service_account": self.service_account,
        }

    @property
    def storage_connection(self) -> dict[str, Any]:
        """What GkeStorageAccess needs to know of the cluster."""
        return {"project": self.project}


class EksExistingSpec(ExistingClusterSpec):
    """A cluster on Amazon Elastic Kubernetes Service that is there."""

    region: str
    """Region of the cluster."""
    node_role_arn: str
    """ARN of the role that GPU nodes run as."""
    subnet_ids: dict[str, str] = Field(min_length=1)
    """Private subnets by their zone, e.g. `us-east-1a: subnet-…`."""

    @property
    def connection(self) -> dict[str, Any]:
        """What a GPU node pool needs to know of the cluster, by the names of its arguments."""
        return {
            "cluster_name": self.cluster_name,
            "region": self.region,
            "node_role_arn": self.node_role_arn,
            "subnet_ids": self.subnet_ids,
        }

    @property
    def storage_connection(self) -> dict[str, Any]:
        """What EksStorageAccess needs to know of the cluster."""
        return {"cluster_name": self.cluster_name, "region": self.region}


class AksExistingSpec(ExistingClusterSpec):
    """A cluster on Azure Kubernetes Service that is there."""

    resource_group_name: str
    """Resource group of the cluster."""
    subnet_id: str
    """Resource id of the subnet that GPU nodes are in."""
    location: str | None = None
    """Region of the cluster. Needed only to read weights from storage."""
    oidc_issuer_url: str | None = None
    """The cluster's issuer of tokens (`az aks show --query oidcIssuerProfile.issuerUrl`). Needed
    only to read weights from storage."""

    @property
    def connection(self) -> dict[str, Any]:
        """What a GPU node pool needs to know of the cluster, by the names of its arguments."""
        return {
            "cluster_name": self.cluster_name,
            "resource_group_name": self.resource_group_name,
            "subnet_id": self.subnet_id,
        }

    @property
    def storage_connection(self) -> dict[str, Any]:
        """What AksStorageAccess needs to know of the cluster."""
        return {
            "resource_group_name": self.resource_group_name,
            "location": self.location,
            "oidc_issuer_url": self.oidc_issuer_url,
        }
