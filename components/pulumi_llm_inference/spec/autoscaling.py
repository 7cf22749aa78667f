"""When a model gets more replicas, and when fewer."""

from enum import StrEnum

from pydantic import Field

from pulumi_llm_inference.spec.base import Spec

_SMALLEST_TARGET = 0.001
"""Kubernetes counts in thousandths."""


class Signal(StrEnum):
    """A number that says how loaded a server is."""

    QUEUE_SIZE = "queue_size"
    """Requests that wait for a place in the batch."""
    CONCURRENCY = "concurrency"
    """Requests that wait plus requests that run: the batch size of GKE's guide."""


class Targets(Spec):
    """Load per replica that the autoscaler holds; with several, the one that asks for most wins."""

    queue_size: float | None = Field(default=None, ge=_SMALLEST_TARGET)
    """Requests waiting per replica. Throughput first: 3 to 5 to begin with (GKE's guide)."""
    concurrency: float | None = Field(default=None, ge=_SMALLEST_TARGET)
    """Requests waiting and running per replica. Latency first: below `maxNumSeqs`."""

    def by_signal(self) -> dict[Signal, float]:
        """The targets that are set."""
        values = {
            Signal.QUEUE_SIZE: self.queue_size,
            Signal.CONCURRENCY: self.concurrency,
        }
        return {signal: target for signal, target in values.items() if target is not None}


class AutoscalingMethod(StrEnum):
    """What moves the replicas."""

    HPA = "hpa"
    """HorizontalPodAutoscaler on a Pods metric of prometheus-adapter."""
    KEDA = "keda"
    """KEDA ScaledObject on Prometheus queries."""


class MetricsSource(StrEnum):
    """What collects the servers' metrics: it decides which monitors and queries work."""

    PROMETHEUS = "prometheus"
    """A Prometheus with prometheus-operator in the cluster."""
    GOOGLE = "google"
    """Google Cloud's managed collection, on GKE."""
    AZURE = "azure"
    """Azure Monitor's managed Prometheus, on AKS."""


class PolicyType(StrEnum):
    """What a scaling policy counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class PolicySelection(StrEnum):
    """Which of several policies applies."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(Spec):
    """The largest change within a period."""

    type: PolicyType
    """`Pods` or `Percent` (of the replicas at the start of the period)."""
    value: int = Field(gt=0)
    """How many."""
    period_seconds: int = Field(ge=1, le=1800)
    """Length of the period."""


class ScalingRules(Spec):
    """How fast replicas change in one direction."""

    stabilization_window_seconds: int = Field(ge=0, le=3600)
    """How long a lower (up: higher) wish must last before it is followed."""
    policies: list[ScalingPolicy] = Field(min_length=1)
    """Limits; the most generous applies unless `selectPolicy` says otherwise."""
    select_policy: PolicySelection | None = None
    """`Max` (Kubernetes' default), `Min`, or `Disabled` for no change in this direction."""
    tolerance: float | None = Field(default=None, ge=0)
    """Ratio to the target that is left alone. Default 0.1. Needs Kubernetes 1.35."""


class BehaviorPreset(StrEnum):
    """Named pairs of scaling rules."""

    GUIDE = "guide"
    """Up at once, doubling each 30 s; down after 300 s, at most half each 60 s."""
    KUBERNETES = "kubernetes"
    """Kubernetes' own defaults, written out: up 4 pods or 100 % each 15 s, down after 300 s."""
    STEADY = "steady"
    """One pod each 180 s up and each 300 s down, as llm-d ships for slow starts."""


class QueryTarget(Spec):
    """A load of your own, for engines or gateways whose metrics this library does not know."""

    promql: str = Field(min_length=1)
    """Query with one value: the load of all replicas together. No value is an error, never zero."""
    per_replica: float = Field(ge=_SMALLEST_TARGET)
    """Load of one replica that the autoscaler holds."""


class AutoscalerSpec(Spec):
    """Signals, targets, bounds and behavior of one model's autoscaler."""

    method: AutoscalingMethod = AutoscalingMethod.HPA
    """`hpa` (default) or `keda`."""
    min_replicas: int = Field(ge=1)
    """Replicas that stay when nothing waits. An engine's metric cannot wake a model from zero."""
    max_replicas: int = Field(ge=1)
    """Replicas that load can grow to."""
    targets: Targets = Targets()
    """Load per replica by signals of the engine; at least one, or a `query`."""
    query: QueryTarget | None = None
    """Load by a query of yours, beside or in place of signals; for method `keda` only."""
    preset: BehaviorPreset = BehaviorPreset.GUIDE
    """Behavior where `scaleUp` or `scaleDown` is not given. Default `guide`."""
    scale_up: ScalingRules | None = None
    """Rules for more replicas, in place of the preset's."""
    scale_down: ScalingRules | None = None
    """Rules for fewer replicas, in place of the preset's."""
