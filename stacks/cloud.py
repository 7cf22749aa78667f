"""What the environments of all clouds have in common: a cluster, and what is on it once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_kubernetes as k8s

import workloads
from ground import Ground, Storage
from pulumi_llm_inference import Addons
from pulumi_llm_inference.checks.addons import metrics_source
from pulumi_llm_inference.spec.addons import AddonsSpec
from pulumi_llm_inference.spec.base import fields_of
from pulumi_llm_inference.spec.environment import CloudEnvironmentSpec
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec, NamedPoolSpec

if TYPE_CHECKING:  # at run time only one cloud's package is installed
    from ground import GpuNodePool
    from pulumi_llm_inference import AksCluster, EksCluster, GkeCluster

    Cluster = AksCluster | EksCluster | GkeCluster


@dataclass(frozen=True)
class Home:
    """The cluster of an environment, whoever made it."""

    provider: k8s.Provider
    """Makes Kubernetes objects in it."""
    connection: Mapping[str, Any]
    """What a GPU node pool needs to know, by the names of its arguments."""
    storage_connection: Mapping[str, Any]
    """What storage access needs to know, by the names of its arguments."""


def home(
    environment: CloudEnvironmentSpec,
    component: "Callable[[str, Mapping[str, Any]], Cluster]",
    borrowed: Mapping[str, Iterable[str]],
    args: Mapping[str, Any] | None = None,
) -> Home:
    """The cluster that an environment makes, borrows from another stack, or finds.

    `borrowed` names what is in the outputs of a stack that made one; `args` is what the cloud's
    component takes beside what the environment says of the cluster.
    """
    if environment.cluster_stack:
        other = pulumi.StackReference(environment.cluster_stack)
        outputs = {
            output: {
                key: other.require_output(output).apply(lambda found, key=key: found[key])
                for key in keys
            }
            for output, keys in borrowed.items()
        }
        provider = k8s.Provider("cluster", kubeconfig=other.require_output("kubeconfig"))
        return Home(provider, outputs["connection"], outputs["storageConnection"])
    if existing := environment.existing_cluster:
        provider = k8s.Provider("cluster", kubeconfig=existing.kubeconfig, context=existing.context)
        return Home(provider, existing.connection, existing.storage_connection)
    made = component(pulumi.get_stack(), {**dict(environment.cluster or {}), **(args or {})})
    pulumi.export("kubeconfig", made.kubeconfig)
    pulumi.export("connection", made.connection)
    pulumi.export("storageConnection", made.storage_connection)
    provider = k8s.Provider("cluster", kubeconfig=made.kubeconfig)
    return Home(provider, made.connection, made.storage_connection)


def pool_args(environment: CloudEnvironmentSpec, pool: NamedPoolSpec) -> dict[str, Any]:
    """What the environment says of a pool."""
    cluster = environment.cluster
    args = fields_of(GpuNodePoolSpec, pool)
    if cluster is None:
        return args
    return {**args, "zones": pool.zones or cluster.zones, "tags": cluster.tags}


def deploy(
    environment: CloudEnvironmentSpec,
    home: Home,
    pools: "Mapping[str, GpuNodePool]",
    storage: Storage,
    addons: Mapping[str, Any] | None = None,
) -> None:
    """Install what the cluster needs once (`addons` has what the cloud adds), then the models."""
    options = pulumi.ResourceOptions(provider=home.provider)
    address = environment.prometheus_address
    ready: list[pulumi.Resource] = []
    if not environment.cluster_stack:
        ready = Addons(
            "addons",
            {
                **fields_of(AddonsSpec, environment.addons),
                "cloud": environment.cloud,
                "methods": environment.methods,
                "groups": environment.has_groups,
                "kubernetes_version": environment.kubernetes_version,
                "prometheus_address": environment.monitoring.prometheus_address,
                **(addons or {}),
            },
            options,
        ).ready
    workloads.deploy(
        environment,
        pools,
        Ground(
            options=options,
            ready=ready,
            prometheus_address=address,
            source=metrics_source(environment.cloud, environment.addons),
            storage=lambda name, args: storage(name, {**args, **home.storage_connection}),
        ),
    )
