"""The shape of what is known about an engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources

from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec, SecretKey

CONFIG_PATH = "/etc/llm-inference"
"""Directory of the files that an engine is given."""

POD_IP = "POD_IP"
"""Environment variable with the pod's address; values of others may name it as `$(POD_IP)`."""


class Metric(StrEnum):
    """What engines measure, each under a name of its own."""

    WAITING = "waiting"
    """Gauge: requests that wait for a place in the batch."""
    RUNNING = "running"
    """Gauge: requests in the batch."""
    KV_CACHE_USE = "kv_cache_use"
    """Gauge: share of the KV cache that is taken, 0 to 1."""
    TIME_TO_FIRST_TOKEN = "time_to_first_token"  # noqa: S105
    """Histogram, seconds."""
    INTER_TOKEN_LATENCY = "inter_token_latency"  # noqa: S105
    """Histogram, seconds between two tokens of an answer."""
    REQUEST_LATENCY = "request_latency"
    """Histogram, seconds of a whole request."""
    PROMPT_TOKENS = "prompt_tokens"
    """Counter."""
    GENERATION_TOKENS = "generation_tokens"
    """Counter."""


SIGNALS: Mapping[Signal, tuple[Metric, ...]] = {
    Signal.QUEUE_SIZE: (Metric.WAITING,),
    Signal.CONCURRENCY: (Metric.WAITING, Metric.RUNNING),
}
"""Gauges that add up to each signal."""


@dataclass(frozen=True)
class Series:
    """Series of a metric in Prometheus."""

    name: str
    """Name; of a histogram without `_bucket`, `_sum` and `_count`."""
    labels: str = ""
    """Matchers that single them out, e.g. `request_type="waiting"`."""

    def where(self, matchers: str) -> str:
        """PromQL of those that `matchers` select too."""
        return f"{self.name}{{{','.join(filter(None, (self.labels, matchers)))}}}"


@dataclass(frozen=True)
class Probe:
    """How to ask a server how it is."""

    path: str
    """Path that answers 200 if all is well."""
    timeout_seconds: int = 5
    """How long the answer may take. Default 5."""
    period_seconds: int = 10
    """Time between two questions. Default 10."""


def nothing(_: ModelServerSpec) -> dict[str, str]:
    """No files."""
    return {}


def no_words(_: ModelServerSpec) -> list[str]:
    """No arguments."""
    return []


def no_reason(_: ModelServerSpec) -> str:
    """No reason against a queue metric: there always is one."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How an inference server is run, what it measures, and what it cannot do."""

    name: EngineName
    """Name in configurations, metric names and labels."""
    image: str
    """Image of the release that the rest of this record was read from."""
    command: tuple[str, ...] = ()
    """Program in place of the image's entry point. Default: the entry point."""
    port: int
    """Port of the API."""
    metrics_port: int | None = None
    """Port of the Prometheus metrics. Default: the API's."""
    metrics_path: str | None
    """Path of the Prometheus metrics. None: there are none."""
    startup: Probe
    """Answers 200 once the model is loaded."""
    readiness: Probe
    """Answers 200 while requests are served."""
    liveness: Probe
    """Does not answer when only a restart helps."""
    user_id: int
    """User that the image can run as without being root."""
    group_id: int
    """Group that owns what this user writes."""
    cache_path: str
    """Directory of weights and compiled kernels: all that is written."""
    metrics: Mapping[Metric, Series]
    """Where in Prometheus what is measured is found; what is not in it is not measured."""
    drains: bool = True
    """Whether running requests are finished on SIGTERM. If not, the pod sleeps as long before it.
    Default yes."""
    reserved_service_names: frozenset[str] = frozenset()
    """Names of Services whose environment variables, as Kubernetes makes them, break the engine."""
    least_capability: tuple[int, int] = (7, 5)
    """CUDA compute capability below which it does not start. Default 7.5."""
    gpu_memory_utilization: float = 0.9
    """Share of GPU memory that it takes up front where nothing is said. Default 0.9."""
    flags: Callable[[], frozenset[str]]
    """All flags that the command line takes."""
    canonical: Callable[[str], str] = str
    """A flag as `flags` spells it."""
    fields: frozenset[str]
    """Fields of a spec that it understands, of those that not all engines do."""
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Values that a field may have, for those whose values are known."""
    instead: Mapping[str, str]
    """For other such fields, what to do instead."""
    own_flags: Mapping[str, str]
    """Flags that fields set, each with the key to use instead."""
    fixed_flags: Mapping[str, str]
    """Flags that nobody sets, each with the reason."""
    arguments: Callable[[ModelServerSpec], list[str]]
    """Command line for a spec, without the program; `args` of a spec take its place."""
    always: Callable[[ModelServerSpec], list[str]] = no_words
    """Arguments that nothing takes the place of: Service, probes and monitor rely on them."""
    environment: Callable[[ModelServerSpec], Mapping[str, str | SecretKey]]
    """Environment variables that the engine needs for a spec."""
    files: Callable[[ModelServerSpec], dict[str, str]] = nothing
    """Files in `CONFIG_PATH`, by name."""
    post_start: Callable[[ModelServerSpec], list[str]] | None = None
    """Command that must succeed in the container before it counts as started. Default: none."""
    no_queue: Callable[[ModelServerSpec], str] = no_reason
    """Why a server of this spec has no queue metric, and what to use; empty if it has one."""
    node_arguments: Callable[[ModelServerSpec, bool], list[str]] | None = None
    """What the pods of a replica on several nodes are told beside `arguments`: of the leader
    (True), of the others (False). Default: a replica is on one node."""

    def gauges(self, signal: Signal) -> tuple[Series, ...]:
        """Gauges that add up to a signal; empty if one of them is not measured."""
        metrics = SIGNALS[signal]
        if not all(metric in self.metrics for metric in metrics):
            return ()
        return tuple(self.metrics[metric] for metric in metrics)

    def metric_name(self, value: str) -> str:
        """Name of a signal, say, in the metrics API: `vllm_queue_size`, no colon, as that has."""
        return f"{self.name.replace('-', '_')}_{value}"


ENGINE_FIELDS = (
    "api_key",
    "dtype",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "lora_adapters",
    "max_lora_rank",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "pipeline_parallel_size",
    "prefix_caching",
    "quantization",
    "served_model_name",
    "tensor_parallel_size",
)
"""Fields of a spec that some engines understand and others do not."""


def flags_of(spec: ModelServerSpec, flags: Mapping[str, str]) -> list[str]:
    """`--flag value` for those fields of a spec that are set."""
    values = ((flag, getattr(spec, field)) for field, flag in flags.items())
    return [word for flag, value in values if value is not None for word in (flag, str(value))]


def parallel_sizes(spec: ModelServerSpec) -> tuple[int, int]:
    """GPUs that share every layer, and groups of them that share the layers.

    By default layers are shared within a node and split between nodes, whose network is slower
    (vllm-project/vllm docs/serving/parallelism_scaling.md).
    """
    return spec.tensor_parallel_size or spec.gpus, spec.pipeline_parallel_size or spec.nodes


@cache
def flag_list(name: str) -> frozenset[str]:
    """Flags in a data file beside this module: one a line, `#` and others are remarks."""
    file = resources.files("pulumi_llm_inference.engines").joinpath(f"{name}_flags.txt")
    lines = file.read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line.startswith("-"))
