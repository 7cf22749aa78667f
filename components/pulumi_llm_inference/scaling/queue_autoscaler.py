"""The autoscaler of one model server."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.autoscaler import (
    autoscaler_problems,
    signal_problems,
    source_problems,
)
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.scaling.behavior import behavior, quantity_of
from pulumi_llm_inference.scaling.queries import (
    google_metric_name,
    scrapes_lost_name,
    scrapes_lost_query,
    signal_query,
)
from pulumi_llm_inference.serving.model_server import ModelServer, ScaleTarget
from pulumi_llm_inference.spec.autoscaling import AutoscalerSpec, AutoscalingMethod, MetricsSource
from pulumi_llm_inference.spec.base import minor_version

_KEDA_POLLING_SECONDS = 15


class QueueAutoscalerArgs(AutoscalerSpec, Args):
    """Arguments of QueueAutoscaler."""

    target: ModelServer
    """Server to scale; it must have `replicas: None` and no other autoscaler."""
    kubernetes_version: str = "1.30"
    """Minor version of the cluster. Default 1.30."""
    prometheus_address: str | None = None
    """URL of Prometheus, for KEDA; of Azure's managed one, the query endpoint of its workspace."""
    source: MetricsSource = MetricsSource.PROMETHEUS
    """Who scrapes the server: `prometheus` (default), `google` or `azure`."""
    identity_client_id: Input[str] | None = None
    """Client of the identity that KEDA reads Azure's managed Prometheus with; it needs the role
    Monitoring Data Reader. By default the one that KEDA itself has."""

    _version = field_validator("kubernetes_version")(minor_version)


class QueueAutoscaler(pulumi.ComponentResource):
    """Scales a model server by the requests waiting for it, through an HPA or KEDA."""

    scaler: k8s.autoscaling.v2.HorizontalPodAutoscaler | k8s.apiextensions.CustomResource
    """The HorizontalPodAutoscaler or the ScaledObject."""

    def __init__(
        self,
        name: str,
        args: QueueAutoscalerArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = QueueAutoscalerArgs.model_validate(args)
        problems = autoscaler_problems(spec, name, spec.kubernetes_version, spec.prometheus_address)
        require([*name_problems(name, name), *problems], f"QueueAutoscaler '{name}'")
        target = spec.target.scale_target(scaler=name)
        problems = [
            *signal_problems(spec, name, target.engine, target.no_queue),
            *source_problems(spec, name, target.engine, spec.source),
        ]
        require(problems, f"QueueAutoscaler '{name}'")
        super().__init__("llm-inference:index:QueueAutoscaler", name, None, opts)
        metadata = k8s.meta.v1.ObjectMetaArgs(
            name=name, namespace=target.namespace, labels=target.labels
        )
        child = pulumi.ResourceOptions(parent=self)
        if spec.method is AutoscalingMethod.HPA:
            self.scaler = k8s.autoscaling.v2.HorizontalPodAutoscaler(
                f"{name}-hpa",
                metadata=metadata,
                spec=hpa_spec(spec, target, spec.source),
                opts=child,
            )
        else:
            needs: list[pulumi.Resource] = []
            if spec.source is MetricsSource.AZURE:
                needs.append(
                    k8s.apiextensions.CustomResource(
                        f"{name}-authentication",
                        api_version="keda.sh/v1alpha1",
                        kind="TriggerAuthentication",
                        metadata=metadata,
                        spec={"podIdentity": pod_identity(spec.identity_client_id)},
                        opts=child,
                    )
                )
            self.scaler = k8s.apiextensions.CustomResource(
                f"{name}-scaledobject",
                api_version="keda.sh/v1alpha1",
                kind="ScaledObject",
                metadata=metadata,
                spec=scaled_object_spec(name, spec, target),
                opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
            )
        self.register_outputs({})


def hpa_spec(
    spec: AutoscalerSpec, target: ScaleTarget, source: MetricsSource = MetricsSource.PROMETHEUS
) -> k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs:
    """An HPA that averages each signal over the pods, and holds while scrapes are lost.

    Google's adapter serves gauges as they are, so there the signals are gauges and nothing tells
    of lost scrapes: a pod without a value counts as having exactly the target.
    """
    engine = target.engine
    averages = {
        (
            google_metric_name(engine.gauges(signal)[0].name)
            if source is MetricsSource.GOOGLE
            else engine.metric_name(signal)
        ): quantity_of(value)
        for signal, value in spec.targets.by_signal().items()
    }
    if source is not MetricsSource.GOOGLE:
        averages[scrapes_lost_name(engine)] = "1"
    return k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=k8s.autoscaling.v2.CrossVersionObjectReferenceArgs(
            api_version=target.api_version, kind=target.kind, name=target.name
        ),
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        metrics=[
            k8s.autoscaling.v2.MetricSpecArgs(
                type="Pods",
                pods=k8s.autoscaling.v2.PodsMetricSourceArgs(
                    metric=k8s.autoscaling.v2.MetricIdentifierArgs(name=metric),
                    target=k8s.autoscaling.v2.MetricTargetArgs(
                        type="AverageValue", average_value=average
                    ),
                ),
            )
            for metric, average in averages.items()
        ],
        behavior=behavior(spec),
    )


def scaled_object_spec(name: str, spec: QueueAutoscalerArgs, target: ScaleTarget) -> dict[str, Any]:
    """A ScaledObject with the same signals, targets, bounds and behavior as `hpa_spec`.

    Queries are summed over the pods and compared as AverageValue: KEDA wants a single element, and
    an average of an average would divide by the replicas twice. A query of the user's comes last.
    """
    matchers = Output.concat('namespace="', target.namespace, '",service="', target.service, '"')
    if target.floor:
        # Pods of the same Service that are not this object's to scale: for an HPA they do not count
        # either. No pod of the other Deployment is called so: generated names have no vowels.
        matchers = Output.concat(matchers, f',pod!~"{target.floor}-.+"')
    authentication = (
        {"authenticationRef": {"name": name}} if spec.source is MetricsSource.AZURE else {}
    )

    def trigger(query: pulumi.Input[str], threshold: str) -> dict[str, Any]:
        return {
            "type": "prometheus",
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": spec.prometheus_address,
                "query": query,
                "threshold": threshold,
                # No series is a broken scrape, not an empty queue.
                "ignoreNullValues": "false",
            },
            **authentication,
        }

    engine = target.engine
    signals = spec.targets.by_signal()
    return {
        "scaleTargetRef": {
            "apiVersion": target.api_version,
            "kind": target.kind,
            "name": target.name,
        },
        "minReplicaCount": spec.min_replicas,
        "maxReplicaCount": spec.max_replicas,
        "pollingInterval": _KEDA_POLLING_SECONDS,
        "advanced": {"horizontalPodAutoscalerConfig": {"name": name, "behavior": behavior(spec)}},
        "triggers": [
            *(
                trigger(
                    matchers.apply(lambda m, s=signal: signal_query(engine, s, m)), decimal(value)
                )
                for signal, value in signals.items()
            ),
            *(
                [trigger(matchers.apply(lambda m: scrapes_lost_query(engine, m)), "1")]
                if signals
                else []
            ),
            *([trigger(spec.query.promql, decimal(spec.query.per_replica))] if spec.query else []),
        ],
    }


def decimal(value: float) -> str:
    """A threshold as KEDA reads it, to the thousandths that Kubernetes counts in."""
    return f"{round(value, 3):.15g}"


def pod_identity(client_id: Input[str] | None) -> dict[str, Any]:
    """How KEDA proves to Azure who it is.

    learn.microsoft.com/azure/azure-monitor/essentials/integrate-keda
    """
    return {"provider": "azure-workload", **({"identityId": client_id} if client_id else {})}
