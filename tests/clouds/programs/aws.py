"""An EKS cluster with a GPU node group, the device plugin, and a server on it: plain Pulumi."""

import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

config = pulumi.Config("test")
instance_type = config.get("machine") or "g6.xlarge"
plugin_tolerates = config.get_bool("pluginTolerates", default=True)
tagged = config.get_bool("tagged", default=True)

role = aws.iam.Role(
    "node",
    assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": []}),
)
network = aws.ec2.Vpc("network", cidr_block="10.0.0.0/16")
subnets = [
    aws.ec2.Subnet(
        f"subnet-{zone}",
        vpc_id=network.id,
        cidr_block=f"10.0.{number}.0/24",
        availability_zone=f"eu-west-1{zone}",
    )
    for number, zone in enumerate("ab")
]
cluster = aws.eks.Cluster(
    "cluster",
    role_arn=role.arn,
    vpc_config=aws.eks.ClusterVpcConfigArgs(subnet_ids=[subnet.id for subnet in subnets]),
)
template = aws.ec2.LaunchTemplate(
    "gpu",
    block_device_mappings=[
        aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
            device_name="/dev/xvda",
            ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                volume_size=200, volume_type="gp3", delete_on_termination="true"
            ),
        )
    ],
)
taint = aws.eks.NodeGroupTaintArgs(key="nvidia.com/gpu", value="present", effect="NO_SCHEDULE")
group = aws.eks.NodeGroup(
    "gpu",
    cluster_name=cluster.name,
    node_role_arn=role.arn,
    subnet_ids=[subnet.id for subnet in subnets],
    ami_type="AL2023_x86_64_NVIDIA",
    capacity_type="SPOT",
    instance_types=[instance_type],
    labels={"pool": "gpu"},
    taints=[taint],
    scaling_config=aws.eks.NodeGroupScalingConfigArgs(min_size=0, desired_size=0, max_size=2),
    launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
        id=template.id, version=template.latest_version.apply(str)
    ),
    opts=pulumi.ResourceOptions(ignore_changes=["scalingConfig.desiredSize"]),
)
autoscaling_group = group.resources[0].autoscaling_groups[0].name
template_tags = {
    "label/pool": "gpu",
    "taint/nvidia.com/gpu": "present:NoSchedule",
}
for number, (key, value) in enumerate(template_tags.items()):
    if tagged:
        aws.autoscaling.Tag(
            f"tag-{number}",
            autoscaling_group_name=autoscaling_group,
            tag=aws.autoscaling.TagTagArgs(
                key=f"k8s.io/cluster-autoscaler/node-template/{key}",
                value=value,
                propagate_at_launch=False,
            ),
        )
kubeconfig = pulumi.Output.all(
    cluster.name, cluster.endpoint, cluster.certificate_authority.data
).apply(
    lambda values: json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "eks",
                    "cluster": {"server": values[1], "certificate-authority-data": values[2]},
                }
            ],
            "users": [
                {
                    "name": "eks",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": ["eks", "get-token", "--cluster-name", values[0]],
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
            "current-context": "eks",
        }
    )
)
provider = k8s.Provider("cluster", kubeconfig=kubeconfig, cluster_identifier="eks")
inside = pulumi.ResourceOptions(provider=provider, depends_on=[group])


def pod(
    labels: dict[str, str], image: str, tolerated: bool, gpus: int
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return a pod for the GPU pool."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
        spec=k8s.core.v1.PodSpecArgs(
            node_selector={"pool": "gpu"},
            tolerations=[k8s.core.v1.TolerationArgs(key="nvidia.com/gpu", operator="Exists")]
            if tolerated
            else [],
            containers=[
                k8s.core.v1.ContainerArgs(
                    name="main",
                    image=image,
                    resources=k8s.core.v1.ResourceRequirementsArgs(limits=limits),
                )
            ],
        ),
    )


plugin = {"app": "device-plugin"}
k8s.apps.v1.DaemonSet(
    "device-plugin",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        namespace="kube-system", annotations={"pulumi.com/skipAwait": "true"}
    ),
    spec=k8s.apps.v1.DaemonSetSpecArgs(
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=plugin),
        template=pod(plugin, "nvcr.io/nvidia/k8s-device-plugin:v0.17.4", plugin_tolerates, 0),
    ),
    opts=inside,
)
autoscaler = {"app": "cluster-autoscaler"}
k8s.apps.v1.Deployment(
    "autoscaler",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        name="cluster-autoscaler",
        namespace="kube-system",
        annotations={"pulumi.com/skipAwait": "true"},
    ),
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=0,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=autoscaler),
        template=pod(autoscaler, "cluster-autoscaler:1", False, 0),
    ),
    opts=inside,
)
server = {"app": "eks-server"}
k8s.apps.v1.Deployment(
    "server",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        name="eks-server",
        annotations={} if plugin_tolerates and tagged else {"pulumi.com/skipAwait": "true"},
    ),
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=1,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=server),
        template=pod(server, "server:1", True, 1),
    ),
    opts=inside,
)
pulumi.export("pool", group.node_group_name)
