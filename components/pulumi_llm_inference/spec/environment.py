"""One environment: what `pulumi up` makes of a stack's configuration file."""

from enum import StrEnum

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.base import Spec, kubernetes_labels, kubernetes_name, minor_version
from pulumi_llm_inference.spec.model_server import NamedModelSpec
from pulumi_llm_inference.spec.pool import NamedPoolSpec


class Cloud(StrEnum):
    """Where an environment runs."""

    LOCAL = "local"
    """A cluster with simulated GPU nodes (KWOK)."""


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
    """GPU node pools, the models on them, and how they are watched."""

    cloud: Cloud
    """Where it runs."""
    namespace: str = "default"
    """Namespace of everything. Default `default`."""
    create_namespace: bool = True
    """Whether the namespace is the environment's own, made and deleted with it; `default` never is.
    With no, it must exist. Default yes."""
    kubernetes_version: str = "1.30"
    """Minor version of the cluster (its oldest, during an upgrade), in quotes. Default 1.30."""
    monitoring: MonitoringSpec = MonitoringSpec()
    """How metrics are collected."""
    pools: list[NamedPoolSpec] = Field(min_length=1)
    """GPU node pools."""
    models: list[NamedModelSpec] = Field(min_length=1)
    """Models to serve."""

    _namespace = field_validator("namespace")(kubernetes_name)
    _version = field_validator("kubernetes_version")(minor_version)
