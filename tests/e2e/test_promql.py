"""Prometheus understands every query that the library makes."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from control_plane import ControlPlane
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.scaling.queries import adapter_rules, scrapes_lost_query, signal_query
from pulumi_llm_inference.spec.autoscaling import Signal

SERVICE = 'namespace="default",service="chat",pod!~"chat-floor-.+"'
"""As KEDA's queries select."""

FILLED_IN = {
    "<<.LabelMatchers>>": 'namespace="default",pod=~"chat-5d8f-abcde|chat-5d8f-fghij"',
    "<<.GroupBy>>": "pod",
    "<<.Series>>": "",
}
"""What prometheus-adapter writes in place of its variables, for the pods of an HPA's target."""


def queries() -> Iterator[str]:
    """All queries, of every engine that measures something."""
    for engine in ENGINES.values():
        for signal in Signal:
            if engine.gauges(signal):
                yield signal_query(engine, signal, SERVICE)
        if engine.metrics:
            yield scrapes_lost_query(engine, SERVICE)
    for rule in adapter_rules(ENGINES.values())["rules"]:
        yield rule["seriesQuery"]
        asked = rule["metricsQuery"]
        for variable, value in FILLED_IN.items():
            asked = asked.replace(variable, value)
        yield asked


def test_prometheus_parses_every_query(plane: ControlPlane) -> None:
    asked = list(queries())
    assert len(asked) >= 4 * 3 * 3  # engines x (signals and lost scrapes) x (KEDA's, adapter's two)
    assert not [text for text in asked if "<<" in text]
    for text in asked:
        query(plane, text)  # an answer, also an empty one
    with pytest.raises(urllib.error.HTTPError, match="400"):
        query(plane, asked[0] + ")")


def ask(plane: ControlPlane, path: str, **parameters: str) -> Any:
    """Data that its API returns; an HTTPError where it does not understand the question."""
    url = f"{plane.prometheus_url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        body = json.load(answer)
    assert body["status"] == "success", body
    return body["data"]


def query(plane: ControlPlane, promql: str) -> list[float]:
    """Values of the series that a query has now."""
    return [float(series["value"][1]) for series in ask(plane, "query", query=promql)["result"]]


def targets(plane: ControlPlane) -> list[dict[str, Any]]:
    """What is scraped."""
    return ask(plane, "targets", state="active")["activeTargets"]
