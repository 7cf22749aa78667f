"""The shape of what is known about an engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec


@dataclass(frozen=True)
class Engine:
    """How an inference server is run and what it measures."""

    name: EngineName
    """Name in configurations, metric names and labels."""
    image: str
    """Image of the release that the rest of this record was read from."""
    port: int
    """Port of the API."""
    metrics_path: str
    """Path of the Prometheus metrics, on the API's port."""
    health_path: str
    """Path that answers 200 once the model is loaded."""
    user_id: int
    """User that the image can run as without being root."""
    group_id: int
    """Group that owns what this user writes."""
    cache_path: str
    """Directory of weights and compiled kernels."""
    signals: Mapping[Signal, tuple[str, ...]]
    """Prometheus gauges that add up to each signal."""
    reserved_service_names: frozenset[str]
    """Names of Services whose environment variables, as Kubernetes makes them, break the engine."""
    flags: Callable[[], frozenset[str]]
    """All flags that the command line takes."""
    fields: frozenset[str]
    """Fields of a spec that become arguments."""
    own_flags: dict[str, str]
    """Flags that fields set, each with the key to use instead."""
    fixed_flags: dict[str, str]
    """Flags that nobody sets, each with the reason."""
    arguments: Callable[[ModelServerSpec], list[str]]
    """Command line for a spec, without the program."""
    environment: Callable[[ModelServerSpec], dict[str, str]]
    """Environment variables that the engine needs for a spec."""

    def metric_name(self, signal: Signal) -> str:
        """Name of the signal in the metrics API, e.g. `vllm_queue_size`: no colon, as that has."""
        return f"{self.name}_{signal}"
