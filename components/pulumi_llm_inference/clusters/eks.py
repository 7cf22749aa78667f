"""A cluster on Amazon Elastic Kubernetes Service."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.kubeconfig import eks_kubeconfig
from pulumi_llm_inference.clusters.names import camel_keys
from pulumi_llm_inference.clusters.policies import POD_TRUST, allow, partition, policy, trust
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.spec.base import minor_version
from pulumi_llm_inference.spec.cluster import EksClusterSpec
from pulumi_llm_inference.spec.pool import Cloud

_NODE_POLICIES = {
    "worker": "AmazonEKSWorkerNodePolicy",
    "images": "AmazonEC2ContainerRegistryPullOnly",
    "network": "AmazonEKS_CNI_Policy",
}
"""What nodes may do: join, pull images, give pods addresses
(docs.aws.amazon.com/eks/latest/userguide/create-node-role.html)."""

_CLUSTER_POLICY = "AmazonEKSClusterPolicy"
_DISK_POLICY = "service-role/AmazonEBSCSIDriverPolicy"

_LOGS = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
"""All there are (botocore eks LogType)."""

_LOG_DAYS = 90
_ROOT_DISK = "/dev/xvda"
_ROOT_DISK_GIB = 50

_SYSTEM_ADDONS: dict[str, dict[str, Any]] = {
    "vpc-cni": {"enableNetworkPolicy": "true"},
    "kube-proxy": {},
    "eks-pod-identity-agent": {},
}
"""What nodes need before pods run on them, with its configuration
(docs.aws.amazon.com/eks/latest/userguide/cni-network-policy-configure.html)."""

AUTOSCALER_ACCOUNT = ("kube-system", "cluster-autoscaler")
"""Namespace and name of the ServiceAccount that may grow and shrink the node groups."""

_BLOCKS_BITS, _PUBLIC_BITS = 3, 6
"""A network is eight blocks: one a zone for nodes and pods, the last for all public subnets."""


class EksClusterArgs(EksClusterSpec, Args):
    """Arguments of EksCluster."""

    kubernetes_version: str = "1.35"
    """Minor version, in quotes; upgrades are one minor version at a time. Default 1.35, in standard
    support until March 2027 (endoflife.date/amazon-eks)."""

    _version = field_validator("kubernetes_version")(minor_version)


@dataclass(frozen=True)
class ZoneSubnets:
    """Addresses of one zone."""

    private: str
    """Of nodes and pods (CIDR)."""
    public: str
    """Of the NAT gateway and of load balancers (CIDR)."""


class EksCluster(pulumi.ComponentResource):
    """A cluster with private nodes in a network of its own, with a group for the system's pods.

    Secrets are encrypted with a key of the cluster's own, pods have identities (Pod Identity),
    network policies hold (VPC CNI), nodes have no way to their metadata for pods (IMDSv2, one hop).

    An upgrade takes the control plane first, then all nodes. Add-ons keep the version that was EKS'
    default when they were made, and deploying does not change it: upgrade them afterwards with
    `aws eks update-addon`.
    """

    kubeconfig: Output[str]
    """For `aws eks get-token`; holds no credentials, and is a secret all the same. It is there once
    there are nodes, DNS, disks, and the permissions of cluster-autoscaler."""
    cluster: aws.eks.Cluster
    """The cluster itself."""
    system_group: aws.eks.NodeGroup
    """The nodes without GPUs."""
    node_role: aws.iam.Role
    """What all nodes run as."""
    autoscaler_role: aws.iam.Role
    """What cluster-autoscaler runs as: the pods of the ServiceAccount `cluster-autoscaler` in
    `kube-system` have it."""
    vpc: aws.ec2.Vpc
    """The network of the cluster alone."""
    connection: dict[str, Any]
    """What EksGpuNodePool needs to know, by the names of its arguments."""
    storage_connection: dict[str, Any]
    """What EksStorageAccess needs to know, by the names of its arguments."""

    def __init__(
        self,
        name: str,
        args: EksClusterArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = EksClusterArgs.model_validate(args)
        cluster_name = given.name or name
        spec = given.model_copy(update={"name": cluster_name})
        require(
            [*name_problems(name, name), *cluster_problems(Cloud.EKS, spec, name)],
            f"EksCluster '{name}'",
        )
        super().__init__("llm-inference:index:EksCluster", name, None, opts)
        self._name = name
        self._spec = spec
        self._child = child = pulumi.ResourceOptions(parent=self)
        self.vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            aws.ec2.VpcArgs(
                cidr_block=spec.network,
                enable_dns_hostnames=True,
                enable_dns_support=True,
                region=spec.region,
                tags=self._tags("vpc"),
            ),
            opts=child,
        )
        subnet_ids = self._subnets()
        self.cluster = self._cluster(cluster_name, list(subnet_ids.values()))
        addons = [
            self._addon(addon, configuration) for addon, configuration in _SYSTEM_ADDONS.items()
        ]
        self.node_role = self._role("nodes", trust("ec2.amazonaws.com"))
        permissions = [
            self._attach(f"nodes-{purpose}", self.node_role, managed)
            for purpose, managed in _NODE_POLICIES.items()
        ]
        node_role_arn = after(self.node_role.arn, [*permissions, *addons])
        template = aws.ec2.LaunchTemplate(f"{name}-system", system_template_args(spec), opts=child)
        self.system_group = aws.eks.NodeGroup(
            f"{name}-system",
            system_group_args(
                spec, self.cluster, node_role_arn, list(subnet_ids.values()), template
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # The autoscaler writes it; a value of ours would undo its work at updates.
                ignore_changes=["scalingConfig.desiredSize"],
            ),
        )
        dns = self._addon("coredns", {}, depends_on=[self.system_group])
        disks = self._disks()
        self.autoscaler_role, may_scale = self._autoscaler(cluster_name)
        self.connection = {
            "cluster_name": self.cluster.name,
            "region": spec.region,
            # The control plane's own, so that nodes follow it when it is upgraded.
            "kubernetes_version": self.cluster.version,
            "node_role_arn": node_role_arn,
            "subnet_ids": subnet_ids,
        }
        self.storage_connection = {"cluster_name": self.cluster.name, "region": spec.region}
        self.kubeconfig = Output.secret(
            Output.all(
                after(self.cluster.name, [self.system_group, dns, disks, may_scale]),
                self.cluster.endpoint,
                self.cluster.certificate_authority.apply(lambda authority: authority.data),
            ).apply(lambda parts: eks_kubeconfig(*parts, region=spec.region))
        )
        self.register_outputs(
            {
                "kubeconfig": self.kubeconfig,
                "connection": camel_keys(self.connection),
                "storageConnection": camel_keys(self.storage_connection),
            }
        )

    def _tags(self, part: str) -> dict[str, str]:
        return {**self._spec.tags, "Name": f"{self._name}-{part}"}

    def _subnets(self) -> dict[str, Any]:
        """Make the subnets of every zone, each with a NAT gateway of its own; ids by zone.

        A zone's nodes stay reachable when another zone is not, and what they download is not billed
        twice, as traffic between zones.
        """
        name, spec, child, ec2 = self._name, self._spec, self._child, aws.ec2
        ec2.DefaultSecurityGroup(
            f"{name}-default-group",
            # Without rules: nobody is meant to use it.
            ec2.DefaultSecurityGroupArgs(
                vpc_id=self.vpc.id, region=spec.region, tags=self._tags("unused")
            ),
            opts=child,
        )
        gateway = ec2.InternetGateway(
            f"{name}-gateway",
            ec2.InternetGatewayArgs(
                vpc_id=self.vpc.id, region=spec.region, tags=self._tags("gateway")
            ),
            opts=child,
        )
        public_table = self._route_table("public")
        way_out = ec2.Route(
            f"{name}-public",
            ec2.RouteArgs(
                route_table_id=public_table.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=gateway.id,
                region=spec.region,
            ),
            opts=child,
        )
        ids: dict[str, Any] = {}
        tables = []
        for zone, subnets in zone_subnets(spec.network, spec.zones).items():
            public = self._subnet(f"public-{zone}", zone, subnets.public, "elb")
            self._associate(f"public-{zone}", public, public_table)
            address = ec2.Eip(
                f"{name}-{zone}",
                ec2.EipArgs(domain="vpc", region=spec.region, tags=self._tags(zone)),
                opts=child,
            )
            nat = ec2.NatGateway(
                f"{name}-{zone}",
                ec2.NatGatewayArgs(
                    subnet_id=public.id,
                    allocation_id=address.allocation_id,
                    region=spec.region,
                    tags=self._tags(zone),
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[way_out]),
            )
            private = self._subnet(f"private-{zone}", zone, subnets.private, "internal-elb")
            table = self._route_table(f"private-{zone}")
            route = ec2.Route(
                f"{name}-private-{zone}",
                ec2.RouteArgs(
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=nat.id,
                    region=spec.region,
                ),
                opts=child,
            )
            tables.append(table)
            ids[zone] = after(
                private.id, [route, self._associate(f"private-{zone}", private, table)]
            )
        ec2.VpcEndpoint(
            f"{name}-s3",
            # Weights from S3, and layers of images from ECR, cost no NAT traffic.
            ec2.VpcEndpointArgs(
                vpc_id=self.vpc.id,
                service_name=f"com.amazonaws.{spec.region}.s3",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                region=spec.region,
                tags=self._tags("s3"),
            ),
            opts=child,
        )
        return ids

    def _subnet(self, part: str, zone: str, cidr: str, role: str) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._name}-{part}",
            aws.ec2.SubnetArgs(
                vpc_id=self.vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                region=self._spec.region,
                # Load balancers find their subnets by it
                # (docs.aws.amazon.com/eks/latest/userguide/network-reqs.html).
                tags={**self._tags(part), f"kubernetes.io/role/{role}": "1"},
            ),
            opts=self._child,
        )

    def _route_table(self, part: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            f"{self._name}-{part}",
            aws.ec2.RouteTableArgs(
                vpc_id=self.vpc.id, region=self._spec.region, tags=self._tags(part)
            ),
            opts=self._child,
        )

    def _associate(
        self, part: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable
    ) -> aws.ec2.RouteTableAssociation:
        return aws.ec2.RouteTableAssociation(
            f"{self._name}-{part}",
            aws.ec2.RouteTableAssociationArgs(
                subnet_id=subnet.id, route_table_id=table.id, region=self._spec.region
            ),
            opts=self._child,
        )

    def _cluster(self, cluster_name: str, subnet_ids: Sequence[Input[str]]) -> aws.eks.Cluster:
        """Make the control plane, its key, its log and its role."""
        name, spec = self._name, self._spec
        key = aws.kms.Key(
            f"{name}-secrets",
            aws.kms.KeyArgs(
                description=f"Secrets of the Kubernetes cluster {cluster_name}",
                enable_key_rotation=True,
                region=spec.region,
                tags=self._tags("secrets"),
            ),
            opts=self._child,
        )
        log = aws.cloudwatch.LogGroup(
            f"{name}-log",
            # EKS would make it too, and keep it for ever.
            aws.cloudwatch.LogGroupArgs(
                name=f"/aws/eks/{cluster_name}/cluster",
                retention_in_days=_LOG_DAYS,
                region=spec.region,
                tags=self._tags("log"),
            ),
            opts=self._child,
        )
        role = self._role("control-plane", trust("eks.amazonaws.com"))
        may_run = self._attach("control-plane", role, _CLUSTER_POLICY)
        may_encrypt = aws.iam.RolePolicy(
            f"{name}-secrets-use",
            aws.iam.RolePolicyArgs(
                role=role.name,
                policy=key.arn.apply(
                    lambda arn: policy(
                        allow("kms:Encrypt", "kms:Decrypt", "kms:ListGrants", "kms:DescribeKey")
                        | {"Resource": arn}
                    )
                ),
            ),
            opts=self._child,
        )
        return aws.eks.Cluster(
            f"{name}-cluster",
            cluster_args(spec, cluster_name, role.arn, key.arn, subnet_ids),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[log, may_run, may_encrypt],
                # Stops `pulumi destroy` at its preview; EKS' own protection says no only when all
                # that is in the cluster is gone.
                protect=spec.deletion_protection or None,
            ),
        )

    def _disks(self) -> aws.eks.Addon:
        """Give pods disks: EKS brings no driver for them."""
        role = self._role("disks", POD_TRUST)
        attached = self._attach("disks", role, _DISK_POLICY)
        identity = aws.eks.AddonPodIdentityAssociationArgs(
            role_arn=role.arn, service_account="ebs-csi-controller-sa"
        )
        return self._addon("aws-ebs-csi-driver", {}, [identity], [attached, self.system_group])

    def _autoscaler(self, cluster_name: str) -> tuple[aws.iam.Role, aws.eks.PodIdentityAssociation]:
        """Let cluster-autoscaler grow and shrink this cluster's groups, and no others.

        Returns:
            its role, and what gives it to pods; those that started before do not have it.
        """
        namespace, account = AUTOSCALER_ACCOUNT
        role = self._role("autoscaler", POD_TRUST)
        allowed = aws.iam.RolePolicy(
            f"{self._name}-autoscaler",
            aws.iam.RolePolicyArgs(role=role.name, policy=autoscaler_policy(cluster_name)),
            opts=self._child,
        )
        association = aws.eks.PodIdentityAssociation(
            f"{self._name}-autoscaler",
            aws.eks.PodIdentityAssociationArgs(
                cluster_name=self.cluster.name,
                namespace=namespace,
                service_account=account,
                role_arn=role.arn,
                region=self._spec.region,
                tags=self._tags("autoscaler"),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        return role, association

    def _addon(
        self,
        addon: str,
        configuration: Mapping[str, Any],
        identities: Sequence[aws.eks.AddonPodIdentityAssociationArgs] = (),
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> aws.eks.Addon:
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            aws.eks.AddonArgs(
                cluster_name=self.cluster.name,
                addon_name=addon,
                configuration_values=json.dumps(configuration) if configuration else None,
                pod_identity_associations=list(identities) or None,
                resolve_conflicts_on_create="OVERWRITE",
                resolve_conflicts_on_update="OVERWRITE",
                region=self._spec.region,
                tags=self._tags(addon),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on)),
        )

    def _role(self, part: str, assume_role_policy: str) -> aws.iam.Role:
        return aws.iam.Role(
            f"{self._name}-{part}",
            aws.iam.RoleArgs(assume_role_policy=assume_role_policy, tags=self._tags(part)),
            opts=self._child,
        )

    def _attach(self, part: str, role: aws.iam.Role, managed: str) -> aws.iam.RolePolicyAttachment:
        arn = f"arn:{partition(self._spec.region)}:iam::aws:policy/{managed}"
        return aws.iam.RolePolicyAttachment(
            f"{self._name}-{part}",
            aws.iam.RolePolicyAttachmentArgs(role=role.name, policy_arn=arn),
            opts=self._child,
        )


def zone_subnets(network: str, zones: Sequence[str]) -> dict[str, ZoneSubnets]:
    """Addresses of every zone: an eighth of the network for nodes and pods, a 64th for the rest."""
    blocks = list(ipaddress.ip_network(network).subnets(_BLOCKS_BITS))
    public = blocks[-1].subnets(_PUBLIC_BITS - _BLOCKS_BITS)
    return {
        zone: ZoneSubnets(str(private), str(outside))
        for zone, private, outside in zip(zones, blocks, public, strict=False)
    }


def cluster_args(
    spec: EksClusterArgs,
    name: str,
    role: Input[str],
    key: Input[str],
    subnet_ids: Sequence[Input[str]],
) -> aws.eks.ClusterArgs:
    """The control plane.

    Args:
        spec: what the user asked for.
        name: name of the cluster.
        role: ARN of the control plane's role.
        key: ARN of the key that encrypts secrets.
        subnet_ids: private subnets.
    """
    return aws.eks.ClusterArgs(
        name=name,
        version=spec.kubernetes_version,
        role_arn=role,
        region=spec.region,
        tags=spec.tags or None,
        deletion_protection=spec.deletion_protection,
        # They are add-ons here, so that their versions and settings are ours.
        bootstrap_self_managed_addons=False,
        enabled_cluster_log_types=_LOGS,
        vpc_config=aws.eks.ClusterVpcConfigArgs(
            subnet_ids=list(subnet_ids),
            endpoint_private_access=True,
            endpoint_public_access=bool(spec.api_networks),
            public_access_cidrs=spec.api_networks or None,
        ),
        access_config=aws.eks.ClusterAccessConfigArgs(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
        ),
        encryption_config=aws.eks.ClusterEncryptionConfigArgs(
            provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key),
            resources=["secrets"],
        ),
    )


def system_template_args(spec: EksClusterSpec) -> aws.ec2.LaunchTemplateArgs:
    """How the machines without GPUs start: encrypted disks, metadata for the node alone."""
    ec2 = aws.ec2
    return ec2.LaunchTemplateArgs(
        region=spec.region,
        tags=spec.tags or None,
        update_default_version=True,
        metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        block_device_mappings=[
            ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name=_ROOT_DISK,
                ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    encrypted="true",
                    volume_type="gp3",
                    volume_size=_ROOT_DISK_GIB,
                    delete_on_termination="true",
                ),
            )
        ],
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=spec.tags)
            for kind in ("instance", "volume")
            if spec.tags
        ],
    )


def system_group_args(
    spec: EksClusterSpec,
    cluster: aws.eks.Cluster,
    role: Input[str],
    subnet_ids: Sequence[Input[str]],
    template: aws.ec2.LaunchTemplate,
) -> aws.eks.NodeGroupArgs:
    """The nodes without GPUs, over all zones.

    Args:
        spec: what the user asked for.
        cluster: the control plane, whose version the nodes follow.
        role: ARN of the nodes' role.
        subnet_ids: private subnets.
        template: how the machines start.
    """
    bounds = spec.system_nodes
    return aws.eks.NodeGroupArgs(
        cluster_name=cluster.name,
        version=cluster.version,
        node_role_arn=role,
        subnet_ids=list(subnet_ids),
        ami_type="AL2023_x86_64_STANDARD",
        instance_types=[spec.system_machine],
        region=spec.region,
        tags=spec.tags or None,
        launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
            id=template.id, version=template.latest_version.apply(str)
        ),
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            min_size=bounds.min_nodes, max_size=bounds.max_nodes, desired_size=bounds.min_nodes
        ),
        update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
    )


def autoscaler_policy(cluster: str) -> str:
    """What cluster-autoscaler may do: look at everything, and change the cluster's own groups.

    EKS tags its groups as the cluster's own. Sources: kubernetes/autoscaler
    cluster-autoscaler/cloudprovider/aws/README.md; aws/aws-eks-best-practices, cluster autoscaling.
    """
    owned = {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}": "owned"}
    return policy(
        allow(
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations",
            "autoscaling:DescribeScalingActivities",
            "autoscaling:DescribeTags",
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements",
            "eks:DescribeNodegroup",
        ),
        allow(
            "autoscaling:SetDesiredCapacity",
            "autoscaling:TerminateInstanceInAutoScalingGroup",
        )
        | {"Condition": {"StringEquals": owned}},
    )
