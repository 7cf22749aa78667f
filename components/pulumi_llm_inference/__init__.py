"""Self-hosted LLMs on Kubernetes that scale by the requests waiting.

Components are imported on first use: Pulumi's SDKs take most of a second, which commands that only
read an environment should not pay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulumi_llm_inference.monitoring.monitor import Monitor, MonitorArgs
    from pulumi_llm_inference.nodes.simulated import SimulatedGpuNodePool, SimulatedGpuNodePoolArgs
    from pulumi_llm_inference.scaling.queue_autoscaler import QueueAutoscaler, QueueAutoscalerArgs
    from pulumi_llm_inference.serving.model_server import ModelServer, ModelServerArgs

_HOME = {
    "ModelServer": "serving.model_server",
    "ModelServerArgs": "serving.model_server",
    "Monitor": "monitoring.monitor",
    "MonitorArgs": "monitoring.monitor",
    "QueueAutoscaler": "scaling.queue_autoscaler",
    "QueueAutoscalerArgs": "scaling.queue_autoscaler",
    "SimulatedGpuNodePool": "nodes.simulated",
    "SimulatedGpuNodePoolArgs": "nodes.simulated",
}

__all__ = [
    "ModelServer",
    "ModelServerArgs",
    "Monitor",
    "MonitorArgs",
    "QueueAutoscaler",
    "QueueAutoscalerArgs",
    "SimulatedGpuNodePool",
    "SimulatedGpuNodePoolArgs",
]


def __getattr__(name: str) -> Any:
    """Import a component when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
