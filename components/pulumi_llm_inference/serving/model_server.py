"""One model, served by one engine."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401
from pydantic import Field

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.serving import groups, weights
from pulumi_llm_inference.serving.labels import (
    deployment_labels,
    object_labels,
    server_labels,
)
from pulumi_llm_inference.serving.pod import (
    HTTP_PORT_NAME,
    METRICS_PORT_NAME,
    Role,
    pod_spec,
    ports,
    scrape_annotations,
)
from pulumi_llm_inference.serving.resolve import resolved, start_seconds
from pulumi_llm_inference.spec.model_server import ModelServerSpec
from pulumi_llm_inference.spec.pool import CapacityType, Placement

_NODE_PROVISIONING_SECONDS = 600
"""A GPU node that does not exist yet takes 2 to 8 minutes on the clouds."""

_IMAGE_PULL_SECONDS = 600
"""Engine images are 5 to 10 GB."""

_UPDATE_WAVES = 4
"""A rolling update replaces a quarter of the replicas at a time (Kubernetes' default)."""


class ModelServerArgs(ModelServerSpec, Args):
    """Arguments of ModelServer."""

    placements: list[Placement] = Field(min_length=1)
    """Where the replicas may run, the preferred first: the `placement` of GPU node pools."""
    namespace: Input[str] = "default"
    """Namespace of every object. Default `default`."""
    service_account_annotations: dict[str, Input[str]] = {}
    """Annotations of the pods' ServiceAccount: what binds it to an identity of the cloud."""
    scrape_annotations: bool = False
    """Whether pods carry `prometheus.io/*` annotations. Only where no monitor scrapes the Service:
    both together count the queue twice. Default no."""


@dataclass(frozen=True)
class ScaleTarget:
    """What an autoscaler needs to know of a server."""

    api_version: str
    """API version of what has the replicas."""
    kind: str
    """Its kind: Deployment or LeaderWorkerSet."""
    name: str
    """Its name."""
    namespace: Input[str]
    """Its namespace."""
    service: str
    """Name of the Service: the label `service` of its metrics."""
    labels: Mapping[str, str]
    """Labels of the server's objects."""
    engine: Engine
    """Engine, and so the names of its metrics."""
    no_queue: str
    """Why it has no queue metric; empty if it has."""
    floor: str | None
    """Name of what serves beside it and is not scaled, if there is something."""


@dataclass(frozen=True)
class MetricsEndpoint:
    """What a monitor needs to know of a server."""

    namespace: Input[str]
    """Namespace of the Service."""
    labels: Mapping[str, str]
    """Labels of the Service."""
    port: str
    """Name of the Service's port."""
    path: str
    """Path of the metrics."""
    service: k8s.core.v1.Service
    """The Service itself."""


Workload = k8s.apps.v1.Deployment | k8s.apiextensions.CustomResource
"""A Deployment, or a LeaderWorkerSet."""


class ModelServer(pulumi.ComponentResource):
    """A model behind a Service: Deployment, Service, ServiceAccount, PodDisruptionBudget.

    All are named after the component, so that users and selectors can rely on the names; the
    Service may have one of its own.
    """

    url: Output[str]
    """Address within the cluster, e.g. `http://vllm-service.default.svc:8000`."""
    workload: Workload
    """The replicas; where there is a floor, those beside it."""
    floor: Workload | None
    """Replicas on capacity that stays, behind the same Service."""
    service: k8s.core.v1.Service
    """What requests are sent to."""
    service_account: k8s.core.v1.ServiceAccount
    """Identity of the pods; bind it to a cloud identity to read weights from a bucket."""
    disruption_budget: k8s.policy.v1.PodDisruptionBudget
    """Lets one replica at a time be moved."""
    metrics_endpoint: MetricsEndpoint | None
    """What a Monitor scrapes. None: the engine has no metrics."""

    def __init__(
        self,
        name: str,
        args: ModelServerArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = ModelServerArgs.model_validate(args)
        require(model_server_problems(name, spec, spec.placements, name), f"ModelServer '{name}'")
        super().__init__("llm-inference:index:ModelServer", name, None, opts)
        self._name = name
        self._engine = engine = ENGINES[spec.engine]
        self._spec = spec
        self._resolved = resolved(spec, engine)
        self._labels = labels = object_labels(name, engine, spec.labels)
        self._scaler: str | None = None
        selector = server_labels(name, engine)
        service_name = spec.service_name or name

        def metadata(
            object_name: str, annotations: Mapping[str, Input[str]] | None = None
        ) -> k8s.meta.v1.ObjectMetaArgs:
            return k8s.meta.v1.ObjectMetaArgs(
                name=object_name, namespace=spec.namespace, labels=labels, annotations=annotations
            )

        self.service_account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=metadata(name, spec.service_account_annotations or None),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._before_pods: list[pulumi.Resource] = [self.service_account]
        self._config_map: str | None = None
        if files := engine.files(self._resolved):
            # A name of their own for other files: pods that run keep those that they began with.
            digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:8]
            self._config_map = f"{name}-{digest}"
            config = k8s.core.v1.ConfigMap(
                f"{name}-config",
                metadata=metadata(self._config_map),
                data=files,
                immutable=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self._before_pods.append(config)
        if claim := weights.claim_spec(spec.weights):
            self._before_pods.append(
                k8s.core.v1.PersistentVolumeClaim(
                    f"{name}-weights",
                    # A class may wait for the first pod before it makes a volume.
                    metadata=metadata(weights.claim_name(name), {"pulumi.com/skipAwait": "true"}),
                    spec=claim,
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        needs = opts.depends_on if opts else None
        self.workload = self._workload(name, spec.replicas, spec.placements, needs)
        lasting = [p for p in spec.placements if p.capacity_type is not CapacityType.SPOT]
        self.floor = (
            self._workload(f"{name}-floor", spec.floor, lasting, needs) if spec.floor else None
        )
        self.service = k8s.core.v1.Service(
            f"{name}-service",
            # The Deployment is waited for; waiting for its endpoints again takes 10 s a model.
            metadata=metadata(
                service_name, {**spec.service_annotations, "pulumi.com/skipAwait": "true"}
            ),
            spec=k8s.core.v1.ServiceSpecArgs(
                type=spec.service_type.value,
                # Of a replica on several nodes one pod answers.
                selector={**selector, **(groups.LEADERS if spec.nodes > 1 else {})},
                ports=[
                    k8s.core.v1.ServicePortArgs(name=port_name, port=port, target_port=port_name)
                    for port_name, port in ports(engine).items()
                ],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.disruption_budget = k8s.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata=metadata(name),
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.metrics_endpoint = None
        if engine.metrics_path:
            self.metrics_endpoint = MetricsEndpoint(
                namespace=spec.namespace,
                labels=labels,
                port=METRICS_PORT_NAME if engine.metrics_port else HTTP_PORT_NAME,
                path=engine.metrics_path,
                service=self.service,
            )
        self.url = Output.concat(
            "http://", service_name, ".", spec.namespace, f".svc:{engine.port}"
        )
        self.register_outputs({"url": self.url})

    def _workload(
        self, name: str, replicas: int | None, placements: Sequence[Placement], needs: Any
    ) -> Workload:
        """Replicas on these pools; no number given: an autoscaler owns it."""
        spec, engine = self._spec, self._engine
        labels = object_labels(self._name, engine, spec.labels, instance=name)
        ready_seconds = _NODE_PROVISIONING_SECONDS + _IMAGE_PULL_SECONDS + start_seconds(spec)
        grouped = spec.nodes > 1
        metadata = k8s.meta.v1.ObjectMetaArgs(
            name=name,
            namespace=spec.namespace,
            labels=labels,
            annotations=groups.READY_ANNOTATIONS if grouped else None,
        )
        options = pulumi.ResourceOptions.merge(
            # Pods need what the server depends on, such as a pool's nodes, until they are gone.
            pulumi.ResourceOptions(depends_on=needs),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=self._before_pods,
                # The autoscaler writes it; a value of ours would undo its work at updates.
                ignore_changes=["spec.replicas"] if replicas is None else None,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{ready_seconds}s", update=f"{ready_seconds * _UPDATE_WAVES}s"
                ),
            ),
        )

        def template(role: Role) -> k8s.core.v1.PodTemplateSpecArgs:
            scraped = spec.scrape_annotations and role is not Role.WORKER
            return k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    labels=labels, annotations=scrape_annotations(engine) if scraped else None
                ),
                spec=pod_spec(
                    self._name, self._resolved, engine, placements, role, self._config_map
                ),
            )

        if grouped:
            return k8s.apiextensions.CustomResource(
                f"{name}-group",
                api_version=groups.API_VERSION,
                kind=groups.KIND,
                metadata=metadata,
                spec=groups.group_spec(
                    replicas, spec.nodes, template(Role.LEADER), template(Role.WORKER)
                ),
                opts=options,
            )
        return k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata,
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=replicas,
                progress_deadline_seconds=ready_seconds,
                selector=k8s.meta.v1.LabelSelectorArgs(
                    match_labels=deployment_labels(name, engine)
                ),
                template=template(Role.WHOLE),
            ),
            opts=options,
        )

    def scale_target(self, scaler: str) -> ScaleTarget:
        """Give the replicas to an autoscaler.

        Args:
            scaler: name of the autoscaler, for the message to the next that asks.

        Raises:
            pulumi.RunError: if the replicas are fixed or another autoscaler has them.
        """
        if self._spec.replicas is not None:
            raise pulumi.RunError(
                f"ModelServer '{self._name}' has replicas: {self._spec.replicas}, which the "
                f"autoscaler '{scaler}' would fight over; set replicas to None"
            )
        if self._scaler is not None:
            raise pulumi.RunError(
                f"ModelServer '{self._name}' is scaled by '{self._scaler}' already; "
                f"two autoscalers undo each other: remove '{self._scaler}' or '{scaler}'"
            )
        self._scaler = scaler
        grouped = self._spec.nodes > 1
        return ScaleTarget(
            api_version=groups.API_VERSION if grouped else "apps/v1",
            kind=groups.KIND if grouped else "Deployment",
            name=self._name,
            namespace=self._spec.namespace,
            service=self._spec.service_name or self._name,
            labels=self._labels,
            engine=self._engine,
            no_queue=self._engine.no_queue(self._spec),
            floor=f"{self._name}-floor" if self.floor else None,
        )
