"""Node objects of a pool, for KWOK to play."""

import re
import secrets
from typing import Any

from tests.clouds.model import Pool

POOL = "simulated-cloud/pool"
DIGEST = "simulated-cloud/digest"
NUMBER = "simulated-cloud/number"
MACHINE = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "110"}
"""What a node offers beside GPUs: enough that pods wait only for placement."""


def pool_key(node: dict[str, Any]) -> str | None:
    """Return the pool that a node belongs to."""
    return node["metadata"].get("annotations", {}).get(POOL)


def node(pool: Pool, number: int, gpus: int) -> dict[str, Any]:
    """Return the next node of a pool.

    Args:
        pool: The pool.
        number: Which node of it this is; zones take turns.
        gpus: What it offers now.
    """
    name = re.sub(r"[^a-z0-9-]", "-", f"{pool.cluster}-{pool.name}".lower())[:50].strip("-")
    name = f"{name}-{secrets.token_hex(3)}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {
                "kwok.x-k8s.io/node": "fake",
                POOL: pool.key,
                DIGEST: pool.digest(),
                NUMBER: str(number),
            },
            "labels": labels(pool, number) | {"kubernetes.io/hostname": name},
        },
        "spec": {"taints": pool.taints},
        "status": status(gpus),
    }


def labels(pool: Pool, number: int) -> dict[str, str]:
    """Return the labels of a node, the host's name left out."""
    return {
        **pool.labels,
        # What every kubelet and every cloud's controller sets
        # (kubernetes.io/docs/reference/labels-annotations-taints).
        "kubernetes.io/arch": pool.architecture,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": pool.machine,
        "topology.kubernetes.io/region": pool.region,
        "topology.kubernetes.io/zone": pool.zones[number % len(pool.zones)],
    }


def status(gpus: int) -> dict[str, Any]:
    """Return what a node offers."""
    capacity = {**MACHINE, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {"capacity": capacity, "allocatable": capacity}
