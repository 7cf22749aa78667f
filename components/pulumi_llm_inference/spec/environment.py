"""One environment: what `pulumi up` makes of a stack's configuration file."""

import re
from collections import defaultdict
from enum import StrEnum

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.addons import PROMETHEUS_ADDRESS, AddonsSpec, PrometheusKind
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.base import Spec, kubernetes_labels, kubernetes_name, minor_version
from pulumi_llm_inference.spec.cluster import (
    AksClusterSpec,
    AksExistingSpec,
    ClusterSpec,
    EksClusterSpec,
    EksExistingSpec,
    ExistingClusterSpec,
    GkeClusterSpec,
    GkeExistingSpec,
)
from pulumi_llm_inference.spec.model_server import NamedModelSpec
from pulumi_llm_inference.spec.pool import Cloud, EksAmi, NamedPoolSpec


class MonitorKind(StrEnum):
    """How the servers' metrics reach Prometheus."""

    SERVICE_MONITOR = "service-monitor"
    """A ServiceMonitor for prometheus-operator."""
    NONE = "none"
    """`prometheus.io/*` annotations, for a Prometheus that is configured to follow them."""


class MonitoringSpec(Spec):
    """How the servers' metrics reach Prometheus, and where to ask for them."""

    kind: MonitorKind = MonitorKind.SERVICE_MONITOR
    """`service-monitor` (default) or `none`. Never both: the queue would be counted twice."""
    interval_seconds: int = Field(default=15, ge=1)
    """Time between two scrapes. Default 15."""
    labels: dict[str, str] = {}
    """Labels of the monitors that Prometheus selects them by, e.g. `release: prometheus`."""
    prometheus_address: str | None = None
    """URL that KEDA asks, e.g. `http://prometheus-operated.monitoring.svc:9090`."""

    _labels = field_validator("labels")(kubernetes_labels)


class EnvironmentSpec(Spec):
    """GPU node pools, the models on them, and how they are watched; on simulated nodes."""

    cloud: Cloud
    """Where it runs."""
    namespace: str = "default"
    """Namespace of the models. Default `default`."""
    create_namespace: bool = True
    """Whether the namespace is the environment's own, made and deleted with it; `default` never is.
    With no, it must exist. Default yes."""
    kubernetes_version: str = "1.30"
    """Minor version of the cluster (its oldest, during an upgrade), in quotes. Default 1.30."""
    monitoring: MonitoringSpec = MonitoringSpec()
    """How metrics are collected."""
    pools: list[NamedPoolSpec] = []
    """GPU node pools."""
    models: list[NamedModelSpec] = []
    """Models to serve."""

    _namespace = field_validator("namespace")(kubernetes_name)
    _version = field_validator("kubernetes_version")(minor_version)

    @property
    def methods(self) -> list[AutoscalingMethod]:
        """How models are scaled; without any here, those of other stacks in all ways."""
        if not self.models:
            return list(AutoscalingMethod)
        return [model.autoscaling.method for model in self.models if model.autoscaling]

    @property
    def has_groups(self) -> bool:
        """Whether replicas may be on several nodes; without any models here, other stacks' may."""
        return not self.models or any(model.nodes > 1 for model in self.models)

    @property
    def prometheus_address(self) -> str | None:
        """URL of Prometheus, if it is known."""
        return self.monitoring.prometheus_address


class CloudEnvironmentSpec(EnvironmentSpec):
    """The same on a cloud: a cluster of its own, another stack's, or one that exists."""

    # Each cloud narrows the next two; pyright does not know that the models are frozen.
    cluster: ClusterSpec | None = None
    """Cluster to make."""
    existing_cluster: ExistingClusterSpec | None = None
    """Cluster that exists."""
    cluster_stack: str | None = None
    """Stack that made the cluster, `organization/project/stack`."""
    addons: AddonsSpec = AddonsSpec()
    """What the cluster needs once. With `clusterStack`, what that stack says of it: nothing is
    installed twice."""

    @field_validator("cluster_stack")
    @classmethod
    def _full_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^/]+/[^/]+/[^/]+", value):
            raise ValueError("is not the full name of a stack: write 'organization/project/stack'")
        return value

    @property
    def prometheus_address(self) -> str | None:
        """URL of Prometheus, if it is known: by default of the one that the add-ons install."""
        installed = self.addons.prometheus is PrometheusKind.KUBE_PROMETHEUS_STACK
        return self.monitoring.prometheus_address or (PROMETHEUS_ADDRESS if installed else None)

    @property
    def growth_order(self) -> list[list[str]]:
        """The pools in groups, the one to grow first at the front: as models prefer them.

        A node autoscaler has one order for all models, so a pool stands where the model stands that
        wants it last.
        """
        places: dict[int, list[str]] = defaultdict(list)
        for pool in self.pools:
            lists = [model.pools for model in self.models if pool.name in model.pools]
            places[max((names.index(pool.name) for names in lists), default=0)].append(pool.name)
        return [names for _, names in sorted(places.items())]


class GkeEnvironmentSpec(CloudEnvironmentSpec):
    """An environment on GKE."""

    cluster: GkeClusterSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster to make."""
    existing_cluster: GkeExistingSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster that exists."""


class EksEnvironmentSpec(CloudEnvironmentSpec):
    """An environment on EKS."""

    cluster: EksClusterSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster to make."""
    existing_cluster: EksExistingSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster that exists."""
    gpu_ami: EksAmi = EksAmi.AL2023
    """Operating system of GPU nodes: `al2023` (default) or `bottlerocket`."""


class AksEnvironmentSpec(CloudEnvironmentSpec):
    """An environment on AKS."""

    cluster: AksClusterSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster to make."""
    existing_cluster: AksExistingSpec | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Cluster that exists."""


ENVIRONMENTS: dict[str, type[EnvironmentSpec]] = {
    Cloud.LOCAL: EnvironmentSpec,
    Cloud.GKE: GkeEnvironmentSpec,
    Cloud.EKS: EksEnvironmentSpec,
    Cloud.AKS: AksEnvironmentSpec,
}
"""What an environment holds, by its `cloud`."""
