"""Models, their autoscalers and their monitors: the same on every cloud."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi
import pulumi_kubernetes as k8s

from ground import Ground
from pulumi_llm_inference import (
    ModelServer,
    Monitor,
    QueueAutoscaler,
    TritonModelRepository,
)
from pulumi_llm_inference.spec.autoscaling import AutoscalerSpec
from pulumi_llm_inference.spec.base import fields_of
from pulumi_llm_inference.spec.environment import EnvironmentSpec, MonitorKind
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, NamedModelSpec

if TYPE_CHECKING:
    from ground import GpuNodePool


def deploy(
    environment: EnvironmentSpec, pools: "Mapping[str, GpuNodePool]", ground: Ground
) -> None:
    """Serve the models on the pools, and export their addresses."""
    if not environment.models:
        return
    namespace = _namespace(environment, ground)
    servers: dict[EngineName, list[ModelServer]] = defaultdict(list)
    addresses: dict[str, pulumi.Output[str]] = {}
    for model in environment.models:
        server = _server(environment, model, pools, namespace, ground)
        if server.metrics_endpoint:
            servers[model.engine].append(server)
        addresses[model.name] = server.url
        if model.autoscaling:
            _autoscaler(environment, model.name, model.autoscaling, server, ground)
    if environment.monitoring.kind is MonitorKind.SERVICE_MONITOR:
        for engine, its_servers in servers.items():
            # One for all models of an engine: each resource costs time at every update.
            Monitor(
                f"{engine}-metrics",
                {
                    "servers": its_servers,
                    "source": ground.source,
                    "interval_seconds": environment.monitoring.interval_seconds,
                    "labels": environment.monitoring.labels,
                },
                ground.options_when_ready,
            )
    pulumi.export("urls", addresses)


def _namespace(environment: EnvironmentSpec, ground: Ground) -> pulumi.Input[str]:
    name = environment.namespace
    if name == "default" or not environment.create_namespace:
        return name
    namespace = k8s.core.v1.Namespace(
        name, metadata=k8s.meta.v1.ObjectMetaArgs(name=name), opts=ground.options
    )
    # The name as the API server gave it, so that what lies in the namespace waits for it.
    return namespace.metadata.apply(lambda metadata: metadata.name or name)


def _server(
    environment: EnvironmentSpec,
    model: NamedModelSpec,
    pools: "Mapping[str, GpuNodePool]",
    namespace: pulumi.Input[str],
    ground: Ground,
) -> ModelServer:
    args = fields_of(ModelServerSpec, model)
    if model.autoscaling:
        args["replicas"] = None
    mine = [pools[name] for name in model.pools]
    needs: list[pulumi.Resource] = [*mine]
    if model.nodes > 1:
        needs += ground.ready
    if model.weights_bucket and ground.storage:
        access = ground.storage(
            model.name,
            {
                "bucket": model.weights_bucket,
                "namespace": namespace,
                "service_account": model.name,
            },
        )
        args["service_account_annotations"] = access.service_account_annotations
        args["labels"] = {**model.labels, **access.pod_labels}
        # A pod that starts before the access is there never gets it (EKS).
        needs.append(access)
    placements = [pool.placement for pool in mine]
    if model.triton and model.triton.build:
        needs.append(
            TritonModelRepository(
                f"{model.name}-repository",
                {**args, "placements": placements, "namespace": namespace},
                pulumi.ResourceOptions.merge(
                    ground.options, pulumi.ResourceOptions(depends_on=needs[:])
                ),
            )
        )
    return ModelServer(
        model.name,
        {
            **args,
            "placements": placements,
            "namespace": namespace,
            "scrape_annotations": environment.monitoring.kind is MonitorKind.NONE,
        },
        pulumi.ResourceOptions.merge(ground.options, pulumi.ResourceOptions(depends_on=needs)),
    )


def _autoscaler(
    environment: EnvironmentSpec,
    name: str,
    spec: AutoscalerSpec,
    server: ModelServer,
    ground: Ground,
) -> None:
    QueueAutoscaler(
        name,
        {
            **dict(spec),
            "target": server,
            "source": ground.source,
            "kubernetes_version": environment.kubernetes_version,
            "prometheus_address": ground.prometheus_address,
        },
        ground.options_when_ready,
    )
