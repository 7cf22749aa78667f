"""What tells a Prometheus to scrape the servers, made from their Services."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.serving.labels import INSTANCE_LABEL, SERVER_LABEL
from pulumi_llm_inference.serving.model_server import MetricsEndpoint, ModelServer
from pulumi_llm_inference.spec.autoscaling import MetricsSource
from pulumi_llm_inference.spec.base import kubernetes_labels
from pulumi_llm_inference.spec.problems import Problem


class MonitorArgs(Args):
    """Arguments of Monitor."""

    servers: list[ModelServer] = Field(min_length=1)
    """Servers to scrape: one engine, one namespace. One monitor serves them all."""
    source: MetricsSource = MetricsSource.PROMETHEUS
    """Who scrapes: `prometheus` (default: prometheus-operator), `google` or `azure`."""
    interval_seconds: int = Field(default=15, ge=1)
    """Time between two scrapes. Default 15."""
    labels: dict[str, str] = {}
    """Labels that Prometheus selects the monitor by, e.g. `release: prometheus`."""

    _labels = field_validator("labels")(kubernetes_labels)


@dataclass(frozen=True)
class _Kind:
    """What a monitor is called, what it selects by, and what else must stand in it."""

    api_version: str
    kind: str
    instance_label: str = INSTANCE_LABEL
    extra: Mapping[str, Any] = field(default_factory=dict)


_KINDS = {
    MetricsSource.PROMETHEUS: _Kind("monitoring.coreos.com/v1", "ServiceMonitor"),
    # Selects pods, of which a server may have several Deployments; adds the label `pod` by itself
    # (GoogleCloudPlatform/prometheus-engine doc/api.md).
    MetricsSource.GOOGLE: _Kind("monitoring.googleapis.com/v1", "PodMonitoring", SERVER_LABEL),
    # Without these limits what is scraped may be dropped
    # (MicrosoftDocs/azure-docs articles/azure-monitor/containers/prometheus-metrics-scrape-crd.md).
    MetricsSource.AZURE: _Kind(
        "azmonitoring.coreos.com/v1",
        "ServiceMonitor",
        extra={"labelLimit": 63, "labelNameLengthLimit": 511, "labelValueLengthLimit": 1023},
    ),
}
"""Monitors by who scrapes."""


class Monitor(pulumi.ComponentResource):
    """One object that selects the Services or pods of its servers by labels that they have."""

    monitor: k8s.apiextensions.CustomResource
    """The ServiceMonitor or PodMonitoring."""

    def __init__(
        self,
        name: str,
        args: MonitorArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = MonitorArgs.model_validate(args)
        endpoints = [each for server in spec.servers if (each := server.metrics_endpoint)]
        if len(endpoints) < len(spec.servers):
            why = Problem(f"{name}.servers", "one has an engine without metrics", "leave it out")
            require([why], f"Monitor '{name}'")
        require([*name_problems(name, name), *_problems(name, endpoints)], f"Monitor '{name}'")
        super().__init__("llm-inference:index:Monitor", name, None, opts)
        kind = _KINDS[spec.source]
        self.monitor = k8s.apiextensions.CustomResource(
            f"{name}-{kind.kind.lower()}",
            api_version=kind.api_version,
            kind=kind.kind,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=name, namespace=endpoints[0].namespace, labels=spec.labels or None
            ),
            spec={
                **kind.extra,
                "selector": service_selector(endpoints, kind.instance_label),
                "endpoints": [
                    {
                        "port": endpoints[0].port,
                        "path": endpoints[0].path,
                        "interval": f"{spec.interval_seconds}s",
                    }
                ],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _problems(name: str, endpoints: Sequence[MetricsEndpoint]) -> Iterator[Problem]:
    """What keeps one monitor from scraping all these servers."""
    for fact, values in {
        "ports or paths of their metrics": {(e.port, e.path) for e in endpoints},
        # Those of resources still to be made are not known yet.
        "namespaces": {e.namespace for e in endpoints if isinstance(e.namespace, str)},
    }.items():
        if len(values) > 1:
            yield Problem(
                f"{name}.servers",
                f"the servers have different {fact}: {sorted(values)}",
                "give each kind a monitor of its own",
            )


def service_selector(
    endpoints: Sequence[MetricsEndpoint], instance_label: str = INSTANCE_LABEL
) -> dict[str, Any]:
    """Select what these endpoints are of and no other: what two monitors select counts twice.

    Args:
        endpoints: of the servers to select.
        instance_label: label that tells a server's Services, or else its pods, from all others.
    """
    labels = [dict(endpoint.labels) for endpoint in endpoints]
    instances = [each[instance_label] for each in labels]
    for each in labels:
        # A Deployment's pods have its name here, not the server's.
        del each[INSTANCE_LABEL]
    shared = set.intersection(*(set(each.items()) for each in labels))
    return {
        "matchLabels": dict(sorted(shared)),
        "matchExpressions": [{"key": instance_label, "operator": "In", "values": instances}],
    }
