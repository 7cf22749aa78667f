"""Queries, adapter rules, HPA and ScaledObject."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.scaling.queries import (
    adapter_rules,
    scrapes_lost_query,
    signal_query,
)
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.environment import MonitorKind
from tests.environments import PROMETHEUS
from tests.support import Recording, changed, cli_here, preview_of

MEASURED = {name: engine for name, engine in ENGINES.items() if engine.metrics}


@pytest.fixture(params=list(MEASURED.values()), ids=list(MEASURED))
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def rules() -> dict[str, dict[str, Any]]:
    return {rule["name"]["as"]: rule for rule in adapter_rules(ENGINES.values())["rules"]}


def test_the_metrics_api_has_no_colons() -> None:
    assert rules()
    for name in rules():
        assert re.fullmatch(r"[a-z_]+", name)


def test_every_metric_of_an_autoscaler_has_a_rule(local: Recording, rich: Recording) -> None:
    for hpa in (*local.every("HorizontalPodAutoscaler"), *rich.every("HorizontalPodAutoscaler")):
        for metric in hpa["spec"]["metrics"]:
            assert metric["pods"]["metric"]["name"] in rules()


def test_rules_are_for_all_models_and_per_pod() -> None:
    for rule in rules().values():
        query = rule["metricsQuery"]
        assert "<<.LabelMatchers>>" in query
        assert "by (<<.GroupBy>>)" in query
        resources = {item["resource"] for item in rule["resources"]["overrides"].values()}
        assert resources == {"namespace", "pod"}
        series = rule["seriesQuery"]
        assert 'namespace!=""' in series
        assert 'pod!=""' in series


def test_every_gauge_is_summed(engine: Engine) -> None:
    """Also the running requests of `concurrency`: each is a sum of its own, joined by `+`."""
    for signal in Signal:
        gauges = engine.gauges(signal)
        query = signal_query(engine, signal, 'a="b"', "pod")
        terms = query.split(" + ")
        assert len(terms) == len(gauges)
        for term, gauge in zip(terms, gauges, strict=True):
            selected = gauge.where('a="b"')
            assert term == f"sum by (pod) ({selected})"
        # `or` would read a missing gauge as 0.
        assert " or " not in query


def test_a_signal_that_counts_the_queue_contains_it(engine: Engine) -> None:
    assert set(engine.gauges(Signal.QUEUE_SIZE)) < set(engine.gauges(Signal.CONCURRENCY))


def test_lost_scrapes_leave_no_value(engine: Engine) -> None:
    query = scrapes_lost_query(engine, 'service="s"', "pod")
    value, condition = query.split(" unless on () ")
    assert value.startswith("0 * (sum by (pod)")
    # Of the jobs that scrape the engine, not of others that scrape the same pods.
    selected = engine.gauges(Signal.QUEUE_SIZE)[0].where('service="s"')
    assert condition == f'(up{{service="s"}} == 0 and on (job) {selected})'


def test_the_command_prints_the_rules() -> None:
    done = cli_here("adapter-rules")
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout) == adapter_rules(ENGINES.values())


def test_scaled_object(rich: Recording) -> None:
    spec = rich.one("ScaledObject", "chat")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 4)
    assert spec["scaleTargetRef"]["name"] == "chat"
    triggers = [(trigger["metricType"], trigger["metadata"]) for trigger in spec["triggers"]]
    assert [metadata["threshold"] for _, metadata in triggers] == ["2.5", "60", "1"]
    for kind, metadata in triggers:
        assert kind == "AverageValue"
        assert metadata["ignoreNullValues"] == "false"
        assert metadata["serverAddress"] == PROMETHEUS
        for selected in re.findall(r"\{(.*?)\}", metadata["query"]):
            assert selected == 'namespace="llm",service="chat"'
        assert " by (" not in metadata["query"], "KEDA takes one element only"


def test_keda_and_hpa_behave_alike(rich: Recording) -> None:
    """Rules given take the place of the preset's, in one direction only."""
    keda = rich.one("ScaledObject", "chat")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    hpa = rich.one("HorizontalPodAutoscaler", "coder")["spec"]
    own = {
        "stabilizationWindowSeconds": 60,
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 30},
            {"type": "Percent", "value": 10, "periodSeconds": 60},
        ],
        "selectPolicy": "Min",
    }
    assert keda["behavior"]["scaleUp"] == hpa["behavior"]["scaleDown"] == own
    assert keda["behavior"]["scaleDown"]["policies"] == [
        {"type": "Pods", "value": 1, "periodSeconds": 300}
    ]
    assert hpa["behavior"]["scaleUp"]["selectPolicy"] == "Max"
    assert len(hpa["behavior"]["scaleUp"]["policies"]) == 2


def test_all_targets_become_metrics(rich: Recording) -> None:
    metrics = rich.one("HorizontalPodAutoscaler", "coder")["spec"]["metrics"]
    targets = {
        item["pods"]["metric"]["name"]: item["pods"]["target"]["averageValue"] for item in metrics
    }
    assert targets == {"vllm_queue_size": "3", "vllm_concurrency": "100", "vllm_scrapes_lost": "1"}


@pytest.mark.parametrize("kind", list(MonitorKind))
def test_either_a_monitor_or_annotations(
    kind: MonitorKind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("monitoring")
    recording = preview_of(folder, changed("monitoring.kind", kind.value))
    annotations = recording.pods()["vllm-inference"]["metadata"].get("annotations", {})
    if kind is MonitorKind.NONE:
        assert recording.every("ServiceMonitor") == []
        assert annotations == {
            "prometheus.io/scrape": "true",
            "prometheus.io/path": "/metrics",
            "prometheus.io/port": "8000",
        }
    else:
        assert len(recording.every("ServiceMonitor")) == 1
        assert annotations == {}
    for service in recording.every("Service"):
        assert not [key for key in service["metadata"]["annotations"] if "prometheus" in key]


def test_keda_needs_a_monitor(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = changed("monitoring", {"kind": "none", "prometheusAddress": PROMETHEUS})
    config = changed("models.0.autoscaling.method", "keda", config)
    preview_folder = tmp_path_factory.mktemp("keda")
    with pytest.raises(BaseException, match="monitoring"):
        preview_of(preview_folder, config)


@given(st.sampled_from(list(Signal)), st.text("abc=\"'", max_size=8))
def test_matchers_go_into_every_selector(signal: Signal, matchers: str) -> None:
    for engine in MEASURED.values():
        for query in (signal_query(engine, signal, matchers), scrapes_lost_query(engine, matchers)):
            selectors = re.findall(r"\{(.*?)\}", query)
            own = {series.labels for series in engine.gauges(signal)} - {""}
            for selector in selectors:
                assert selector in {matchers, *(",".join(filter(None, (o, matchers))) for o in own)}
