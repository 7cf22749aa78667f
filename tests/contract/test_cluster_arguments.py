"""What clusters ask of the clouds, against the clouds' own descriptions of it."""

import gzip
import inspect
import json
import logging
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import botocore.session
import pulumi_azure_native.containerservice as azure
import pytest
from azure.mgmt.containerservice.v2025_01_01 import models as aks
from azure.mgmt.containerservice.v2025_01_01.operations import _managed_clusters_operations
from botocore.validate import ParamValidator
from google.cloud.container_v1 import types as gke
from google.protobuf import json_format

from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.clusters.aks import AksCluster
from pulumi_llm_inference.clusters.eks import EksCluster
from pulumi_llm_inference.clusters.gke import GkeCluster
from pulumi_llm_inference.clusters.storage_eks import EksStorageAccess
from pulumi_llm_inference.spec.cluster import AksClusterSpec, EksClusterSpec, GkeClusterSpec
from tests.support import Recording, record

OFFICE = ["203.0.113.0/24"]
PRIVATE_AND_PUBLIC = pytest.mark.parametrize("networks", [[], OFFICE], ids=["private", "public"])


def known(value: Any) -> Any:
    """The value with a text where only a deployment can know one."""
    match value:
        case {"unknown": str()} if len(value) == 1:
            return "unknown"
        case dict():
            return {key: known(item) for key, item in value.items()}
        case list():
            return [known(item) for item in value]
        case _:
            return value


def made(recording: Recording, kind: str) -> list[dict[str, Any]]:
    found = [known(inputs) for inputs in recording.every(kind)]
    assert found
    return found


# GKE: Terraform's names and the API's differ where this table says so.

GKE_CLUSTER = {
    "deletionProtection": None,
    "removeDefaultNodePool": None,
    "project": None,
    "networkingMode": None,
    "nodeLocations": "locations",
    "enableShieldedNodes": "shieldedNodes.enabled",
    "datapathProvider": "networkConfig.datapathProvider",
    "clusterAutoscaling": "autoscaling",
}
GKE_NODE_POOL = {
    "cluster": None,
    "location": None,
    "project": None,
    "nodeConfig": "config",
    "nodeLocations": "locations",
}


def renamed(inputs: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Inputs by the API's names; those without one are Terraform's own."""
    result: dict[str, Any] = {}
    for key, value in inputs.items():
        name = names.get(key, key)
        if name is None:
            continue
        *outer, last = name.split(".")
        holder = result
        for step in outer:
            holder = holder.setdefault(step, {})
        holder[last] = value
    return result


def as_gke_cluster(inputs: Mapping[str, Any]) -> dict[str, Any]:
    content = renamed(inputs, GKE_CLUSTER)
    content["autoscaling"] = renamed(
        content["autoscaling"], {"enabled": "enableNodeAutoprovisioning"}
    )
    content["loggingConfig"] = {"componentConfig": content["loggingConfig"]}
    monitoring = renamed(
        content["monitoringConfig"], {"managedPrometheus": "managedPrometheusConfig"}
    )
    components = {"enableComponents": monitoring.pop("enableComponents")}
    content["monitoringConfig"] = {**monitoring, "componentConfig": components}
    return content


@PRIVATE_AND_PUBLIC
def test_gke_takes_the_cluster(networks: list[str]) -> None:
    recording = record(
        lambda: GkeCluster(
            "main",
            {
                "project": "p",
                "region": "us-central1",
                "zones": ["us-central1-a"],
                "api_networks": networks,
                "tags": {"team": "search"},
            },
        )
    )
    [cluster] = made(recording, "container/cluster:Cluster")
    parsed = json_format.ParseDict(as_gke_cluster(cluster), gke.Cluster.pb(gke.Cluster()))
    assert parsed.network_config.datapath_provider == gke.DatapathProvider.ADVANCED_DATAPATH
    assert parsed.database_encryption.state == gke.DatabaseEncryption.State.ENCRYPTED
    assert parsed.private_cluster_config.enable_private_endpoint is not bool(networks)
    [pool] = made(recording, "NodePool")
    autoscaling = renamed(
        pool["autoscaling"],
        {"totalMinNodeCount": "totalMinNodeCount", "totalMaxNodeCount": "totalMaxNodeCount"},
    )
    content = {**renamed(pool, GKE_NODE_POOL), "autoscaling": {"enabled": True, **autoscaling}}
    json_format.ParseDict(content, gke.NodePool.pb(gke.NodePool()))


def test_gke_would_refuse_an_unknown_key_or_choice() -> None:
    for content in ({"shieldedNode": {}}, {"releaseChannel": {"channel": "WEEKLY"}}):
        with pytest.raises(json_format.ParseError):
            json_format.ParseDict(content, gke.Cluster.pb(gke.Cluster()))


def test_gke_names_are_checked_as_the_api_describes_them() -> None:
    described = gke.Cluster.__doc__ or ""
    assert "up to 40 characters" in described
    for name, good in {
        "a" * 40: True,
        "a" * 41: False,
        "A": False,
        "a-": False,
        "1a": False,
    }.items():
        spec = GkeClusterSpec(name=name, project="p", region="us-central1")
        assert (not list(cluster_problems("gke", spec, ""))) is good, name


# EKS

EKS: Any = botocore.session.get_session().get_service_model("eks")
EKS_CLUSTER = {
    "bootstrapSelfManagedAddons": "bootstrapSelfManagedAddons",
    "vpcConfig": "resourcesVpcConfig",
    "enabledClusterLogTypes": None,
    "region": None,
}
EKS_ADDON = {"resolveConflictsOnCreate": "resolveConflicts", "resolveConflictsOnUpdate": None}
EKS_GROUP = {"nodeRoleArn": "nodeRole", "subnetIds": "subnets"}


def wrong_choices(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """Texts that are none of the choices, which botocore's validator lets pass."""
    if enum := getattr(shape, "enum", None):
        if value not in enum:
            yield f"{path}: {value} is none of {enum}"
    elif shape.type_name == "structure":
        for key, item in value.items():
            yield from wrong_choices(item, shape.members[key], f"{path}.{key}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from wrong_choices(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from wrong_choices(item, shape.value, f"{path}.{key}")


def eks_problems(operation: str, parameters: Mapping[str, Any]) -> list[str]:
    shape = EKS.operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(wrong_choices(parameters, shape))


def as_eks_cluster(inputs: Mapping[str, Any]) -> dict[str, Any]:
    content = renamed(inputs, EKS_CLUSTER)
    content["encryptionConfig"] = [content["encryptionConfig"]]
    logs = {"types": inputs["enabledClusterLogTypes"], "enabled": True}
    return {**content, "logging": {"clusterLogging": [logs]}}


@pytest.fixture(scope="module", params=[[], OFFICE], ids=["private", "public"])
def eks(request: pytest.FixtureRequest) -> Recording:
    def program() -> None:
        cluster = EksCluster(
            "main",
            {
                "region": "us-east-1",
                "zones": ["us-east-1a", "us-east-1b"],
                "api_networks": request.param,
                "tags": {"team": "search"},
            },
        )
        access = {"bucket": "weights", "namespace": "llm", "service_account": "chat"}
        EksStorageAccess("chat", {**access, **cluster.storage_connection})

    return record(program)


def test_eks_takes_the_cluster(eks: Recording) -> None:
    [cluster] = made(eks, "eks/cluster:Cluster")
    assert eks_problems("CreateCluster", as_eks_cluster(cluster)) == []


def test_eks_takes_the_addons(eks: Recording) -> None:
    for addon in made(eks, "Addon"):
        content = {**renamed(addon, EKS_ADDON)}
        content.pop("region")
        assert eks_problems("CreateAddon", content) == []


def test_eks_takes_the_identities_of_pods(eks: Recording) -> None:
    found = made(eks, "PodIdentityAssociation")
    assert len(found) == 2
    for association in found:
        association.pop("region", None)
        assert eks_problems("CreatePodIdentityAssociation", association) == []


def test_eks_takes_the_systems_nodes(eks: Recording) -> None:
    [group] = made(eks, "NodeGroup")
    content = renamed(group, EKS_GROUP)
    content.pop("region")
    # The provider makes up the name.
    assert eks_problems("CreateNodegroup", {**content, "nodegroupName": "main"}) == []


def test_ec2_takes_the_launch_template(eks: Recording) -> None:
    [template] = made(eks, "LaunchTemplate")
    model: Any = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("CreateLaunchTemplate").input_shape.members["LaunchTemplateData"]
    [disk] = template["blockDeviceMappings"]
    upper = {key[0].upper() + key[1:]: value for key, value in disk["ebs"].items()}
    content = {
        "MetadataOptions": {
            key[0].upper() + key[1:]: value for key, value in template["metadataOptions"].items()
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": disk["deviceName"],
                "Ebs": {
                    **upper,
                    "Encrypted": upper["Encrypted"] == "true",
                    "DeleteOnTermination": upper["DeleteOnTermination"] == "true",
                },
            }
        ],
        "TagSpecifications": [
            {
                "ResourceType": item["resourceType"],
                "Tags": [{"Key": key, "Value": value} for key, value in item["tags"].items()],
            }
            for item in template["tagSpecifications"]
        ],
    }
    report = ParamValidator().validate(content, shape)
    assert not report.has_errors(), report.generate_report()
    assert list(wrong_choices(content, shape)) == []


def test_the_walker_finds_wrong_choices() -> None:
    cluster = {"accessConfig": {"authenticationMode": "PASSWORD"}}
    shape = EKS.operation_model("CreateCluster").input_shape
    assert list(wrong_choices(cluster, shape))


def test_eks_default_machine_is_in_the_catalogue() -> None:
    compressed = files("moto").joinpath("ec2/resources/instance_types.json.gz").read_bytes()
    machine = json.loads(gzip.decompress(compressed))[
        EksClusterSpec.model_fields["system_machine"].default
    ]
    assert machine["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    assert machine["VCpuInfo"]["DefaultVCpus"] >= 4


def test_eks_names_are_checked_as_the_api_describes_them() -> None:
    limits = EKS.operation_model("CreateCluster").input_shape.members["name"].metadata
    for name in ("main", "Main_1", "1-a", "a" * 100, "a" * 101, "-a", "_a", "a.b"):
        spec = EksClusterSpec(name=name, region="us-east-1", zones=["us-east-1a", "us-east-1b"])
        good = bool(re.fullmatch(limits["pattern"], name)) and len(name) <= limits["max"]
        assert (not list(cluster_problems("eks", spec, ""))) is good, name


# AKS

AKS_CHOICES = {
    "sku.name": azure.ManagedClusterSKUName,
    "sku.tier": azure.ManagedClusterSKUTier,
    "identity.type": azure.ResourceIdentityType,
    "networkProfile.networkPlugin": azure.NetworkPlugin,
    "networkProfile.networkPluginMode": azure.NetworkPluginMode,
    "networkProfile.networkPolicy": azure.NetworkPolicy,
    "networkProfile.networkDataplane": azure.NetworkDataplane,
    "networkProfile.outboundType": azure.OutboundType,
    "networkProfile.loadBalancerSku": azure.LoadBalancerSku,
    "autoScalerProfile.expander": azure.Expander,
    "autoUpgradeProfile.upgradeChannel": azure.UpgradeChannel,
    "autoUpgradeProfile.nodeOSUpgradeChannel": azure.NodeOSUpgradeChannel,
    "agentPoolProfiles.0.mode": azure.AgentPoolMode,
    "agentPoolProfiles.0.osType": azure.OSType,
    "agentPoolProfiles.0.type": azure.AgentPoolType,
}
AKS_WITHOUT_MODEL = {"resourceGroupName", "resourceName"}
"""Parts of the address, not of the content."""
AKS_ON_TOP = {"location", "tags", "sku", "identity"}
"""Beside `properties` in the API's content."""


def aks_content(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as the API's content."""
    top = {key: inputs[key] for key in AKS_ON_TOP}
    ids = inputs["identity"]["userAssignedIdentities"]
    top["identity"] = {**inputs["identity"], "userAssignedIdentities": {one: {} for one in ids}}
    left_out = AKS_WITHOUT_MODEL | AKS_ON_TOP
    properties = {key: inputs[key] for key in inputs if key not in left_out}
    # The one part that the API spells with hyphens; azure-native does it for us.
    properties["autoScalerProfile"] = {
        re.sub("[A-Z]", lambda upper: f"-{upper[0].lower()}", key): value
        for key, value in inputs["autoScalerProfile"].items()
    }
    return {**top, "properties": properties}


def unknown_keys(sent: Any, understood: Any, path: str = "") -> Iterator[str]:
    """What Azure's models did not take over."""
    if isinstance(sent, Mapping):
        for key, value in sent.items():
            if not isinstance(understood, Mapping) or key not in understood:
                yield f"{path}.{key}"
            else:
                yield from unknown_keys(value, understood[key], f"{path}.{key}")
    elif isinstance(sent, list):
        for index, value in enumerate(sent):
            yield from unknown_keys(value, understood[index], f"{path}[{index}]")


def aks_recording(networks: list[str]) -> Recording:
    return record(
        lambda: AksCluster(
            "main",
            {
                "region": "eastus2",
                "zones": ["1", "2"],
                "api_networks": networks,
                "admin_groups": ["00000000-0000-0000-0000-000000000001"],
                "kubernetes_version": "1.34",
                "keda": True,
                "tags": {"team": "search"},
            },
        )
    )


@PRIVATE_AND_PUBLIC
def test_aks_takes_the_cluster(networks: list[str], caplog: pytest.LogCaptureFixture) -> None:
    [inputs] = made(aks_recording(networks), "ManagedCluster")
    sent = aks_content(inputs)
    with caplog.at_level(logging.WARNING):
        model = aks.ManagedCluster.deserialize(sent)
    # Azure gives identities their ids, so its models do not send them.
    understood = model.serialize(keep_readonly=True)
    assert list(unknown_keys(sent, understood)) == []
    assert caplog.messages == []


def test_aks_would_lose_an_unknown_key() -> None:
    sent = {"location": "eastus2", "properties": {"networkProfile": {"networkPlugins": "azure"}}}
    understood = aks.ManagedCluster.deserialize(sent).serialize()
    assert list(unknown_keys(sent, understood))


def test_aks_choices_are_choices() -> None:
    [inputs] = made(aks_recording([]), "ManagedCluster")
    for path, choices in AKS_CHOICES.items():
        value: Any = inputs
        for step in path.split("."):
            value = value[int(step)] if step.isdigit() else value[step]
        assert value in {choice.value for choice in choices}, path
    # An agent pool's name on Linux, as azure-mgmt-containerservice checks it.
    assert re.fullmatch(r"[a-z][a-z0-9]{0,11}", inputs["agentPoolProfiles"][0]["name"])


def test_aks_names_are_checked_as_the_api_describes_them() -> None:
    source = inspect.getsource(_managed_clusters_operations)
    [pattern] = set(
        re.findall(
            r'"resource_name", resource_name, "str", max_length=63, min_length=1, pattern=r"(.*?)"',
            " ".join(source.split()),
        )
    )
    for name in ("main", "Main_1", "1-a", "a", "a" * 63, "a" * 64, "-a", "a-", "a.b"):
        spec = AksClusterSpec(name=name, region="eastus2", admin_groups=["group"])
        good = bool(re.fullmatch(pattern, name))
        assert (not list(cluster_problems("aks", spec, ""))) is good, name
