"""The part of a simulated cloud that lives on: it makes, grows and takes away nodes.

A provider plugin ends with the engine. What stays is the state folder, and this daemon, a thread
that watches the folder and the API server.
"""

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import yaml

from tests.clouds import fit, model, nodes
from tests.clouds.kube import Kube
from tests.clouds.model import Pool, Record, State

BIN = Path(__file__).parent / "bin"
PERIOD = 0.2
SETTLED = 8.0
"""Seconds after which the scheduler's word counts: a pod that still waits does not fit there."""

PRIORITIES = "cluster-autoscaler-priority-expander"
DEVICE_PLUGIN = re.compile(r"k8s-device-plugin")
DRIVER_INSTALLER = re.compile(r"nvidia-driver-installer|nvidia-gpu-device-plugin")
AUTOSCALER = re.compile(r"cluster-autoscaler|karpenter")
TEMPLATE = "k8s.io/cluster-autoscaler/node-template/"
"""Tags of an autoscaling group that tell the cluster autoscaler about nodes it has not seen
(kubernetes/autoscaler cluster-autoscaler/cloudprovider/aws/README.md)."""


class Plane(Protocol):
    """What is needed of a local control plane."""

    @property
    def kubeconfig(self) -> Path: ...


@dataclass
class View:
    """What the API server holds at one moment."""

    nodes: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    deployments: list[dict[str, Any]]

    def of(self, pool: Pool) -> list[dict[str, Any]]:
        """Return the nodes of a pool."""
        return [node for node in self.nodes if nodes.pool_key(node) == pool.key]


@dataclass
class SimulatedCloud:
    """All three clouds, on one control plane; a context manager.

    Attributes:
        plane: The control plane that every cluster of these clouds is.
        folder: Where the state is; made if need be.
        node_delay: Seconds from the wish for a node to the node.
        errors: What went wrong in the daemon itself; should stay empty.
    """

    plane: Plane
    folder: Path
    node_delay: float = 0.5
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _wanted: dict[str, list[float]] = field(default_factory=dict)
    _blocked: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> "SimulatedCloud":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="simulated-cloud", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=15)

    @property
    def kube(self) -> Kube:
        """The API server of the control plane."""
        return Kube(self.plane.kubeconfig)

    @property
    def state(self) -> State:
        """What exists."""
        return State(self.folder)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for the engine: plugins and stand-ins first on PATH, credentials of nobody."""
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            model.KUBECONFIG: str(self.plane.kubeconfig),
            model.STATE: str(self.folder),
            model.DELAY: str(self.node_delay),
            "SIMULATED_CLOUD_PYTHON": sys.executable,
            "GOOGLE_OAUTH_ACCESS_TOKEN": "none",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "ARM_CLIENT_ID": "00000000-0000-0000-0000-000000000001",
            "ARM_CLIENT_SECRET": "none",
            "ARM_TENANT_ID": "00000000-0000-0000-0000-000000000002",
            "ARM_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000003",
        }

    def resources(self, type_: str | None = None) -> list[Record]:
        """Return what exists in the clouds."""
        return self.state.records(type_)

    def given(self, type_: str, id_: str, **outputs: Any) -> None:
        """Let something exist that no program made, as a shared network does."""
        name = str(outputs.get("name", id_))
        outputs = {"id": id_, "name": name, **outputs}
        cloud = {"gcp": "gcp", "aws": "aws"}.get(type_.partition(":")[0], "azure")
        self.state.save(Record(cloud, type_, id_, name, {}, outputs))

    def pools(self) -> list[Pool]:
        """Return the pools of all clusters."""
        return self.state.pools()

    def pool(self, name: str) -> Pool:
        """Return the pool of a name."""
        (found,) = [pool for pool in self.pools() if pool.name == name]
        return found

    def nodes(self, name: str) -> list[dict[str, Any]]:
        """Return the nodes of the pool of a name."""
        key = self.pool(name).key
        return [node for node in self.kube.items("/api/v1/nodes") if nodes.pool_key(node) == key]

    def reclaim(self, name: str, seconds: float = 10.0) -> list[str]:
        """Take all nodes of a pool away, as a cloud reclaims spot capacity.

        Args:
            name: The pool.
            seconds: For so long there is no capacity for new nodes.

        Returns:
            Names of the nodes that were taken.
        """
        key = self.pool(name).key
        self._blocked[key] = time.monotonic() + seconds
        self._wanted.pop(key, None)
        taken = [node["metadata"]["name"] for node in self.nodes(name)]
        pods = self.kube.items("/api/v1/pods")
        for node in taken:
            self._take(node, pods)
        return taken

    def _take(self, node: str, pods: list[dict[str, Any]]) -> None:
        """Remove a node and the pods on it; else they are collected a minute later."""
        self.kube.call("DELETE", f"/api/v1/nodes/{node}")
        for pod in pods:
            if pod["spec"].get("nodeName") == node:
                meta = pod["metadata"]
                path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
                self.kube.call("DELETE", f"{path}?gracePeriodSeconds=0")

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            try:
                self._step()
            except OSError:  # a busy or stopping API server: try again
                continue
            except Exception as error:
                self.errors.append(repr(error))

    def _step(self) -> None:
        """Bring the nodes one step nearer to what the pools and the pods want."""
        pools = self.state.pools()
        listed = self.kube.items("/api/v1/nodes")
        if not pools and not any(nodes.pool_key(node) for node in listed):
            self._wanted.clear()
            return
        view = View(
            listed,
            self.kube.items("/api/v1/pods"),
            self.kube.items("/apis/apps/v1/deployments"),
        )
        self._remove(pools, view)
        for pool in pools:
            self._offer_gpus(pool, view)
        self._keep_minimum(pools, view)
        self._grow(pools, view)
        self._make(pools, view)

    def _remove(self, pools: list[Pool], view: View) -> None:
        """Remove nodes of pools that are gone, were changed, or shrank."""
        known = {pool.key: pool for pool in pools}
        for node in list(view.nodes):
            key = nodes.pool_key(node)
            if key is None:
                continue
            pool = known.get(key)
            made = node["metadata"]["annotations"].get(nodes.DIGEST)
            if pool is None or made != pool.digest() or len(view.of(pool)) > pool.maximum:
                self._take(node["metadata"]["name"], view.pods)
                view.nodes.remove(node)
        for key in set(self._wanted) - set(known):
            del self._wanted[key]

    def _offer_gpus(self, pool: Pool, view: View) -> None:
        """Let nodes offer their GPUs once what finds them runs there."""
        if not pool.gpus:
            return
        for node in view.of(pool):
            name, status = node["metadata"]["name"], node.get("status", {})
            offered = "nvidia.com/gpu" in status.get("allocatable", {})
            if not offered and ready(node) and _finds_gpus(pool, name, view):
                patch = {"status": nodes.status(pool.gpus)}
                self.kube.call(
                    "PATCH",
                    f"/api/v1/nodes/{name}/status",
                    patch,
                    "application/strategic-merge-patch+json",
                )
                node["status"] = {**status, **patch["status"]}

    def _keep_minimum(self, pools: list[Pool], view: View) -> None:
        """Want as many nodes as a pool starts with, and later as it must have."""
        for pool in pools:
            started = f"{pool.key} {pool.digest()} {pool.initial}"
            least = pool.minimum if started in self._since else max(pool.initial, pool.minimum)
            self._since.setdefault(started, time.monotonic())
            have = len(view.of(pool)) + len(self._wanted.get(pool.key, []))
            self._want(pool, least - have)

    def _grow(self, pools: list[Pool], view: View) -> None:
        """Want nodes for pods that no node takes."""
        waiting = [
            pod for pod in view.pods if fit.unschedulable(pod) and not fit.owned_by_daemon_set(pod)
        ]
        if not waiting:
            return
        coming = self._coming(pools, view)
        for pod in waiting:
            asked = fit.requests(pod)
            place = next((one for one in coming if one.takes(pod, asked)), None)
            if place is None:
                place = self._new_node(pools, view, pod, asked)
                if place is None:
                    continue
                coming.append(place)
            place.free.subtract(asked)

    def _coming(self, pools: list[Pool], view: View) -> "list[Place]":
        """Return the places that waiting pods may still get without another node."""
        found = []
        now = time.monotonic()
        used: dict[str, Counter[str]] = {}
        for pod in view.pods:
            host = pod["spec"].get("nodeName")
            if host and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                used.setdefault(host, Counter()).update(fit.requests(pod))
        for pool in pools:
            for node in view.of(pool):
                name = node["metadata"]["name"]
                offered = node.get("status", {}).get("allocatable", {})
                complete = ready(node) and (not pool.gpus or "nvidia.com/gpu" in offered)
                since = self._since.setdefault(name, now) if complete else now
                if now - since < SETTLED:
                    free = fit.capacity(nodes.status(pool.gpus)["allocatable"])
                    free.subtract(used.get(name, Counter()))
                    found.append(Place(node["metadata"]["labels"], pool.taints, free))
            for index in range(len(self._wanted.get(pool.key, []))):
                free = fit.capacity(nodes.status(pool.gpus)["allocatable"])
                seen = nodes.labels(pool, len(view.of(pool)) + index)
                found.append(Place(seen, pool.taints, free))
        return found

    def _new_node(
        self, pools: list[Pool], view: View, pod: dict[str, Any], asked: Counter[str]
    ) -> "Place | None":
        """Want another node of the pool that the cloud would choose of those that take a pod."""
        for pool in sorted(pools, key=self._growth_rank):
            have = len(view.of(pool)) + len(self._wanted.get(pool.key, []))
            if have >= pool.maximum or not _autoscaled(pool, view):
                continue
            if time.monotonic() < self._blocked.get(pool.key, 0):
                continue
            seen = self._as_autoscaler_sees(pool, view, have)
            if seen.takes(pod, asked):
                self._want(pool, 1)
                return seen
        return None

    def _growth_rank(self, pool: Pool) -> int:
        """Tell how early a pool grows, the lowest first.

        cluster-autoscaler's priority expander takes the highest priority with an expression that
        its group's name matches (kubernetes/autoscaler cluster-autoscaler/expander/priority); GKE
        takes the cheaper.
        """
        if pool.cloud == "gcp":
            return -1 if pool.labels.get("cloud.google.com/gke-spot") == "true" else 0
        group = pool.group or f"aks-{pool.name}-12345678-vmss"
        found = self.kube.items("/api/v1/namespaces/kube-system/configmaps")
        text = next(
            (one["data"]["priorities"] for one in found if one["metadata"]["name"] == PRIORITIES),
            "{}",
        )
        matching = [
            priority
            for priority, expressions in yaml.safe_load(text).items()
            if any(re.search(expression, group) for expression in expressions)
        ]
        return -max(matching, default=0)

    def _as_autoscaler_sees(self, pool: Pool, view: View, number: int) -> "Place":
        """Return a pool's next node, as the autoscaler of its cluster imagines it."""
        free = fit.capacity(nodes.status(pool.gpus)["allocatable"])
        labels, taints = nodes.labels(pool, number), pool.taints
        if pool.autoscaler and not view.of(pool):
            # Never seen one: only what the group's tags say.
            tags = self._tags(pool.group)
            own = ("kubernetes.io/", "node.kubernetes.io/", "topology.kubernetes.io/")
            labels = {key: value for key, value in labels.items() if key.startswith(own)}
            labels |= {
                key.removeprefix(f"{TEMPLATE}label/"): value
                for key, value in tags.items()
                if key.startswith(f"{TEMPLATE}label/")
            }
            taints = [
                {
                    "key": key.removeprefix(f"{TEMPLATE}taint/"),
                    "value": value.rpartition(":")[0],
                    "effect": value.rpartition(":")[2],
                }
                for key, value in tags.items()
                if key.startswith(f"{TEMPLATE}taint/")
            ]
        return Place(labels, taints, free)

    def _tags(self, group: str) -> dict[str, str]:
        """Return the tags of an autoscaling group."""
        found = {}
        for record in self.state.records("aws:autoscaling/tag:Tag"):
            if record.inputs.get("autoscalingGroupName") == group:
                tag = record.inputs["tag"]
                found[tag["key"]] = tag["value"]
        return found

    def _want(self, pool: Pool, count: int) -> None:
        """Ask for nodes, which take their time."""
        due = time.monotonic() + self.node_delay
        for _ in range(count):
            self._wanted.setdefault(pool.key, []).append(due)

    def _make(self, pools: list[Pool], view: View) -> None:
        """Make the nodes that are due."""
        now = time.monotonic()
        for pool in pools:
            wanted = self._wanted.get(pool.key, [])
            if now < self._blocked.get(pool.key, 0):
                continue
            for due in [due for due in wanted if due <= now]:
                wanted.remove(due)
                if len(view.of(pool)) >= pool.maximum:
                    continue
                made = nodes.node(pool, self._free_number(pool, view), _at_once(pool))
                self.kube.call("POST", "/api/v1/nodes", made)
                view.nodes.append(made)

    @staticmethod
    def _free_number(pool: Pool, view: View) -> int:
        """Return the lowest number that no node of the pool has."""
        taken = {int(node["metadata"]["annotations"][nodes.NUMBER]) for node in view.of(pool)}
        return next(number for number in range(len(taken) + 1) if number not in taken)


@dataclass
class Place:
    """A node that is, or will be, or could be."""

    labels: dict[str, str]
    taints: list[dict[str, str]]
    free: Counter[str]

    def takes(self, pod: dict[str, Any], asked: Counter[str]) -> bool:
        """Tell whether a pod could run there."""
        return (
            fit.selects(pod, self.labels)
            and fit.tolerates(pod, self.taints)
            and fit.enough(asked, self.free)
        )


def ready(node: dict[str, Any]) -> bool:
    """Tell whether a node is ready and takes pods."""
    conditions = node.get("status", {}).get("conditions", [])
    fresh = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    taints = node.get("spec", {}).get("taints", [])
    return fresh and not any(one["key"] == "node.kubernetes.io/not-ready" for one in taints)


def _at_once(pool: Pool) -> int:
    """Return the GPUs that a node offers from its start."""
    return 0 if pool.gpus_need else pool.gpus


def _finds_gpus(pool: Pool, node: str, view: View) -> bool:
    """Tell whether something on a node finds its GPUs."""
    match pool.gpus_need:
        case "":
            return True
        case "gpu-operator":
            names = [one["metadata"]["name"] for one in view.deployments]
            return any("gpu-operator" in name for name in names)
    wanted = DEVICE_PLUGIN if pool.gpus_need == "device-plugin" else DRIVER_INSTALLER
    # The real DaemonSet controller and scheduler decided whether it tolerates and selects.
    return any(
        pod["spec"].get("nodeName") == node
        and pod.get("status", {}).get("phase") == "Running"
        and fit.owned_by_daemon_set(pod)
        and any(
            wanted.search(one["image"])
            for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", []))
        )
        for pod in view.pods
    )


def _autoscaled(pool: Pool, view: View) -> bool:
    """Tell whether something would grow a pool."""
    if not pool.autoscaler:
        return True
    return any(
        AUTOSCALER.search(name)
        for one in view.deployments
        for name in (
            one["metadata"]["name"],
            one["metadata"].get("labels", {}).get("app.kubernetes.io/name", ""),
        )
    )
