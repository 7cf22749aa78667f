"""Problems of an autoscaler."""

from collections.abc import Iterator

from pulumi_llm_inference.spec.autoscaling import AutoscalerSpec, AutoscalingMethod
from pulumi_llm_inference.spec.problems import Problem

_TOLERANCE_SINCE = 35
"""Minor version of Kubernetes with HPAConfigurableTolerance on by default."""


def autoscaler_problems(
    spec: AutoscalerSpec, path: str, kubernetes_version: str, prometheus_address: str | None
) -> Iterator[Problem]:
    """What is wrong with an autoscaler on a cluster of this version and monitoring."""
    if spec.min_replicas > spec.max_replicas:
        yield Problem(
            f"{path}.minReplicas",
            f"{spec.min_replicas} is more than maxReplicas ({spec.max_replicas})",
            "lower minReplicas or raise maxReplicas",
        )
    if not spec.targets.by_signal():
        yield Problem(f"{path}.targets", "names no signal", "set for example 'queueSize: 5'")
    if spec.method is AutoscalingMethod.KEDA and not prometheus_address:
        yield Problem(
            f"{path}.method",
            "'keda' asks Prometheus, whose address is not given",
            "set prometheusAddress (in an environment under monitoring), e.g. "
            "'http://prometheus-operated.monitoring.svc:9090', or use method 'hpa'",
        )
    minor = int(kubernetes_version.split(".")[1])
    for key, rules in (("scaleUp", spec.scale_up), ("scaleDown", spec.scale_down)):
        if rules and rules.tolerance is not None and minor < _TOLERANCE_SINCE:
            yield Problem(
                f"{path}.{key}.tolerance",
                f"Kubernetes {kubernetes_version} ignores it",
                f"remove it, or set kubernetesVersion to '1.{_TOLERANCE_SINCE}' if the cluster is",
            )
