"""The simulated clouds refuse what the real ones refuse, and take what they take."""

import base64
import copy
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clouds import fit, model, wire
from tests.clouds.cloud import BIN
from tests.clouds.model import Kind, Record, State

# The clouds' own packages are for tests, and not for every test environment.
pytest.importorskip("google.cloud.container_v1")
pytest.importorskip("botocore")
pytest.importorskip("moto")
pytest.importorskip("azure.mgmt.containerservice")

GKE_POOL = "gcp:container/nodePool:NodePool"
GKE_CLUSTER = "gcp:container/cluster:Cluster"
EKS_GROUP = "aws:eks/nodeGroup:NodeGroup"
EKS_CLUSTER = "aws:eks/cluster:Cluster"
EKS_ADDON = "aws:eks/addon:Addon"
EKS_IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
EC2_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ASG_TAG = "aws:autoscaling/tag:Tag"
AKS_POOL = "azure-native:containerservice:AgentPool"
AKS_CLUSTER = "azure-native:containerservice:ManagedCluster"

ROLE = "arn:aws:iam::123456789012:role/node"
SPOT = "kubernetes.azure.com/scalesetpriority"

FINE: dict[str, dict[str, Any]] = {
    GKE_POOL: {
        "cluster": "inference",
        "location": "europe-west4",
        "name": "gpu",
        "autoscaling": {
            "totalMinNodeCount": 0,
            "totalMaxNodeCount": 4,
            "locationPolicy": "ANY",
        },
        "management": {"autoRepair": True, "autoUpgrade": True},
        "upgradeSettings": {"maxSurge": 0, "maxUnavailable": 1, "strategy": "SURGE"},
        "nodeConfig": {
            "machineType": "g2-standard-8",
            "guestAccelerators": [
                {
                    "type": "nvidia-l4",
                    "count": 1,
                    "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"},
                }
            ],
            "diskSizeGb": 200,
            "diskType": "pd-balanced",
            "labels": {"team": "inference"},
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
            "gcfsConfig": {"enabled": True},
            "workloadMetadataConfig": {"mode": "GKE_METADATA"},
            "shieldedInstanceConfig": {"enableSecureBoot": True},
            "resourceLabels": {"cost": "llm"},
        },
    },
    GKE_CLUSTER: {
        "name": "inference",
        "location": "europe-west4",
        "initialNodeCount": 1,
        "removeDefaultNodePool": True,
        "deletionProtection": False,
        "releaseChannel": {"channel": "REGULAR"},
        "workloadIdentityConfig": {"workloadPool": "project.svc.id.goog"},
        "ipAllocationPolicy": {"clusterIpv4CidrBlock": "/14"},
        "monitoringConfig": {"managedPrometheus": {"enabled": True}},
        "loggingConfig": {"enableComponents": ["SYSTEM_COMPONENTS", "WORKLOADS"]},
        "addonsConfig": {"gcsFuseCsiDriverConfig": {"enabled": True}},
        "datapathProvider": "ADVANCED_DATAPATH",
        "enableShieldedNodes": True,
        "clusterAutoscaling": {"autoscalingProfile": "OPTIMIZE_UTILIZATION"},
        "maintenancePolicy": {"dailyMaintenanceWindow": {"startTime": "03:00"}},
        "gatewayApiConfig": {"channel": "CHANNEL_STANDARD"},
    },
    EKS_GROUP: {
        "clusterName": "inference",
        "nodeGroupName": "gpu",
        "nodeRoleArn": ROLE,
        "subnetIds": ["subnet-1"],
        "amiType": "AL2023_x86_64_NVIDIA",
        "capacityType": "SPOT",
        "instanceTypes": ["g6.xlarge"],
        "scalingConfig": {"minSize": 0, "desiredSize": 0, "maxSize": 4},
        "labels": {"team": "inference"},
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
        "launchTemplate": {"id": "lt-0123456789abcdef0", "version": "1"},
        "updateConfig": {"maxUnavailable": 1},
        "nodeRepairConfig": {"enabled": True},
        "tags": {"cost": "llm"},
    },
    EKS_CLUSTER: {
        "name": "inference",
        "roleArn": ROLE,
        "version": "1.34",
        "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"], "endpointPublicAccess": True},
        "accessConfig": {"authenticationMode": "API"},
        "enabledClusterLogTypes": ["api", "audit"],
        "encryptionConfig": {"provider": {"keyArn": "arn:key"}, "resources": ["secrets"]},
    },
    EKS_ADDON: {
        "clusterName": "inference",
        "addonName": "eks-pod-identity-agent",
        "resolveConflictsOnCreate": "OVERWRITE",
        "resolveConflictsOnUpdate": "OVERWRITE",
        "configurationValues": '{"replicaCount": 2}',
    },
    EKS_IDENTITY: {
        "clusterName": "inference",
        "namespace": "default",
        "serviceAccount": "vllm",
        "roleArn": ROLE,
    },
    EC2_TEMPLATE: {
        "name": "gpu",
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/xvda",
                "ebs": {
                    "volumeSize": 200,
                    "volumeType": "gp3",
                    "deleteOnTermination": "true",
                    "encrypted": "true",
                },
            }
        ],
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 2},
        "tagSpecifications": [{"resourceType": "instance", "tags": {"cost": "llm"}}],
        "networkInterfaces": [
            {"deviceIndex": 0, "interfaceType": "efa", "securityGroups": ["sg-1"]}
        ],
        "capacityReservationSpecification": {
            "capacityReservationTarget": {"capacityReservationId": "cr-1"}
        },
        "instanceMarketOptions": {"marketType": "capacity-block"},
        "updateDefaultVersion": True,
    },
    ASG_TAG: {
        "autoscalingGroupName": "eks-gpu",
        "tag": {"key": "k", "value": "v", "propagateAtLaunch": True},
    },
    AKS_POOL: {
        "resourceGroupName": "group",
        "resourceName": "inference",
        "agentPoolName": "gpu",
        "mode": "User",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "vmSize": "Standard_NC24ads_A100_v4",
        "enableAutoScaling": True,
        "minCount": 0,
        "maxCount": 4,
        "count": 0,
        "scaleSetPriority": "Spot",
        "scaleSetEvictionPolicy": "Delete",
        "spotMaxPrice": -1,
        "nodeLabels": {SPOT: "spot", "team": "inference"},
        "nodeTaints": [f"{SPOT}=spot:NoSchedule", "sku=gpu:NoSchedule"],
        "gpuProfile": {"driver": "Install"},
        "osDiskSizeGB": 200,
        "tags": {"cost": "llm"},
    },
    AKS_CLUSTER: {
        "resourceGroupName": "group",
        "resourceName": "inference",
        "location": "westeurope",
        "dnsPrefix": "inference",
        "identity": {"type": "SystemAssigned"},
        "agentPoolProfiles": [
            {"name": "system", "mode": "System", "count": 2, "vmSize": "Standard_D4s_v5"}
        ],
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
        "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"},
        "sku": {"name": "Base", "tier": "Standard"},
        "autoScalerProfile": {"expander": "least-waste"},
    },
}

GPU = "nodeConfig.guestAccelerators.0"
AFFINITY = "nodeConfig.reservationAffinity"
DROP = object()

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # What somebody else's truth does not know.
    (GKE_POOL, {"nodeConfg": {}}, "nodeConfg"),
    (GKE_POOL, {"nodeConfig.machineTyp": "x"}, "machineTyp"),
    (GKE_POOL, {"nodeConfig.taints.0.effect": "NoSchedule"}, "NoSchedule"),
    (GKE_POOL, {"autoscaling.locationPolicy": "SPREAD"}, "SPREAD"),
    (GKE_POOL, {f"{GPU}.gpuDriverInstallationConfig.gpuDriverVersion": "NEW"}, "NEW"),
    (GKE_POOL, {"upgradeSettings.strategy": "FAST"}, "FAST"),
    (GKE_POOL, {"nodeConfig.diskSizeGb": "big"}, "diskSizeGb"),
    (GKE_POOL, {"nodeConfig.workloadMetadataConfig.mode": "GKE"}, "mode"),
    (GKE_CLUSTER, {"releaseChannel.channel": "FAST"}, "FAST"),
    (GKE_CLUSTER, {"addonsConfig.gcsFuse": {"enabled": True}}, "gcsFuse"),
    (GKE_CLUSTER, {"datapathProvider": "CILIUM"}, "CILIUM"),
    # What GKE refuses.
    (GKE_POOL, {"cluster": DROP}, "cluster"),
    (GKE_POOL, {"name": "GPU"}, "name"),
    (GKE_POOL, {"name": "a" * 41}, "name"),
    (GKE_POOL, {f"{GPU}.type": "nvidia-tesla-t4"}, f"{GPU}.type"),
    (GKE_POOL, {f"{GPU}.count": 2}, f"{GPU}.count"),
    (GKE_POOL, {"nodeConfig.machineType": "g2-standard-24"}, f"{GPU}.count"),
    (GKE_POOL, {"nodeConfig.machineType": "n1-standard-8"}, f"{GPU}.type"),
    (GKE_POOL, {"nodeConfig.machineType": "a3-highgpu-9g"}, "machineType"),
    (GKE_POOL, {"nodeConfig.guestAccelerators": []}, "guestAccelerators"),
    (GKE_POOL, {f"{GPU}.gpuPartitionSize": "1g.5gb"}, "gpuPartitionSize"),
    (GKE_POOL, {"nodeCount": 1}, "nodeCount"),
    (GKE_POOL, {"autoscaling.totalMinNodeCount": 5}, "totalMinNodeCount"),
    (GKE_POOL, {"autoscaling.maxNodeCount": 2}, "autoscaling"),
    (GKE_POOL, {"autoscaling.totalMaxNodeCount": 0}, "autoscaling"),
    (
        GKE_POOL,
        {"nodeConfig.spot": True, AFFINITY: {"consumeReservationType": "ANY_RESERVATION"}},
        AFFINITY,
    ),
    (GKE_POOL, {"nodeConfig.spot": True, "nodeConfig.preemptible": True}, "preemptible"),
    (GKE_POOL, {"nodeConfig.spot": True, "nodeConfig.flexStart": True}, "spot"),
    (GKE_POOL, {AFFINITY: {"consumeReservationType": "SPECIFIC_RESERVATION"}}, AFFINITY),
    (GKE_POOL, {"nodeConfig.diskSizeGb": 5}, "diskSizeGb"),
    (GKE_POOL, {"nodeConfig.labels": {"team": "no spaces"}}, "labels.team"),
    (GKE_CLUSTER, {"initialNodeCount": DROP}, "initialNodeCount"),
    (GKE_CLUSTER, {"workloadIdentityConfig.workloadPool": "project"}, "workloadPool"),
    # What AWS's models do not know.
    (EKS_GROUP, {"amiTyp": "x"}, "amiTyp"),
    (EKS_GROUP, {"amiType": "AL2023_NVIDIA"}, "amiType"),
    (EKS_GROUP, {"capacityType": "ONDEMAND"}, "capacityType"),
    (EKS_GROUP, {"taints.0.effect": "NoSchedule"}, "taints.0.effect"),
    (EKS_GROUP, {"scalingConfig.maxSize": 0}, "maxSize"),
    (EKS_GROUP, {"labels": {"team": 1}}, "labels.team"),
    (EKS_CLUSTER, {"accessConfig.authenticationMode": "IAM"}, "authenticationMode"),
    (EKS_CLUSTER, {"enabledClusterLogTypes": ["everything"]}, "logging"),
    (EKS_CLUSTER, {"roleArn": DROP}, "roleArn"),
    (EKS_ADDON, {"resolveConflictsOnCreate": "FORCE"}, "resolveConflicts"),
    (EKS_ADDON, {"configurationValues": "a: [b"}, "configurationValues"),
    (EKS_IDENTITY, {"roleArn": DROP}, "roleArn"),
    (EKS_IDENTITY, {"roleArm": ROLE}, "roleArm"),
    (EC2_TEMPLATE, {"blockDeviceMappings.0.ebs.volumeType": "gp4"}, "volumeType"),
    (EC2_TEMPLATE, {"blockDeviceMappings.0.ebs.size": 1}, "size"),
    (EC2_TEMPLATE, {"metadataOptions.httpTokens": "yes"}, "httpTokens"),
    (EC2_TEMPLATE, {"instanceMarketOptions.marketType": "block"}, "marketType"),
    (EC2_TEMPLATE, {"instanceType": "g6.tiny"}, "instanceType"),
    (EC2_TEMPLATE, {"capacityReservationSpecification": DROP}, "capacityReservation"),
    (EC2_TEMPLATE, {"userData": "#!/bin/sh"}, "userData"),
    # What EKS refuses.
    (EKS_GROUP, {"diskSize": 100}, "diskSize"),
    (EKS_GROUP, {"scalingConfig.minSize": 2}, "minSize"),
    (EKS_GROUP, {"scalingConfig.desiredSize": 9}, "desiredSize"),
    (EKS_GROUP, {"instanceTypes": ["g6.tiny"]}, "instanceTypes.0"),
    (EKS_GROUP, {"instanceTypes": ["m5.xlarge"]}, "amiType"),
    (EKS_GROUP, {"amiType": "AL2023_x86_64_STANDARD"}, "amiType"),
    (EKS_GROUP, {"amiType": DROP}, "amiType"),
    (EKS_GROUP, {"amiType": "AL2023_ARM_64_NVIDIA"}, "instanceTypes.0"),
    (EKS_GROUP, {"capacityType": "CAPACITY_BLOCK"}, "instanceTypes.0"),
    (EKS_GROUP, {"capacityType": "CAPACITY_BLOCK", "launchTemplate": DROP}, "capacityType"),
    (EKS_GROUP, {"launchTemplate": {"version": "1"}}, "launchTemplate"),
    (EKS_GROUP, {"labels": {"node-role.kubernetes.io/gpu": "1"}}, "labels"),
    (EKS_GROUP, {"updateConfig": {}}, "updateConfig"),
    (EKS_CLUSTER, {"vpcConfig.subnetIds": ["subnet-1"]}, "subnetIds"),
    (ASG_TAG, {"tag": {"key": "k", "value": "v"}}, "propagateAtLaunch"),
    # What Azure's SDK does not know.
    (AKS_POOL, {"vmsize": "Standard_D4s_v5"}, "vmsize"),
    (AKS_POOL, {"scaleSetPriority": "Spotty"}, "scaleSetPriority"),
    (AKS_POOL, {"mode": "user"}, "mode"),
    (AKS_POOL, {"count": "3"}, "count"),
    (AKS_POOL, {"gpuProfile": {"drivers": "None"}}, "drivers"),
    (AKS_POOL, {"osSKU": "Debian"}, "osSKU"),
    (AKS_POOL, {"provisioningState": "Succeeded"}, "provisioningState"),
    (AKS_CLUSTER, {"networkProfile.networkPlugin": "cilium"}, "networkPlugin"),
    (AKS_CLUSTER, {"sku.tier": "Best"}, "tier"),
    (AKS_CLUSTER, {"location": DROP}, "location"),
    (AKS_CLUSTER, {"identity": DROP}, "identity"),
    # What AKS refuses.
    (AKS_POOL, {"agentPoolName": "gpu-pool"}, "agentPoolName"),
    (AKS_POOL, {"agentPoolName": DROP}, "agentPoolName"),
    (AKS_POOL, {"agentPoolName": "a" * 13}, "agentPoolName"),
    (AKS_POOL, {"mode": "System"}, "scaleSetPriority"),
    (AKS_POOL, {"scaleSetPriority": "Regular"}, "scaleSetEvictionPolicy"),
    (AKS_POOL, {"spotMaxPrice": 1.234567}, "spotMaxPrice"),
    (AKS_POOL, {"spotMaxPrice": 0}, "spotMaxPrice"),
    (AKS_POOL, {"minCount": 5}, "minCount"),
    (AKS_POOL, {"enableAutoScaling": False}, "minCount"),
    (AKS_POOL, {"vmSize": "Standard_NC24ads_A200_v4"}, "vmSize"),
    (AKS_POOL, {"vmSize": DROP}, "vmSize"),
    (AKS_POOL, {"vmSize": "Standard_D4s_v5"}, "gpuProfile"),
    (AKS_POOL, {"osSKU": "AzureLinux"}, "osSKU"),
    (AKS_POOL, {"nodeTaints": ["sku=gpu"]}, "nodeTaints.0"),
    (AKS_POOL, {"nodeLabels": {"kubernetes.azure.com/mode": "user"}}, "nodeLabels"),
    (AKS_POOL, {"upgradeSettings": {"maxSurge": "1"}}, "maxSurge"),
    (AKS_POOL, {"osDiskSizeGB": 4096}, "osDiskSizeGB"),
    (AKS_CLUSTER, {"agentPoolProfiles": []}, "agentPoolProfiles"),
    (AKS_CLUSTER, {"agentPoolProfiles.0.mode": "User"}, "agentPoolProfiles"),
    (AKS_CLUSTER, {"agentPoolProfiles.0.count": 0}, "count"),
    (AKS_CLUSTER, {"agentPoolProfiles.0.name": "System1"}, "name"),
    (AKS_CLUSTER, {"oidcIssuerProfile": DROP}, "oidcIssuerProfile"),
]

TAKEN: list[tuple[str, dict[str, Any]]] = [
    (GKE_POOL, {"autoscaling": DROP, "nodeCount": 1}),
    (GKE_POOL, {"autoscaling": {"minNodeCount": 0, "maxNodeCount": 3}}),
    (GKE_POOL, {"nodeConfig.machineType": "n1-standard-8", f"{GPU}.type": "nvidia-tesla-t4"}),
    (GKE_POOL, {"nodeConfig": {"machineType": "e2-standard-4"}}),
    (GKE_POOL, {"nodeConfig.spot": True, AFFINITY: {"consumeReservationType": "NO_RESERVATION"}}),
    (
        GKE_POOL,
        {
            AFFINITY: {
                "consumeReservationType": "SPECIFIC_RESERVATION",
                "key": "compute.googleapis.com/reservation-name",
                "values": ["mine"],
            }
        },
    ),
    (EKS_GROUP, {"instanceTypes": ["m5.xlarge"], "amiType": "AL2023_x86_64_STANDARD"}),
    (EKS_GROUP, {"amiType": "BOTTLEROCKET_x86_64_NVIDIA"}),
    (EKS_GROUP, {"launchTemplate": DROP, "diskSize": 200}),
    (EKS_GROUP, {"tags": {}, "labels": {}, "taints": []}),
    (EKS_CLUSTER, {"tags": {}}),
    (EKS_GROUP, {"instanceTypes": ["p5.48xlarge"], "capacityType": "CAPACITY_BLOCK"}),
    (AKS_POOL, {"spotMaxPrice": 1.23456}),
    (AKS_POOL, {"gpuInstanceProfile": "MIG1g"}),
]

# What a preview does not know yet is not refused.
UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    (GKE_POOL, {"cluster": wire.UNKNOWN}),
    (GKE_POOL, {"nodeConfig.serviceAccount": wire.UNKNOWN}),
    (GKE_POOL, {"nodeConfig.machineType": wire.UNKNOWN}),
    (GKE_POOL, {"nodeConfig": wire.UNKNOWN}),
    (EKS_GROUP, {"clusterName": wire.UNKNOWN, "nodeRoleArn": wire.UNKNOWN}),
    (EKS_GROUP, {"subnetIds": [wire.UNKNOWN]}),
    (EKS_GROUP, {"launchTemplate": {"id": wire.UNKNOWN, "version": wire.UNKNOWN}}),
    (EKS_GROUP, {"instanceTypes": wire.UNKNOWN, "amiType": wire.UNKNOWN}),
    (EKS_CLUSTER, {"vpcConfig": wire.UNKNOWN, "roleArn": wire.UNKNOWN}),
    (ASG_TAG, {"autoscalingGroupName": wire.UNKNOWN}),
    (AKS_POOL, {"resourceGroupName": wire.UNKNOWN, "resourceName": wire.UNKNOWN}),
    (AKS_POOL, {"vmSize": wire.UNKNOWN, "vnetSubnetID": wire.UNKNOWN}),
    (AKS_CLUSTER, {"resourceGroupName": wire.UNKNOWN, "location": wire.UNKNOWN}),
]


def kind(type_: str) -> Kind:
    module = {"gcp": "gcp", "aws": "aws"}.get(type_.partition(":")[0], "azure")
    return importlib.import_module(f"tests.clouds.{module}").KINDS[type_]


def changed(type_: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The inputs that are fine, with others at some dotted paths."""
    made = copy.deepcopy(FINE[type_])
    for path, value in changes.items():
        *way, last = path.split(".") if path.count(".") < 5 else [path]
        place: Any = made
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if value is DROP:
            del place[last]
        else:
            place[last] = value
    return made


def found(type_: str, changes: dict[str, Any]) -> list[str]:
    problems = kind(type_).check(changed(type_, changes))
    return [f"{problem.path}: {problem.reason}" for problem in problems]


@pytest.mark.parametrize("type_", FINE)
def test_takes_what_is_fine(type_: str) -> None:
    assert found(type_, {}) == []


@pytest.mark.parametrize(("type_", "changes", "word"), REFUSED)
def test_refuses(type_: str, changes: dict[str, Any], word: str) -> None:
    problems = found(type_, changes)
    assert any(word in problem for problem in problems), problems


@pytest.mark.parametrize(("type_", "changes"), TAKEN)
def test_takes(type_: str, changes: dict[str, Any]) -> None:
    assert found(type_, changes) == []


@pytest.mark.parametrize(("type_", "changes"), UNKNOWN)
def test_takes_what_a_preview_does_not_know(type_: str, changes: dict[str, Any]) -> None:
    assert found(type_, changes) == []


@pytest.mark.parametrize(
    ("type_", "changes", "replaced"),
    [
        (GKE_POOL, {f"{GPU}.count": 2}, True),
        (GKE_POOL, {"nodeConfig.spot": True}, True),
        (GKE_POOL, {"nodeConfig.machineType": "g2-standard-12"}, False),
        (GKE_POOL, {"nodeConfig.labels": {"team": "other"}}, False),
        (GKE_POOL, {"autoscaling.totalMaxNodeCount": 8}, False),
        (EKS_GROUP, {"instanceTypes": ["g6e.xlarge"]}, True),
        (EKS_GROUP, {"launchTemplate.version": "2"}, False),
        (EKS_GROUP, {"launchTemplate.id": "lt-1"}, True),
        (EKS_GROUP, {"labels": {}}, False),
        (AKS_POOL, {"vmSize": "Standard_NC48ads_A100_v4"}, True),
        (AKS_POOL, {"maxCount": 8}, False),
        (AKS_POOL, {"nodeTaints": []}, False),
    ],
)
def test_replaces_what_cannot_change(type_: str, changes: dict[str, Any], replaced: bool) -> None:
    differences = list(model.changes(FINE[type_], changed(type_, changes)))
    assert differences
    patterns = kind(type_).immutable
    assert replaced == any(
        model.matches(pattern, path) for path, _ in differences for pattern in patterns
    )


def test_reads_what_the_engine_sends() -> None:
    secret = {wire.SIGNATURE: wire.WRAPPERS[0], "value": {"count": 8.0}}
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    sent = wire.encode({"a": secret, "b": [unknown], "c": {"d": 1.5}})
    assert wire.decode(sent) == {"a": {"count": 8}, "b": [wire.UNKNOWN], "c": {"d": 1.5}}
    assert wire.has_unknown(wire.decode(sent))


@pytest.fixture
def account(tmp_path: Path) -> dict[str, str]:
    """The environment of an account that has an EKS and a GKE cluster."""
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).write_text(f"the {name}")
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"certificate-authority": str(tmp_path / "ca"), "server": "https://127.0.0.1:1"}
    user = {
        "client-certificate": str(tmp_path / "certificate"),
        "client-key": str(tmp_path / "key"),
    }
    config = {"clusters": [{"cluster": cluster}], "users": [{"user": user}]}
    kubeconfig.write_text(yaml.safe_dump(config))
    state = State(tmp_path / "state")
    eks = {"name": "inference", "region": "us-east-1"}
    state.save(Record("aws", EKS_CLUSTER, "inference", "inference", {}, eks))
    gke = {"name": "inference", "endpoint": "127.0.0.1:1"}
    state.save(Record("gcp", GKE_CLUSTER, "inference", "inference", {}, gke))
    return {
        **os.environ,
        model.KUBECONFIG: str(kubeconfig),
        model.STATE: str(state.folder),
        "SIMULATED_CLOUD_PYTHON": sys.executable,
    }


def token(account: dict[str, str], *command: str, **given: Any) -> tuple[int, str, str]:
    info = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "spec": given})
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        env={**account, "KUBERNETES_EXEC_INFO": info},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("aws", "eks", "get-token", "--cluster-name", "inference"),
        ("aws", "--region", "us-east-1", "eks", "get-token", "--cluster-name", "inference"),
        ("gke-gcloud-auth-plugin",),
        ("gke-gcloud-auth-plugin", "--use_application_default_credentials"),
    ],
)
def test_hands_out_credentials_of_a_cluster_that_exists(
    account: dict[str, str], command: tuple[str, ...]
) -> None:
    code, out, err = token(account, *command)
    assert code == 0, err
    credential = json.loads(out)
    assert credential["apiVersion"] == "client.authentication.k8s.io/v1"
    assert credential["status"]["clientCertificateData"] == "the certificate"


@pytest.mark.parametrize(
    ("command", "server", "word"),
    [
        (("aws", "eks", "get-token", "--cluster-name", "other"), None, "No cluster found"),
        (
            ("aws", "eks", "get-token", "--cluster-name", "inference", "--region", "eu-west-1"),
            None,
            "not in eu-west-1",
        ),
        (("aws", "s3", "ls", "--cluster-name", "x"), None, "invalid choice"),
        (("gke-gcloud-auth-plugin",), "https://127.0.0.1:2", "no GKE cluster"),
    ],
)
def test_hands_out_no_credentials_else(
    account: dict[str, str], command: tuple[str, ...], server: str | None, word: str
) -> None:
    code, out, err = token(account, *command, **({"cluster": {"server": server}} if server else {}))
    assert (code != 0, out) == (True, "")
    assert word in err


def test_azure_hands_out_a_kubeconfig_of_a_cluster_that_exists(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = importlib.import_module("tests.clouds.azure")
    monkeypatch.setenv(model.KUBECONFIG, account[model.KUBECONFIG])
    state = State(Path(account[model.STATE]))
    outputs = {"name": "inference", "resourceGroupName": "group"}
    state.save(Record("azure", AKS_CLUSTER, "inference", "inference", {}, outputs))
    invoke = azure.INVOKES["azure-native:containerservice:listManagedClusterUserCredentials"]
    named = {"resourceName": "inference", "resourceGroupName": "group"}
    (found,) = invoke(named, {}, state)["kubeconfigs"]
    user = json.loads(base64.b64decode(found["value"]))["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]) == b"the key"
    with pytest.raises(model.RefusedError):
        invoke({**named, "resourceName": "other"}, {}, state)


@pytest.mark.parametrize(
    ("toleration", "enough"),
    [
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "value": "b"}, True),
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "a", "value": "c"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "b", "operator": "Exists"}, False),
    ],
)
def test_knows_what_tolerates(toleration: dict[str, str], enough: bool) -> None:
    taints = [
        {"key": "a", "value": "b", "effect": "NoSchedule"},
        {"key": "z", "value": "", "effect": "PreferNoSchedule"},
    ]
    assert fit.tolerates({"spec": {"tolerations": [toleration]}}, taints) == enough


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["gpu", "other"], True),
        ("NotIn", ["gpu"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_knows_what_selects(operator: str, values: list[str], fits: bool) -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = {"spec": {"affinity": {"nodeAffinity": required}}}
    assert fit.selects(pod, {"pool": "gpu"}) == fits
