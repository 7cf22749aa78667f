"""From an engine's metrics to what prometheus-adapter and KEDA ask Prometheus."""

from collections.abc import Iterable
from typing import Any

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.spec.autoscaling import Signal


def signal_query(engine: Engine, signal: Signal, matchers: str, by: str = "") -> str:
    """PromQL of a signal over the series that `matchers` select, one value for each `by`.

    Summed, because a pod may have several series (one per data-parallel rank), and joined with `+`,
    because a sum of gauges of which one is missing must be missing too.
    """
    grouping = f" by ({by})" if by else ""
    gauges = engine.gauges(signal)
    return " + ".join(f"sum{grouping} ({gauge.where(matchers)})" for gauge in gauges)


def scrapes_lost_query(engine: Engine, matchers: str, by: str = "") -> str:
    """PromQL that is 0 while every selected pod is scraped, and has no value otherwise.

    A lost scrape looks like a short queue. Kubernetes scales nothing down while one of an
    autoscaler's metrics has no value, and still scales up by the others: this is that metric.
    """
    signal = signal_query(engine, Signal.QUEUE_SIZE, matchers, by)
    [gauge] = engine.gauges(Signal.QUEUE_SIZE)
    # Other jobs may scrape the pods too, a service mesh's for one: what they lose does not matter.
    lost = f"up{{{matchers}}} == 0 and on (job) {gauge.where(matchers)}"
    return f"0 * ({signal}) unless on () ({lost})"


def google_metric_name(gauge: str) -> str:
    """Name of a gauge that Google's managed collection has, for its custom-metrics adapter.

    It adds the series of a pod up (GoogleCloudPlatform/k8s-stackdriver custom-metrics-stackdriver-
    adapter/pkg/adapter/translator/response_translator.go), but knows no sum of several gauges.
    """
    return f"prometheus.googleapis.com|{gauge}|gauge"


def scrapes_lost_name(engine: Engine) -> str:
    """Name of `scrapes_lost_query` in the metrics API."""
    return engine.metric_name("scrapes_lost")


def adapter_rules(engines: Iterable[Engine]) -> dict[str, Any]:
    """Configuration of prometheus-adapter for all models of these engines, present and future.

    For its chart's values: `rules: {default: false, custom: RULES["rules"]}`.
    """
    matchers, by = "<<.LabelMatchers>>", "<<.GroupBy>>"
    return {
        "rules": [
            _rule(engine, name, query)
            for engine in engines
            if engine.metrics
            for name, query in [
                *(
                    (engine.metric_name(signal), signal_query(engine, signal, matchers, by))
                    for signal in Signal
                    if engine.gauges(signal)
                ),
                (scrapes_lost_name(engine), scrapes_lost_query(engine, matchers, by)),
            ]
        ]
    }


def _rule(engine: Engine, name: str, query: str) -> dict[str, Any]:
    [gauge] = engine.gauges(Signal.QUEUE_SIZE)
    labels = f"{gauge.labels}," if gauge.labels else ""
    return {
        "seriesQuery": f'{{__name__="{gauge.name}",{labels}namespace!="",pod!=""}}',
        "resources": {
            "overrides": {
                "namespace": {"resource": "namespace"},
                "pod": {"resource": "pod"},
            }
        },
        # Kubernetes' metric names have no colon.
        "name": {"matches": "", "as": name},
        "metricsQuery": query,
    }
