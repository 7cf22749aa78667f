"""Custom Metrics Stackdriver Adapter: Google's managed series as Kubernetes' custom metrics.

What it needs: GoogleCloudPlatform/k8s-stackdriver custom-metrics-stackdriver-adapter/deploy/
production/adapter_new_resource_model.yaml. The API of external metrics is left to KEDA: a cluster
has room for one.
"""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input

NAME = "custom-metrics-stackdriver-adapter"
"""Name of its objects, and of the ServiceAccount that needs the role `roles/monitoring.viewer`."""

NAMESPACE = "custom-metrics"
PODS = f"{NAMESPACE}/{NAME}"
"""Namespace that is made for it, as Google's documentation calls it."""

IMAGE = "gcr.io/gke-release/custom-metrics-stackdriver-adapter:v0.15.1-gke.0"
"""Image of Google's manifest; managed series need 0.13.1
(cloud.google.com/stackdriver/docs/managed-prometheus/hpa)."""

_VERSIONS = {"v1beta1": 100, "v1beta2": 200}
"""Versions of the API with their priorities."""


def pod() -> k8s.core.v1.PodSpecArgs:
    """A pod like that of Google's manifest, with fewer rights: its port asks for one."""
    return k8s.core.v1.PodSpecArgs(
        service_account_name=NAME,
        enable_service_links=False,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault")
        ),
        containers=[
            k8s.core.v1.ContainerArgs(
                name=NAME,
                image=IMAGE,
                command=["/adapter"],
                args=["--use-new-resource-model=true", "--fallback-for-container-metrics=true"],
                ports=[k8s.core.v1.ContainerPortArgs(name="https", container_port=443)],
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests={"cpu": "100m", "memory": "200Mi"}, limits={"memory": "400Mi"}
                ),
                security_context=k8s.core.v1.SecurityContextArgs(
                    allow_privilege_escalation=False,
                    capabilities=k8s.core.v1.CapabilitiesArgs(
                        drop=["ALL"], add=["NET_BIND_SERVICE"]
                    ),
                ),
            )
        ],
    )


def google_adapter(
    name: str, annotations: Mapping[str, Input[str]], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Make the adapter and register it; what autoscalers wait for.

    Args:
        name: begins the names of the resources.
        annotations: of its ServiceAccount: which of Google's service accounts it is.
        opts: options of every resource.
    """
    prefix = f"{name}-google-adapter"

    def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=list(resources))
        )

    namespace = k8s.core.v1.Namespace(
        f"{prefix}-namespace",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=NAMESPACE, labels={"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        opts=opts,
    )
    metadata = k8s.meta.v1.ObjectMetaArgs(name=NAME, namespace=NAMESPACE)
    account = k8s.core.v1.ServiceAccount(
        f"{prefix}-account",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=NAME, namespace=NAMESPACE, annotations=annotations or None
        ),
        opts=after(namespace),
    )
    reader = k8s.rbac.v1.ClusterRole(
        f"{prefix}-reader",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=f"{NAME}-reader"),
        rules=[
            k8s.rbac.v1.PolicyRuleArgs(
                api_groups=[""],
                resources=["nodes", "nodes/stats", "pods"],
                verbs=["get", "list", "watch"],
            )
        ],
        opts=opts,
    )
    subject = k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=NAMESPACE)
    group = "rbac.authorization.k8s.io"
    bindings: list[pulumi.Resource] = [
        k8s.rbac.v1.ClusterRoleBinding(
            f"{prefix}-{short}",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=f"{NAME}-{short}"),
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group=group, kind="ClusterRole", name=role),
            subjects=[subject],
            opts=after(account, reader),
        )
        for short, role in {
            "reads": f"{NAME}-reader",
            # Asks the API server who calls it.
            "delegates": "system:auth-delegator",
        }.items()
    ]
    bindings.append(
        k8s.rbac.v1.RoleBinding(
            f"{prefix}-authenticates",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=NAME, namespace="kube-system"),
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group=group, kind="Role", name="extension-apiserver-authentication-reader"
            ),
            subjects=[subject],
            opts=after(account),
        )
    )
    labels = {"app.kubernetes.io/name": NAME}
    deployment = k8s.apps.v1.Deployment(
        f"{prefix}-deployment",
        metadata=metadata,
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels), spec=pod()
            ),
        ),
        opts=after(*bindings),
    )
    service = k8s.core.v1.Service(
        f"{prefix}-service",
        # The Deployment is waited for.
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=NAME, namespace=NAMESPACE, annotations={"pulumi.com/skipAwait": "true"}
        ),
        spec=k8s.core.v1.ServiceSpecArgs(
            selector=labels,
            ports=[k8s.core.v1.ServicePortArgs(name="https", port=443, target_port="https")],
        ),
        opts=after(namespace),
    )
    return [
        k8s.apiregistration.v1.APIService(
            f"{prefix}-{version}",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=f"{version}.custom.metrics.k8s.io"),
            spec=k8s.apiregistration.v1.APIServiceSpecArgs(
                group="custom.metrics.k8s.io",
                version=version,
                group_priority_minimum=100,
                version_priority=priority,
                # It makes a certificate of its own at every start.
                insecure_skip_tls_verify=True,
                service=k8s.apiregistration.v1.ServiceReferenceArgs(name=NAME, namespace=NAMESPACE),
            ),
            opts=after(deployment, service),
        )
        for version, priority in _VERSIONS.items()
    ]
