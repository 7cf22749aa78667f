"""What runs: nodes and their GPUs, pods and where they are, autoscalers and their numbers."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

GPU = "nvidia.com/gpu"
KINDS = ("nodes", "pods", "horizontalpodautoscalers.autoscaling")
UNKNOWN = "<unknown>"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Node:
    """A node that has GPUs."""

    name: str
    ready: bool
    gpus: int
    used: int


@dataclass(frozen=True)
class Pod:
    """A pod that uses GPUs."""

    name: str
    namespace: str
    status: str
    node: str
    gpus: int


@dataclass(frozen=True)
class Autoscaler:
    """A metric of an autoscaler."""

    name: str
    namespace: str
    scales: str
    metric: str
    current: str
    target: str
    minimum: int
    maximum: int
    replicas: int


@dataclass(frozen=True)
class Report:
    """What runs on a cluster."""

    nodes: list[Node]
    pods: list[Pod]
    autoscalers: list[Autoscaler]

    @property
    def settled(self) -> bool:
        """Whether every autoscaler has a value."""
        return all(scaler.current != UNKNOWN for scaler in self.autoscalers)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def report(objects: Iterable[dict[str, Any]]) -> Report:
    """Summarize nodes, pods and autoscalers, as the API server returns them."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for item in objects:
        by_kind.setdefault(item["kind"], []).append(item)
    # The pod of a finished Job stays, and holds nothing.
    alive = [i for i in by_kind.get("Pod", ()) if i["status"]["phase"] not in _ENDED]
    pods = [pod for pod in map(_pod, alive) if pod.gpus]
    return Report(
        nodes=[node for item in by_kind.get("Node", ()) if (node := _node(item, pods)).gpus],
        pods=pods,
        autoscalers=[
            scaler
            for item in by_kind.get("HorizontalPodAutoscaler", ())
            for scaler in _autoscalers(item)
        ],
    )


def tables(found: Report) -> RenderableType:
    """Lay a report out for a terminal."""
    nodes = _table("GPU nodes", "node", "ready", "GPUs used", "GPUs")
    for node in found.nodes:
        nodes.add_row(node.name, "yes" if node.ready else "no", str(node.used), str(node.gpus))
    pods = _table("Pods on GPUs", "pod", "status", "node", "GPUs")
    for pod in found.pods:
        pods.add_row(f"{pod.namespace}/{pod.name}", pod.status, pod.node, str(pod.gpus))
    scalers = _table(
        "Autoscalers", "autoscaler", "metric", "current", "target", "replicas", "bounds"
    )
    for scaler in found.autoscalers:
        scalers.add_row(
            f"{scaler.namespace}/{scaler.name}",
            scaler.metric,
            scaler.current,
            scaler.target,
            str(scaler.replicas),
            f"{scaler.minimum} to {scaler.maximum}",
        )
    return Group(nodes, pods, scalers)


def _table(title: str, *columns: str) -> Table:
    """Return an empty table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _conditions(item: dict[str, Any]) -> dict[str, str]:
    """Return the conditions of an object."""
    return {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", ())}


def _pod(item: dict[str, Any]) -> Pod:
    """Summarize a pod."""
    limits = [c.get("resources", {}).get("limits", {}) for c in item["spec"]["containers"]]
    ready = _conditions(item).get("Ready") == "True"
    phase = item["status"].get("phase", "Unknown")
    if "deletionTimestamp" in item["metadata"]:
        phase, ready = "Terminating", True
    return Pod(
        name=item["metadata"]["name"],
        namespace=item["metadata"]["namespace"],
        status=phase if ready else f"{phase}, not ready",
        node=item["spec"].get("nodeName", "none yet"),
        gpus=sum(int(limit.get(GPU, 0)) for limit in limits),
    )


def _node(item: dict[str, Any], pods: list[Pod]) -> Node:
    """Summarize a node."""
    name = item["metadata"]["name"]
    return Node(
        name=name,
        ready=_conditions(item).get("Ready") == "True",
        gpus=int(item["status"].get("allocatable", {}).get(GPU, 0)),
        used=sum(pod.gpus for pod in pods if pod.node == name),
    )


def _autoscalers(item: dict[str, Any]) -> Iterable[Autoscaler]:
    """Summarize each metric of an autoscaler."""
    spec, status = item["spec"], item.get("status", {})
    current = {_metric_name(metric): metric for metric in status.get("currentMetrics") or ()}
    for metric in spec.get("metrics", ()):
        name = _metric_name(metric)
        yield Autoscaler(
            name=item["metadata"]["name"],
            namespace=item["metadata"]["namespace"],
            scales=spec["scaleTargetRef"]["name"],
            metric=name,
            current=_value(current.get(name, {}), "current"),
            target=_value(metric, "target"),
            minimum=spec.get("minReplicas", 1),
            maximum=spec["maxReplicas"],
            replicas=status.get("currentReplicas", 0),
        )


def _source(metric: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a metric that holds its numbers, whatever its type."""
    return next((part for part in metric.values() if isinstance(part, dict)), {})


def _metric_name(metric: dict[str, Any]) -> str:
    """Return the name of a metric of any type."""
    source = _source(metric)
    return source.get("name") or source.get("metric", {}).get("name", "")


def _value(metric: dict[str, Any], field: str) -> str:
    """Return the current or target value of a metric."""
    numbers = _source(metric).get(field, {})
    for kind in ("averageValue", "value", "averageUtilization"):
        if kind in numbers:
            return str(numbers[kind])
    return UNKNOWN
