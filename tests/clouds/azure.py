"""Azure: AKS strictly, everything else echoed."""

import base64
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.clouds import machines, model, wire
from tests.clouds.common import label_problems, ordered, required, whole
from tests.clouds.kube import Kube
from tests.clouds.model import KUBECONFIG, Inputs, Kind, Pool, Problem, RefusedError, Request, short
from tests.clouds.model import State as CloudState

CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
PRIORITY = "kubernetes.azure.com/scalesetpriority"
OWN = "kubernetes.azure.com"
POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
TAINT = re.compile(r"([^=:\s]+)=([^=:\s]*):(NoSchedule|PreferNoSchedule|NoExecute)")
TENANT = "00000000-0000-0000-0000-000000000002"

NEWER: dict[str, dict[str, str]] = {
    # In pulumi-azure-native 3.29 (REST 2025-09-01), and newer than azure-mgmt-containerservice
    # 34.2 (REST 2025-01-01): from the signatures of pulumi_azure_native.containerservice.
    "AgentPool": {
        "gatewayProfile": "{object}",
        "localDNSProfile": "{object}",
        "podIPAllocationMode": "str",
        "virtualMachinesProfile": "{object}",
        "virtualMachineNodesStatus": "[object]",
    },
    "ManagedClusterAgentPoolProfile": {
        "gatewayProfile": "{object}",
        "localDNSProfile": "{object}",
        "podIPAllocationMode": "str",
        "virtualMachinesProfile": "{object}",
        "virtualMachineNodesStatus": "[object]",
    },
    "ManagedCluster": {
        "aiToolchainOperatorProfile": "{object}",
        "nodeProvisioningProfile": "{object}",
        "kind": "str",
    },
    "AgentPoolUpgradeSettings": {"maxUnavailable": "str", "undrainableNodeBehavior": "str"},
}

SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


@cache
def _models() -> Any:
    from azure.mgmt.containerservice.v2025_01_01 import models  # one cloud's only

    return models


@cache
def _fields(name: str) -> dict[str, tuple[str, tuple[str, ...], bool, bool]]:
    """Return what Azure's SDK knows of a model: name in REST -> type, enum, read-only, required.

    The enum of a string is named in the class's documentation only.
    """
    kind: Any = getattr(_models(), name)
    found = {}
    for attribute, spec in kind._attribute_map.items():
        rules = kind._validation.get(attribute, {})
        pattern = rf":vartype {attribute}:\s+(?:list\[)?(?:str or)?\s*~[\w.]+\.(\w+)"
        named = re.search(pattern, kind.__doc__ or "")
        enum: Any = getattr(_models(), named[1], None) if named else None
        values = tuple(one.value for one in enum) if hasattr(enum, "__members__") else ()
        rest = spec["key"].rsplit(".", 1)[-1].replace("\\", "")
        # As azure-native writes the names that the API spells with hyphens.
        rest = re.sub("-([a-z])", lambda found: found[1].upper(), rest)
        found[rest] = (
            spec["type"],
            values,
            rules.get("readonly", False),
            rules.get("required", False),
        )
    for rest, type_ in NEWER.get(name, {}).items():
        found.setdefault(rest, (type_, (), False, False))
    return found


def _model_problems(name: str, value: Any, path: str = "") -> Iterator[Problem]:
    """Walk a model: names, types, enums, what is read-only and what is required."""
    if value is wire.UNKNOWN:
        return
    if not isinstance(value, dict):
        yield Problem(path, f"{value!r} is no {name}")
        return
    fields = _fields(name)
    for key, item in value.items():
        below = f"{path}.{key}" if path else key
        if key not in fields:
            yield Problem(below, f"Azure's API has no such field in {name}")
            continue
        type_, values, readonly, _ = fields[key]
        if readonly:
            yield Problem(below, "is read-only")
        else:
            yield from _value_problems(type_, values, item, below)
    for key, (_, _, readonly, needed) in fields.items():
        if needed and not readonly and value.get(key) is None:
            yield Problem(f"{path}.{key}" if path else key, "is required")


def _value_problems(type_: str, values: tuple[str, ...], item: Any, path: str) -> Iterator[Problem]:
    """Walk a value of a type as Azure's SDK writes it: [str], {str}, int, AgentPool, …"""
    if item is wire.UNKNOWN:
        return
    holder = {"[": list, "{": dict}.get(type_[0])
    if holder:
        if not isinstance(item, holder):
            yield Problem(path, f"{item!r} is no {holder.__name__}")
            return
        pairs = enumerate(item) if isinstance(item, list) else item.items()
        for key, one in pairs:
            yield from _value_problems(type_[1:-1], values, one, model.below(path, key))
    elif type_ in SCALARS:
        wrong = isinstance(item, bool) and type_ in ("int", "float", "str")
        if wrong or not isinstance(item, SCALARS[type_]):
            yield Problem(path, f"{item!r} is no {type_}")
        elif values and item not in values:
            yield Problem(path, f"{item!r} is none of {', '.join(values)}")
    elif hasattr(getattr(_models(), type_, None), "_attribute_map"):
        yield from _model_problems(type_, item, path)


def check_pool(inputs: Inputs) -> Iterator[Problem]:
    """Yield what AKS would refuse of an agent pool by itself."""
    outside = {"resourceGroupName", "resourceName", "agentPoolName"}
    yield from required(inputs, sorted(outside))
    body = {key: value for key, value in inputs.items() if key not in outside}
    yield from _model_problems("AgentPool", body)
    yield from _pool_problems(body, inputs.get("agentPoolName"), "", "agentPoolName")


def _pool_problems(body: Inputs, name: Any, prefix: str, name_path: str) -> Iterator[Problem]:
    """Yield what goes for pools of their own and for those inside a cluster."""
    if isinstance(name, str) and not POOL_NAME.fullmatch(name):
        # azure-mgmt-containerservice 34.2, AgentPoolsOperations.begin_create_or_update
        yield Problem(name_path, f"{name!r} does not match ^[a-z][a-z0-9]{{0,11}}$")
    for problem in (
        *_size_problems(body),
        *_spot_problems(body),
        *_vm_problems(body),
        *_label_and_taint_problems(body),
    ):
        yield Problem(f"{prefix}{problem.path}", problem.reason)


def _size_problems(body: Inputs) -> Iterator[Problem]:
    scaled = body.get("enableAutoScaling") is True
    limits = [key for key in ("minCount", "maxCount") if key in body]
    if limits and not body.get("enableAutoScaling"):
        yield Problem(limits[0], "needs enableAutoScaling")
    if scaled:
        yield from required({**body, "minCount": body.get("minCount", "")}, ["minCount"])
        yield from required(body, ["maxCount"])
        sizes = {key: body[key] for key in ("minCount", "count", "maxCount") if key in body}
        yield from ordered(sizes)
    system = body.get("mode") == "System"
    least = "minCount" if scaled else "count"
    number = whole(body.get(least))
    if system and number is not None and number < 1:
        yield Problem(least, "a System pool has at least one node")
    for key in ("minCount", "count", "maxCount"):
        number = whole(body.get(key))
        if number is not None and not 0 <= number <= 1000:
            yield Problem(key, f"{number} is not within 0..1000")


def _spot_problems(body: Inputs) -> Iterator[Problem]:
    """Spot: MicrosoftDocs/azure-aks-docs articles/aks/spot-node-pool.md."""
    priority = body.get("scaleSetPriority", "Regular")
    if priority is wire.UNKNOWN:
        return
    spot = priority == "Spot"
    if spot and body.get("mode") == "System":
        yield Problem("scaleSetPriority", "a System pool cannot be Spot")
    if not spot:
        for key in ("scaleSetEvictionPolicy", "spotMaxPrice"):
            if key in body:
                yield Problem(key, "is for Spot only")
    else:
        yield from _price_problems(body.get("spotMaxPrice"))
    if spot and wire.at(body, "upgradeSettings.maxSurge"):
        yield Problem("upgradeSettings.maxSurge", "Spot pools have no surge")
    if spot and body.get("capacityReservationGroupID"):
        yield Problem("capacityReservationGroupID", "Spot cannot use a reservation")


def _price_problems(price: Any) -> Iterator[Problem]:
    if not isinstance(price, int | float) or price == -1:
        return
    if price <= 0:
        yield Problem("spotMaxPrice", f"{price} is neither -1 nor above 0")
    elif len(f"{price:.12f}".rstrip("0").partition(".")[2]) > 5:
        yield Problem("spotMaxPrice", f"{price} has more than five decimals")


def _vm_problems(body: Inputs) -> Iterator[Problem]:
    """GPUs: MicrosoftDocs/azure-aks-docs articles/aks/use-nvidia-gpu.md."""
    size = body.get("vmSize")
    if size is wire.UNKNOWN or body.get("virtualMachinesProfile"):
        return
    if not size:
        yield Problem("vmSize", "is required")
        return
    if not isinstance(size, str):
        return
    gpus = machines.AKS.get(size, 0)
    if not gpus and not machines.AKS_PLAIN.fullmatch(size):
        yield Problem("vmSize", f"{size!r} is no VM size")
    yield from _gpu_problems(body, size, gpus)
    disk = whole(body.get("osDiskSizeGB"))
    if disk is not None and (disk > 2048 or 0 < disk < 30):
        yield Problem("osDiskSizeGB", f"{disk} is neither 0 nor within 30..2048")


def _gpu_problems(body: Inputs, size: str, gpus: int) -> Iterator[Problem]:
    if gpus and ("A100" in size or "H100" in size) and body.get("osSKU") == "AzureLinux":
        yield Problem("osSKU", f"{size} does not run Azure Linux")
    if gpus and body.get("osType") == "Windows":
        yield Problem("osType", f"{size} on Windows is not simulated")
    for key in ("gpuInstanceProfile", "gpuProfile"):
        if body.get(key) and not gpus:
            yield Problem(key, f"{size} has no GPU")
    if body.get("gpuInstanceProfile") and ("_T4_" in size or "_A10_" in size):
        yield Problem("gpuInstanceProfile", f"{size} cannot be partitioned")


def _label_and_taint_problems(body: Inputs) -> Iterator[Problem]:
    labels = body.get("nodeLabels")
    yield from label_problems(labels, "nodeLabels")
    for key, value in (labels or {}).items() if isinstance(labels, dict) else ():
        domain = key.rpartition("/")[0]
        if domain == OWN and (key, value) != (PRIORITY, "spot"):
            # learn.microsoft.com/azure/aks/use-labels#reserved-system-labels
            yield Problem(model.below("nodeLabels", key), f"{OWN} is reserved")
    for index, taint in enumerate(body.get("nodeTaints") or []):
        if isinstance(taint, str) and not TAINT.fullmatch(taint):
            yield Problem(f"nodeTaints.{index}", f"{taint!r} is not key=value:Effect")


def check_cluster(inputs: Inputs) -> Iterator[Problem]:
    """Yield what AKS would refuse of a cluster."""
    yield from required(inputs, ["resourceGroupName", "location"])
    outside = {"resourceGroupName", "resourceName"}
    body = {key: value for key, value in inputs.items() if key not in outside}
    identity = body.get("identity")
    if isinstance(identity, dict) and isinstance(identity.get("userAssignedIdentities"), list):
        # A list of ids in Pulumi, a map in REST.
        names = {one: {} for one in identity["userAssignedIdentities"] if isinstance(one, str)}
        body["identity"] = {**identity, "userAssignedIdentities": names}
    yield from _model_problems("ManagedCluster", body)
    if not isinstance(identity, dict) and "servicePrincipalProfile" not in body:
        yield Problem("identity", "an identity or a service principal is required")
    pools = body.get("agentPoolProfiles")
    if not isinstance(pools, list):
        yield Problem("agentPoolProfiles", "at least one System pool is required")
        return
    if not any(isinstance(one, dict) and one.get("mode") == "System" for one in pools):
        yield Problem("agentPoolProfiles", "at least one System pool is required")
    for index, one in enumerate(pools):
        if isinstance(one, dict):
            prefix = f"agentPoolProfiles.{index}."
            yield from _pool_problems(one, one.get("name"), prefix, f"{prefix}name")
    workload = wire.at(body, "securityProfile.workloadIdentity.enabled")
    issuer = wire.at(body, "oidcIssuerProfile.enabled")
    if workload is True and issuer is not True:
        yield Problem("oidcIssuerProfile", "workload identity needs the issuer")


def _subscription(request: Request) -> str:
    return request.config["subscriptionId"]


def _cluster_of(request: Request) -> Any:
    inputs = request.inputs
    found = request.state.find(
        CLUSTER, name=inputs["resourceName"], resourceGroupName=inputs["resourceGroupName"]
    )
    if found is None:
        raise RefusedError(
            f"ParentResourceNotFound: managed cluster {inputs['resourceName']!r} in "
            f"resource group {inputs['resourceGroupName']!r}"
        )
    return found


def refuse_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against making a cluster."""
    name, group = request.inputs["resourceName"], request.inputs["resourceGroupName"]
    if not request.state.find("azure-native:resources:ResourceGroup", name=group):
        yield f"ResourceGroupNotFound: {group!r}"
    if not request.id and request.state.find(CLUSTER, name=name, resourceGroupName=group):
        yield f"cannot create already existing resource {name!r}"


def answer_cluster(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a cluster is called and says."""
    inputs, kube = request.inputs, Kube(Path(os.environ[KUBECONFIG]))
    group, name = inputs["resourceGroupName"], inputs["resourceName"]
    location = inputs["location"]
    scope = f"/subscriptions/{_subscription(request)}/resourceGroups"
    id_ = f"{scope}/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
    nodes = inputs.get("nodeResourceGroup", f"MC_{group}_{name}_{location}")
    agent = (
        f"{scope}/{nodes}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
        f"{name}-agentpool"
    )
    made: dict[str, Any] = {
        "name": name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "fqdn": kube.host,
        "azurePortalFQDN": kube.host,
        "currentKubernetesVersion": inputs.get("kubernetesVersion", "1.36.3"),
        "nodeResourceGroup": nodes,
        "identityProfile": {
            "kubeletidentity": {
                "clientId": _uuid(f"{id_} client"),
                "objectId": _uuid(f"{id_} object"),
                "resourceId": agent,
            }
        },
        "maxAgentPools": 100,
        "oidcIssuerProfile": {
            "enabled": False,
            **(inputs.get("oidcIssuerProfile") or {}),
            "issuerURL": f"https://{location}.oic.prod-aks.azure.com/{TENANT}/{_uuid(id_)}/",
        },
    }
    if "identity" in inputs:
        made["identity"] = {
            "type": wire.at(inputs, "identity.type"),
            "principalId": _uuid(f"{id_} principal"),
            "tenantId": TENANT,
        }
    return id_, made


FIXED = (
    # What the provider tries to update and AKS refuses: "Changing property ... is not allowed"
    # (articles/aks/spot-node-pool.md for the first three, use-multiple-node-pools.md; the others
    # not verified).
    "scaleSetPriority",
    "scaleSetEvictionPolicy",
    "spotMaxPrice",
    "availabilityZones",
    "osDiskSizeGB",
    "osDiskType",
    "osType",
    "vnetSubnetID",
    "kubeletConfig",
    "linuxOSConfig",
)


def refuse_pool(request: Request) -> Iterator[str]:
    """Yield what stands against making an agent pool."""
    _cluster_of(request)
    key = _key(request, request.inputs["agentPoolName"])
    if not request.id and key in {pool.key for pool in request.state.pools()}:
        yield f"cannot create already existing resource {request.inputs['agentPoolName']!r}"
    before = request.state.load(POOL, request.id) if request.id else None
    for key in FIXED if before else ():
        usual = {"osType": "Linux", "scaleSetPriority": "Regular"}.get(key)
        if before and before.inputs.get(key, usual) != request.inputs.get(key, usual):
            yield f"PropertyChangeNotAllowed: changing {key} of an agent pool is not allowed"


def answer_pool(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what an agent pool is called and says."""
    inputs, cluster = request.inputs, _cluster_of(request)
    (pool,) = pools_of_pool(request, "")
    made: dict[str, Any] = {
        "name": inputs["agentPoolName"],
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202601.01.0",
        "currentOrchestratorVersion": cluster.outputs["currentKubernetesVersion"],
    }
    if inputs.get("scaleSetPriority") == "Spot":
        # They come back, and count as a difference for who does not declare them.
        made["nodeTaints"] = [f"{one['key']}={one['value']}:{one['effect']}" for one in pool.taints]
        made["nodeLabels"] = {**(inputs.get("nodeLabels") or {}), PRIORITY: "spot"}
    return f"{cluster.id}/agentPools/{inputs['agentPoolName']}", made


def _key(request: Request, name: str) -> str:
    group, cluster = request.inputs["resourceGroupName"], request.inputs["resourceName"]
    return f"azure/{group}/{cluster}/{name}"


def pools_of_pool(request: Request, _: str) -> list[Pool]:
    """Return the nodes that an agent pool stands for."""
    inputs = request.inputs
    found = request.state.find(
        CLUSTER, name=inputs["resourceName"], resourceGroupName=inputs["resourceGroupName"]
    )
    location = found.outputs["location"] if found else "nowhere"
    nodes = found.outputs["nodeResourceGroup"] if found else ""
    return [_pool(request, inputs, inputs["agentPoolName"], location, nodes)]


def pools_of_cluster(request: Request, _: str) -> list[Pool]:
    """Return the nodes that a cluster's own pools stand for."""
    inputs = request.inputs
    location, group = inputs["location"], inputs["resourceGroupName"]
    default = f"MC_{group}_{inputs['resourceName']}_{location}"
    nodes = inputs.get("nodeResourceGroup", default)
    return [
        _pool(request, one, one["name"], location, nodes) for one in inputs["agentPoolProfiles"]
    ]


def _pool(request: Request, body: Inputs, name: str, location: str, nodes: str) -> Pool:
    size = body["vmSize"]
    spot = body.get("scaleSetPriority") == "Spot"
    taints = []
    for text in body.get("nodeTaints") or []:
        found = TAINT.fullmatch(text)
        assert found, text
        taints.append({"key": found[1], "value": found[2], "effect": found[3]})
    if spot and not any(taint["key"] == PRIORITY for taint in taints):
        taints.append({"key": PRIORITY, "value": "spot", "effect": "NoSchedule"})
    count = body.get("count", 1)
    scaled = body.get("enableAutoScaling") is True
    low, high = (body["minCount"], body["maxCount"]) if scaled else (count, count)
    gpus = machines.AKS.get(size, 0)
    if body.get("gpuInstanceProfile"):
        gpus *= machines.AKS_MIG[body["gpuInstanceProfile"]]
    zones = [f"{location}-{zone}" for zone in sorted(body.get("availabilityZones") or [])]
    own_driver = wire.at(body, "gpuProfile.driver") == "None"
    return Pool(
        key=_key(request, name),
        cloud="azure",
        cluster=request.inputs["resourceName"],
        name=name,
        initial=max(min(count, high), low) if "count" in body else low,
        minimum=low,
        maximum=high,
        zones=zones or ["0"],
        region=location,
        labels={
            **(body.get("nodeLabels") or {}),
            # learn.microsoft.com/azure/aks/use-labels
            "agentpool": name,
            f"{OWN}/agentpool": name,
            f"{OWN}/cluster": nodes,
            f"{OWN}/mode": str(body.get("mode", "User")).lower(),
            f"{OWN}/role": "agent",
            **({PRIORITY: "spot"} if spot else {}),
        },
        taints=taints,
        machine=size,
        gpus=gpus,
        gpus_need=("gpu-operator" if own_driver else "device-plugin") if gpus else "",
    )


def configure(given: dict[str, Any]) -> dict[str, Any]:
    """Return the subscription and the default location."""
    subscription = given.get("subscriptionId") or os.environ.get("ARM_SUBSCRIPTION_ID")
    if not subscription:
        raise RefusedError("no subscription: set azure-native:subscriptionId")
    return {**given, "subscriptionId": subscription}


def echo(type_: str) -> Kind:
    """Return a type that is taken as it comes."""
    kind = type_.rsplit(":", 1)[-1]
    # Azure has no autonaming of its own for these: what is not named gets a made-up name, in the
    # output only.
    immutable = ("resourceGroupName", "location") if kind != "RoleAssignment" else ("principalId",)
    return Kind(answer=_echoed, autoname=False, immutable=immutable)


NAMES = {
    "ResourceGroup": "resourceGroupName",
    "VirtualNetwork": "virtualNetworkName",
    "Subnet": "subnetName",
    "StorageAccount": "accountName",
    "Registry": "registryName",
    "Vault": "vaultName",
    "RoleAssignment": "roleAssignmentName",
    "FederatedIdentityCredential": "federatedIdentityCredentialResourceName",
    "UserAssignedIdentity": "resourceName",
    "Workspace": "workspaceName",
}
"""The input that names a resource, where it is not derived from the type's name."""


def _echoed(request: Request) -> tuple[str, dict[str, Any]]:
    inputs = request.inputs
    _, module, kind = request.type.split(":")
    own = NAMES.get(kind, f"{kind[0].lower()}{kind[1:]}Name")
    name = inputs.get(own) or f"{request.name}{short(request.urn, 8)}"
    scope = f"/subscriptions/{_subscription(request)}"
    if kind == "ResourceGroup":
        id_ = f"{scope}/resourceGroups/{name}"
    else:
        group = inputs.get("resourceGroupName", "group")
        space = module.split("/")[0]
        parent = "".join(
            f"/{key.removesuffix('Name')}s/{inputs[key]}"
            for key in ("virtualNetworkName", "accountName", "vaultName", "resourceName")
            if key in inputs and key != own
        )
        provider = f"providers/Microsoft.{space.capitalize()}"
        collection = f"{kind[0].lower()}{kind[1:]}s"
        id_ = f"{scope}/resourceGroups/{group}/{provider}{parent}/{collection}/{name}"
    id_ = request.id or id_
    common = {
        "id": id_,
        "name": name,
        "type": f"Microsoft.{module}/{kind}",
        "location": request.config.get("location", "nowhere"),
        "principalId": _uuid(f"{id_} principal"),
        "clientId": _uuid(f"{id_} client"),
        "tenantId": TENANT,
        "provisioningState": "Succeeded",
        "customerId": _uuid(id_),
        "loginServer": f"{name}.azurecr.io",
        "resourceGuid": _uuid(id_),
        "etag": short(id_),
    }
    if kind == "ResourceGroup":
        common["resourceGroupName"] = name
    return id_, {key: value for key, value in common.items() if key not in inputs}


def _uuid(text: str) -> str:
    made = short(text, 32)
    return "-".join((made[:8], made[8:12], made[12:16], made[16:20], made[20:]))


Arguments = dict[str, Any]


def _credentials(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    """Return a kubeconfig with the local administrator's certificate."""
    found = state.find(
        CLUSTER, name=args["resourceName"], resourceGroupName=args["resourceGroupName"]
    )
    if found is None:
        raise RefusedError(f"ResourceNotFound: managed cluster {args['resourceName']!r}")
    if found.inputs.get("disableLocalAccounts"):
        raise RefusedError("BadRequest: local accounts of the cluster are disabled")
    kube = Kube(Path(os.environ[KUBECONFIG]))
    certificate, key = (base64.b64encode(text.encode()).decode() for text in kube.client)
    name, user = args["resourceName"], f"clusterUser_{args['resourceGroupName']}"
    cluster = {"server": kube.server, "certificate-authority-data": kube.ca}
    credential = {"client-certificate-data": certificate, "client-key-data": key}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    text = base64.b64encode(json.dumps(kubeconfig).encode()).decode()
    return {"kubeconfigs": [{"name": "clusterUser", "value": text}]}


def _client(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    return {
        "clientId": "00000000-0000-0000-0000-000000000001",
        "objectId": _uuid("client"),
        "subscriptionId": config["subscriptionId"],
        "tenantId": TENANT,
    }


INVOKES = {
    "azure-native:containerservice:listManagedClusterUserCredentials": _credentials,
    "azure-native:containerservice:listManagedClusterAdminCredentials": _credentials,
    "azure-native:authorization:getClientConfig": _client,
}

KINDS = {
    CLUSTER: Kind(
        check=check_cluster,
        refuse=refuse_cluster,
        answer=answer_cluster,
        pools=pools_of_cluster,
        name="resourceName",
        # pulumi-azure-native provider/pkg/gen/replacement.go, and the path of the resource.
        immutable=(
            "resourceName",
            "resourceGroupName",
            "diskEncryptionSetID",
            "dnsPrefix",
            "fqdnSubdomain",
            "linuxProfile",
            "location",
            "nodeResourceGroup",
            "windowsProfile",
            *(
                f"networkProfile.{key}"
                for key in (
                    "serviceCidr",
                    "serviceCidrs",
                    "dnsServiceIP",
                    "networkMode",
                    "networkPlugin",
                    "networkPluginMode",
                    "podCidr",
                    "networkDataplane",
                    "networkPolicy",
                    "outboundType",
                )
            ),
        ),
    ),
    POOL: Kind(
        check=check_pool,
        refuse=refuse_pool,
        answer=answer_pool,
        pools=pools_of_pool,
        name="agentPoolName",
        # The provider makes up a name that AKS does not take (letters and digits, 12 at most):
        # left out here, so that a missing name is refused.
        autoname=False,
        # pulumi-azure-native provider/pkg/gen/replacement.go, and the path of the resource.
        immutable=(
            "agentPoolName",
            "resourceGroupName",
            "resourceName",
            "gpuInstanceProfile",
            "vmSize",
            "networkProfile.nodePublicIPTags",
        ),
    ),
}
