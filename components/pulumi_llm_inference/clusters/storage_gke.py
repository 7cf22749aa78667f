"""Read-only access to a bucket of Cloud Storage, without keys."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.clusters.workload_identity_gke import workload_identity
from pulumi_llm_inference.spec.base import object_name

_READER = "roles/storage.objectViewer"
"""May list and read objects (docs.cloud.google.com/storage/docs/access-control/iam-roles)."""


class GkeStorageAccessArgs(Args):
    """Arguments of GkeStorageAccess."""

    bucket: Input[str]
    """Name of the bucket."""
    namespace: Input[str]
    """Namespace of the pods."""
    service_account: str
    """Name of the pods' Kubernetes ServiceAccount."""
    project: Input[str]
    """Id of the cluster's project."""

    _account = field_validator("service_account")(object_name)


class GkeStorageAccess(pulumi.ComponentResource):
    """A Google service account that may read one bucket, for one Kubernetes ServiceAccount.

    See docs.cloud.google.com/kubernetes-engine/docs/how-to/workload-identity.
    """

    account: gcp.serviceaccount.Account
    """The Google service account."""
    service_account_annotations: dict[str, Input[str]]
    """To put on the Kubernetes ServiceAccount. They are there once the access is."""
    pod_labels: dict[str, str]
    """To put on the pods: none."""

    def __init__(
        self,
        name: str,
        args: GkeStorageAccessArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = GkeStorageAccessArgs.model_validate(args)
        require(name_problems(name, name), f"GkeStorageAccess '{name}'")
        super().__init__("llm-inference:index:GkeStorageAccess", name, None, opts)
        self.account, pods = workload_identity(
            name,
            f"Reads a bucket for {name}",
            spec.project,
            Output.concat(spec.namespace, "/", spec.service_account),
            pulumi.ResourceOptions(parent=self),
        )
        reads = gcp.storage.BucketIAMMember(
            f"{name}-reads",
            gcp.storage.BucketIAMMemberArgs(
                bucket=spec.bucket, role=_READER, member=self.account.member
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.service_account_annotations = {
            "iam.gke.io/gcp-service-account": after(self.account.email, [reads, pods])
        }
        self.pod_labels = {}
        self.register_outputs(
            {
                "serviceAccountAnnotations": self.service_account_annotations,
                "podLabels": self.pod_labels,
            }
        )
