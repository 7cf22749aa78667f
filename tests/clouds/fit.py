"""Whether a pod could run on a node: the scheduler's filters, as far as pools differ by them."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

UNITS = {
    "": 1,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def quantity(text: Any) -> int:
    """Return a Kubernetes quantity in thousandths."""
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text))
    assert found, text
    return round(float(found[1]) * UNITS[found[2]] * 1000)


def requests(pod: dict[str, Any]) -> Counter[str]:
    """Return what a pod asks for."""
    total: Counter[str] = Counter({"pods": 1000})
    spec = pod["spec"]
    always = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *always]:
        resources = container.get("resources", {})
        asked = {**resources.get("limits", {}), **resources.get("requests", {})}
        for name, amount in asked.items():
            total[name] += quantity(amount)
    return total


def capacity(amounts: dict[str, Any]) -> Counter[str]:
    """Return what a node offers."""
    return Counter({name: quantity(amount) for name, amount in amounts.items()})


def enough(asked: Counter[str], free: Counter[str]) -> bool:
    """Tell whether what is free covers what is asked."""
    return all(free[name] >= amount for name, amount in asked.items() if amount)


def tolerates(pod: dict[str, Any], taints: Iterable[dict[str, Any]]) -> bool:
    """Tell whether a pod tolerates all taints that keep pods away."""
    given = pod["spec"].get("tolerations", [])
    return all(
        any(_tolerated(one, taint) for one in given)
        for taint in taints
        if taint["effect"] in ("NoSchedule", "NoExecute")
    )


def _tolerated(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and (
        toleration.get("value", "") == taint.get("value", "")
    )


def selects(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    """Tell whether a pod's selector and required affinity accept a node's labels."""
    spec = pod["spec"]
    chosen = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in chosen.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(
        all(_matches(one, labels) for one in term.get("matchExpressions", []))
        and not term.get("matchFields")
        for term in required["nodeSelectorTerms"]
    )


def _matches(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case "Lt":
            return value is not None and int(value) < int(values[0])
    raise AssertionError(expression)


def unschedulable(pod: dict[str, Any]) -> bool:
    """Tell whether the scheduler found no node for a pod."""
    status = pod.get("status", {})
    return (
        status.get("phase") == "Pending"
        and not pod["spec"].get("nodeName")
        and not pod["metadata"].get("deletionTimestamp")
        and any(
            one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable"
            for one in status.get("conditions", [])
        )
    )


def owned_by_daemon_set(pod: dict[str, Any]) -> bool:
    """Tell whether a pod is one per node anyway."""
    owners = pod["metadata"].get("ownerReferences", [])
    return any(owner["kind"] == "DaemonSet" for owner in owners)
