"""Read-only access to a bucket of S3, without keys."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.policies import POD_TRUST, allow, partition, policy
from pulumi_llm_inference.spec.base import object_name


class EksStorageAccessArgs(Args):
    """Arguments of EksStorageAccess."""

    bucket: Input[str]
    """Name of the bucket. One that is encrypted with a key of its own (KMS) also needs the key's
    permission."""
    namespace: Input[str]
    """Namespace of the pods."""
    service_account: str
    """Name of the pods' Kubernetes ServiceAccount."""
    cluster_name: Input[str]
    """Name of the cluster; it needs the add-on `eks-pod-identity-agent`."""
    region: Input[str] | None = None
    """Region of the cluster. Default: the provider's."""
    tags: dict[str, str] = {}
    """Tags of the role and of its association, for the bill."""

    _account = field_validator("service_account")(object_name)


class EksStorageAccess(pulumi.ComponentResource):
    """A role that may read one bucket, for one Kubernetes ServiceAccount.

    See docs.aws.amazon.com/eks/latest/userguide/pod-identities.html.
    """

    role: aws.iam.Role
    """The role of the pods."""
    association: aws.eks.PodIdentityAssociation
    """What gives it to them. Pods that started before do not have it."""
    service_account_annotations: dict[str, Input[str]]
    """To put on the Kubernetes ServiceAccount: none."""
    pod_labels: dict[str, str]
    """To put on the pods: none."""

    def __init__(
        self,
        name: str,
        args: EksStorageAccessArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = EksStorageAccessArgs.model_validate(args)
        require(name_problems(name, name), f"EksStorageAccess '{name}'")
        super().__init__("llm-inference:index:EksStorageAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.role = aws.iam.Role(
            f"{name}-pods",
            aws.iam.RoleArgs(assume_role_policy=POD_TRUST, tags=spec.tags),
            opts=child,
        )
        reads = aws.iam.RolePolicy(
            f"{name}-reads",
            aws.iam.RolePolicyArgs(
                role=self.role.name,
                policy=Output.all(spec.bucket, spec.region).apply(
                    lambda parts: reader_policy(*parts)
                ),
            ),
            opts=child,
        )
        self.association = aws.eks.PodIdentityAssociation(
            f"{name}-pods",
            aws.eks.PodIdentityAssociationArgs(
                cluster_name=spec.cluster_name,
                namespace=spec.namespace,
                service_account=spec.service_account,
                role_arn=self.role.arn,
                region=spec.region,
                tags=spec.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[reads]),
        )
        self.service_account_annotations = {}
        self.pod_labels = {}
        self.register_outputs(
            {
                "serviceAccountAnnotations": self.service_account_annotations,
                "podLabels": self.pod_labels,
            }
        )


def reader_policy(bucket: str, region: str | None) -> str:
    """May list and read the objects of one bucket.

    Args:
        bucket: name of the bucket.
        region: region of the cluster, in whose partition of AWS the bucket is.
    """
    arn = f"arn:{partition(region)}:s3:::{bucket}"
    return policy(
        allow("s3:ListBucket") | {"Resource": arn},
        allow("s3:GetObject") | {"Resource": f"{arn}/*"},
    )
