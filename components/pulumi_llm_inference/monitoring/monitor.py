"""ServiceMonitors, made from the Services that they scrape."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.serving.labels import INSTANCE_LABEL
from pulumi_llm_inference.serving.model_server import MetricsEndpoint, ModelServer
from pulumi_llm_inference.spec.base import kubernetes_labels
from pulumi_llm_inference.spec.problems import Problem


class MonitorArgs(Args):
    """Arguments of Monitor."""

    servers: list[ModelServer] = Field(min_length=1)
    """Servers to scrape: one engine, one namespace. One monitor serves them all."""
    interval_seconds: int = Field(default=15, ge=1)
    """Time between two scrapes. Default 15."""
    labels: dict[str, str] = {}
    """Labels that Prometheus selects the monitor by, e.g. `release: prometheus`."""

    _labels = field_validator("labels")(kubernetes_labels)


class Monitor(pulumi.ComponentResource):
    """A ServiceMonitor that selects the Services of its servers by labels that they have."""

    monitor: k8s.apiextensions.CustomResource
    """The ServiceMonitor."""

    def __init__(
        self,
        name: str,
        args: MonitorArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = MonitorArgs.model_validate(args)
        endpoints = [server.metrics_endpoint for server in spec.servers]
        require([*name_problems(name, name), *_problems(name, endpoints)], f"Monitor '{name}'")
        super().__init__("llm-inference:index:Monitor", name, None, opts)
        self.monitor = k8s.apiextensions.CustomResource(
            f"{name}-servicemonitor",
            api_version="monitoring.coreos.com/v1",
            kind="ServiceMonitor",
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=name, namespace=endpoints[0].namespace, labels=spec.labels or None
            ),
            spec={
                "selector": service_selector(endpoints),
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


def service_selector(endpoints: Sequence[MetricsEndpoint]) -> dict[str, Any]:
    """Select these Services and no other: one that two monitors select is counted twice."""
    shared = set.intersection(*(set(endpoint.labels.items()) for endpoint in endpoints))
    instances = [endpoint.labels[INSTANCE_LABEL] for endpoint in endpoints]
    return {
        "matchLabels": dict(sorted(shared)),
        "matchExpressions": [{"key": INSTANCE_LABEL, "operator": "In", "values": instances}],
    }
