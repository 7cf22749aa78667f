"""One model, served by one engine on one pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.serving.labels import object_labels, selector_labels
from pulumi_llm_inference.serving.pod import (
    HTTP_PORT_NAME,
    pod_spec,
    scrape_annotations,
)
from pulumi_llm_inference.spec.model_server import ModelServerSpec
from pulumi_llm_inference.spec.pool import Placement

_NODE_PROVISIONING_SECONDS = 600
"""A GPU node that does not exist yet takes 2 to 8 minutes on the clouds."""

_IMAGE_PULL_SECONDS = 600
"""Engine images are 5 to 10 GB."""

_UPDATE_WAVES = 4
"""A rolling update replaces a quarter of the replicas at a time (Kubernetes' default)."""


class ModelServerArgs(ModelServerSpec, Args):
    """Arguments of ModelServer."""

    placement: Placement
    """Where the replicas run: the `placement` of a GPU node pool."""
    namespace: Input[str] = "default"
    """Namespace of every object. Default `default`."""
    scrape_annotations: bool = False
    """Whether pods carry `prometheus.io/*` annotations. Only where no monitor scrapes the Service:
    both together count the queue twice. Default no."""


@dataclass(frozen=True)
class ScaleTarget:
    """What an autoscaler needs to know of a server."""

    name: str
    """Name of the Deployment."""
    namespace: Input[str]
    """Its namespace."""
    service: str
    """Name of the Service: the label `service` of its metrics."""
    labels: Mapping[str, str]
    """Labels of the server's objects."""
    engine: Engine
    """Engine, and so the names of its metrics."""


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


class ModelServer(pulumi.ComponentResource):
    """A model behind a Service: Deployment, Service, ServiceAccount, PodDisruptionBudget.

    All are named after the component, so that users and selectors can rely on the names; the
    Service may have one of its own.
    """

    url: Output[str]
    """Address within the cluster, e.g. `http://vllm-service.default.svc:8000`."""
    deployment: k8s.apps.v1.Deployment
    """The replicas."""
    service: k8s.core.v1.Service
    """What requests are sent to."""
    service_account: k8s.core.v1.ServiceAccount
    """Identity of the pods; bind it to a cloud identity to read weights from a bucket."""
    disruption_budget: k8s.policy.v1.PodDisruptionBudget
    """Lets one replica at a time be moved."""
    metrics_endpoint: MetricsEndpoint
    """What a Monitor scrapes."""

    def __init__(
        self,
        name: str,
        args: ModelServerArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = ModelServerArgs.model_validate(args)
        require(model_server_problems(name, spec, spec.placement, name), f"ModelServer '{name}'")
        super().__init__("llm-inference:index:ModelServer", name, None, opts)
        self._name = name
        self._spec = spec
        self._engine = engine = ENGINES[spec.engine]
        self._labels = labels = object_labels(name, engine, spec.labels)
        self._scaler: str | None = None
        selector = selector_labels(name, engine)
        service_name = spec.service_name or name

        def metadata(
            object_name: str, annotations: Mapping[str, str] | None = None
        ) -> k8s.meta.v1.ObjectMetaArgs:
            return k8s.meta.v1.ObjectMetaArgs(
                name=object_name, namespace=spec.namespace, labels=labels, annotations=annotations
            )

        self.service_account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=metadata(name),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        ready_seconds = _NODE_PROVISIONING_SECONDS + _IMAGE_PULL_SECONDS + spec.startup_seconds
        self.deployment = k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata(name),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=spec.replicas,
                progress_deadline_seconds=ready_seconds,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=labels,
                        annotations=scrape_annotations(engine) if spec.scrape_annotations else None,
                    ),
                    spec=pod_spec(name, spec, engine, spec.placement),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                # Pods need what the server depends on, such as a pool's nodes, until they are gone.
                pulumi.ResourceOptions(depends_on=opts.depends_on if opts else None),
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[self.service_account],
                    # The autoscaler writes it; a value of ours would undo its work at updates.
                    ignore_changes=["spec.replicas"] if spec.replicas is None else None,
                    custom_timeouts=pulumi.CustomTimeouts(
                        create=f"{ready_seconds}s", update=f"{ready_seconds * _UPDATE_WAVES}s"
                    ),
                ),
            ),
        )
        self.service = k8s.core.v1.Service(
            f"{name}-service",
            # The Deployment is waited for; waiting for its endpoints again takes 10 s a model.
            metadata=metadata(
                service_name, {**spec.service_annotations, "pulumi.com/skipAwait": "true"}
            ),
            spec=k8s.core.v1.ServiceSpecArgs(
                type=spec.service_type.value,
                selector=selector,
                ports=[
                    k8s.core.v1.ServicePortArgs(
                        name=HTTP_PORT_NAME, port=engine.port, target_port=HTTP_PORT_NAME
                    )
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
        self.metrics_endpoint = MetricsEndpoint(
            namespace=spec.namespace,
            labels=labels,
            port=HTTP_PORT_NAME,
            path=engine.metrics_path,
            service=self.service,
        )
        self.url = Output.concat(
            "http://", service_name, ".", spec.namespace, f".svc:{engine.port}"
        )
        self.register_outputs({"url": self.url})

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
        return ScaleTarget(
            name=self._name,
            namespace=self._spec.namespace,
            service=self._spec.service_name or self._name,
            labels=self._labels,
            engine=self._engine,
        )
