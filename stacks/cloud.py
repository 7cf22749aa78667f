"""What the environments of all clouds have in common: a cluster, and what is on it once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi
import pulumi_kubernetes as k8s

import workloads
from pulumi_llm_inference import Addons
from pulumi_llm_inference.checks.addons import metrics_source
from pulumi_llm_inference.spec.addons import AddonsSpec
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.environment import CloudEnvironmentSpec
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec, NamedPoolSpec


class Cluster(Protocol):
    """What GkeCluster, EksCluster and AksCluster have in common."""

    @property
    def kubeconfig(self) -> pulumi.Output[str]:
        """Credentials; secret."""
        ...

    @property
    def connection(self) -> Mapping[str, Any]:
        """What a GPU node pool needs to know, by the names of its arguments."""
        ...

    @property
    def storage_connection(self) -> Mapping[str, Any]:
        """What storage access needs to know, by the names of its arguments."""
        ...


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
    component: Callable[[str, Mapping[str, Any]], Cluster],
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
    args = {field: getattr(pool, field) for field in GpuNodePoolSpec.model_fields}
    return {**args, "zones": pool.zones or (cluster.zones if cluster else [])}


def growth_order(environment: CloudEnvironmentSpec) -> list[list[str]]:
    """The pools in groups, the one to grow first at the front: as models prefer them.

    A node autoscaler has one order for all models, so a pool stands where the model stands that
    wants it last.
    """
    places: dict[int, list[str]] = defaultdict(list)
    for pool in environment.pools:
        lists = [model.pools for model in environment.models if pool.name in model.pools]
        places[max((names.index(pool.name) for names in lists), default=0)].append(pool.name)
    return [names for _, names in sorted(places.items())]


def deploy(
    environment: CloudEnvironmentSpec,
    home: Home,
    pools: "Mapping[str, workloads.GpuNodePool]",
    storage: workloads.Storage,
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
                **{field: getattr(environment.addons, field) for field in AddonsSpec.model_fields},
                "cloud": environment.cloud,
                "methods": environment.methods or list(AutoscalingMethod),
                "kubernetes_version": environment.kubernetes_version,
                "prometheus_address": environment.monitoring.prometheus_address,
                **(addons or {}),
            },
            options,
        ).ready
    workloads.deploy(
        environment,
        pools,
        workloads.Ground(
            options=options,
            ready=ready,
            prometheus_address=address,
            source=metrics_source(environment.cloud, environment.addons),
            storage=lambda name, args: storage(name, {**args, **home.storage_connection}),
        ),
    )
