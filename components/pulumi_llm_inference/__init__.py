"""Self-hosted LLMs on Kubernetes that scale by the requests waiting.

Components are imported on first use: Pulumi's SDKs take most of a second, which commands that only
read an environment should not pay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulumi_llm_inference.addons.addons import Addons, AddonsArgs
    from pulumi_llm_inference.clusters.aks import AksCluster, AksClusterArgs
    from pulumi_llm_inference.clusters.eks import EksCluster, EksClusterArgs
    from pulumi_llm_inference.clusters.gke import GkeCluster, GkeClusterArgs
    from pulumi_llm_inference.clusters.metrics_gke import GkeMetricsAccess, GkeMetricsAccessArgs
    from pulumi_llm_inference.clusters.storage_aks import AksStorageAccess, AksStorageAccessArgs
    from pulumi_llm_inference.clusters.storage_eks import EksStorageAccess, EksStorageAccessArgs
    from pulumi_llm_inference.clusters.storage_gke import GkeStorageAccess, GkeStorageAccessArgs
    from pulumi_llm_inference.monitoring.monitor import Monitor, MonitorArgs
    from pulumi_llm_inference.nodes.aks import AksGpuNodePool, AksGpuNodePoolArgs
    from pulumi_llm_inference.nodes.eks import EksGpuNodePool, EksGpuNodePoolArgs
    from pulumi_llm_inference.nodes.gke import GkeGpuNodePool, GkeGpuNodePoolArgs
    from pulumi_llm_inference.nodes.simulated import SimulatedGpuNodePool, SimulatedGpuNodePoolArgs
    from pulumi_llm_inference.scaling.queue_autoscaler import QueueAutoscaler, QueueAutoscalerArgs
    from pulumi_llm_inference.serving.model_repository import (
        TritonModelRepository,
        TritonModelRepositoryArgs,
    )
    from pulumi_llm_inference.serving.model_server import ModelServer, ModelServerArgs

_HOME = {
    "Addons": "addons.addons",
    "AddonsArgs": "addons.addons",
    "AksCluster": "clusters.aks",
    "AksClusterArgs": "clusters.aks",
    "AksGpuNodePool": "nodes.aks",
    "AksGpuNodePoolArgs": "nodes.aks",
    "AksStorageAccess": "clusters.storage_aks",
    "AksStorageAccessArgs": "clusters.storage_aks",
    "EksCluster": "clusters.eks",
    "EksClusterArgs": "clusters.eks",
    "EksGpuNodePool": "nodes.eks",
    "EksGpuNodePoolArgs": "nodes.eks",
    "EksStorageAccess": "clusters.storage_eks",
    "EksStorageAccessArgs": "clusters.storage_eks",
    "GkeCluster": "clusters.gke",
    "GkeClusterArgs": "clusters.gke",
    "GkeGpuNodePool": "nodes.gke",
    "GkeGpuNodePoolArgs": "nodes.gke",
    "GkeMetricsAccess": "clusters.metrics_gke",
    "GkeMetricsAccessArgs": "clusters.metrics_gke",
    "GkeStorageAccess": "clusters.storage_gke",
    "GkeStorageAccessArgs": "clusters.storage_gke",
    "ModelServer": "serving.model_server",
    "ModelServerArgs": "serving.model_server",
    "Monitor": "monitoring.monitor",
    "MonitorArgs": "monitoring.monitor",
    "QueueAutoscaler": "scaling.queue_autoscaler",
    "QueueAutoscalerArgs": "scaling.queue_autoscaler",
    "SimulatedGpuNodePool": "nodes.simulated",
    "SimulatedGpuNodePoolArgs": "nodes.simulated",
    "TritonModelRepository": "serving.model_repository",
    "TritonModelRepositoryArgs": "serving.model_repository",
}

__all__ = [
    "Addons",
    "AddonsArgs",
    "AksCluster",
    "AksClusterArgs",
    "AksGpuNodePool",
    "AksGpuNodePoolArgs",
    "AksStorageAccess",
    "AksStorageAccessArgs",
    "EksCluster",
    "EksClusterArgs",
    "EksGpuNodePool",
    "EksGpuNodePoolArgs",
    "EksStorageAccess",
    "EksStorageAccessArgs",
    "GkeCluster",
    "GkeClusterArgs",
    "GkeGpuNodePool",
    "GkeGpuNodePoolArgs",
    "GkeMetricsAccess",
    "GkeMetricsAccessArgs",
    "GkeStorageAccess",
    "GkeStorageAccessArgs",
    "ModelServer",
    "ModelServerArgs",
    "Monitor",
    "MonitorArgs",
    "QueueAutoscaler",
    "QueueAutoscalerArgs",
    "SimulatedGpuNodePool",
    "SimulatedGpuNodePoolArgs",
    "TritonModelRepository",
    "TritonModelRepositoryArgs",
]


def __getattr__(name: str) -> Any:
    """Import a component when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
