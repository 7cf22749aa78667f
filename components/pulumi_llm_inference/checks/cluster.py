"""Problems of a cluster: one to make, or one that is there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from itertools import combinations

from pulumi_llm_inference.checks.bounds import bounds_problems
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
from pulumi_llm_inference.spec.pool import Cloud
from pulumi_llm_inference.spec.problems import Problem


@dataclass(frozen=True)
class _Rule:
    """What a text must look like, and how to say so."""

    pattern: str
    words: str


@dataclass(frozen=True)
class _Rules:
    """A cloud's rules."""

    name: _Rule
    region: _Rule
    zone: _Rule
    """The region comes before it, except on AKS."""
    least_zones: int = 0


_RULES = {
    # google-cloud-container, Cluster.name.
    Cloud.GKE: _Rules(
        name=_Rule(
            r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?",
            "lower-case letters, digits and '-', a letter first and no '-' last, "
            "at most 40 characters",
        ),
        region=_Rule(r"[a-z]+-[a-z]+[0-9]+", "a region such as 'us-central1'"),
        zone=_Rule(r"-[a-z]", "'{region}-a'"),
    ),
    # botocore eks, CreateCluster.name; two zones: the subnets of a cluster are in two or more
    # (docs.aws.amazon.com/eks/latest/userguide/network-reqs.html).
    Cloud.EKS: _Rules(
        name=_Rule(
            r"[0-9A-Za-z][-_A-Za-z0-9]{0,99}",
            "letters, digits, '-' and '_', a letter or digit first, at most 100 characters",
        ),
        region=_Rule(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region such as 'us-east-1'"),
        zone=_Rule(r"[a-z]", "'{region}a'"),
        least_zones=2,
    ),
    # azure-mgmt-containerservice, _managed_clusters_operations.py resource_name.
    Cloud.AKS: _Rules(
        name=_Rule(
            r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?",
            "letters, digits, '-' and '_', a letter or digit first and last, at most 63 characters",
        ),
        region=_Rule(r"[a-z0-9]+", "a region such as 'eastus2', in lower case without blanks"),
        zone=_Rule(r"[1-9]", "'1', '2' or '3'"),
    ),
}

_MOST_EKS_ZONES = 7
"""A network is cut in eight, and the last is for the public subnets."""

_EKS_NETWORK = range(16, 21)
"""Lengths of an EKS network's prefix: AWS takes no larger one
(docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html); a smaller one has no room for pods,
which take its addresses."""

_NODE_PREFIX = 24
"""Each node of GKE and AKS takes 256 pod addresses
(docs.cloud.google.com/kubernetes-engine/docs/how-to/flexible-pod-cidr, at 110 pods a node;
learn.microsoft.com/azure/aks/concepts-network-azure-cni-overlay)."""

_GKE_LABEL = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_GKE_LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
_MOST_TAGS = 50
"""Of AWS (docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html) and of
Azure (learn.microsoft.com/azure/azure-resource-manager/management/tag-resources)."""


def cluster_problems(
    cloud: str, spec: ClusterSpec | ExistingClusterSpec, path: str
) -> Iterator[Problem]:
    """What is wrong with a cluster, of what can be known without asking the cloud.

    Args:
        cloud: `gke`, `eks` or `aks`.
        spec: the cluster.
        path: where it stands.
    """
    rules = _RULES[Cloud(cloud)]
    if isinstance(spec, ExistingClusterSpec):
        yield from _mismatch(spec.cluster_name, rules.name, f"{path}.clusterName")
        yield from _existing_problems(spec, path)
        return
    if spec.name is not None:
        yield from _mismatch(spec.name, rules.name, f"{path}.name")
    yield from _place_problems(spec, rules, path)
    yield from _network_problems(spec, path)
    yield from _api_problems(spec, path)
    nodes = spec.system_nodes
    yield from bounds_problems("Nodes", nodes.min_nodes, nodes.max_nodes, f"{path}.systemNodes")
    yield from _tag_problems(spec, path)


def _mismatch(value: str, rule: _Rule, path: str) -> Iterator[Problem]:
    if not re.fullmatch(rule.pattern, value):
        yield Problem(path, f"'{value}' is not what the cloud takes", f"use {rule.words}")


def _place_problems(spec: ClusterSpec, rules: _Rules, path: str) -> Iterator[Problem]:
    """Regions and zones."""
    region_problems = list(_mismatch(spec.region, rules.region, f"{path}.region"))
    yield from region_problems
    if len(spec.zones) < rules.least_zones:
        yield Problem(
            f"{path}.zones",
            f"has {len(spec.zones)} zones, and the cloud wants {rules.least_zones} or more",
            f"for example [{spec.region}a, {spec.region}b]",
        )
    if isinstance(spec, EksClusterSpec) and len(spec.zones) > _MOST_EKS_ZONES:
        yield Problem(
            f"{path}.zones",
            f"has {len(spec.zones)} zones, more than the network has parts for",
            f"use at most {_MOST_EKS_ZONES}",
        )
    if repeated := sorted({zone for zone in spec.zones if spec.zones.count(zone) > 1}):
        yield Problem(f"{path}.zones", f"has {', '.join(repeated)} more than once", "name it once")
    if region_problems:
        return
    before = "" if isinstance(spec, AksClusterSpec) else re.escape(spec.region)
    words = rules.zone.words.format(region=spec.region)
    for index, zone in enumerate(spec.zones):
        if not re.fullmatch(before + rules.zone.pattern, zone):
            yield Problem(
                f"{path}.zones[{index}]",
                f"'{zone}' is not a zone of {spec.region}",
                f"write for example {words}",
            )


def _own_networks(spec: ClusterSpec) -> dict[str, str]:
    """The cluster's networks by their keys."""
    match spec:
        case GkeClusterSpec() | AksClusterSpec():
            return {
                "network": spec.network,
                "podNetwork": spec.pod_network,
                "serviceNetwork": spec.service_network,
            }
        case EksClusterSpec():
            return {"network": spec.network}
        case _:
            return {}


def _parsed(cidr: str, path: str, problems: list[Problem]) -> IPv4Network | None:
    """The network, or another problem."""
    try:
        return IPv4Network(cidr)
    except (AddressValueError, NetmaskValueError):
        problems.append(
            Problem(path, f"'{cidr}' is not an IPv4 network", "write for example '10.0.0.0/16'")
        )
    except ValueError:
        begins = IPv4Network(cidr, strict=False)
        problems.append(Problem(path, f"'{cidr}' does not begin its network", f"write '{begins}'"))
    return None


def _network_problems(spec: ClusterSpec, path: str) -> Iterator[Problem]:
    problems: list[Problem] = []
    networks = {
        key: network
        for key, cidr in _own_networks(spec).items()
        if (network := _parsed(cidr, f"{path}.{key}", problems))
    }
    yield from problems
    for (one, first), (other, second) in combinations(networks.items(), 2):
        if first.overlaps(second):
            yield Problem(
                f"{path}.{other}",
                f"{second} overlaps with {one} ({first})",
                "give each addresses of its own",
            )
    if isinstance(spec, EksClusterSpec) and "network" in networks:
        length = networks["network"].prefixlen
        if length not in _EKS_NETWORK:
            yield Problem(
                f"{path}.network",
                f"/{length} is not from /{_EKS_NETWORK[0]} to /{_EKS_NETWORK[-1]}",
                "nodes and pods take its addresses, an eighth of them a zone",
            )
    if "podNetwork" in networks:
        room = 2 ** max(0, _NODE_PREFIX - networks["podNetwork"].prefixlen)
        if room <= spec.system_nodes.max_nodes:
            yield Problem(
                f"{path}.podNetwork",
                f"{networks['podNetwork']} has room for {room} nodes, 256 addresses each, which "
                f"systemNodes may all take ({spec.system_nodes.max_nodes})",
                "use a larger network, for example a /16",
            )


def _api_problems(spec: ClusterSpec, path: str) -> Iterator[Problem]:
    problems: list[Problem] = []
    for index, cidr in enumerate(spec.api_networks):
        place = f"{path}.apiNetworks[{index}]"
        network = _parsed(cidr, place, problems)
        if network and network.prefixlen == 0:
            problems.append(
                Problem(
                    place,
                    "lets the whole internet try to log in to the API",
                    "name the networks that it is used from",
                    warning=True,
                )
            )
    yield from problems
    if isinstance(spec, AksClusterSpec) and not spec.admin_groups:
        yield Problem(
            f"{path}.adminGroups",
            "is empty, so whoever has the kubeconfig administers the cluster",
            "name a Microsoft Entra group, and people log in as themselves",
            warning=True,
        )


def _tag_problems(spec: ClusterSpec, path: str) -> Iterator[Problem]:
    if len(spec.tags) > _MOST_TAGS:
        yield Problem(f"{path}.tags", f"has {len(spec.tags)} tags", f"use at most {_MOST_TAGS}")
    for key, value in spec.tags.items():
        place = f"{path}.tags.{key}"
        if isinstance(spec, GkeClusterSpec):
            if not (_GKE_LABEL.fullmatch(key) and _GKE_LABEL_VALUE.fullmatch(value)):
                yield Problem(
                    place,
                    f"'{key}: {value}' is not a label that Google Cloud takes",
                    "use lower-case letters, digits, '-' and '_', a letter first in the key, "
                    "at most 63 characters",
                )
        elif isinstance(spec, EksClusterSpec) and key.lower().startswith("aws:"):
            yield Problem(place, "keys that begin with 'aws:' are AWS' own", "use another key")


def _existing_problems(spec: ExistingClusterSpec, path: str) -> Iterator[Problem]:
    """Identifiers that are not of the kind that is wanted."""
    for key, value, rule in _identifiers(spec):
        yield from _mismatch(value, rule, f"{path}.{key}")


def _identifiers(spec: ExistingClusterSpec) -> Sequence[tuple[str, str, _Rule]]:
    match spec:
        case GkeExistingSpec():
            email = _Rule(r"[^@\s]+@[^@\s]+\.[^@\s]+", "the e-mail of a service account")
            return [("serviceAccount", spec.service_account, email)]
        case EksExistingSpec():
            arn = _Rule(
                r"arn:aws[-a-z]*:iam::[0-9]{12}:role/\S+",
                "the ARN of a role: 'arn:aws:iam::ACCOUNT:role/NAME'",
            )
            subnet = _Rule(r"subnet-[0-9a-f]+", "the id of a subnet: 'subnet-…'")
            return [
                ("nodeRoleArn", spec.node_role_arn, arn),
                *((f"subnetIds.{zone}", it, subnet) for zone, it in spec.subnet_ids.items()),
            ]
        case AksExistingSpec():
            subnet = _Rule(
                r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network"
                r"/virtualNetworks/[^/]+/subnets/[^/]+",
                "the resource id of a subnet: '/subscriptions/…/subnets/NAME'",
            )
            return [("subnetId", spec.subnet_id, subnet)]
        case _:
            return []
