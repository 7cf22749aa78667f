"""Models, their autoscalers and their monitors: the same on every cloud."""

from collections import defaultdict
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from pulumi_llm_inference import ModelServer, Monitor, QueueAutoscaler, SimulatedGpuNodePool
from pulumi_llm_inference.spec.autoscaling import AutoscalerSpec
from pulumi_llm_inference.spec.environment import EnvironmentSpec, MonitorKind
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, NamedModelSpec


def deploy(environment: EnvironmentSpec, pools: Mapping[str, SimulatedGpuNodePool]) -> None:
    """Serve the models on the pools, and export their addresses."""
    namespace = _namespace(environment)
    servers: dict[EngineName, list[ModelServer]] = defaultdict(list)
    addresses: dict[str, pulumi.Output[str]] = {}
    for model in environment.models:
        server = _server(environment, model, pools[model.pool], namespace)
        servers[model.engine].append(server)
        addresses[model.name] = server.url
        if model.autoscaling:
            _autoscaler(environment, model.name, model.autoscaling, server)
    if environment.monitoring.kind is MonitorKind.SERVICE_MONITOR:
        for engine, its_servers in servers.items():
            # One for all models of an engine: each resource costs time at every update.
            Monitor(
                f"{engine}-metrics",
                {
                    "servers": its_servers,
                    "interval_seconds": environment.monitoring.interval_seconds,
                    "labels": environment.monitoring.labels,
                },
            )
    pulumi.export("urls", addresses)


def _namespace(environment: EnvironmentSpec) -> pulumi.Input[str]:
    name = environment.namespace
    if name == "default" or not environment.create_namespace:
        return name
    namespace = k8s.core.v1.Namespace(name, metadata=k8s.meta.v1.ObjectMetaArgs(name=name))
    # The name as the API server gave it, so that what lies in the namespace waits for it.
    return namespace.metadata.apply(lambda metadata: metadata.name or name)


def _server(
    environment: EnvironmentSpec,
    model: NamedModelSpec,
    pool: SimulatedGpuNodePool,
    namespace: pulumi.Input[str],
) -> ModelServer:
    args = {field: getattr(model, field) for field in ModelServerSpec.model_fields}
    if model.autoscaling:
        args["replicas"] = None
    return ModelServer(
        model.name,
        {
            **args,
            "placement": pool.placement,
            "namespace": namespace,
            "scrape_annotations": environment.monitoring.kind is MonitorKind.NONE,
        },
        pulumi.ResourceOptions(depends_on=pool),
    )


def _autoscaler(
    environment: EnvironmentSpec, name: str, spec: AutoscalerSpec, server: ModelServer
) -> None:
    QueueAutoscaler(
        name,
        {
            **dict(spec),
            "target": server,
            "kubernetes_version": environment.kubernetes_version,
            "prometheus_address": environment.monitoring.prometheus_address,
        },
    )
