"""Clusters, and their pods' access to storage, on three clouds."""

import ast
import base64
import inspect
import ipaddress
import json
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from pulumi.output import UNKNOWN

from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.clusters.aks import AksCluster, dns_prefix
from pulumi_llm_inference.clusters.azure_roles import subscription
from pulumi_llm_inference.clusters.eks import EksCluster, zone_subnets
from pulumi_llm_inference.clusters.gke import GkeCluster
from pulumi_llm_inference.clusters.kubeconfig import aks_kubeconfig, eks_kubeconfig, gke_kubeconfig
from pulumi_llm_inference.clusters.names import shortened, unique
from pulumi_llm_inference.clusters.policies import partition
from pulumi_llm_inference.clusters.storage_aks import AksStorageAccess
from pulumi_llm_inference.clusters.storage_eks import EksStorageAccess
from pulumi_llm_inference.clusters.storage_gke import GkeStorageAccess
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.nodes.aks import AksGpuNodePool, AksGpuNodePoolArgs
from pulumi_llm_inference.nodes.eks import EksGpuNodePool, EksGpuNodePoolArgs
from pulumi_llm_inference.nodes.gke import GkeGpuNodePool, GkeGpuNodePoolArgs
from pulumi_llm_inference.spec.cluster import (
    AksClusterSpec,
    AksExistingSpec,
    ClusterSpec,
    EksClusterSpec,
    EksExistingSpec,
    ExistingClusterSpec,
    GkeClusterSpec,
    GkeExistingSpec,
)
from tests.support import Recording, record

OFFICE = "203.0.113.0/24"
TAGS = {"team": "search"}
GKE = {"project": "llm-prod", "region": "us-central1"}
EKS = {"region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
AKS = {"region": "eastus2", "zones": ["1", "2", "3"]}
CLUSTERS: dict[str, tuple[type[pulumi.ComponentResource], dict[str, Any]]] = {
    "gke": (GkeCluster, GKE),
    "eks": (EksCluster, EKS),
    "aks": (AksCluster, AKS),
}
POOLS = {"gke": GkeGpuNodePool, "eks": EksGpuNodePool, "aks": AksGpuNodePool}
COMPONENTS = [
    GkeCluster,
    EksCluster,
    AksCluster,
    GkeStorageAccess,
    EksStorageAccess,
    AksStorageAccess,
]

_made: dict[str, Recording] = {}


def cluster(cloud: str, **options: Any) -> Recording:
    """A cluster called `main`, with a pool on it and a provider that uses its kubeconfig."""
    key = json.dumps([cloud, options], sort_keys=True)
    if key in _made:
        return _made[key]

    def program() -> None:
        component, place = CLUSTERS[cloud]
        made: Any = component("main", {**place, "tags": TAGS, **options})  # type: ignore[call-arg]
        k8s.Provider("kubernetes", kubeconfig=made.kubeconfig)
        pool = {"accelerator": "nvidia-l4" if cloud != "aks" else "nvidia-t4", "max_nodes": 2}
        POOLS[cloud]("gpus", {**pool, **made.connection})

    _made[key] = record(program)
    return _made[key]


def names(recording: Recording, kind: str) -> list[str]:
    return sorted(item.name for item in recording.resources if item.type.endswith(f":{kind}"))


def urns(recording: Recording, kind: str) -> set[str]:
    return {item.urn for item in recording.resources if item.type.endswith(f":{kind}")}


# What holds on every cloud


@pytest.mark.parametrize("cloud", CLUSTERS)
def test_every_child_is_parented_and_named_after_the_cluster(cloud: str) -> None:
    recording = cluster(cloud)
    [component] = [item for item in recording.resources if item.name == "main"]
    assert component.type == f"llm-inference:index:{cloud.capitalize()}Cluster"
    children = [item for item in recording.resources if item.parent == component.urn]
    assert len(children) >= 10
    assert all(item.name.startswith("main-") for item in children)
    assert component.urn in recording.completed
    identities = [(item.type, item.name) for item in recording.resources]
    assert len(set(identities)) == len(identities)
    prefix = {"gke": "gcp:", "eks": "aws:", "aks": "azure-native:"}[cloud]
    assert all(item.type.startswith(prefix) for item in children)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda item: item.__name__)
def test_outputs_are_registered_last(component: type) -> None:
    [constructor] = ast.parse(textwrap.dedent(inspect.getsource(component.__init__))).body
    assert isinstance(constructor, ast.FunctionDef)
    assert ast.unparse(constructor.body[-1]).startswith("self.register_outputs(")


@pytest.mark.parametrize("cloud", CLUSTERS)
def test_kubeconfigs_are_secrets(cloud: str) -> None:
    assert cluster(cloud).one("kubernetes") == {"kubeconfig": {"secret": True}}


def before(recording: Recording, name: str) -> set[str]:
    """Kind and name of all that is made before a resource, and deleted after it."""
    by_urn = {item.urn: item for item in recording.resources}
    [found] = [item for item in recording.resources if item.name == name]
    waiting, made = list(found.dependencies), set()
    while waiting:
        urn = waiting.pop()
        if urn not in made:
            made.add(urn)
            waiting += by_urn[urn].dependencies
    return {f"{by_urn[urn].type.rsplit(':', 1)[1]} {by_urn[urn].name}" for urn in made}


@pytest.mark.parametrize("cloud", ["gke", "eks"])  # AKS' system pool is part of its cluster
def test_kubernetes_objects_wait_for_nodes_and_what_every_pod_needs(cloud: str) -> None:
    needed = {
        "gke": {"Cluster main-cluster", "NodePool main-system"},
        "eks": {
            "Cluster main-cluster",
            "NodeGroup main-system",
            *(f"Addon main-{addon}" for addon in ("vpc-cni", "coredns", "aws-ebs-csi-driver")),
            "RolePolicyAttachment main-disks",
            "RolePolicy main-autoscaler",
            "PodIdentityAssociation main-autoscaler",
        },
    }[cloud]
    assert needed <= before(cluster(cloud), "kubernetes")


def test_a_value_that_waits_is_known_to_a_preview_of_what_it_waits_for() -> None:
    def program() -> None:
        unmade: Any = SimpleNamespace(
            urn=pulumi.Output.from_input("urn"), id=pulumi.Output.from_input(UNKNOWN)
        )
        k8s.core.v1.ConfigMap("waits", data={"known": after("value", [unmade])})

    assert record(program).one("ConfigMap")["data"] == {"known": "value"}


@pytest.mark.parametrize("cloud", CLUSTERS)
def test_a_pool_takes_the_connection_and_waits_for_what_its_nodes_need(cloud: str) -> None:
    recording = cluster(cloud)
    pool = {"gke": "NodePool", "eks": "NodeGroup", "aks": "AgentPool"}[cloud]
    [found] = [
        item
        for item in recording.resources
        if item.type.endswith(f":{pool}") and item.name.startswith("gpus")
    ]
    needed = {
        "gke": ["Cluster", "RouterNat", "projects/iAMMember:IAMMember"],
        "eks": ["Cluster", "RouteTableAssociation"],
        "aks": ["ManagedCluster", "Subnet"],
    }[cloud]
    for kind in needed:
        wanted = urns(recording, kind)
        if kind == "RouteTableAssociation":
            wanted = {urn for urn in wanted if "private" in urn}
        assert wanted
        assert wanted <= set(found.dependencies), kind
    if cloud == "eks":
        waited = {urn.rsplit("::", 1)[1] for urn in found.dependencies}
        assert {"main-nodes-worker", "main-nodes-images", "main-nodes-network"} <= waited
        assert {"main-vpc-cni", "main-kube-proxy", "main-eks-pod-identity-agent"} <= waited


@pytest.mark.parametrize(
    ("existing", "arguments"),
    [
        (
            GkeExistingSpec(
                cluster_name="c", location="l", project="p", service_account="a@p.example.com"
            ),
            GkeGpuNodePoolArgs,
        ),
        (
            EksExistingSpec(
                cluster_name="c", region="r", node_role_arn="r", subnet_ids={"z": "subnet-1"}
            ),
            EksGpuNodePoolArgs,
        ),
        (
            AksExistingSpec(cluster_name="c", resource_group_name="g", subnet_id="s"),
            AksGpuNodePoolArgs,
        ),
    ],
    ids=CLUSTERS,
)
def test_an_existing_cluster_connects_a_pool_as_a_new_one_does(
    existing: Any, arguments: Any
) -> None:
    pool = {"accelerator": "nvidia-l4", "max_nodes": 1}
    assert arguments.model_validate({**pool, **existing.connection})
    found: dict[str, set[str]] = {}

    def program() -> None:
        for cloud, (component, place) in CLUSTERS.items():
            made: Any = component("main", place)  # type: ignore[call-arg]
            found[cloud] = set(made.connection) | set(made.storage_connection)

    record(program)
    # Whoever made the cluster upgrades it, so we do not know its version.
    new = [keys - {"kubernetes_version"} for keys in found.values()]
    assert {*existing.connection, *existing.storage_connection} - {"kubernetes_version"} in new


@pytest.mark.parametrize("cloud", CLUSTERS)
def test_tags_are_on_everything_that_takes_them(cloud: str) -> None:
    untagged = {
        "gke": set(),
        # They take none.
        "eks": {"Route", "RouteTableAssociation", "RolePolicy", "RolePolicyAttachment"},
        "aks": {"Subnet", "RoleAssignment", "DiagnosticSetting"},
    }[cloud]
    key = {"gke": "resourceLabels"}.get(cloud, "tags")
    for item in cluster(cloud).resources:
        kind = item.type.rsplit(":", 1)[1]
        if not item.name.startswith("main-") or kind in untagged:
            continue
        if cloud == "gke" and kind not in ("Cluster", "NodePool", "CryptoKey"):
            continue
        holder = item.inputs["nodeConfig"] if kind == "NodePool" else item.inputs
        tags = holder["labels"] if kind == "CryptoKey" else holder[key]
        assert TAGS.items() <= tags.items(), item.name


def test_no_secret_in_clear_in_what_is_recorded() -> None:
    for cloud in CLUSTERS:
        text = json.dumps([item.inputs for item in cluster(cloud).resources])
        assert "client-certificate" not in text
        assert "AccessKey" not in text


# GKE


def test_gke_is_private_unless_networks_are_named() -> None:
    private = cluster("gke").one("container/cluster:Cluster")
    assert private["privateClusterConfig"] == {
        "enablePrivateNodes": True,
        "enablePrivateEndpoint": True,
    }
    networks = private["masterAuthorizedNetworksConfig"]
    assert networks == {"cidrBlocks": [], "gcpPublicCidrsAccessEnabled": False}
    public = cluster("gke", api_networks=[OFFICE]).one("container/cluster:Cluster")
    assert public["privateClusterConfig"]["enablePrivateEndpoint"] is False
    assert public["privateClusterConfig"]["enablePrivateNodes"] is True
    assert public["masterAuthorizedNetworksConfig"]["cidrBlocks"] == [{"cidrBlock": OFFICE}]


def test_gke_encrypts_secrets_with_a_key_that_it_may_use() -> None:
    recording = cluster("gke")
    made = recording.resource("container/cluster:Cluster")
    assert made.inputs["databaseEncryption"] == {"state": "ENCRYPTED", "keyName": "main-secrets-id"}
    assert recording.one("CryptoKey")["rotationPeriod"] == "7776000s"
    use = recording.resource("CryptoKeyIAMMember")
    assert use.inputs["role"] == "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    assert use.urn in made.dependencies


def test_gke_nodes_may_do_only_what_nodes_must() -> None:
    recording = cluster("gke")
    roles = {item["role"] for item in recording.every("projects/iAMMember:IAMMember")}
    assert roles == {
        "roles/container.defaultNodeServiceAccount",
        "roles/artifactregistry.reader",
        # Without it pods do not start on nodes that stream images.
        "roles/serviceusage.serviceUsageConsumer",
    }
    pools = recording.every("NodePool")
    assert len(pools) == 2
    [system] = [pool for pool in pools if "guestAccelerators" not in pool["nodeConfig"]]
    assert system["nodeConfig"]["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert system["nodeConfig"]["shieldedInstanceConfig"]["enableSecureBoot"] is True
    assert system["autoscaling"]["totalMinNodeCount"] == 2
    assert "taints" not in system["nodeConfig"]


def test_gke_keeps_no_default_pool_and_leaves_the_rest_as_it_should_be() -> None:
    made = cluster("gke").resource("container/cluster:Cluster")
    assert made.inputs["removeDefaultNodePool"] is True
    assert made.ignoreChanges == ["nodeConfig", "initialNodeCount"]
    assert made.inputs["datapathProvider"] == "ADVANCED_DATAPATH"
    assert made.inputs["workloadIdentityConfig"] == {"workloadPool": "llm-prod.svc.id.goog"}
    assert made.inputs["releaseChannel"] == {"channel": "REGULAR"}
    assert made.inputs["deletionProtection"] is True
    assert {"SYSTEM_COMPONENTS", "APISERVER"} <= set(
        made.inputs["loggingConfig"]["enableComponents"]
    )
    other = cluster(
        "gke", deletion_protection=False, release_channel="stable", zones=["us-central1-a"]
    )
    assert other.one("container/cluster:Cluster")["deletionProtection"] is False
    assert other.one("container/cluster:Cluster")["releaseChannel"] == {"channel": "STABLE"}
    assert other.one("container/cluster:Cluster")["nodeLocations"] == ["us-central1-a"]


def test_gke_service_accounts_are_unique_and_short_enough() -> None:
    one = cluster("gke").one("serviceaccount/account:Account")["accountId"]
    assert one == "main-us-central1-nodes"
    long = cluster("gke", name="a-cluster-with-a-rather-long-name").one(
        "serviceaccount/account:Account"
    )
    assert len(long["accountId"]) == 30


# EKS


def test_eks_is_private_unless_networks_are_named() -> None:
    private = cluster("eks").one("eks/cluster:Cluster")["vpcConfig"]
    assert private["endpointPrivateAccess"] is True
    assert private["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in private
    public = cluster("eks", api_networks=[OFFICE]).one("eks/cluster:Cluster")["vpcConfig"]
    assert public["endpointPublicAccess"] is True
    assert public["publicAccessCidrs"] == [OFFICE]


def test_eks_nodes_are_in_private_subnets_each_zone_with_its_own_way_out() -> None:
    recording = cluster("eks")
    private = {
        item.name
        for item in recording.resources
        if item.type.endswith(":Subnet") and "internal-elb" in str(item.inputs["tags"])
    }
    assert private == {"main-private-us-east-1a", "main-private-us-east-1b"}
    for group in recording.every("NodeGroup"):
        assert {f"{name}-id" for name in private} >= set(group["subnetIds"])
    assert "mapPublicIpOnLaunch" not in str(recording.every("Subnet"))
    assert names(recording, "NatGateway") == ["main-us-east-1a", "main-us-east-1b"]
    endpoint = recording.one("VpcEndpoint")
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.s3"
    assert len(endpoint["routeTableIds"]) == 2


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("network", ["10.0.0.0/16", "172.16.16.0/20"])
def test_eks_subnets_do_not_overlap(network: str, count: int) -> None:
    zones = [f"us-east-1{letter}" for letter in "abcdefg"[:count]]
    subnets = zone_subnets(network, zones)
    assert list(subnets) == zones
    cidrs = [
        ipaddress.IPv4Network(cidr)
        for zone in subnets.values()
        for cidr in (zone.private, zone.public)
    ]
    assert all(cidr.subnet_of(ipaddress.IPv4Network(network)) for cidr in cidrs)
    assert not any(a.overlaps(b) for i, a in enumerate(cidrs) for b in cidrs[:i])


def test_eks_encrypts_secrets_and_keeps_all_logs() -> None:
    recording = cluster("eks")
    made = recording.one("eks/cluster:Cluster")
    assert made["encryptionConfig"]["resources"] == ["secrets"]
    assert recording.one("kms/key:Key")["enableKeyRotation"] is True
    assert "audit" in made["enabledClusterLogTypes"]
    assert recording.one("LogGroup")["name"] == "/aws/eks/main/cluster"
    assert (
        recording.resource("LogGroup").urn in recording.resource("eks/cluster:Cluster").dependencies
    )


def test_eks_nodes_may_do_only_what_nodes_must() -> None:
    attached = {
        item.name: item.inputs["policyArn"].rsplit("/", 1)[1]
        for item in cluster("eks").resources
        if item.type.endswith(":RolePolicyAttachment")
    }
    assert attached == {
        "main-control-plane": "AmazonEKSClusterPolicy",
        "main-nodes-worker": "AmazonEKSWorkerNodePolicy",
        "main-nodes-images": "AmazonEC2ContainerRegistryPullOnly",
        "main-nodes-network": "AmazonEKS_CNI_Policy",
        "main-disks": "AmazonEBSCSIDriverPolicy",
    }


@pytest.mark.parametrize(
    ("region", "name"),
    [
        (None, "aws"),
        ("us-east-1", "aws"),
        ("ca-central-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
    ],
)
def test_arns_are_of_the_regions_partition(region: str | None, name: str) -> None:
    assert partition(region) == name


def test_eks_attaches_the_policies_of_its_partition() -> None:
    recording = cluster("eks", region="us-gov-west-1", zones=["us-gov-west-1a", "us-gov-west-1b"])
    attached = [item["policyArn"] for item in recording.every("RolePolicyAttachment")]
    assert len(attached) == 5
    assert all(arn.startswith("arn:aws-us-gov:iam::aws:policy/") for arn in attached)


def test_eks_nodes_follow_the_control_plane() -> None:
    recording = cluster("eks", kubernetes_version="1.34")
    control_plane = recording.resource("eks/cluster:Cluster")
    assert control_plane.inputs["version"] == "1.34"
    groups = [item for item in recording.resources if item.type.endswith(":NodeGroup")]
    assert sorted(item.name for item in groups) == ["gpus-group", "main-system"]
    for group in groups:
        assert group.inputs["version"] == "1.34"
        assert control_plane.urn in group.dependencies


def test_eks_nodes_keep_their_metadata_and_encrypt_their_disks() -> None:
    [template] = [
        item.inputs
        for item in cluster("eks").resources
        if item.type.endswith(":LaunchTemplate") and item.name == "main-system"
    ]
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    [disk] = template["blockDeviceMappings"]
    assert disk["ebs"]["encrypted"] == "true"


def test_eks_addons_come_in_the_order_that_nodes_need_them() -> None:
    recording = cluster("eks")
    by_addon = {
        item.inputs["addonName"]: item
        for item in recording.resources
        if item.type.endswith(":Addon")
    }
    assert set(by_addon) == {
        "vpc-cni",
        "kube-proxy",
        "eks-pod-identity-agent",
        "coredns",
        "aws-ebs-csi-driver",
    }
    assert json.loads(by_addon["vpc-cni"].inputs["configurationValues"]) == {
        "enableNetworkPolicy": "true"
    }
    [system] = [
        item
        for item in recording.resources
        if item.type.endswith(":NodeGroup") and item.name == "main-system"
    ]
    assert by_addon["vpc-cni"].urn in system.dependencies
    assert system.urn in by_addon["coredns"].dependencies
    assert system.urn in by_addon["aws-ebs-csi-driver"].dependencies
    assert system.ignoreChanges == ["scalingConfig.desiredSize"]


def test_eks_autoscaler_changes_this_clusters_groups_only() -> None:
    recording = cluster("eks", name="prod")
    association = recording.one("PodIdentityAssociation")
    assert (association["namespace"], association["serviceAccount"]) == (
        "kube-system",
        "cluster-autoscaler",
    )
    [written] = [
        item.inputs["policy"]
        for item in recording.resources
        if item.type.endswith(":RolePolicy") and item.name == "main-autoscaler"
    ]
    looks, changes = json.loads(written)["Statement"]
    assert all(":Describe" in action or ":Get" in action for action in looks["Action"])
    assert changes["Condition"] == {
        "StringEquals": {"aws:ResourceTag/k8s.io/cluster-autoscaler/prod": "owned"}
    }


# AKS


def test_aks_is_private_unless_networks_are_named() -> None:
    private = cluster("aks").one("ManagedCluster")["apiServerAccessProfile"]
    assert private == {"enablePrivateCluster": True, "disableRunCommand": True}
    public = cluster("aks", api_networks=[OFFICE]).one("ManagedCluster")["apiServerAccessProfile"]
    assert public["enablePrivateCluster"] is False
    assert OFFICE in public["authorizedIPRanges"]


def test_aks_is_as_it_should_be() -> None:
    recording = cluster("aks", keda=True)
    made = recording.resource("ManagedCluster")
    assert made.inputs["networkProfile"]["networkPolicy"] == "cilium"
    assert made.inputs["networkProfile"]["networkPluginMode"] == "overlay"
    assert made.inputs["networkProfile"]["dnsServiceIP"] == "10.0.0.10"
    assert made.inputs["networkProfile"]["outboundType"] == "userAssignedNATGateway"
    assert recording.one("Subnet")["natGateway"] == {"id": "main-nat-id"}
    assert made.inputs["oidcIssuerProfile"] == {"enabled": True}
    assert made.inputs["securityProfile"] == {"workloadIdentity": {"enabled": True}}
    assert made.inputs["autoScalerProfile"] == {
        "expander": "priority",
        "skipNodesWithLocalStorage": "false",
        "maxNodeProvisionTime": "10m",
    }
    assert made.inputs["workloadAutoScalerProfile"] == {"keda": {"enabled": True}}
    assert made.ignoreChanges == ["agentPoolProfiles[0].count"]
    [system] = made.inputs["agentPoolProfiles"]
    assert (system["mode"], system["minCount"], system["maxCount"]) == ("System", 2, 5)
    assert system["enableNodePublicIP"] is False
    assert "nodeTaints" not in system
    assert "workloadAutoScalerProfile" not in cluster("aks").one("ManagedCluster")


def test_aks_identity_has_one_role_on_its_subnet() -> None:
    recording = cluster("aks")
    role = recording.resource("RoleAssignment")
    assert role.inputs["scope"] == "main-nodes-id"
    assert role.inputs["roleDefinitionId"].endswith("/4d97b98b-1d4f-498d-9955-f4d9b3b5e8a4")
    assert role.urn in recording.resource("ManagedCluster").dependencies
    identity = recording.one("ManagedCluster")["identity"]
    assert identity == {
        "type": "UserAssigned",
        "userAssignedIdentities": ["main-control-plane-id"],
    }


def test_aks_keeps_the_audit_log() -> None:
    categories = {item["category"] for item in cluster("aks").one("DiagnosticSetting")["logs"]}
    assert {"kube-audit-admin", "kube-apiserver"} <= categories


def test_aks_administrators_log_in_as_themselves() -> None:
    group = "00000000-0000-0000-0000-000000000001"
    made = cluster("aks", admin_groups=[group])
    assert made.one("ManagedCluster")["disableLocalAccounts"] is True
    assert made.one("ManagedCluster")["aadProfile"] == {
        "managed": True,
        "adminGroupObjectIDs": [group],
    }
    assert made.warnings == []
    open_to_all = cluster("aks")
    assert open_to_all.one("ManagedCluster")["disableLocalAccounts"] is False
    assert "adminGroups" in "".join(open_to_all.warnings)


def test_aks_takes_an_existing_resource_group() -> None:
    recording = cluster("aks", resource_group="llm")
    assert recording.every("ResourceGroup") == []
    assert recording.one("ManagedCluster")["resourceGroupName"] == "llm"


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("cloud", CLUSTERS)
def test_a_protected_cluster_stops_a_destroy_at_its_preview(cloud: str, protected: bool) -> None:
    component, place = CLUSTERS[cloud]
    found: list[bool] = []

    def program() -> None:
        made: Any = component("main", {**place, "deletion_protection": protected})  # type: ignore[call-arg]
        found.append(bool(made.cluster._protect))

    record(program)
    assert found == [protected]


def test_aks_nodes_reach_a_public_api_that_few_networks_may_reach() -> None:
    recording = cluster("aks", api_networks=[OFFICE])
    [office, nodes] = recording.one("ManagedCluster")["apiServerAccessProfile"][
        "authorizedIPRanges"
    ]
    assert office == OFFICE
    assert set(nodes) == {"unknown"}
    assert (
        recording.resource("PublicIPAddress").urn
        in recording.resource("ManagedCluster").dependencies
    )


# Kubeconfigs


def _ids(identity: Any) -> str:
    return ",".join(identity.user_assigned_identities)


def test_an_offline_preview_does_not_ask_azure_for_credentials() -> None:
    def program() -> None:
        made = AksCluster("main", AKS)
        k8s.Provider("kubernetes", kubeconfig=pulumi.Output.unsecret(made.kubeconfig))
        ids = made.cluster.identity.apply(_ids)
        k8s.core.v1.ConfigMap("known", data={"ids": ids})

    recording = record(program)
    assert set(recording.one("kubernetes")["kubeconfig"]) == {"unknown"}
    # azure-native takes identities as a list and gives them back as a mapping.
    assert recording.one("ConfigMap")["data"] == {"ids": "main-control-plane-id"}


def user(kubeconfig: str) -> dict[str, Any]:
    content = yaml.safe_load(kubeconfig)
    assert content["current-context"] == content["contexts"][0]["name"]
    [entry] = content["users"]
    assert set(entry["user"]) == {"exec"}
    return entry["user"]["exec"]


def test_kubeconfigs_hold_no_credentials() -> None:
    gke = user(gke_kubeconfig("c", "192.0.2.1", "Q0E="))
    assert gke["command"] == "gke-gcloud-auth-plugin"
    # Those that Pulumi makes the cluster with, and not those of `gcloud`.
    assert gke["args"] == ["--use_application_default_credentials"]
    eks = eks_kubeconfig("c", "https://e.example.com", "Q0E=", "us-east-1")
    assert user(eks)["args"][:6] == [
        "eks",
        "get-token",
        "--cluster-name",
        "c",
        "--region",
        "us-east-1",
    ]
    assert yaml.safe_load(eks)["clusters"][0]["cluster"] == {
        "server": "https://e.example.com",
        "certificate-authority-data": "Q0E=",
    }


def test_aks_kubeconfigs_hold_a_certificate_only_without_log_in() -> None:
    given = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://a.example.com:443",
                    "certificate-authority-data": "Q0E=",
                },
            }
        ],
        "users": [{"name": "u", "user": {"client-certificate-data": "Q0VSVA=="}}],
    }
    credentials = base64.b64encode(yaml.safe_dump(given).encode()).decode()
    assert yaml.safe_load(aks_kubeconfig(credentials, log_in=False)) == given
    logged_in = aks_kubeconfig(credentials, log_in=True)
    assert user(logged_in)["command"] == "kubelogin"
    assert "Q0VSVA" not in logged_in
    assert "https://a.example.com:443" in logged_in


# Storage


def storage(make: Callable[[], Any]) -> tuple[Recording, dict[str, Any]]:
    seen: dict[str, Any] = {}

    def program() -> None:
        made = make()
        seen["annotations"] = sorted(made.service_account_annotations)
        seen["labels"] = made.pod_labels
        for key, value in made.service_account_annotations.items():
            k8s.core.v1.ServiceAccount("account", metadata={"annotations": {key: value}})

    return record(program), seen


def test_gke_pods_read_one_bucket() -> None:
    recording, seen = storage(
        lambda: GkeStorageAccess(
            "chat",
            {
                "bucket": "weights",
                "namespace": pulumi.Output.from_input("llm"),
                "service_account": "chat",
                "project": "llm-prod",
            },
        )
    )
    reads = recording.one("BucketIAMMember")
    assert (reads["bucket"], reads["role"]) == ("weights", "roles/storage.objectViewer")
    pods = recording.one("serviceaccount/iAMMember:IAMMember")
    assert pods["role"] == "roles/iam.workloadIdentityUser"
    assert pods["member"] == "serviceAccount:llm-prod.svc.id.goog[llm/chat]"
    assert seen == {"annotations": ["iam.gke.io/gcp-service-account"], "labels": {}}
    account = recording.resource("ServiceAccount")
    assert recording.resource("BucketIAMMember").urn in account.dependencies


def test_eks_pods_read_one_bucket() -> None:
    recording, seen = storage(
        lambda: EksStorageAccess(
            "chat",
            {
                "bucket": "weights",
                "namespace": "llm",
                "service_account": "chat",
                "cluster_name": "prod",
            },
        )
    )
    trust = json.loads(recording.one("iam/role:Role")["assumeRolePolicy"])["Statement"]
    assert trust == [
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Principal": {"Service": "pods.eks.amazonaws.com"},
        }
    ]
    statements = json.loads(recording.one("RolePolicy")["policy"])["Statement"]
    assert [(item["Action"], item["Resource"]) for item in statements] == [
        (["s3:ListBucket"], "arn:aws:s3:::weights"),
        (["s3:GetObject"], "arn:aws:s3:::weights/*"),
    ]
    association = recording.one("PodIdentityAssociation")
    assert (association["namespace"], association["serviceAccount"]) == ("llm", "chat")
    assert "region" not in association
    assert seen == {"annotations": [], "labels": {}}


@pytest.mark.parametrize("later", [False, True], ids=["plain", "output"])
def test_eks_storage_is_in_the_clusters_region(later: bool) -> None:
    region = "cn-north-1"
    recording, _ = storage(
        lambda: EksStorageAccess(
            "chat",
            {
                "bucket": "weights",
                "namespace": "llm",
                "service_account": "chat",
                "cluster_name": "prod",
                "region": pulumi.Output.from_input(region) if later else region,
            },
        )
    )
    assert recording.one("PodIdentityAssociation")["region"] == region
    statements = json.loads(recording.one("RolePolicy")["policy"])["Statement"]
    assert {item["Resource"].removesuffix("/*") for item in statements} == {
        "arn:aws-cn:s3:::weights"
    }


def test_aks_pods_read_one_container() -> None:
    container = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
        "/blobServices/default/containers/weights"
    )
    recording, seen = storage(
        lambda: AksStorageAccess(
            "chat",
            {
                "bucket": container,
                "namespace": "llm",
                "service_account": "chat",
                "resource_group_name": "g",
                "location": "eastus2",
                "oidc_issuer_url": "https://issuer.example.com/",
            },
        )
    )
    role = recording.one("RoleAssignment")
    assert role["scope"] == container
    assert role["roleDefinitionId"] == (
        "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/"
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
    )
    pods = recording.one("FederatedIdentityCredential")
    assert pods["subject"] == "system:serviceaccount:llm:chat"
    assert pods["audiences"] == ["api://AzureADTokenExchange"]
    assert seen == {
        "annotations": ["azure.workload.identity/client-id"],
        "labels": {"azure.workload.identity/use": "true"},
    }


def test_a_resource_says_its_subscription() -> None:
    assert subscription("/subscriptions/s/resourceGroups/g") == "/subscriptions/s"


# Names


def test_names_fit() -> None:
    assert shortened("short", 30) == "short"
    long = shortened("a" * 60, 30)
    assert len(long) == 30
    assert long != shortened("a" * 59 + "b", 30)
    assert unique("chat", 30, "project", "dev") != unique("chat", 30, "project", "prod")
    assert dns_prefix("Main_cluster-" + "x" * 60).startswith("Main-cluster-x")
    assert len(dns_prefix("x" * 60)) == 54


# Problems


def problems(cloud: str, spec: ClusterSpec | ExistingClusterSpec) -> list[str]:
    return [str(problem) for problem in cluster_problems(cloud, spec, "cluster")]


def specs(cloud: str, **changes: Any) -> ClusterSpec:
    model = {"gke": GkeClusterSpec, "eks": EksClusterSpec, "aks": AksClusterSpec}[cloud]
    groups = {"admin_groups": ["group"]} if cloud == "aks" else {}
    return model.model_validate({**CLUSTERS[cloud][1], **groups, **changes})


@pytest.mark.parametrize("cloud", CLUSTERS)
def test_good_clusters_have_no_problems(cloud: str) -> None:
    assert problems(cloud, specs(cloud, tags=TAGS, api_networks=[OFFICE])) == []


@pytest.mark.parametrize(
    ("cloud", "changes", "words"),
    [
        ("gke", {"name": "Main"}, "cluster.name: 'Main' is not what the cloud takes"),
        ("gke", {"name": "m" * 41}, "at most 40"),
        ("eks", {"name": "-main"}, "at most 100"),
        ("eks", {"name": "m" * 101}, "at most 100"),
        ("aks", {"name": "main-"}, "at most 63"),
        ("gke", {"region": "us-central1-a"}, "cluster.region"),
        ("eks", {"region": "us-east"}, "cluster.region"),
        ("aks", {"region": "East US 2"}, "eastus2"),
        ("gke", {"zones": ["us-east1-b"]}, "cluster.zones[0]: 'us-east1-b' is not a zone of"),
        ("eks", {"zones": ["us-east-1a", "us-west-2a"]}, "cluster.zones[1]"),
        ("aks", {"zones": ["eastus2-1"]}, "write for example '1', '2' or '3'"),
        ("eks", {"zones": ["us-east-1a"]}, "has 1 zones, and the cloud wants 2"),
        ("eks", {"zones": ["us-east-1a"] * 2}, "more than once"),
        ("eks", {"zones": [f"us-east-1{z}" for z in "abcdefgh"]}, "use at most 7"),
        ("gke", {"network": "ten"}, "'ten' is not an IPv4 network"),
        ("gke", {"network": "10.0.0.0/40"}, "is not an IPv4 network"),
        ("aks", {"network": "10.0.0.1/16"}, "write '10.0.0.0/16'"),
        ("gke", {"network": "10.4.0.0/20"}, "10.4.0.0/14 overlaps with network (10.4.0.0/20)"),
        ("aks", {"service_network": "10.244.128.0/17"}, "overlaps with podNetwork"),
        ("eks", {"network": "10.0.0.0/24"}, "/24 is not from /16 to /20"),
        ("eks", {"network": "10.0.0.0/8"}, "/8 is not from /16 to /20"),
        ("gke", {"pod_network": "10.4.0.0/22"}, "has room for 4 nodes"),
        ("gke", {"api_networks": ["2001:db8::/32"]}, "cluster.apiNetworks[0]"),
        ("gke", {"api_networks": ["0.0.0.0/0"]}, "whole internet"),
        ("aks", {"admin_groups": []}, "whoever has the kubeconfig"),
        ("gke", {"system_nodes": {"min_nodes": 6}}, "6 is more than maxNodes (5)"),
        ("gke", {"tags": {"Team": "search"}}, "is not a label that Google Cloud takes"),
        ("eks", {"tags": {"aws:team": "search"}}, "are AWS' own"),
        ("aks", {"tags": {f"t{i}": "" for i in range(51)}}, "use at most 50"),
    ],
)
def test_problems_are_said_with_path_and_cure(
    cloud: str, changes: dict[str, Any], words: str
) -> None:
    found = problems(cloud, specs(cloud, **changes))
    assert any(words in problem for problem in found), found


def test_dangers_that_may_be_meant_are_warnings() -> None:
    spec = specs("aks", admin_groups=[], api_networks=["0.0.0.0/0"])
    assert [problem.warning for problem in cluster_problems("aks", spec, "")] == [True, True]


def test_existing_clusters_with_mistaken_identifiers() -> None:
    gke = GkeExistingSpec(cluster_name="c", location="l", project="p", service_account="nodes")
    assert "the e-mail of a service account" in "".join(problems("gke", gke))
    eks = EksExistingSpec(
        cluster_name="c",
        region="us-east-1",
        node_role_arn="nodes",
        subnet_ids={"us-east-1a": "vpc-1"},
    )
    assert len(problems("eks", eks)) == 2
    aks = AksExistingSpec(cluster_name="c", resource_group_name="g", subnet_id="nodes")
    assert "resource id of a subnet" in "".join(problems("aks", aks))


def test_components_refuse_what_is_wrong_before_they_make_anything() -> None:
    def program() -> None:
        with pytest.raises(pulumi.RunError, match="wants 2 or more"):
            EksCluster("main", {"region": "us-east-1"})
        with pytest.raises(pulumi.RunError, match="not a Kubernetes name"):
            GkeCluster("Main_1", {**GKE, "name": "main"})
        with pytest.raises(pulumi.RunError, match="kubernetes_version"):
            EksCluster("main", {**EKS, "kubernetes_version": "1.3"})

    assert record(program).resources == []
