"""Problems of an autoscaler."""

from collections.abc import Iterator

from pulumi_llm_inference.checks.bounds import bounds_problems
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.spec.autoscaling import (
    AutoscalerSpec,
    AutoscalingMethod,
    MetricsSource,
)
from pulumi_llm_inference.spec.problems import Problem

_TOLERANCE_SINCE = 35
"""Minor version of Kubernetes with HPAConfigurableTolerance on by default."""


def autoscaler_problems(
    spec: AutoscalerSpec, path: str, kubernetes_version: str, prometheus_address: str | None
) -> Iterator[Problem]:
    """What is wrong with an autoscaler on a cluster of this version and monitoring."""
    yield from bounds_problems("Replicas", spec.min_replicas, spec.max_replicas, path)
    if not (spec.targets.by_signal() or spec.query):
        yield Problem(f"{path}.targets", "names no signal", "set for example 'queueSize: 5'")
    if spec.query and spec.method is not AutoscalingMethod.KEDA:
        yield Problem(
            f"{path}.query",
            f"cannot be asked by method '{spec.method}', which knows metrics by name only",
            "use method 'keda'",
        )
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


_METHOD_OF = {
    MetricsSource.GOOGLE: (
        AutoscalingMethod.HPA,
        "Google's managed collection has no label of the Service to query by",
    ),
    MetricsSource.AZURE: (
        AutoscalingMethod.KEDA,
        "Azure's managed Prometheus has no custom-metrics adapter",
    ),
}
"""The one method that works with each cloud's own Prometheus, and why the other does not."""


def signal_problems(
    spec: AutoscalerSpec, path: str, engine: Engine, no_queue: str
) -> Iterator[Problem]:
    """What of the signals a server of this engine does not measure.

    Args:
        spec: the autoscaler.
        path: where it stands.
        engine: of the server.
        no_queue: why the server has no queue metric; empty if it has (`Engine.no_queue`).
    """
    for signal in spec.targets.by_signal():
        if no_queue or not engine.gauges(signal):
            yield Problem(
                f"{path}.targets",
                f"'{signal}' is not measured, so nothing would ever scale",
                no_queue or f"'{engine.name}' measures {', '.join(engine.metrics) or 'nothing'}",
            )


def source_problems(
    spec: AutoscalerSpec, path: str, engine: Engine, source: MetricsSource
) -> Iterator[Problem]:
    """What is wrong with an autoscaler of a model of this engine, given who scrapes it."""
    if source not in _METHOD_OF:
        return
    method, reason = _METHOD_OF[source]
    if spec.method is not method:
        yield Problem(
            f"{path}.method",
            f"'{spec.method}' does not work here: {reason}",
            f"use method '{method}', or a Prometheus in the cluster",
        )
    for signal in spec.targets.by_signal():
        gauges = engine.gauges(signal)
        if source is MetricsSource.GOOGLE and (len(gauges) > 1 or any(g.labels for g in gauges)):
            yield Problem(
                f"{path}.targets",
                f"'{signal}' is {' + '.join(g.where('') for g in gauges)}, and the adapter of "
                "Google's managed collection can neither add nor choose by label",
                "use a Prometheus in the cluster"
                if any(g.labels for g in gauges)
                else "use a target of one gauge, such as queueSize, or a Prometheus in the cluster",
            )
