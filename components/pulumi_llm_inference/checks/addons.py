"""Problems of a cluster's add-ons."""

from collections.abc import Iterator, Set

from pulumi_llm_inference.spec.addons import Addon, AddonsSpec, PrometheusKind, addons_needed
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod, MetricsSource
from pulumi_llm_inference.spec.pool import Cloud
from pulumi_llm_inference.spec.problems import Problem

_MANAGED = {Cloud.GKE: MetricsSource.GOOGLE, Cloud.AKS: MetricsSource.AZURE}
"""What the clouds' own Prometheus is."""


def metrics_source(cloud: Cloud, addons: AddonsSpec) -> MetricsSource:
    """What collects the servers' metrics."""
    managed = addons.prometheus is PrometheusKind.MANAGED
    return _MANAGED.get(cloud, MetricsSource.PROMETHEUS) if managed else MetricsSource.PROMETHEUS


def addons_problems(
    cloud: Cloud,
    addons: AddonsSpec,
    methods: Set[AutoscalingMethod],
    prometheus_address: str | None,
    path: str,
) -> Iterator[Problem]:
    """What is wrong with the add-ons of a cluster whose models scale by these methods."""
    if addons.prometheus is PrometheusKind.MANAGED and cloud not in _MANAGED:
        yield Problem(
            f"{path}.prometheus",
            f"'managed' is not known for the cloud '{cloud}'",
            "use 'kube-prometheus-stack', or 'none' if there is a Prometheus in the cluster",
        )
    elif (
        addons.prometheus is PrometheusKind.NONE
        and Addon.PROMETHEUS_ADAPTER in addons_needed(cloud, addons, methods)
        and not prometheus_address
    ):
        yield Problem(
            f"{path}.metricsAdapter",
            "the adapter asks Prometheus, whose address is not given",
            "set prometheusAddress (in an environment under monitoring), e.g. "
            "'http://prometheus-operated.monitoring.svc:9090', or metricsAdapter to no if there is "
            "one with the rules that `llm-inference adapter-rules` prints",
        )
