"""Access to the metrics of Google Cloud Monitoring, without keys."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
from pulumi import Input
from pulumi.output import Output, T  # noqa: F401

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.clusters.workload_identity_gke import workload_identity

_READER = "roles/monitoring.viewer"
"""May read time series (docs.cloud.google.com/monitoring/access-control)."""


class GkeMetricsAccessArgs(Args):
    """Arguments of GkeMetricsAccess."""

    project: Input[str]
    """Id of the cluster's project."""
    pods: str
    """`NAMESPACE/SERVICEACCOUNT` in Kubernetes of who reads: the custom-metrics adapter."""


class GkeMetricsAccess(pulumi.ComponentResource):
    """A Google service account that may read a project's metrics, for one ServiceAccount."""

    account: gcp.serviceaccount.Account
    """The Google service account."""
    service_account_annotations: dict[str, Input[str]]
    """To put on the Kubernetes ServiceAccount. They are there once the access is."""

    def __init__(
        self,
        name: str,
        args: GkeMetricsAccessArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = GkeMetricsAccessArgs.model_validate(args)
        require(name_problems(name, name), f"GkeMetricsAccess '{name}'")
        super().__init__("llm-inference:index:GkeMetricsAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.account, pods = workload_identity(
            name, "Reads the metrics that models scale by", spec.project, spec.pods, child
        )
        reads = gcp.projects.IAMMember(
            f"{name}-reads",
            gcp.projects.IAMMemberArgs(
                project=spec.project, role=_READER, member=self.account.member
            ),
            opts=child,
        )
        self.service_account_annotations = {
            "iam.gke.io/gcp-service-account": after(self.account.email, [reads, pods])
        }
        self.register_outputs({"serviceAccountAnnotations": self.service_account_annotations})
