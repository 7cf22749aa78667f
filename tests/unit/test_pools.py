"""GPU node pools: what is asked of the cloud, and what is refused before it is asked."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pulumi
import pytest

from pulumi_llm_inference import AksGpuNodePool, EksGpuNodePool, GkeGpuNodePool
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.spec.problems import SpecError
from tests.environments import tracked_config
from tests.support import ROOT, Recording, changed, record

HOMES: dict[str, dict[str, Any]] = {
    "gke": {"cluster_name": "c", "location": "us-central1", "service_account": "a@p.iam"},
    "eks": {
        "cluster_name": "c",
        "node_role_arn": "arn:aws:iam::1:role/n",
        "subnet_ids": {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"},
    },
    "aks": {"cluster_name": "c", "resource_group_name": "g", "subnet_id": "s"},
}
COMPONENTS: dict[str, Callable[..., Any]] = {
    "gke": GkeGpuNodePool,
    "eks": EksGpuNodePool,
    "aks": AksGpuNodePool,
}
KINDS = {"gke": "NodePool", "eks": "NodeGroup", "aks": "AgentPool"}


def pool(cloud: str, **args: Any) -> Recording:
    """A pool of T4s, which every cloud sells."""
    spec = {"accelerator": "nvidia-t4", "max_nodes": 3, **HOMES[cloud], **args}
    return record(lambda: COMPONENTS[cloud]("pool", spec))


def made(cloud: str, **args: Any) -> dict[str, Any]:
    """What the cloud is asked for."""
    return pool(cloud, **args).one(KINDS[cloud])


@pytest.mark.parametrize("cloud", HOMES)
def test_labels_and_taints_of_nodes_are_those_that_pods_ask_for(cloud: str) -> None:
    placements: list[Any] = []
    spec = {"accelerator": "nvidia-t4", "max_nodes": 3, **HOMES[cloud], "capacity_type": "spot"}
    recording = record(lambda: placements.append(COMPONENTS[cloud]("pool", spec).placement))
    [placement] = placements
    inputs = recording.one(KINDS[cloud])
    config = inputs.get("nodeConfig", inputs)
    labels = config.get("labels") or inputs["nodeLabels"]
    assert placement.node_labels.items() <= labels.items()
    assert placement.node_labels["llm-inference/capacity-type"] == "spot"
    taints = {(taint.key, taint.value) for taint in placement.taints}
    if cloud == "aks":
        declared = {tuple(text.split(":")[0].split("=")) for text in inputs["nodeTaints"]}
    else:
        declared = {(taint["key"], taint["value"]) for taint in config["taints"]}
    assert taints == declared
    assert len(taints) == 2


def test_gke_asks_for_gpus_with_their_driver() -> None:
    config = made("gke")["nodeConfig"]
    assert config["machineType"] == "n1-standard-4"
    assert config["guestAccelerators"] == [
        {
            "count": 1,
            "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"},
            "type": "nvidia-tesla-t4",
        }
    ]
    assert config["gcfsConfig"] == {"enabled": True}
    assert config["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert config["serviceAccount"] == "a@p.iam"


@pytest.mark.parametrize(
    ("args", "policy"),
    [
        ({}, "BALANCED"),
        ({"capacity_type": "spot"}, "ANY"),
        ({"capacity_type": "reserved", "reservation": "mine"}, "ANY"),
        ({"capacity_type": "reserved"}, "ANY"),
    ],
)
def test_gke_counts_nodes_over_all_zones(args: dict[str, Any], policy: str) -> None:
    inputs = made("gke", min_nodes=0 if policy == "ANY" else 1, **args)
    assert inputs["autoscaling"] == {
        "locationPolicy": policy,
        "totalMaxNodeCount": 3,
        "totalMinNodeCount": 0 if policy == "ANY" else 1,
    }
    assert pool("gke", **args).resource("NodePool").ignoreChanges == ["initialNodeCount"]


def test_gke_reserved_is_a_reservation_or_flex_start() -> None:
    named = made("gke", capacity_type="reserved", reservation="mine")["nodeConfig"]
    assert named["reservationAffinity"] == {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["mine"],
    }
    assert "flexStart" not in named
    queued = made("gke", capacity_type="reserved")
    assert queued["nodeConfig"]["flexStart"] is True
    assert queued["nodeConfig"]["maxRunDuration"] == "604800s"
    assert queued["management"]["autoRepair"] is False


def test_eks_spot_takes_every_machine_with_the_same_gpus() -> None:
    assert made("eks")["instanceTypes"] == ["g4dn.xlarge"]
    spot = made("eks", capacity_type="spot")
    assert spot["capacityType"] == "SPOT"
    assert spot["instanceTypes"][:2] == ["g4dn.xlarge", "g4dn.2xlarge"]
    assert "g4dn.12xlarge" not in spot["instanceTypes"]
    chosen = made("eks", capacity_type="spot", machine="g4dn.4xlarge")
    assert chosen["instanceTypes"] == ["g4dn.4xlarge"]


def test_eks_nodes_can_grow_from_nothing() -> None:
    recording = pool("eks", capacity_type="spot")
    prefix = "k8s.io/cluster-autoscaler/node-template/"
    tags = {item["tag"]["key"]: item["tag"]["value"] for item in recording.every("Tag")}
    assert tags == {
        f"{prefix}label/k8s.amazonaws.com/accelerator": "nvidia-t4",
        f"{prefix}label/llm-inference/accelerator": "nvidia-t4",
        f"{prefix}label/llm-inference/capacity-type": "spot",
        f"{prefix}label/llm-inference/pool": "pool",
        f"{prefix}taint/llm-inference/capacity-type": "spot:NoSchedule",
        f"{prefix}taint/nvidia.com/gpu": "present:NoSchedule",
        f"{prefix}resources/nvidia.com/gpu": "1",
    }
    group = recording.resource("NodeGroup")
    assert group.ignoreChanges == ["scalingConfig.desiredSize"]
    assert group.inputs["scalingConfig"] == {"desiredSize": 0, "maxSize": 3, "minSize": 0}


@pytest.mark.parametrize(
    ("ami", "type_", "disk"),
    [
        ("al2023", "AL2023_x86_64_NVIDIA", "/dev/xvda"),
        ("bottlerocket", "BOTTLEROCKET_x86_64_NVIDIA", "/dev/xvdb"),
    ],
)
def test_eks_disks_are_where_the_system_keeps_images(ami: str, type_: str, disk: str) -> None:
    recording = pool("eks", ami=ami, disk_gib=300)
    assert recording.one("NodeGroup")["amiType"] == type_
    assert "diskSize" not in recording.one("NodeGroup")
    template = recording.one("LaunchTemplate")
    [mapping] = template["blockDeviceMappings"]
    assert mapping["deviceName"] == disk
    assert mapping["ebs"]["volumeSize"] == 300
    assert mapping["ebs"]["volumeType"] == "gp3"
    assert template["metadataOptions"]["httpTokens"] == "required"


def test_eks_capacity_blocks_are_in_the_launch_template() -> None:
    recording = pool("eks", capacity_type="reserved", reservation="cr-0a1b")
    group = recording.one("NodeGroup")
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert "instanceTypes" not in group
    template = recording.one("LaunchTemplate")
    assert template["instanceType"] == "g4dn.xlarge"
    assert template["instanceMarketOptions"] == {"marketType": "capacity-block"}
    target = template["capacityReservationSpecification"]["capacityReservationTarget"]
    assert target == {"capacityReservationId": "cr-0a1b"}


def test_eks_zones_choose_the_subnets() -> None:
    assert made("eks")["subnetIds"] == ["subnet-a", "subnet-b"]
    assert made("eks", zones=["us-east-1b"])["subnetIds"] == ["subnet-b"]


def test_aks_spot_declares_what_aks_adds() -> None:
    spot = made("aks", capacity_type="spot")
    assert spot["scaleSetPriority"] == "Spot"
    assert spot["scaleSetEvictionPolicy"] == "Delete"
    assert spot["spotMaxPrice"] == -1
    assert spot["nodeLabels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert "kubernetes.azure.com/scalesetpriority=spot:NoSchedule" in spot["nodeTaints"]
    assert "upgradeSettings" not in spot
    regular = made("aks")
    assert not {"scaleSetPriority", "scaleSetEvictionPolicy", "spotMaxPrice"} & regular.keys()
    assert regular["gpuProfile"] == {"driver": "Install"}


@pytest.mark.parametrize(
    ("cloud", "extra", "path", "value"),
    [
        ("gke", {"node_config": {"local_nvme_ssd_block_config": {}}}, "nodeConfig", None),
        ("gke", {"node_config": {"disk_type": "pd-ssd"}}, "nodeConfig.diskType", "pd-ssd"),
        ("eks", {"force_update_version": True}, "forceUpdateVersion", True),
        ("aks", {"spot_max_price": 0.5}, "spotMaxPrice", 0.5),
    ],
)
def test_what_the_cloud_knows_and_we_do_not_can_be_given(
    cloud: str, extra: dict[str, Any], path: str, value: object
) -> None:
    here: Any = made(cloud, extra=extra)
    for step in path.split("."):
        here = here[step]
    if value is not None:
        assert here == value
    elif cloud == "gke":
        assert here["machineType"] == "n1-standard-4"  # the rest stays


@pytest.mark.parametrize(
    ("cloud", "extra", "said"),
    [
        ("gke", {"node_config": {"taints": []}}, r"node_config\.taints.*use the pool's taints"),
        ("eks", {"labels": {"a": "b"}}, r"labels.*use the pool's labels"),
        ("aks", {"node_taints": []}, r"node_taints.*use the pool's taints"),
    ],
)
def test_extras_leave_the_placement_alone(cloud: str, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(pulumi.RunError, match=said):
        made(cloud, extra=extra)


@pytest.mark.parametrize(("cloud", "length"), [("gke", 27), ("eks", 49), ("aks", 12)])
def test_the_longest_name_is_the_clouds(cloud: str, length: int) -> None:
    spec = {"accelerator": "nvidia-t4", "max_nodes": 3, **HOMES[cloud]}
    record(lambda: COMPONENTS[cloud]("p" * length, spec))
    with pytest.raises(pulumi.RunError, match=f"at most {length}"):
        record(lambda: COMPONENTS[cloud]("p" * (length + 1), spec))


def test_gke_starts_with_the_least_number_over_its_zones() -> None:
    assert made("gke", min_nodes=3)["initialNodeCount"] == 3
    assert (
        made("gke", min_nodes=3, zones=["us-central1-a", "us-central1-b"])["initialNodeCount"] == 2
    )
    assert made("gke")["initialNodeCount"] == 0


@pytest.mark.parametrize("cloud", HOMES)
def test_unknown_extras_are_refused(cloud: str) -> None:
    with pytest.raises(pulumi.RunError, match=r"pool\.extra\.nodes_config: is not an argument of"):
        made(cloud, extra={"nodes_config": {}})


def test_taints_of_the_user_are_tolerated_too() -> None:
    placements: list[Any] = []
    spec = {"accelerator": "nvidia-t4", "max_nodes": 3, **HOMES["gke"]}
    taint = {"key": "team", "value": "search"}
    record(lambda: placements.append(GkeGpuNodePool("p", {**spec, "taints": [taint]}).placement))
    assert [taint.key for taint in placements[0].taints] == ["nvidia.com/gpu", "team"]


REFUSED = {
    "an accelerator that the cloud does not sell": (
        ("aks-prod", "pools.0.accelerator", "nvidia-l4"),
        [
            "pools[0].accelerator: AKS sells no machine with 'nvidia-l4'",
            "it sells nvidia-a10 (1 or 2)",
        ],
    ),
    "a number of GPUs that no machine has": (
        ("gke-prod", "pools.0.gpusPerNode", 3),
        [
            "pools[0].gpusPerNode: GKE sells no machine with 3 x nvidia-l4",
            "it sells 1 (g2-standard-4), 2 (g2-standard-24)",
        ],
    ),
    "an unknown machine": (
        ("gke-prod", "pools.0.machine", "g2-standard-5"),
        [
            "pools[0].machine: 'g2-standard-5' is no GPU machine of GKE",
            "did you mean 'g2-standard-",
        ],
    ),
    "a machine with other GPUs": (
        ("gke-prod", "pools.0.machine", "g2-standard-24"),
        [
            "pools[0].machine: 'g2-standard-24' carries 2 x nvidia-l4, not 1 x nvidia-l4",
            "gpusPerNode to 2",
        ],
    ),
    "spot with a reservation": (
        ("gke-prod", "pools.1.reservation", "mine"),
        ["pools[1].reservation: 'mine' has no meaning with capacityType 'spot'"],
    ),
    "reserved without a reservation": (
        ("eks-prod", "pools.0.capacityType", "reserved"),
        ["pools[0].reservation: is missing, and capacityType is 'reserved'", "'cr-…'"],
    ),
    "nodes of flex-start that stay": (
        ("gke-prod", "pools.0.capacityType", "reserved"),
        ["pools[0].minNodes: 2 nodes cannot stay", "set minNodes to 0, or name a reservation"],
    ),
    "fewer at most than at least": (
        ("eks-prod", "pools.0.minNodes", 11),
        ["pools[0].minNodes: 11 is more than maxNodes (10)"],
    ),
    "a name that AKS does not take": (
        ("aks-prod", "pools.0.name", "a100-on-demand"),
        [
            "pools[0].name: 'a100-on-demand' (14 characters) is no name for a pool on AKS",
            "at most 12",
        ],
    ),
    "a region without zones": (
        ("gke-prod", "cluster.zones", []),
        ["pools[0].zones: is missing: not every zone of a region has every GPU", "pools[1].zones"],
    ),
    "a zone that the cluster has not": (
        ("eks-prod", "pools.0.zones", ["us-east-1f"]),
        ["pools[0].zones[0]: 'us-east-1f' is no zone of the cluster", "us-east-1a"],
    ),
    "no cluster": (
        ("gke-prod", "cluster", None),
        ["cluster: is missing (give one of cluster, existingCluster, clusterStack)"],
    ),
    "two clusters": (
        ("gke-prod", "clusterStack", "me/llm-inference/cluster"),
        ["clusterStack: cluster and clusterStack are 2 clusters"],
    ),
    "a stack's short name": (
        ("gke-prod", "clusterStack", "cluster"),
        ["clusterStack: 'cluster' is not the full name of a stack"],
    ),
    "a floor on spot alone": (
        ("gke-prod", "models.0.pools", ["l4-spot"]),
        ["models[0].floor: 2 replicas are to stay, and every pool of the model is spot"],
    ),
    "a pool twice": (
        ("gke-prod", "models.0.pools", ["l4", "l4"]),
        ["models[0].pools[1]: 'l4' is named already"],
    ),
    "no pools": (
        ("gke-prod", "pools", []),
        ["pools: is empty", "models[0].pools[0]: there is no pool 'l4-spot'"],
    ),
    "a machine that is sold as spot only": (
        ("gke-prod", "pools.0.accelerator", "nvidia-h100-80gb"),
        ["pools[0].capacityType: 'a3-highgpu-1g' is not sold 'on-demand' (use spot or reserved"],
    ),
    "all that a machine has": (
        ("gke-prod", "models.0.memory", "16Gi"),
        ["models[0].memory: '16Gi' is not less than the machine of any of its pools has (16Gi)"],
    ),
    "another cloud's cluster": (
        ("aks-prod", "cluster.project", "p"),
        ["cluster.project: unknown key 'project'"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_path_cause_and_cure(case: str) -> None:
    (name, path, value), said = REFUSED[case]
    with pytest.raises(SpecError) as error:
        read_environment(changed(path, value, tracked_config(name)))
    for text in said:
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("cloud", "args", "said"),
    [
        (
            "gke",
            {"accelerator": "nvidia-t5"},
            "pool.accelerator: 'nvidia-t5' is not in the catalog",
        ),
        ("eks", {"zones": ["us-east-1c"]}, "pool.zones[0]: 'us-east-1c' is no zone"),
        ("aks", {"min_nodes": 4}, "pool.minNodes: 4 is more than maxNodes (3)"),
    ],
)
def test_components_refuse_it_too(cloud: str, args: dict[str, Any], said: str) -> None:
    with pytest.raises(pulumi.RunError) as error:
        made(cloud, **args)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        ("gke", ("pulumi_aws", "pulumi_azure_native")),
        ("eks", ("pulumi_gcp", "pulumi_azure_native")),
        ("aks", ("pulumi_gcp", "pulumi_aws")),
    ],
)
def test_an_environment_is_previewed_without_the_other_clouds(
    mine: str, others: tuple[str, str]
) -> None:
    done = preview_without(others, f"{mine}-prod")
    assert done.returncode == 0, done.stderr
    assert "Kubernetes objects" in done.stdout


def test_a_missing_sdk_is_said() -> None:
    done = preview_without(["pulumi_gcp"], "gke-prod")
    assert done.returncode == 1
    assert "'gke' needs pulumi_gcp (pip install 'pulumi-llm-inference[gcp]')" in done.stderr
    assert "Traceback" not in done.stderr


def preview_without(packages: Iterable[str], name: str) -> subprocess.CompletedProcess[str]:
    """Preview an environment as if these packages were not installed."""
    program = f"""
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {list(packages)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["llm-inference", "preview", "{name}"]
from pulumi_llm_inference.cli import app
app()
"""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
