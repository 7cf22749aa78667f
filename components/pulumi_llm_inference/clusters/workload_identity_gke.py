"""Google service accounts that pods have, without keys."""

import pulumi
import pulumi_gcp as gcp
from pulumi import Input, Output

from pulumi_llm_inference.clusters.names import unique

_IMPERSONATOR = "roles/iam.workloadIdentityUser"
_LONGEST_ACCOUNT_ID = 30


def workload_identity(
    name: str, purpose: str, project: Input[str], pods: Input[str], opts: pulumi.ResourceOptions
) -> tuple[gcp.serviceaccount.Account, gcp.serviceaccount.IAMMember]:
    """Make a service account, and let pods have it.

    See docs.cloud.google.com/kubernetes-engine/docs/how-to/workload-identity.

    Args:
        name: begins the names of the resources.
        purpose: what it is for, shown in the console.
        project: id of the cluster's project.
        pods: their `NAMESPACE/SERVICEACCOUNT` in Kubernetes.
        opts: options of every resource.
    """
    account = gcp.serviceaccount.Account(
        f"{name}-account",
        gcp.serviceaccount.AccountArgs(
            account_id=unique(name, _LONGEST_ACCOUNT_ID, pulumi.get_project(), pulumi.get_stack()),
            display_name=purpose,
            project=project,
        ),
        opts=opts,
    )
    member = gcp.serviceaccount.IAMMember(
        f"{name}-pods",
        gcp.serviceaccount.IAMMemberArgs(
            service_account_id=account.name,
            role=_IMPERSONATOR,
            member=Output.concat("serviceAccount:", project, ".svc.id.goog[", pods, "]"),
        ),
        opts=opts,
    )
    return account, member
