"""The add-ons that a cluster lacks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input, Output  # noqa: F401
from pulumi.output import T  # noqa: F401
from pydantic import field_validator

from pulumi_llm_inference.addons.charts import (
    CHARTS,
    Chart,
    chart_file,
    chart_location,
    device_plugin_values,
    keda_values,
    leader_worker_set_values,
    prometheus_adapter_values,
    prometheus_stack_values,
    pull_command,
)
from pulumi_llm_inference.addons.cluster_autoscaler import (
    NODE_GROUPS,
    cluster_autoscaler,
    priority_expander,
)
from pulumi_llm_inference.addons.google_adapter import google_adapter
from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.addons import addons_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.spec.addons import (
    PROMETHEUS_ADDRESS,
    Addon,
    AddonsSpec,
    addons_needed,
)
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.base import minor_version
from pulumi_llm_inference.spec.pool import Cloud
from pulumi_llm_inference.spec.problems import Problem

_TIMEOUT_SECONDS = 600
"""Images are pulled, and on a new cluster a node has to come first."""


class AddonsArgs(AddonsSpec, Args):
    """Arguments of Addons: which to install, and what is known of the cluster and its pools."""

    cloud: Cloud
    """Where the cluster is."""
    methods: list[AutoscalingMethod] = []
    """Autoscaling methods of the models."""
    groups: bool = False
    """Whether a model needs several nodes. Default no."""
    kubernetes_version: str = "1.30"
    """Minor version of the cluster. Default 1.30."""
    bottlerocket: bool = False
    """Whether all GPU nodes run Bottlerocket. Default no."""
    prometheus_address: str | None = None
    """URL of the Prometheus that exists, where none is installed."""
    pool_priorities: list[list[Input[str]]] = []
    """Names of node pools as the cloud knows them, in groups, the one to grow first at the front:
    EKS and AKS."""
    cluster_name: Input[str] | None = None
    """Name of the cluster: EKS, for cluster-autoscaler to find its node groups."""
    region: Input[str] | None = None
    """Region of the cluster: EKS."""
    identity_annotations: dict[str, Input[str]] = {}
    """Annotations of the ServiceAccount of what calls the cloud: cluster-autoscaler on EKS
    (`eks.amazonaws.com/role-arn`, unless by pod identity), the metrics adapter on GKE with managed
    collection (`iam.gke.io/gcp-service-account`)."""

    _version = field_validator("kubernetes_version")(minor_version)


class Addons(pulumi.ComponentResource):
    """What is installed once in a cluster: of what it lacks, what its models use."""

    prometheus_address: str | None
    """URL of Prometheus for KEDA: of the one installed here, or of the one that exists."""
    ready: list[pulumi.Resource]
    """What monitors and autoscalers depend on: it makes their kinds and serves their metrics."""

    def __init__(
        self,
        name: str,
        args: AddonsArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = AddonsArgs.model_validate(args)
        methods = frozenset(spec.methods)
        needed = addons_needed(
            spec.cloud, spec, methods, bottlerocket=spec.bottlerocket, groups=spec.groups
        )
        problems = [
            *name_problems(name, name),
            *addons_problems(spec.cloud, spec, methods, spec.prometheus_address, name),
            *_problems(name, spec, needed),
        ]
        require(problems, f"Addons '{name}'")
        super().__init__("llm-inference:index:Addons", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        installed = Addon.PROMETHEUS_STACK in needed
        self.prometheus_address = PROMETHEUS_ADDRESS if installed else spec.prometheus_address
        values = {
            Addon.PROMETHEUS_STACK: prometheus_stack_values,
            Addon.PROMETHEUS_ADAPTER: lambda: prometheus_adapter_values(
                self.prometheus_address or ""
            ),
            Addon.KEDA: lambda: keda_values(groups=spec.groups),
            Addon.LEADER_WORKER_SET: leader_worker_set_values,
            Addon.DEVICE_PLUGIN: device_plugin_values,
        }
        self.ready = [
            _release(name, chart, values[addon](), spec.chart_source, child)
            for addon, chart in CHARTS.items()
            if addon in needed
        ]
        if Addon.GOOGLE_ADAPTER in needed:
            self.ready += google_adapter(name, spec.identity_annotations, child)
        if spec.node_autoscaler and spec.cloud in NODE_GROUPS:
            priority_expander(name, spec.cloud, spec.pool_priorities, child)
        if Addon.CLUSTER_AUTOSCALER in needed and spec.cluster_name is not None:
            cluster_autoscaler(
                name,
                kubernetes_version=spec.kubernetes_version,
                cluster_name=spec.cluster_name,
                region=spec.region,
                annotations=spec.identity_annotations,
                opts=child,
            )
        self.register_outputs({"prometheusAddress": self.prometheus_address})


def _problems(name: str, spec: AddonsArgs, needed: frozenset[Addon]) -> Iterator[Problem]:
    """What keeps the add-ons from being installed here."""
    if Addon.CLUSTER_AUTOSCALER in needed and spec.cluster_name is None:
        yield Problem(
            f"{name}.clusterName",
            "is missing, and cluster-autoscaler finds its node groups by it",
            "give it, or set nodeAutoscaler to no",
        )
    source = spec.chart_source
    if source is None or source.startswith("oci://"):
        return
    for addon, chart in CHARTS.items():
        if addon in needed and not Path(chart_file(chart, source)).is_file():
            yield Problem(
                f"{name}.chartSource",
                f"there is no file '{chart_file(chart, source)}'",
                f"`{pull_command(chart)}`",
            )


def _release(
    name: str,
    chart: Chart,
    values: Mapping[str, Any],
    source: str | None,
    opts: pulumi.ResourceOptions,
) -> k8s.helm.v3.Release:
    """Install a chart in a namespace of its own; all of it, or nothing."""
    namespace = k8s.core.v1.Namespace(
        f"{name}-{chart.name}-namespace",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=chart.namespace,
            labels={"pod-security.kubernetes.io/enforce": chart.pod_security},
        ),
        opts=opts,
    )
    return k8s.helm.v3.Release(
        f"{name}-{chart.name}",
        name=chart.name,
        # As the API server gave it, so that the release goes before its namespace does.
        namespace=namespace.metadata.apply(lambda metadata: metadata.name or chart.namespace),
        **chart_location(chart, source),
        values=values,
        atomic=True,
        cleanup_on_fail=True,
        timeout=_TIMEOUT_SECONDS,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{_TIMEOUT_SECONDS}s",
                    update=f"{_TIMEOUT_SECONDS}s",
                    delete=f"{_TIMEOUT_SECONDS}s",
                )
            ),
        ),
    )
