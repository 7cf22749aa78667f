"""GPU nodes on Amazon Elastic Kubernetes Service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input
from pulumi.output import Output, T  # noqa: F401

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.pool import machine_of, machines_of, pool_problems
from pulumi_llm_inference.nodes.extra import extra_problems, merged
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import (
    CapacityType,
    Cloud,
    EksAmi,
    GpuNodePoolSpec,
    Placement,
)

_CAPACITY = {
    CapacityType.ON_DEMAND: "ON_DEMAND",
    CapacityType.SPOT: "SPOT",
    CapacityType.RESERVED: "CAPACITY_BLOCK",
}
"""EKS' names (botocore eks CapacityTypes)."""

_TEMPLATE_TAG = "k8s.io/cluster-autoscaler/node-template"
"""Begins the tags by which cluster-autoscaler knows a node before there is one
(kubernetes/autoscaler cluster-autoscaler/cloudprovider/aws/README.md)."""


_GPU_LABEL = "k8s.amazonaws.com/accelerator"
"""Tells cluster-autoscaler that a node without GPUs still waits for the device plugin; else it buys
another for the same pod (kubernetes/autoscaler cluster-autoscaler/cloudprovider/aws/README.md)."""

_OWN = {"labels": "labels", "taints": "taints"}
"""Arguments of the node group that are the pool's, and by what a user changes them."""


@dataclass(frozen=True)
class _Ami:
    """What an operating system is called, and where it keeps images."""

    type: str
    disk: str


_AMIS = {
    EksAmi.AL2023: _Ami("AL2023_x86_64_NVIDIA", "/dev/xvda"),
    # The first disk holds the system only (bottlerocket-os/bottlerocket README, "Default volumes").
    EksAmi.BOTTLEROCKET: _Ami("BOTTLEROCKET_x86_64_NVIDIA", "/dev/xvdb"),
}


class EksGpuNodePoolArgs(GpuNodePoolSpec, Args):
    """Arguments of EksGpuNodePool: those of every GPU node pool, and where it belongs."""

    cluster_name: Input[str]
    """Name of the cluster."""
    node_role_arn: Input[str]
    """Role of the nodes; it needs what every EKS node needs, and nothing of the pods."""
    subnet_ids: Input[Mapping[str, Input[str]]]
    """Private subnets by their zone; the pool uses those of its `zones`."""
    region: Input[str] | None = None
    """Region of the cluster. Default: the provider's."""
    kubernetes_version: Input[str] | None = None
    """Minor version of the nodes; give the cluster's, or they stay as they were made. Default: the
    cluster's when the pool is made."""
    ami: EksAmi = EksAmi.AL2023
    """`al2023` (default) or `bottlerocket`."""
    tags: dict[str, str] = {}
    """Tags of the node group and its machines, for the bill."""


class EksGpuNodePool(pulumi.ComponentResource):
    """Identical GPU nodes on EKS: a managed node group that cluster-autoscaler can grow from zero.

    The device plugin is part of Bottlerocket and an add-on on Amazon Linux
    (awsdocs latest/ug/ml/ml-eks-k8s-device-plugin.adoc).
    """

    placement: Placement
    """What pods need to run on the pool."""
    launch_template: aws.ec2.LaunchTemplate
    """How its machines start."""
    node_group: aws.eks.NodeGroup
    """The pool itself. Its name has a random end, so that a new one comes before the old goes."""

    def __init__(
        self,
        name: str,
        args: EksGpuNodePoolArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = EksGpuNodePoolArgs.model_validate(args)
        require(
            [
                *pool_problems(name, spec, Cloud.EKS, name, zones=_zones(spec.subnet_ids)),
                *extra_problems(aws.eks.NodeGroup, spec.extra, _OWN, name),
            ],
            f"EksGpuNodePool '{name}'",
        )
        super().__init__("llm-inference:index:EksGpuNodePool", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.placement = placement(name, spec, Cloud.EKS)
        self.launch_template = aws.ec2.LaunchTemplate(
            f"{name}-template", **launch_template(name, spec), opts=child
        )
        self.node_group = aws.eks.NodeGroup(
            f"{name}-group",
            **merged(node_group(spec, self.placement, self.launch_template), spec.extra),
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["scalingConfig.desiredSize"],  # the node autoscaler's
            ),
        )
        autoscaling_group = self.node_group.resources.apply(_autoscaling_group)
        for key, value in template_tags(spec, self.placement).items():
            aws.autoscaling.Tag(
                f"{name}-{key}",
                autoscaling_group_name=autoscaling_group,
                region=spec.region,
                tag={
                    "key": f"{_TEMPLATE_TAG}/{key}",
                    "value": value,
                    "propagate_at_launch": False,
                },
                opts=child,
            )
        self.register_outputs({"placement": self.placement.model_dump(mode="json", by_alias=True)})


def launch_template(name: str, spec: EksGpuNodePoolArgs) -> dict[str, Any]:
    """Arguments of `aws.ec2.LaunchTemplate`."""
    disk: aws.ec2.LaunchTemplateBlockDeviceMappingArgsDict = {
        "device_name": _AMIS[spec.ami].disk,
        "ebs": {
            "volume_size": spec.disk_gib,
            "volume_type": "gp3",
            "encrypted": "true",
            "delete_on_termination": "true",
        },
    }
    # One hop: the credentials of the machine are not for pods.
    metadata: aws.ec2.LaunchTemplateMetadataOptionsArgsDict = {
        "http_endpoint": "enabled",
        "http_tokens": "required",
        "http_put_response_hop_limit": 1,
    }
    tags = {**spec.tags, "Name": name}
    result = {
        "block_device_mappings": [disk],
        "metadata_options": metadata,
        "region": spec.region,
        "tag_specifications": [
            {"resource_type": kind, "tags": tags} for kind in ("instance", "volume")
        ],
        "tags": spec.tags or None,
        "update_default_version": True,
    }
    if not spec.reservation:
        return result
    market: aws.ec2.LaunchTemplateInstanceMarketOptionsArgsDict = {"market_type": "capacity-block"}
    reservation: aws.ec2.LaunchTemplateCapacityReservationSpecificationArgsDict = {
        "capacity_reservation_target": {"capacity_reservation_id": spec.reservation}
    }
    machine = machine_of(Cloud.EKS, spec).name  # a capacity block is bought for one type
    return {
        **result,
        "instance_type": machine,
        "instance_market_options": market,
        "capacity_reservation_specification": reservation,
    }


def node_group(
    spec: EksGpuNodePoolArgs, placed: Placement, template: aws.ec2.LaunchTemplate
) -> dict[str, Any]:
    """Arguments of `aws.eks.NodeGroup`."""
    scaling: aws.eks.NodeGroupScalingConfigArgsDict = {
        "min_size": spec.min_nodes,
        "max_size": spec.max_nodes,
        "desired_size": spec.min_nodes,
    }
    # More types mean more spot capacity to choose from; the same GPUs serve the same.
    types = {
        CapacityType.ON_DEMAND: [machine_of(Cloud.EKS, spec).name],
        CapacityType.SPOT: [machine.name for machine in machines_of(Cloud.EKS, spec)],
        CapacityType.RESERVED: None,  # in the launch template
    }
    version = template.latest_version.apply(str)
    update: aws.eks.NodeGroupUpdateConfigArgsDict = {"max_unavailable": 1}
    repair: aws.eks.NodeGroupNodeRepairConfigArgsDict = {"enabled": True}
    launch: aws.eks.NodeGroupLaunchTemplateArgsDict = {"id": template.id, "version": version}
    return {
        "cluster_name": spec.cluster_name,
        "region": spec.region,
        "version": spec.kubernetes_version,
        "node_role_arn": spec.node_role_arn,
        "subnet_ids": Output.from_input(spec.subnet_ids).apply(
            lambda by_zone: [by_zone[zone] for zone in spec.zones or sorted(by_zone)]
        ),
        "ami_type": _AMIS[spec.ami].type,
        "capacity_type": _CAPACITY[spec.capacity_type],
        "instance_types": types[spec.capacity_type],
        "launch_template": launch,
        "scaling_config": scaling,
        "update_config": update,
        "node_repair_config": repair,
        "labels": node_labels(spec, placed),
        "taints": [
            {"key": taint.key, "value": taint.value, "effect": taint.effect.name}
            for taint in placed.taints
        ],
        "tags": spec.tags or None,
    }


def _autoscaling_group(resources: Sequence[aws.eks.outputs.NodeGroupResource]) -> str:
    """Name of the one autoscaling group that a node group has."""
    [group] = resources[0].autoscaling_groups or []
    return group.name or ""


def _zones(subnets: Input[Mapping[str, Input[str]]]) -> list[str] | None:
    """Zones that there are subnets in, where that is known before anything is deployed."""
    return sorted(subnets) if isinstance(subnets, Mapping) else None


def node_labels(spec: EksGpuNodePoolArgs, placed: Placement) -> dict[str, str]:
    """Labels of the nodes."""
    return {**spec.labels, **placed.node_labels, _GPU_LABEL: spec.accelerator}


def template_tags(spec: EksGpuNodePoolArgs, placed: Placement) -> dict[str, str]:
    """What cluster-autoscaler must know of a node, by the end of the tag's key."""
    return {
        **{f"label/{key}": value for key, value in node_labels(spec, placed).items()},
        **{f"taint/{t.key}": f"{t.value}:{t.effect.value}" for t in placed.taints},
        f"resources/{placed.gpu_resource}": str(spec.gpus_per_node),
    }
