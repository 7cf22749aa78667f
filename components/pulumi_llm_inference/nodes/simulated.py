"""GPU nodes without GPUs, for a control plane on one machine (https://kwok.sigs.k8s.io)."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.catalog.accelerators import Accelerator, accelerators
from pulumi_llm_inference.checks.pool import pool_problems
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, GpuNodePoolSpec, Placement

_MACHINE = {"cpu": "96", "memory": "768Gi", "pods": "110"}
"""Capacity of a node beside its GPUs: enough to never be what a pod waits for."""


class SimulatedGpuNodePoolArgs(GpuNodePoolSpec, Args):
    """Arguments of SimulatedGpuNodePool: those of every GPU node pool."""


class SimulatedGpuNodePool(pulumi.ComponentResource):
    """`max_nodes` Node objects that look like those of a real pool; KWOK plays their kubelets.

    No node autoscaler runs on a simulated cluster, so the pool stands at its largest.
    """

    placement: Placement
    """What pods need to run on the pool."""
    nodes: list[k8s.core.v1.Node]
    """The Node objects."""

    def __init__(
        self,
        name: str,
        args: SimulatedGpuNodePoolArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = SimulatedGpuNodePoolArgs.model_validate(args)
        require(pool_problems(name, spec, Cloud.LOCAL, name), f"SimulatedGpuNodePool '{name}'")
        super().__init__("llm-inference:index:SimulatedGpuNodePool", name, None, opts)
        self.placement = placement(name, spec, Cloud.LOCAL)
        accelerator = accelerators()[spec.accelerator]
        labels = {
            **spec.labels,
            **discovered_labels(accelerator, spec.gpus_per_node),
            **self.placement.node_labels,
        }
        self.nodes = [
            self._node(f"{name}-{index}", spec, labels) for index in range(spec.max_nodes)
        ]
        self.register_outputs({"placement": self.placement.model_dump(mode="json", by_alias=True)})

    def _node(
        self, name: str, spec: GpuNodePoolSpec, labels: Mapping[str, str]
    ) -> k8s.core.v1.Node:
        gpus = {self.placement.gpu_resource: str(spec.gpus_per_node)}
        return k8s.core.v1.Node(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=name,
                labels={**labels, "kubernetes.io/hostname": name},
                annotations={"kwok.x-k8s.io/node": "fake"},
            ),
            spec=k8s.core.v1.NodeSpecArgs(
                taints=[
                    k8s.core.v1.TaintArgs(
                        key=taint.key, value=taint.value, effect=taint.effect.value
                    )
                    for taint in self.placement.taints
                ]
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                transformations=[_with_capacity({**_MACHINE, **gpus})],
                # The API server takes a Node's status at creation and never again.
                replace_on_changes=["status"],
                delete_before_replace=True,
            ),
        )


def _with_capacity(capacity: Mapping[str, str]) -> pulumi.ResourceTransformation:
    """Give a Node the status that its kubelet would report; the SDK's Node takes none."""
    status = {"capacity": capacity, "allocatable": capacity}
    return lambda args: pulumi.ResourceTransformationResult(
        {**args.props, "status": status}, args.opts
    )


def discovered_labels(accelerator: Accelerator, gpus: int) -> dict[str, str]:
    """Labels that GPU feature discovery finds on a node (NVIDIA/k8s-device-plugin, README)."""
    major, minor = accelerator.compute_capability
    return {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "nvidia.com/gpu.compute.major": str(major),
        "nvidia.com/gpu.compute.minor": str(minor),
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.memory": str(accelerator.memory_mib),
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": accelerator.product,
    }
