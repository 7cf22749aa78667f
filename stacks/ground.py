"""What models stand on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi

from pulumi_llm_inference.spec.autoscaling import MetricsSource

if TYPE_CHECKING:  # at run time only one cloud's package is installed
    from pulumi_llm_inference import (
        AksGpuNodePool,
        AksStorageAccess,
        EksGpuNodePool,
        EksStorageAccess,
        GkeGpuNodePool,
        GkeStorageAccess,
        SimulatedGpuNodePool,
    )

    StorageAccess = AksStorageAccess | EksStorageAccess | GkeStorageAccess
    GpuNodePool = AksGpuNodePool | EksGpuNodePool | GkeGpuNodePool | SimulatedGpuNodePool


Storage = Callable[[str, Mapping[str, Any]], "StorageAccess"]
"""Lets the pods of a model read a bucket: a cloud's component."""


@dataclass(frozen=True)
class Ground:
    """What the models stand on. By default: the cluster in use, with all that it needs."""

    options: pulumi.ResourceOptions = field(default_factory=pulumi.ResourceOptions)
    """For whatever is in the cluster."""
    ready: list[pulumi.Resource] = field(default_factory=list)
    """What makes the kinds of monitors and autoscalers."""
    prometheus_address: str | None = None
    """URL that KEDA asks."""
    source: MetricsSource = MetricsSource.PROMETHEUS
    """Who scrapes."""
    storage: Storage | None = None
    """Lets pods read buckets."""

    @property
    def options_when_ready(self) -> pulumi.ResourceOptions:
        """For monitors and autoscalers."""
        return pulumi.ResourceOptions.merge(
            self.options, pulumi.ResourceOptions(depends_on=self.ready)
        )
