"""AWS: EKS and launch templates strictly, everything else echoed."""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.clouds import machines, wire
from tests.clouds.common import label_problems, last, moved, ordered, required
from tests.clouds.kube import Kube
from tests.clouds.model import (
    KUBECONFIG,
    Inputs,
    Kind,
    Pool,
    Problem,
    RefusedError,
    Request,
    below,
    short,
)
from tests.clouds.model import State as CloudState

ACCOUNT = "123456789012"
CLUSTER = "aws:eks/cluster:Cluster"
GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ADDON = "aws:eks/addon:Addon"
POD_IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
TAG = "aws:autoscaling/tag:Tag"
EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}
GPU_AMI = re.compile(r".*_NVIDIA(_FIPS)?|AL2_x86_64_GPU")
RESERVED = ("kubernetes.io", "k8s.io", "eks.amazonaws.com")
"""Domains that EKS keeps: "Label cannot contain reserved prefixes" (eksctl-io/eksctl#4007)."""


@cache
def _service(name: str) -> Any:
    """Return botocore's model of a service, without the rest of botocore."""
    from botocore import loaders, model  # one cloud's only

    return model.ServiceModel(loaders.create_loader().load_service_model(name, "service-2"))


def _api_problems(service: str, operation: str, request: dict[str, Any]) -> Iterator[Problem]:
    """Yield what AWS's own model does not take."""
    shape = _service(service).operation_model(operation).input_shape
    yield from _shape_problems(shape, _without_empty(request))


def _without_empty(value: Any) -> Any:
    """Return a request without empty maps and lists: Terraform's provider sends none."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item not in ({}, [])}


def _shape_problems(shape: Any, value: Any, path: str = "") -> Iterator[Problem]:
    """Walk a botocore shape: names, types, what is required, enums, limits and patterns."""
    if value is wire.UNKNOWN:
        return
    wanted = {
        "structure": dict,
        "map": dict,
        "list": list,
        "string": str,
        "timestamp": str,
        "boolean": bool,
        "integer": int,
        "long": int,
        "double": (int, float),
        "float": (int, float),
    }[shape.type_name]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        yield Problem(path, f"{value!r} is no {shape.type_name}")
        return
    match shape.type_name:
        case "structure":
            yield from _structure_problems(shape, value, path)
        case "map":
            for key, item in value.items():
                yield from _shape_problems(shape.value, item, below(path, key))
        case "list":
            for index, item in enumerate(value):
                yield from _shape_problems(shape.member, item, below(path, index))
        case "string":
            if shape.enum and value not in shape.enum:
                yield Problem(path, f"{value!r} is none of {', '.join(shape.enum)}")
    yield from _limit_problems(shape, value, path)


def _structure_problems(shape: Any, value: dict[str, Any], path: str) -> Iterator[Problem]:
    for key in sorted(set(value) - set(shape.members)):
        yield Problem(below(path, key), f"AWS's API has no such field in {shape.name}")
    for key in shape.required_members:
        if key not in value:
            yield Problem(below(path, key), "is required")
    for key, member in shape.members.items():
        if key in value:
            yield from _shape_problems(member, value[key], below(path, key))


def _limit_problems(shape: Any, value: Any, path: str) -> Iterator[Problem]:
    size = value if isinstance(value, int | float) else len(value)
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield Problem(path, f"{value!r} is not within {low}..{high}")
    pattern = shape.metadata.get("pattern")
    if pattern and isinstance(value, str):
        try:
            fits = re.search(f"^(?:{pattern})$", value)
        except re.error:  # a Java expression
            return
        if not fits:
            yield Problem(path, f"{value!r} does not match {pattern}")


def group_request(inputs: Inputs) -> dict[str, Any]:
    """Return CreateNodegroup of a node group's inputs."""
    made = moved(
        inputs,
        {
            "nodeGroupName": "nodegroupName",
            "nodeGroupNamePrefix": None,
            "nodeRoleArn": "nodeRole",
            "subnetIds": "subnets",
            "forceUpdateVersion": None,
            "region": None,
            "tagsAll": None,
        },
    )
    if "nodeGroupNamePrefix" in inputs:
        made["nodegroupName"] = inputs["nodeGroupNamePrefix"]
    if isinstance(made.get("remoteAccess"), dict):
        names = {"ec2SshKey": "ec2SshKey", "sourceSecurityGroupIds": "sourceSecurityGroups"}
        made["remoteAccess"] = moved(made["remoteAccess"], names)
    return made


def check_group(inputs: Inputs) -> Iterator[Problem]:
    """Yield what EKS would refuse of a node group by itself."""
    yield from required(inputs, ["clusterName", "nodeRoleArn", "subnetIds", "scalingConfig"])
    yield from _api_problems("eks", "CreateNodegroup", group_request(inputs))
    sizes = inputs.get("scalingConfig")
    if isinstance(sizes, dict):
        keys = ("minSize", "desiredSize", "maxSize")
        yield from required(inputs, [f"scalingConfig.{key}" for key in keys])
        yield from ordered({f"scalingConfig.{key}": sizes.get(key) for key in keys})
    template = inputs.get("launchTemplate")
    if template is not None and "diskSize" in inputs:
        yield Problem("diskSize", "belongs in the launch template")
    if isinstance(template, dict) and ("id" in template) == ("name" in template):
        yield Problem("launchTemplate", "needs either id or name")
    update = inputs.get("updateConfig")
    if isinstance(update, dict) and not ("maxUnavailable" in update) ^ (
        "maxUnavailablePercentage" in update
    ):
        yield Problem("updateConfig", "needs either maxUnavailable or maxUnavailablePercentage")
    yield from _group_label_problems(inputs)
    if inputs.get("capacityType") == "CAPACITY_BLOCK" and template is None:
        yield Problem("capacityType", "CAPACITY_BLOCK needs a launch template")
    types = inputs.get("instanceTypes")
    yield from instance_problems(types if isinstance(types, list) else [], inputs)


def _group_label_problems(inputs: Inputs) -> Iterator[Problem]:
    yield from label_problems(inputs.get("labels"), "labels")
    for key in inputs.get("labels") or {}:
        domain = key.rpartition("/")[0]
        if any(domain == one or domain.endswith(f".{one}") for one in RESERVED):
            yield Problem(
                below("labels", key), f"Label cannot contain reserved prefixes {RESERVED}"
            )


def instance_problems(types: list[Any], inputs: Inputs) -> Iterator[Problem]:
    """Yield what does not go together of instance types, image and kind of capacity."""
    ami, capacity = inputs.get("amiType"), inputs.get("capacityType", "ON_DEMAND")
    usage = {"ON_DEMAND": "on-demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity-block"}
    for index, one in enumerate(types):
        if one is wire.UNKNOWN:
            continue
        path = f"instanceTypes.{index}"
        known = machines.ec2().get(one)
        if known is None:
            yield Problem(path, f"{one!r} is no instance type")
            continue
        if ami not in (wire.UNKNOWN, "CUSTOM"):
            yield from _image_problems(one, ami or "AL2023_x86_64_STANDARD", known, path)
        if usage.get(capacity, "on-demand") not in known["SupportedUsageClasses"]:
            yield Problem(path, f"{one} cannot be had as {capacity}")


def _image_problems(one: str, ami: str, known: dict[str, Any], path: str) -> Iterator[Problem]:
    gpus = machines.ec2_gpus(one)
    if GPU_AMI.fullmatch(ami) and not gpus:
        yield Problem("amiType", f"{ami} is for GPUs, and {one} has none")
    if gpus and not GPU_AMI.fullmatch(ami):
        yield Problem("amiType", f"{ami} has no driver for the GPUs of {one}")
    architecture = "arm64" if "ARM_64" in ami else "x86_64"
    if architecture not in known["ProcessorInfo"]["SupportedArchitectures"]:
        yield Problem(path, f"{one} cannot run {ami}")


def cluster_request(inputs: Inputs) -> dict[str, Any]:
    """Return CreateCluster of a cluster's inputs."""
    made = moved(
        inputs,
        {
            "vpcConfig": "resourcesVpcConfig",
            "enabledClusterLogTypes": None,
            "encryptionConfig": None,
            "defaultAddonsToRemoves": None,
            "forceUpdateVersion": None,
            "region": None,
            "tagsAll": None,
        },
    )
    if "enabledClusterLogTypes" in inputs:
        setup = {"types": inputs["enabledClusterLogTypes"], "enabled": True}
        made["logging"] = {"clusterLogging": [setup]}
    if "encryptionConfig" in inputs:
        made["encryptionConfig"] = [inputs["encryptionConfig"]]
    return made


def check_cluster(inputs: Inputs) -> Iterator[Problem]:
    """Yield what EKS would refuse of a cluster."""
    yield from required(inputs, ["roleArn", "vpcConfig"])
    yield from _api_problems("eks", "CreateCluster", cluster_request(inputs))
    subnets = wire.at(inputs, "vpcConfig.subnetIds")
    if isinstance(subnets, list) and len(subnets) < 2:
        yield Problem("vpcConfig.subnetIds", "EKS needs subnets in at least two zones")


def check_addon(inputs: Inputs) -> Iterator[Problem]:
    """Yield what EKS would refuse of an add-on."""
    request = moved(
        inputs,
        {
            "resolveConflictsOnCreate": "resolveConflicts",
            "resolveConflictsOnUpdate": None,
            "preserve": None,
            "region": None,
            "tagsAll": None,
        },
    )
    yield from _api_problems("eks", "CreateAddon", request)
    if inputs.get("resolveConflictsOnCreate") == "PRESERVE":
        yield Problem("resolveConflictsOnCreate", "PRESERVE is for updates")
    values = inputs.get("configurationValues")
    if isinstance(values, str):
        try:
            fine = isinstance(yaml.safe_load(values), dict)
        except yaml.YAMLError:
            fine = False
        if not fine:
            yield Problem("configurationValues", "is neither JSON nor YAML")


def check_pod_identity(inputs: Inputs) -> Iterator[Problem]:
    """Yield what EKS would refuse of a pod identity association."""
    request = moved(inputs, {"region": None, "tagsAll": None})
    yield from _api_problems("eks", "CreatePodIdentityAssociation", request)


_EC2_NAMES = {
    "vpcSecurityGroupIds": "SecurityGroupIds",
    "securityGroupNames": "SecurityGroups",
    "ramDiskId": "RamDiskId",
    "networkInterfaces": "NetworkInterfaces",
    "securityGroups": "Groups",
}
_TEXT_BOOLEANS = {"DeleteOnTermination", "Encrypted", "EbsOptimized", "AssociatePublicIpAddress"}


def template_request(inputs: Inputs) -> dict[str, Any]:
    """Return CreateLaunchTemplate of a launch template's inputs."""
    own = {"name", "namePrefix", "description", "tags", "tagsAll", "region", "defaultVersion"}
    own |= {"updateDefaultVersion"}
    data = {key: value for key, value in inputs.items() if key not in own}
    made: dict[str, Any] = {
        "LaunchTemplateName": inputs.get("name") or inputs.get("namePrefix", "name"),
        "LaunchTemplateData": _pascal(data),
    }
    if "description" in inputs:
        made["VersionDescription"] = inputs["description"]
    return made


def _pascal(value: Any) -> Any:
    """Return inputs with EC2's names: as Pulumi's, but with a capital, and few exceptions."""
    if isinstance(value, list):
        return [_pascal(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        name = _EC2_NAMES.get(key, f"{key[0].upper()}{key[1:]}")
        if key == "tags" and isinstance(item, dict):
            made["Tags"] = [{"Key": one, "Value": text} for one, text in item.items()]
        elif name in _TEXT_BOOLEANS and item in ("true", "false"):
            made[name] = item == "true"
        else:
            made[name] = _pascal(item)
    return made


def check_template(inputs: Inputs) -> Iterator[Problem]:
    """Yield what EC2 would refuse of a launch template."""
    if "name" in inputs and "namePrefix" in inputs:
        yield Problem("namePrefix", "conflicts with name")
    for problem in _api_problems("ec2", "CreateLaunchTemplate", template_request(inputs)):
        parts = problem.path.removeprefix("LaunchTemplateData.").split(".")
        yield Problem(".".join(f"{one[0].lower()}{one[1:]}" for one in parts), problem.reason)
    one = inputs.get("instanceType")
    if isinstance(one, str) and one not in machines.ec2():
        yield Problem("instanceType", f"{one!r} is no instance type")
    market = wire.at(inputs, "instanceMarketOptions.marketType")
    target = wire.at(inputs, "capacityReservationSpecification.capacityReservationTarget")
    if market == "capacity-block" and not target:
        # docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html
        path = "capacityReservationSpecification.capacityReservationTarget"
        yield Problem(path, "a capacity block must be named")
    data = inputs.get("userData")
    if isinstance(data, str) and not re.fullmatch(r"[A-Za-z0-9+/=\s]*", data):
        yield Problem("userData", "must be in base64")


def check_tag(inputs: Inputs) -> Iterator[Problem]:
    """Yield what is wrong with the tag of an autoscaling group."""
    paths = ["autoscalingGroupName", "tag", "tag.key", "tag.value"]
    yield from required(inputs, paths)
    if not isinstance(wire.at(inputs, "tag.propagateAtLaunch"), bool):
        yield Problem("tag.propagateAtLaunch", "is required")


def _region(request: Request) -> str:
    return request.inputs.get("region") or request.config["region"]


def _arn(service: str, request: Request, rest: str) -> str:
    return f"arn:aws:{service}:{_region(request)}:{ACCOUNT}:{rest}"


def _cluster_of(request: Request) -> Any:
    name = request.inputs["clusterName"]
    found = request.state.find(CLUSTER, name=name)
    if found is None:
        raise RefusedError(f"ResourceNotFoundException: No cluster found for name: {name}.")
    return found


def refuse_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against making a cluster."""
    name = request.inputs["name"]
    if not request.id and request.state.find(CLUSTER, name=name):
        yield f"ResourceInUseException: Cluster already exists with name: {name}"


def hold_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against deleting a cluster."""
    name = request.inputs["name"]
    if any(pool.cloud == "aws" and pool.cluster == name for pool in request.state.pools()):
        yield "ResourceInUseException: Cluster has nodegroups attached"


def answer_cluster(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a cluster is called and says."""
    kube, name = Kube(Path(os.environ[KUBECONFIG])), request.inputs["name"]
    number, region = short(name, 32).upper(), _region(request)
    return name, {
        "name": name,
        "region": region,
        "arn": _arn("eks", request, f"cluster/{name}"),
        "clusterId": "",
        "endpoint": kube.server,
        "certificateAuthority": {"data": kube.ca},
        "certificateAuthorities": [{"data": kube.ca}],
        "identities": [
            {"oidcs": [{"issuer": f"https://oidc.eks.{region}.amazonaws.com/id/{number}"}]}
        ],
        "platformVersion": "eks.1",
        "status": "ACTIVE",
        "version": request.inputs.get("version", "1.36"),
        "createdAt": "2026-01-01 00:00:00 +0000 UTC",
        "vpcConfig": {
            "endpointPublicAccess": True,
            **(request.inputs.get("vpcConfig") or {}),
            "clusterSecurityGroupId": f"sg-{short(name, 17)}",
            "vpcId": f"vpc-{short(name, 17)}",
        },
    }


def _template_of(request: Request) -> dict[str, Any]:
    """Return the inputs of the launch template that a node group names.

    Raises:
        RefusedError: There is none.
    """
    wanted = request.inputs.get("launchTemplate")
    if not wanted:
        return {}
    found = request.state.find(
        TEMPLATE, **{key: wanted[key] for key in ("id", "name") if key in wanted}
    )
    if found is None:
        raise RefusedError(f"InvalidLaunchTemplateId.NotFound: {wanted}")
    version = str(wanted["version"])
    newest = found.outputs["latestVersion"]
    if version not in ("$Latest", "$Default") and not 1 <= int(version) <= newest:
        raise RefusedError(f"InvalidLaunchTemplateId.VersionNotFound: {version} of 1..{newest}")
    return found.inputs


def _types(request: Request) -> list[str]:
    """Return the instance types of a node group (t3.medium where nobody says)."""
    template = _template_of(request)
    named = [template["instanceType"]] if "instanceType" in template else []
    return request.inputs.get("instanceTypes") or named or ["t3.medium"]


def refuse_group(request: Request) -> Iterator[str]:
    """Yield what stands against making a node group.

    docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
    """
    inputs, cluster = request.inputs, _cluster_of(request)
    name, template = inputs["nodeGroupName"], _template_of(request)
    key = f"aws/{cluster.outputs['name']}/{name}"
    if not request.id and key in {pool.key for pool in request.state.pools()}:
        yield f"ResourceInUseException: NodeGroup already exists with name {name}"
    if "instanceType" in template and inputs.get("instanceTypes"):
        yield "Instance type must be in the launch template or in the node group, not in both"
    if "imageId" in template and inputs.get("amiType", "CUSTOM") != "CUSTOM":
        yield "amiType must not be given with an image in the launch template"
    if "iamInstanceProfile" in template:
        yield "the launch template must not name an instance profile"
    market = wire.at(template, "instanceMarketOptions.marketType")
    block = inputs.get("capacityType") == "CAPACITY_BLOCK"
    if block != (market == "capacity-block"):
        yield "CAPACITY_BLOCK goes with market type capacity-block in the launch template"
    if market == "spot":
        yield "spot is requested by the node group's capacityType, not by the launch template"
    if "imageId" not in template:
        for problem in instance_problems(_types(request), inputs):
            yield f"{problem.path}: {problem.reason}"


def answer_group(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a node group is called and says."""
    inputs, cluster = request.inputs, _cluster_of(request)
    name, owner = inputs["nodeGroupName"], cluster.outputs["name"]
    made: dict[str, Any] = {
        "arn": _arn("eks", request, f"nodegroup/{owner}/{name}/{short(name, 8)}"),
        "region": _region(request),
        "status": "ACTIVE",
        "resources": [{"autoscalingGroups": [{"name": _group_name(owner, name)}]}],
        "amiType": inputs.get("amiType", "AL2023_x86_64_STANDARD"),
        "capacityType": inputs.get("capacityType", "ON_DEMAND"),
        "instanceTypes": _types(request),
        "version": inputs.get("version", cluster.outputs["version"]),
        "releaseVersion": inputs.get("releaseVersion", "1.36.3-20260101"),
    }
    if "launchTemplate" not in inputs:
        made["diskSize"] = inputs.get("diskSize", 20)
    return f"{owner}:{name}", made


def _group_name(cluster: str, group: str) -> str:
    return f"eks-{group}-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{group}.{cluster}')}"


def pools_of_group(request: Request, _: str) -> list[Pool]:
    """Return the nodes that a node group stands for."""
    inputs, owner = request.inputs, request.inputs["clusterName"]
    name, sizes = inputs["nodeGroupName"], inputs["scalingConfig"]
    try:
        machine = _types(request)[0]
    except RefusedError:  # being deleted, its template gone already
        machine = "t3.medium"
    ami = inputs.get("amiType", "AL2023_x86_64_STANDARD")
    image = _ami_needs(ami)
    region = _region(request)
    taints = [
        {"key": one["key"], "value": one.get("value", ""), "effect": EFFECTS[one["effect"]]}
        for one in inputs.get("taints") or []
    ]
    return [
        Pool(
            key=f"aws/{owner}/{name}",
            cloud="aws",
            cluster=owner,
            name=name,
            initial=sizes["desiredSize"],
            minimum=sizes["minSize"],
            maximum=sizes["maxSize"],
            zones=_zones(request, region),
            region=region,
            labels={
                **(inputs.get("labels") or {}),
                "eks.amazonaws.com/nodegroup": name,
                "eks.amazonaws.com/capacityType": inputs.get("capacityType", "ON_DEMAND"),
            },
            taints=taints,
            machine=machine,
            gpus=machines.ec2_gpus(machine) if GPU_AMI.fullmatch(ami) or ami == "CUSTOM" else 0,
            gpus_need=image,
            autoscaler="cluster-autoscaler",
            group=_group_name(owner, name),
            architecture="arm64" if "ARM_64" in ami else "amd64",
        )
    ]


def _ami_needs(ami: str) -> str:
    """Return what finds the GPUs: Bottlerocket brings its own device plugin.

    awsdocs latest/ug/ml/ml-eks-k8s-device-plugin.adoc.
    """
    return "" if ami.startswith("BOTTLEROCKET") else "device-plugin"


def _zones(request: Request, region: str) -> list[str]:
    """Return the zones of a node group's subnets."""
    found = set()
    for subnet in request.inputs.get("subnetIds") or []:
        record = request.state.load("aws:ec2/subnet:Subnet", subnet)
        zone = record.outputs.get("availabilityZone") if record else None
        found.add(zone or f"{region}a")
    return sorted(found) or [f"{region}a"]


def answer_template(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a launch template is called and says; every change is a new version."""
    id_ = request.id or f"lt-{short(request.urn + request.inputs['name'], 17)}"
    before = request.state.load(TEMPLATE, id_)
    version = before.outputs["latestVersion"] + 1 if before else 1
    arn = _arn("ec2", request, f"launch-template/{id_}")
    return id_, {
        "id": id_,
        "arn": arn,
        "region": _region(request),
        "latestVersion": version,
        "defaultVersion": version if request.inputs.get("updateDefaultVersion") else 1,
    }


def _of_cluster(what: str) -> Callable[[Request], tuple[str, dict[str, Any]]]:
    """Return how a thing answers that is named CLUSTER:NAME."""

    def answer(request: Request) -> tuple[str, dict[str, Any]]:
        cluster = _cluster_of(request).outputs["name"]
        name = request.inputs.get("addonName") or f"a-{short(request.urn, 17)}"
        outputs = {
            "arn": _arn("eks", request, f"{what}/{cluster}/{name}"),
            "associationId": name,
            "region": _region(request),
        }
        return (f"{cluster}:{name}" if what == "addon" else name), outputs

    return answer


def refuse_of_cluster(request: Request) -> Iterator[str]:
    """Yield what stands against a thing of a cluster."""
    _cluster_of(request)
    yield from ()


def refuse_tag(request: Request) -> Iterator[str]:
    """Yield what stands against tagging an autoscaling group."""
    group = request.inputs["autoscalingGroupName"]
    if group not in {pool.group for pool in request.state.pools()}:
        yield f"ValidationError: AutoScaling group {group} not found"


def answer_tag(request: Request) -> tuple[str, dict[str, Any]]:
    """Return what a tag is called."""
    inputs = request.inputs
    return f"{inputs['autoscalingGroupName']},{inputs['tag']['key']}", {"region": _region(request)}


def configure(given: dict[str, Any]) -> dict[str, Any]:
    """Return the region, without which AWS's provider does not start."""
    region = given.get("region") or os.environ.get("AWS_REGION")
    region = region or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise RefusedError("missing region: set aws:region or AWS_REGION")
    return {**given, "region": region}


PREFIXES = {
    "Vpc": "vpc",
    "Subnet": "subnet",
    "SecurityGroup": "sg",
    "InternetGateway": "igw",
    "NatGateway": "nat",
    "RouteTable": "rtb",
    "Eip": "eipalloc",
    "RouteTableAssociation": "rtbassoc",
    "VpcEndpoint": "vpce",
    "CapacityReservation": "cr",
    "CapacityBlockReservation": "cr",
}
"""How ids of things begin that have no name."""


def echo(type_: str) -> Kind:
    """Return a type that is taken as it comes."""
    return Kind(answer=_echoed, autoname=False)


def _echoed(request: Request) -> tuple[str, dict[str, Any]]:
    inputs = request.inputs
    _, module, kind = request.type.split(":")
    service = module.split("/")[0]
    name = inputs.get("name") or inputs.get("bucket") or f"{request.name}-{short(request.urn, 7)}"
    prefix = PREFIXES.get(kind)
    id_ = request.id or (f"{prefix}-{short(request.urn, 17)}" if prefix else last(name))
    path = f"{kind[0].lower()}{kind[1:]}"
    arn = _arn(service, request, f"{path}/{id_}")
    if service == "iam":
        arn = f"arn:aws:iam::{ACCOUNT}:{path}/{id_}"
    if kind in ("Bucket", "BucketV2"):
        arn = f"arn:aws:s3:::{id_}"
    if (service, kind) in (("iam", "Policy"), ("iam", "OpenIdConnectProvider")):
        id_ = request.id or arn
    common = {
        "id": id_,
        "arn": arn,
        "name": name,
        "region": _region(request),
        "ownerId": ACCOUNT,
        "uniqueId": f"AROA{short(request.urn, 16).upper()}",
        "keyId": short(request.urn, 32),
        "url": f"https://{service}.amazonaws.com/{id_}",
        "bucket": id_,
        "publicIp": "203.0.113.10",
        "allocationId": id_,
        "defaultSecurityGroupId": f"sg-{short(id_, 17)}",
        "mainRouteTableId": f"rtb-{short(id_, 17)}",
        "tagsAll": inputs.get("tags") or {},
    }
    return id_, {key: value for key, value in common.items() if key not in inputs}


Arguments = dict[str, Any]


def _get_region(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    region = args.get("region") or config["region"]
    return {"id": region, "name": region, "region": region, "description": region}


def _caller(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    arn = f"arn:aws:iam::{ACCOUNT}:user/simulated"
    return {"accountId": ACCOUNT, "arn": arn, "id": ACCOUNT, "userId": "AIDASIMULATED"}


def _partition(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com"}


def _azs(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    region = args.get("region") or config["region"]
    names = [f"{region}{zone}" for zone in "abc"]
    return {"id": region, "names": names, "zoneIds": names, "groupNames": [region]}


def _policy(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    statements = []
    for one in args.get("statements") or []:
        made = {
            "Sid": one.get("sid"),
            "Effect": one.get("effect", "Allow"),
            "Action": one.get("actions"),
            "Resource": one.get("resources"),
            "Principal": {
                principal["type"]: principal["identifiers"]
                for principal in one.get("principals") or []
            },
            "Condition": {
                condition["test"]: {condition["variable"]: condition["values"]}
                for condition in one.get("conditions") or []
            },
        }
        statements.append({key: value for key, value in made.items() if value})
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return {"id": short(text), "json": text, "minifiedJson": text}


def _get_cluster(args: Arguments, config: Arguments, state: CloudState) -> Arguments:
    found = state.find(CLUSTER, name=args["name"])
    if found is None:
        raise RefusedError(f"ResourceNotFoundException: No cluster found for name: {args['name']}.")
    return {**found.outputs, "id": found.id}


INVOKES = {
    "aws:index/getRegion:getRegion": _get_region,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _azs,
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy,
    "aws:eks/getCluster:getCluster": _get_cluster,
}

KINDS = {
    CLUSTER: Kind(
        check=check_cluster,
        refuse=refuse_cluster,
        hold=hold_cluster,
        answer=answer_cluster,
        # ForceNew in internal/service/eks/cluster.go: not verified.
        immutable=(
            "name",
            "roleArn",
            "region",
            "bootstrapSelfManagedAddons",
            "kubernetesNetworkConfig.ipFamily",
            "kubernetesNetworkConfig.serviceIpv4Cidr",
            "outpostConfig",
            "accessConfig.bootstrapClusterCreatorAdminPermissions",
        ),
    ),
    GROUP: Kind(
        check=check_group,
        refuse=refuse_group,
        answer=answer_group,
        pools=pools_of_group,
        name="nodeGroupName",
        # ForceNew in hashicorp/terraform-provider-aws internal/service/eks/node_group.go. Not
        # there, so changed in place: labels, taints, scalingConfig, updateConfig, version,
        # releaseVersion, launchTemplate.version, nodeRepairConfig, tags.
        immutable=(
            "amiType",
            "capacityType",
            "clusterName",
            "diskSize",
            "instanceTypes",
            "launchTemplate.id",
            "launchTemplate.name",
            "nodeGroupName",
            "nodeGroupNamePrefix",
            "nodeRoleArn",
            "remoteAccess",
            "subnetIds",
            "region",  # of every resource since v6: not verified
        ),
    ),
    TEMPLATE: Kind(
        check=check_template,
        answer=answer_template,
        # internal/service/ec2/ec2_launch_template.go: not verified; EC2 cannot rename.
        immutable=("name", "namePrefix", "region"),
    ),
    ADDON: Kind(
        check=check_addon,
        refuse=refuse_of_cluster,
        answer=_of_cluster("addon"),
        autoname=False,
        # internal/service/eks/addon.go: not verified.
        immutable=("addonName", "clusterName", "region"),
    ),
    POD_IDENTITY: Kind(
        check=check_pod_identity,
        refuse=refuse_of_cluster,
        answer=_of_cluster("podidentityassociation"),
        autoname=False,
        # internal/service/eks/pod_identity_association.go: not verified; the API's update
        # changes the role only.
        immutable=("clusterName", "namespace", "serviceAccount", "region"),
    ),
    TAG: Kind(
        check=check_tag,
        refuse=refuse_tag,
        answer=answer_tag,
        autoname=False,
        # internal/service/autoscaling/tag.go: not verified; group and key are the tag's id.
        immutable=("autoscalingGroupName", "tag.key"),
    ),
}
