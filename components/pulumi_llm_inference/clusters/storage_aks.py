"""Read-only access to a container of Blob Storage, without keys."""

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import Input, Output
from pulumi.output import T  # noqa: F401
from pulumi_azure_native import authorization, managedidentity
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.azure_roles import role_definition
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.spec.base import object_name

_BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
"""Storage Blob Data Reader
(learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage)."""

_AUDIENCE = "api://AzureADTokenExchange"
"""Who the pods' tokens are for (learn.microsoft.com/azure/aks/workload-identity-overview)."""


class AksStorageAccessArgs(Args):
    """Arguments of AksStorageAccess."""

    bucket: Input[str]
    """Resource id of the container:
    `…/storageAccounts/ACCOUNT/blobServices/default/containers/CONTAINER`."""
    namespace: Input[str]
    """Namespace of the pods."""
    service_account: str
    """Name of the pods' Kubernetes ServiceAccount."""
    resource_group_name: Input[str]
    """Resource group for the identity."""
    location: Input[str]
    """Region of the identity."""
    oidc_issuer_url: Input[str]
    """The cluster's issuer of tokens."""
    tags: dict[str, str] = {}
    """Tags of the identity, for the bill."""

    _account = field_validator("service_account")(object_name)


class AksStorageAccess(pulumi.ComponentResource):
    """An identity that may read one container, for one Kubernetes ServiceAccount.

    See learn.microsoft.com/azure/aks/workload-identity-overview.
    """

    identity: managedidentity.UserAssignedIdentity
    """The identity of the pods."""
    service_account_annotations: dict[str, Input[str]]
    """To put on the Kubernetes ServiceAccount. They are there once the access is."""
    pod_labels: dict[str, str]
    """To put on the pods, which get a token by it."""

    def __init__(
        self,
        name: str,
        args: AksStorageAccessArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = AksStorageAccessArgs.model_validate(args)
        require(name_problems(name, name), f"AksStorageAccess '{name}'")
        super().__init__("llm-inference:index:AksStorageAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.identity = managedidentity.UserAssignedIdentity(
            f"{name}-pods",
            managedidentity.UserAssignedIdentityArgs(
                resource_group_name=spec.resource_group_name,
                location=spec.location,
                tags=spec.tags,
            ),
            opts=child,
        )
        pods = managedidentity.FederatedIdentityCredential(
            f"{name}-pods",
            resource_group_name=spec.resource_group_name,
            resource_name_=self.identity.name,
            issuer=spec.oidc_issuer_url,
            audiences=[_AUDIENCE],
            subject=Output.concat(
                "system:serviceaccount:", spec.namespace, ":", spec.service_account
            ),
            opts=child,
        )
        reads = authorization.RoleAssignment(
            f"{name}-reads",
            authorization.RoleAssignmentArgs(
                principal_id=self.identity.principal_id,
                # Else Azure looks for the identity where it may not have arrived yet.
                principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
                role_definition_id=role_definition(spec.bucket, _BLOB_READER),
                scope=spec.bucket,
            ),
            opts=child,
        )
        self.service_account_annotations = {
            "azure.workload.identity/client-id": after(self.identity.client_id, [pods, reads])
        }
        self.pod_labels = {"azure.workload.identity/use": "true"}
        self.register_outputs(
            {
                "serviceAccountAnnotations": self.service_account_annotations,
                "podLabels": self.pod_labels,
            }
        )
