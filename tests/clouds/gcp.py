"""Google Cloud: GKE strictly, everything else echoed."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.clouds import machines, wire
from tests.clouds.common import Moves, label_problems, last, moved, ordered, required, whole
from tests.clouds.kube import Kube
from tests.clouds.model import KUBECONFIG, Inputs, Kind, Pool, Problem, RefusedError, Request, short
from tests.clouds.model import State as CloudState

NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
NUMBER = "123456789012"
RESERVED = {"ANY_RESERVATION", "SPECIFIC_RESERVATION", "ANY_RESERVATION_THEN_FAIL"}

NODE_CONFIG: Moves = {
    # hashicorp/terraform-provider-google google/services/container/node_config.go expandNodeConfig
    "guestAccelerators": "accelerators",
    "loggingVariant": "loggingConfig.variantConfig.variant",
    "gpudirectStrategy": "gpuDirectConfig.gpuDirectStrategy",
    "resourceManagerTags": "resourceManagerTags.tags",
    "hostMaintenancePolicy": None,
}
NODE_POOL: Moves = {
    "nodeConfig": "config",
    "nodeLocations": "locations",
    "maxPodsPerNode": "maxPodsConstraint.maxPodsPerNode",
    "maintenancePolicies": "maintenancePolicy",
    "nodeDrainConfigs": "nodeDrainConfig",
    "nodeCount": None,
    "namePrefix": None,
    "cluster": None,
    "location": None,
    "project": None,
    "deletionPolicy": None,
    "ignoreNodeCountChanges": None,
}
CLUSTER_MOVES: Moves = {
    "minMasterVersion": "initialClusterVersion",
    "nodeVersion": "currentNodeVersion",
    "nodeLocations": "locations",
    "enableAutopilot": "autopilot.enabled",
    "enableShieldedNodes": "shieldedNodes.enabled",
    "enableLegacyAbac": "legacyAbac.enabled",
    "datapathProvider": "networkConfig.datapathProvider",
    "dnsConfig": "networkConfig.dnsConfig",
    "gatewayApiConfig": "networkConfig.gatewayApiConfig",
    "enableIntranodeVisibility": "networkConfig.enableIntraNodeVisibility",
    "enableL4IlbSubsetting": "networkConfig.enableL4ilbSubsetting",
    "enableMultiNetworking": "networkConfig.enableMultiNetworking",
    "enableCiliumClusterwideNetworkPolicy": "networkConfig.enableCiliumClusterwideNetworkPolicy",
    "defaultSnatStatus": "networkConfig.defaultSnatStatus",
    "serviceExternalIpsConfig": "networkConfig.serviceExternalIpsConfig",
    "defaultMaxPodsPerNode": "defaultMaxPodsConstraint.maxPodsPerNode",
    "clusterIpv4Cidr": "clusterIpv4Cidr",
    "clusterAutoscaling": "autoscaling",
    "enableK8sBetaApis": "enableK8sBetaApis",
    "location": None,
    "project": None,
    "networkingMode": None,
    "deletionProtection": None,
    "deletionPolicy": None,
    "removeDefaultNodePool": None,
    "ignoreNodeCountChanges": None,
    "skipNodePoolRefresh": None,
    "allowNetAdmin": None,
}


def _node_config(inputs: Any) -> Any:
    if not isinstance(inputs, dict):
        return inputs
    made = moved(inputs, NODE_CONFIG)
    if isinstance(made.get("accelerators"), list):
        names = {"type": "acceleratorType", "count": "acceleratorCount"}
        made["accelerators"] = [
            moved(one, names) if isinstance(one, dict) else one for one in made["accelerators"]
        ]
    return made


def node_pool_request(inputs: Inputs) -> dict[str, Any]:
    """Return the API's NodePool of a gcp.container.NodePool's inputs."""
    made = moved(inputs, NODE_POOL)
    if "config" in made:
        made["config"] = _node_config(made["config"])
    for one in ("maintenancePolicy", "nodeDrainConfig"):
        if isinstance(made.get(one), list):
            made[one] = made[one][0]
    if isinstance(made.get("autoscaling"), dict):
        made["autoscaling"] = {**made["autoscaling"], "enabled": True}
    return made


def cluster_request(inputs: Inputs) -> dict[str, Any]:
    """Return the API's Cluster of a gcp.container.Cluster's inputs."""
    made = moved(inputs, CLUSTER_MOVES)
    if "nodeConfig" in made:
        made["nodeConfig"] = _node_config(made["nodeConfig"])
    if isinstance(made.get("nodePools"), list):
        made["nodePools"] = [node_pool_request(one) for one in made["nodePools"]]
    inside: dict[str, Moves] = {
        "loggingConfig": {"enableComponents": "componentConfig.enableComponents"},
        "monitoringConfig": {
            "enableComponents": "componentConfig.enableComponents",
            "managedPrometheus": "managedPrometheusConfig",
        },
        "autoscaling": {
            "enabled": "enableNodeAutoprovisioning",
            "autoProvisioningDefaults": "autoprovisioningNodePoolDefaults",
            "autoProvisioningLocations": "autoprovisioningLocations",
        },
        "maintenancePolicy": {
            "dailyMaintenanceWindow": "window.dailyMaintenanceWindow",
            "maintenanceExclusions": None,
            "recurringWindow": None,
        },
    }
    for key, moves in inside.items():
        if isinstance(made.get(key), dict):
            made[key] = moved(made[key], moves)
    return made


def _schema_problems(message: Callable[[], Any], request: dict[str, Any]) -> Iterator[Problem]:
    """Yield what Google's own message does not take (google-cloud-container)."""
    from google.protobuf import json_format  # one cloud's only

    try:
        json_format.ParseDict(wire.known(request), message())
    except json_format.ParseError as error:
        found = re.search(r"Failed to parse (\w+) field", str(error))
        yield Problem(found[1] if found else "", f"Google's API: {error}")


def check_pool(inputs: Inputs) -> Iterator[Problem]:
    """Yield what GKE would refuse of a node pool by itself."""
    from google.cloud.container_v1 import types

    yield from required(inputs, ["cluster"])
    if "name" in inputs and "namePrefix" in inputs:
        yield Problem("namePrefix", "conflicts with name")
    yield from _schema_problems(
        lambda: types.NodePool.pb(types.NodePool()), node_pool_request(inputs)
    )
    yield from _name_problem(inputs)
    yield from _size_problems(inputs)
    config = inputs.get("nodeConfig") or {}
    if isinstance(config, dict):
        yield from _config_problems(config, "nodeConfig")
        yield from _capacity_problems(inputs, config)


def _name_problem(inputs: Inputs) -> Iterator[Problem]:
    name = inputs.get("name")
    if isinstance(name, str) and not NAME.fullmatch(name):
        yield Problem("name", f"{name!r} does not match {NAME.pattern} (40 characters at most)")


def _size_problems(inputs: Inputs) -> Iterator[Problem]:
    """Sizes: terraform-provider-google resource_container_node_pool.go, schemaNodePool."""
    sizes = inputs.get("autoscaling")
    if not isinstance(sizes, dict):
        return
    zonal, total = ("minNodeCount", "maxNodeCount"), ("totalMinNodeCount", "totalMaxNodeCount")
    if "nodeCount" in inputs:
        yield Problem("nodeCount", "must not be set together with autoscaling")
    if any(sizes.get(key) for key in zonal) and any(sizes.get(key) for key in total):
        yield Problem("autoscaling", "limits per zone and total limits exclude each other")
    for low, high in (zonal, total):
        for key in (low, high):
            if (whole(sizes.get(key)) or 0) < 0:
                yield Problem(f"autoscaling.{key}", "must be at least 0")
        yield from ordered({f"autoscaling.{key}": sizes.get(key) for key in (low, high)})
    if not any(sizes.get(key) for key in (zonal[1], total[1])):
        yield Problem("autoscaling", "needs maxNodeCount or totalMaxNodeCount of at least 1")


def _config_problems(config: Inputs, path: str) -> Iterator[Problem]:
    """Machines, accelerators, disks, labels and taints."""
    yield from _machine_problems(config, path)
    machine = config.get("machineType")
    picky = isinstance(machine, str) and machine.startswith(machines.GKE_HYPERDISK_ONLY)
    for disk in ("diskType", "bootDisk.diskType"):
        kind = wire.at(config, disk)
        if picky and isinstance(kind, str) and kind != "hyperdisk-balanced":
            yield Problem(f"{path}.{disk}", f"{machine} takes hyperdisk-balanced only")
    size = whole(config.get("diskSizeGb"))
    if size is not None and size < 10:  # node_config.go: IntAtLeast(10)
        yield Problem(f"{path}.diskSizeGb", f"{size} is less than 10")
    yield from label_problems(config.get("labels"), f"{path}.labels")
    for index, taint in enumerate(config.get("taints") or []):
        missing = {"key", "value", "effect"} - set(taint) if isinstance(taint, dict) else ()
        for key in sorted(missing):
            yield Problem(f"{path}.taints.{index}.{key}", "is required")
        if isinstance(taint, dict) and taint.get("effect") == "EFFECT_UNSPECIFIED":
            yield Problem(f"{path}.taints.{index}.effect", "must say something")


def _machine_problems(config: Inputs, path: str) -> Iterator[Problem]:
    machine = config.get("machineType", "e2-medium")
    accelerators = config.get("guestAccelerators") or []
    if machine is wire.UNKNOWN or wire.has_unknown(accelerators):
        return
    gpu = machines.GKE.get(machine)
    if gpu is None and not machines.GKE_PLAIN.fullmatch(machine):
        yield Problem(f"{path}.machineType", f"{machine!r} is no machine type")
        return
    if len(accelerators) > 1:
        yield Problem(f"{path}.guestAccelerators", "takes one kind of accelerator")
    if gpu and not accelerators:
        yield Problem(f"{path}.guestAccelerators", f"{machine} needs {gpu.accelerator}")
    for index, one in enumerate(accelerators):
        where = f"{path}.guestAccelerators.{index}"
        kind, count = one.get("type"), one.get("count")
        allowed = gpu.counts if gpu else machines.GKE_ATTACHED.get(kind, ())
        if gpu and kind != gpu.accelerator:
            yield Problem(f"{where}.type", f"{machine} carries {gpu.accelerator}, not {kind!r}")
        elif not gpu and not (allowed and machine.startswith("n1-")):
            yield Problem(f"{where}.type", f"{kind!r} cannot be attached to {machine}")
        elif count not in allowed:
            yield Problem(f"{where}.count", f"{machine} carries {allowed} of {kind}, not {count}")
        part = one.get("gpuPartitionSize")
        if part and part not in machines.MIG.get(kind, {}):
            yield Problem(f"{where}.gpuPartitionSize", f"{kind} has no partitions of {part}")


def _capacity_problems(inputs: Inputs, config: Inputs) -> Iterator[Problem]:
    """Spot, reservations and flex-start exclude each other.

    docs.cloud.google.com/kubernetes-engine/docs/how-to/dws-flex-start-inference for flex-start.
    """
    kind = wire.at(config, "reservationAffinity.consumeReservationType")
    where = "nodeConfig.reservationAffinity"
    if config.get("spot") is True and kind in RESERVED:
        yield Problem(where, "spot nodes cannot use a reservation")
    if config.get("spot") is True and config.get("preemptible") is True:
        yield Problem("nodeConfig.preemptible", "excludes spot")
    yield from _reservation_problems(config.get("reservationAffinity") or {}, where)
    if config.get("flexStart") is True or wire.at(inputs, "queuedProvisioning.enabled") is True:
        yield from _flex_problems(inputs, config, kind)


def _flex_problems(inputs: Inputs, config: Inputs, kind: Any) -> Iterator[Problem]:
    if config.get("spot") is True:
        yield Problem("nodeConfig.spot", "excludes flex-start")
    if kind in RESERVED:
        yield Problem("nodeConfig.reservationAffinity", "flex-start takes NO_RESERVATION only")
    if wire.at(inputs, "management.autoRepair") is True:
        yield Problem("management.autoRepair", "flex-start nodes are not repaired")
    longest = config.get("maxRunDuration")
    if isinstance(longest, str) and re.fullmatch(r"\d+s", longest) and int(longest[:-1]) > 604800:
        yield Problem("nodeConfig.maxRunDuration", "flex-start nodes live 7 days at most")


def _reservation_problems(affinity: Inputs, where: str) -> Iterator[Problem]:
    kind, named = affinity.get("consumeReservationType"), affinity.get("values")
    if kind == "SPECIFIC_RESERVATION":
        key = affinity.get("key")
        if key not in ("compute.googleapis.com/reservation-name", wire.UNKNOWN):
            yield Problem(f"{where}.key", "must be compute.googleapis.com/reservation-name")
        if not named:
            yield Problem(f"{where}.values", "must name the reservation")
    elif kind and named:
        yield Problem(f"{where}.values", f"means nothing with {kind}")


def check_cluster(inputs: Inputs) -> Iterator[Problem]:
    """Yield what GKE would refuse of a cluster."""
    from google.cloud.container_v1 import types

    yield from required(inputs, ["location"])
    yield from _name_problem(inputs)
    yield from _schema_problems(lambda: types.Cluster.pb(types.Cluster()), cluster_request(inputs))
    config = inputs.get("nodeConfig")
    if isinstance(config, dict):
        yield from _config_problems(config, "nodeConfig")
    if not any(inputs.get(key) for key in ("enableAutopilot", "nodePools", "initialNodeCount")):
        # GKE: "Cluster.initial_node_count must be greater than zero"
        yield Problem("initialNodeCount", "a cluster starts with at least one node")
    workload = wire.at(inputs, "workloadIdentityConfig.workloadPool")
    if isinstance(workload, str) and not workload.endswith(".svc.id.goog"):
        yield Problem("workloadIdentityConfig.workloadPool", "must be PROJECT.svc.id.goog")


def _project(request: Request) -> str:
    project = request.inputs.get("project") or request.config.get("project")
    if not project:
        raise RefusedError("project: required field is not set")
    return str(project)


def _zones(location: str, inputs: Inputs) -> list[str]:
    given = inputs.get("nodeLocations")
    if given:
        return sorted(given)
    if re.fullmatch(r".*-[a-z]", location):
        return [location]
    return [f"{location}-{zone}" for zone in "abc"]


def _cluster_of(request: Request) -> Any:
    wanted = request.inputs["cluster"]
    for record in request.state.records(CLUSTER):
        if wanted in (record.outputs["name"], record.id):
            return record
    raise RefusedError(f"Not found: cluster {wanted!r}")


def refuse_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against making a cluster."""
    name = request.inputs["name"]
    if not request.id and request.state.find(CLUSTER, name=name):
        yield f"Already exists: cluster {name}"


def hold_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against deleting a cluster."""
    if request.inputs.get("deletionProtection", True):
        yield "Cannot destroy cluster because deletion_protection is set to true"


def answer_cluster(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a cluster is called and says."""
    kube, inputs = Kube(Path(os.environ[KUBECONFIG])), request.inputs
    project, location, name = _project(request), inputs["location"], inputs["name"]
    path = f"projects/{project}/locations/{location}/clusters/{name}"
    version = inputs.get("minMasterVersion", "1.36.3-gke.1000")
    return path, {
        "id": path,
        "name": name,
        "project": project,
        "location": location,
        "nodeLocations": _zones(location, inputs),
        # A bare host in reality; here with the port, which "https://{endpoint}" carries too.
        "endpoint": kube.host,
        "masterAuth": {
            "clusterCaCertificate": kube.ca,
            "clientCertificate": "",
            "clientKey": "",
            "clientCertificateConfig": {"issueClientCertificate": False},
        },
        "masterVersion": version,
        "nodeVersion": version,
        "selfLink": f"https://container.googleapis.com/v1/{path}",
        "servicesIpv4Cidr": "34.118.224.0/20",
        "labelFingerprint": short(path, 8),
        "operation": "",
    }


def refuse_pool(request: Request) -> Iterator[str]:
    """Yield what stands against making a node pool."""
    cluster = _cluster_of(request)
    location = request.inputs.get("location")
    if location not in (None, cluster.outputs["location"]):
        yield f"Not found: cluster {cluster.name} in {location}"
    name = request.inputs["name"]
    key = f"gcp/{cluster.outputs['name']}/{name}"
    if not request.id and key in {pool.key for pool in request.state.pools()}:
        yield f"Already exists: node pool {name}"


def answer_pool(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a node pool is called and says."""
    cluster, inputs = _cluster_of(request), request.inputs
    name = inputs["name"]
    version = inputs.get("version", cluster.outputs["masterVersion"])
    (pool,) = pools_of_pool(request, "")
    effects = {"NoSchedule": "NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
    return f"{cluster.id}/nodePools/{name}", {
        "name": name,
        "project": cluster.outputs["project"],
        "location": cluster.outputs["location"],
        "version": version,
        "nodeLocations": pool.zones,
        "instanceGroupUrls": [
            f"https://www.googleapis.com/compute/v1/projects/{cluster.outputs['project']}/zones/"
            f"{zone}/instanceGroupManagers/gke-{cluster.outputs['name']}-{name}"
            for zone in pool.zones
        ],
        "managedInstanceGroupUrls": [],
        "nodeConfig": {
            **(inputs.get("nodeConfig") or {}),
            "machineType": pool.machine,
            "effectiveTaints": [
                {**taint, "effect": effects.get(taint["effect"], "PREFER_NO_SCHEDULE")}
                for taint in pool.taints
            ],
        },
        "operation": "",
    }


def pools_of_pool(request: Request, _: str) -> list[Pool]:
    """Return the nodes that a node pool stands for."""
    cluster, inputs = _cluster_of(request), request.inputs
    location = cluster.outputs["location"]
    zones = sorted(inputs.get("nodeLocations") or cluster.outputs["nodeLocations"])
    count = inputs.get("initialNodeCount", 0) * len(zones)
    sizes = inputs.get("autoscaling")
    if sizes:
        low = sizes.get("totalMinNodeCount") or sizes.get("minNodeCount", 0) * len(zones)
        high = sizes.get("totalMaxNodeCount") or sizes.get("maxNodeCount", 0) * len(zones)
        count = min(count, high)
    else:
        if "nodeCount" in inputs:
            count = inputs["nodeCount"] * len(zones)
        low = high = count
    return [
        _pool(
            request,
            (cluster.outputs["name"], location, zones),
            inputs["name"],
            inputs.get("nodeConfig") or {},
            (count, low, high),
        )
    ]


def pools_of_cluster(request: Request, _: str) -> list[Pool]:
    """Return the default pool of a cluster that keeps it."""
    inputs = request.inputs
    if inputs.get("removeDefaultNodePool") or inputs.get("enableAutopilot"):
        return []
    location = inputs["location"]
    zones = _zones(location, inputs)
    count = inputs["initialNodeCount"] * len(zones)
    config = inputs.get("nodeConfig") or {}
    sizes = (count, count, count)
    return [_pool(request, (inputs["name"], location, zones), "default-pool", config, sizes)]


def _pool(
    request: Request,
    place: tuple[str, str, list[str]],
    name: str,
    config: Inputs,
    sizes: tuple[int, int, int],
) -> Pool:
    cluster, location, zones = place
    machine = config.get("machineType", "e2-medium")
    accelerator = next(iter(config.get("guestAccelerators") or []), None)
    labels = dict(config.get("labels") or {})
    effects = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute"}
    taints = [
        {
            "key": taint["key"],
            "value": taint["value"],
            "effect": effects.get(taint["effect"], "PreferNoSchedule"),
        }
        for taint in config.get("taints") or []
    ]
    # docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms
    spot = bool(config.get("spot"))
    flexible = bool(config.get("flexStart"))
    labels |= {
        "cloud.google.com/gke-nodepool": name,
        **({"cloud.google.com/gke-spot": "true"} if spot else {}),
        **({"cloud.google.com/gke-provisioning": "spot"} if spot else {}),
        **({"cloud.google.com/gke-flex-start": "true"} if flexible else {}),
        **({"cloud.google.com/gke-preemptible": "true"} if config.get("preemptible") else {}),
    }
    if workload_identity(config):
        labels["iam.gke.io/gke-metadata-server-enabled"] = "true"
    key = f"gcp/{cluster}/{name}"
    gpus, need = 0, ""
    if accelerator:
        labels["cloud.google.com/gke-accelerator"] = accelerator["type"]
        gpus = accelerator["count"]
        part = accelerator.get("gpuPartitionSize")
        if part:
            labels["cloud.google.com/gke-gpu-partition-size"] = part
            gpus *= machines.MIG[accelerator["type"]][part]
        sharing = accelerator.get("gpuSharingConfig")
        if sharing:
            clients = sharing["maxSharedClientsPerGpu"]
            labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(clients)
            strategy = sharing["gpuSharingStrategy"].lower().replace("_", "-")
            labels["cloud.google.com/gke-gpu-sharing-strategy"] = strategy
            gpus *= clients
        driver = wire.at(accelerator, "gpuDriverInstallationConfig.gpuDriverVersion")
        if driver:
            shown = "disabled" if driver == "INSTALLATION_DISABLED" else driver.lower()
            labels["cloud.google.com/gke-gpu-driver-version"] = shown
        need = "driver-installer" if driver == "INSTALLATION_DISABLED" else ""
        # docs.cloud.google.com/kubernetes-engine/docs/how-to/gpus: only if the cluster already
        # has a pool without GPUs; an existing pool keeps what it has.
        plain = any(
            pool.cloud == "gcp" and pool.cluster == cluster and not pool.gpus and pool.key != key
            for pool in request.state.pools()
        )
        had = next((pool for pool in request.state.pools() if pool.key == key), None)
        added = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
        declared = any(taint["key"] == "nvidia.com/gpu" for taint in taints)
        if not declared and (plain if had is None else added in had.taints):
            taints.append(added)
    count, low, high = sizes
    region = location if not re.fullmatch(r".*-[a-z]", location) else location.rpartition("-")[0]
    arm = machine.startswith(("t2a-", "c4a-", "a4x-"))
    if arm and not any(taint["key"] == "kubernetes.io/arch" for taint in taints):
        # docs.cloud.google.com/kubernetes-engine/docs/how-to/prepare-arm-workloads-for-deployment
        taints.append({"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"})
    return Pool(
        key=key,
        cloud="gcp",
        cluster=cluster,
        name=name,
        initial=max(count, low),
        minimum=low,
        maximum=high,
        zones=zones,
        region=region,
        labels=labels,
        taints=taints,
        machine=machine,
        gpus=gpus,
        gpus_need=need,
        architecture="arm64" if arm else "amd64",
    )


def workload_identity(config: Inputs) -> bool:
    """Tell whether nodes serve GKE's metadata to pods."""
    return wire.at(config, "workloadMetadataConfig.mode") == "GKE_METADATA"


def configure(given: dict[str, Any]) -> dict[str, Any]:
    """Return project, region and zone."""
    project = given.get("project") or os.environ.get("GOOGLE_PROJECT")
    return {**given, "project": project or os.environ.get("GOOGLE_CLOUD_PROJECT")}


def echo(type_: str) -> Kind:
    """Return a type that is taken as it comes."""
    return Kind(answer=_echoed, autoname=False)


def _echoed(request: Request) -> tuple[str, dict[str, Any]]:
    inputs, kind = request.inputs, request.type.rsplit(":", 1)[-1]
    project = inputs.get("project") or request.config.get("project") or "project"
    name = inputs.get("name") or inputs.get("accountId") or inputs.get("repositoryId")
    name = name or f"{request.name}-{short(request.urn, 7)}"
    collection = f"{kind[0].lower()}{kind[1:]}s"
    scope = inputs.get("region") or inputs.get("location") or inputs.get("zone") or "global"
    path = request.id or f"projects/{project}/{scope}/{collection}/{last(name)}"
    common = {
        "id": path,
        "name": name,
        "project": project,
        "selfLink": f"https://www.googleapis.com/v1/{path}",
        "etag": short(path),
        "number": NUMBER,
        "projectNumber": NUMBER,
    }
    special: dict[str, dict[str, Any]] = {}
    if kind == "Account":
        email = f"{inputs.get('accountId')}@{project}.iam.gserviceaccount.com"
        special[kind] = {
            "email": email,
            "member": f"serviceAccount:{email}",
            "name": f"projects/{project}/serviceAccounts/{email}",
            "uniqueId": "1" + NUMBER,
        }
        path = request.id or special[kind]["name"]
        common["id"] = path
    if kind == "Bucket":
        special[kind] = {"url": f"gs://{name}"}
        path = request.id or str(name)
        common["id"] = path
    made = {key: value for key, value in common.items() if key not in inputs}
    return path, {**made, **special.get(kind, {})}


def _client(args: dict[str, Any], config: dict[str, Any], state: CloudState) -> dict[str, Any]:
    return {
        "accessToken": "none",
        "id": "client",
        "project": config.get("project"),
        "region": config.get("region"),
        "zone": config.get("zone"),
    }


def _get_project(args: dict[str, Any], config: dict[str, Any], state: CloudState) -> dict[str, Any]:
    project = args.get("projectId") or config.get("project")
    return {"projectId": project, "id": f"projects/{project}", "number": NUMBER, "name": project}


def _get_zones(args: dict[str, Any], config: dict[str, Any], state: CloudState) -> dict[str, Any]:
    region = args.get("region") or config.get("region")
    return {"id": region, "names": [f"{region}-{zone}" for zone in "abc"], "region": region}


INVOKES = {
    "gcp:organizations/getClientConfig:getClientConfig": _client,
    "gcp:organizations/getProject:getProject": _get_project,
    "gcp:compute/getZones:getZones": _get_zones,
}

_ACCELERATOR = "nodeConfig.guestAccelerators"
KINDS = {
    CLUSTER: Kind(
        check=check_cluster,
        refuse=refuse_cluster,
        hold=hold_cluster,
        answer=answer_cluster,
        pools=pools_of_cluster,
        # ForceNew of resource_container_cluster.go, from memory for most: not verified, but for
        # name, location, project, network, subnetwork, which the API cannot change.
        immutable=(
            "name",
            "location",
            "project",
            "network",
            "subnetwork",
            "initialNodeCount",
            "enableAutopilot",
            "ipAllocationPolicy",
            "datapathProvider",
            "nodeConfig",
            "defaultMaxPodsPerNode",
            "confidentialNodes",
        ),
    ),
    POOL: Kind(
        check=check_pool,
        refuse=refuse_pool,
        answer=answer_pool,
        pools=pools_of_pool,
        # ForceNew in hashicorp/terraform-provider-google google/services/container/
        # resource_container_node_pool.go (schemaNodePool) and node_config.go (schemaNodeConfig).
        # Not there, so changed in place: machineType, diskSizeGb, diskType, imageType, labels,
        # taints, tags, resourceLabels, workloadMetadataConfig, kubeletConfig, linuxNodeConfig,
        # autoscaling, management, upgradeSettings, nodeLocations.
        immutable=(
            "cluster",
            "initialNodeCount",
            "location",
            "maxPodsPerNode",
            "name",  # the part of the schema that says so was not read; the API cannot rename
            "namePrefix",
            "placementPolicy",
            "project",
            "queuedProvisioning",
            _ACCELERATOR,
            "nodeConfig.advancedMachineFeatures",
            "nodeConfig.bootDiskKmsKey",
            "nodeConfig.confidentialNodes",
            "nodeConfig.enableConfidentialStorage",
            "nodeConfig.ephemeralStorageLocalSsdConfig",
            "nodeConfig.flexStart",  # not verified: newer than the file that was read
            "nodeConfig.gcfsConfig",
            "nodeConfig.gvnic",
            "nodeConfig.hostMaintenancePolicy",
            "nodeConfig.localNvmeSsdBlockConfig",
            "nodeConfig.localSsdCount",
            "nodeConfig.maxRunDuration",  # not verified: newer than the file that was read
            "nodeConfig.metadata",
            "nodeConfig.minCpuPlatform",
            "nodeConfig.nodeGroup",
            "nodeConfig.oauthScopes",
            "nodeConfig.preemptible",
            "nodeConfig.reservationAffinity",
            "nodeConfig.secondaryBootDisks",
            "nodeConfig.serviceAccount",
            "nodeConfig.shieldedInstanceConfig",
            "nodeConfig.soleTenantConfig",
            "nodeConfig.spot",
        ),
    ),
}
