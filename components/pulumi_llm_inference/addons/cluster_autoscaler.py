"""cluster-autoscaler for EKS, which has no node autoscaler of its own.

Flags and permissions: kubernetes/autoscaler cluster-autoscaler/cloudprovider/aws/examples/
cluster-autoscaler-autodiscover.yaml and charts/cluster-autoscaler/templates/clusterrole.yaml, with
`resource.k8s.io`, which 1.35 and newer always read (pull request 10278).
"""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s
import yaml
from pulumi import Input, Output

from pulumi_llm_inference.spec.pool import Cloud

NAME = "cluster-autoscaler"
"""Name of its objects; its ServiceAccount is `kube-system/cluster-autoscaler`."""

NAMESPACE = "kube-system"
"""Namespace where it also looks for the priorities."""

PRIORITIES = "cluster-autoscaler-priority-expander"
"""Name of the ConfigMap with the priorities of node groups; fixed by cluster-autoscaler, AKS' own
too (kubernetes/autoscaler cluster-autoscaler/expander/priority/readme.md)."""

_RELEASES = {
    # kubermatic/kubeone pkg/templates/images
    30: "1.30.2",
    31: "1.31.0",
    # kubernetes/kops pkg/model/components/clusterautoscaler.go
    32: "1.32.7",
    33: "1.33.5",
    34: "1.34.4",
    35: "1.35.1",
    # kubernetes/autoscaler, release of 2026-07-23
    36: "1.36.1",
}
"""Release by minor version of Kubernetes: it simulates that version's scheduler."""

NODE_GROUPS: Mapping[Cloud, str] = {
    # eks-<node group>-<UUID>: aws.amazon.com/blogs/containers/amazon-eks-1-21-released
    Cloud.EKS: "^eks-{pool}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$",
    # aks-<pool>-<number>-vmss: the scale set of an agent pool
    Cloud.AKS: "^aks-{pool}-[0-9]+-vmss$",
}
"""What cluster-autoscaler calls the node groups of a pool, as a regular expression."""


def image(kubernetes_version: str) -> str:
    """Image for a minor version of Kubernetes; the newest that is known for newer ones."""
    minor = min(int(kubernetes_version.split(".")[1]), max(_RELEASES))
    return f"registry.k8s.io/autoscaling/cluster-autoscaler:v{_RELEASES[minor]}"


def flags(cluster_name: str) -> list[str]:
    """Command line: which node groups, which of several first, which nodes may go."""
    tags = ("enabled", cluster_name)
    discovery = ",".join(f"k8s.io/cluster-autoscaler/{tag}" for tag in tags)
    return [
        "--cloud-provider=aws",
        f"--node-group-auto-discovery=asg:tag={discovery}",
        "--expander=priority,least-waste",
        # Pools differ on purpose.
        "--balance-similar-node-groups=false",
        # Model servers have emptyDir volumes; with the default only empty nodes would go.
        "--skip-nodes-with-local-storage=false",
        "--stderrthreshold=info",
    ]


def priorities(pools: Sequence[Sequence[str]], pattern: str) -> str:
    """Configuration of the priority expander: pools in groups, the preferred group first.

    Args:
        pools: names of pools as the cloud knows them: letters, digits and `-`.
        pattern: of `NODE_GROUPS`, the cloud's.
    """
    tiers = [[pattern.format(pool=pool) for pool in group] for group in pools]
    # Highest wins. What matches nowhere would never grow while something that does can.
    numbered = {10 * (len(tiers) - index): names for index, names in enumerate(tiers)}
    return yaml.safe_dump({**numbered, 1: [".*"]}, sort_keys=True)


def priority_expander(
    name: str, cloud: Cloud, pools: Sequence[Sequence[Input[str]]], opts: pulumi.ResourceOptions
) -> k8s.core.v1.ConfigMap:
    """Make the ConfigMap that says which pools grow first; without it the next expander chooses.

    kubernetes/autoscaler cluster-autoscaler/expander/priority/priority.go, pull request 5246
    """
    plain = Output.all(*[Output.all(*group) for group in pools])
    return k8s.core.v1.ConfigMap(
        f"{name}-priorities",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=PRIORITIES, namespace=NAMESPACE),
        data={"priorities": plain.apply(lambda groups: priorities(groups, NODE_GROUPS[cloud]))},
        opts=opts,
    )


def _rule(
    group: str, resources: Sequence[str], verbs: str, names: Sequence[str] | None = None
) -> k8s.rbac.v1.PolicyRuleArgs:
    return k8s.rbac.v1.PolicyRuleArgs(
        api_groups=[group], resources=resources, verbs=verbs.split(), resource_names=names
    )


_READ = "get list watch"


def cluster_rules() -> list[k8s.rbac.v1.PolicyRuleArgs]:
    """What it does in the whole cluster: read, cordon nodes, evict pods, say so."""
    volumes = ("csidrivers", "csinodes", "csistoragecapacities", "storageclasses")
    objects = ("namespaces", "persistentvolumeclaims", "persistentvolumes", "pods")
    return [
        _rule("", ["nodes"], f"{_READ} update"),
        _rule("", ["pods/eviction"], "create"),
        _rule("", ["pods/status"], "update"),
        _rule("", ["events"], "create patch"),
        _rule("", [*objects, "replicationcontrollers", "services"], _READ),
        _rule("apps", ["daemonsets", "replicasets", "statefulsets"], _READ),
        _rule("batch", ["jobs"], _READ),
        _rule("policy", ["poddisruptionbudgets"], _READ),
        _rule("storage.k8s.io", [*volumes, "volumeattachments"], _READ),
        _rule("resource.k8s.io", ["deviceclasses", "resourceclaims", "resourceslices"], _READ),
    ]


def own_rules() -> list[k8s.rbac.v1.PolicyRuleArgs]:
    """What it does in its own namespace: elect a leader, write its status, read priorities."""
    return [
        _rule("", ["configmaps"], "create list watch"),
        _rule("", ["configmaps"], "delete get update", ["cluster-autoscaler-status"]),
        _rule("", ["configmaps"], "get", [PRIORITIES]),
        _rule("coordination.k8s.io", ["leases"], "create"),
        _rule("coordination.k8s.io", ["leases"], "get update", [NAME]),
    ]


def pod(
    kubernetes_version: str, cluster_name: Input[str], region: Input[str] | None
) -> k8s.core.v1.PodSpecArgs:
    """A pod that can do nothing on its node."""
    environment = [k8s.core.v1.EnvVarArgs(name="AWS_REGION", value=region)] if region else []
    return k8s.core.v1.PodSpecArgs(
        service_account_name=NAME,
        priority_class_name="system-cluster-critical",
        enable_service_links=False,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=65534,
            run_as_group=65534,
            # Tokens of its identity are files.
            fs_group=65534,
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[
            k8s.core.v1.ContainerArgs(
                name=NAME,
                image=image(kubernetes_version),
                command=["./cluster-autoscaler"],
                args=Output.from_input(cluster_name).apply(flags),
                env=environment,
                ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=8085)],
                liveness_probe=k8s.core.v1.ProbeArgs(
                    http_get=k8s.core.v1.HTTPGetActionArgs(path="/health-check", port="http")
                ),
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests={"cpu": "100m", "memory": "600Mi"}, limits={"memory": "1Gi"}
                ),
                security_context=k8s.core.v1.SecurityContextArgs(
                    allow_privilege_escalation=False,
                    read_only_root_filesystem=True,
                    capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                ),
            )
        ],
    )


def cluster_autoscaler(
    name: str,
    *,
    kubernetes_version: str,
    cluster_name: Input[str],
    region: Input[str] | None,
    annotations: Mapping[str, Input[str]],
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.Deployment:
    """Make cluster-autoscaler for the node groups that carry the cluster's tags.

    Args:
        name: begins the names of the resources.
        kubernetes_version: minor version of the cluster.
        cluster_name: name of the cluster, as in the tags.
        region: the cluster's region; by default what its identity's webhook sets.
        annotations: of its ServiceAccount, such as the role that it takes.
        opts: options of every resource.
    """
    metadata = k8s.meta.v1.ObjectMetaArgs(name=NAME, namespace=NAMESPACE)
    account = k8s.core.v1.ServiceAccount(
        f"{name}-node-autoscaler-account",
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=NAME, namespace=NAMESPACE, annotations=annotations or None
        ),
        opts=opts,
    )
    subject = k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=NAMESPACE)
    cluster_role = k8s.rbac.v1.ClusterRole(
        f"{name}-node-autoscaler-cluster-role",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=NAME),
        rules=cluster_rules(),
        opts=opts,
    )
    role = k8s.rbac.v1.Role(
        f"{name}-node-autoscaler-role", metadata=metadata, rules=own_rules(), opts=opts
    )
    group = "rbac.authorization.k8s.io"
    bindings = [
        k8s.rbac.v1.ClusterRoleBinding(
            f"{name}-node-autoscaler-cluster-binding",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=NAME),
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group=group, kind="ClusterRole", name=NAME),
            subjects=[subject],
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(depends_on=[cluster_role])
            ),
        ),
        k8s.rbac.v1.RoleBinding(
            f"{name}-node-autoscaler-binding",
            metadata=metadata,
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group=group, kind="Role", name=NAME),
            subjects=[subject],
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[role])),
        ),
    ]
    labels = {"app.kubernetes.io/name": NAME}
    return k8s.apps.v1.Deployment(
        f"{name}-node-autoscaler",
        metadata=metadata,
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    labels=labels,
                    # Or it removes its own node in the middle of its work.
                    annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                ),
                spec=pod(kubernetes_version, cluster_name, region),
            ),
        ),
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=[account, *bindings])
        ),
    )
