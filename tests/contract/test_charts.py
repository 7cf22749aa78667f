"""Values of Helm charts, and add-ons without a chart, against what they are read by.

The charts themselves are not part of this repository: LLM_INFERENCE_CHARTS names a directory of
NAME-VERSION.tgz files, by default `shared/charts` beside the checkout.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pulumi_llm_inference.addons.addons import Addons
from pulumi_llm_inference.addons.charts import (
    CHARTS,
    chart_file,
    device_plugin_values,
    keda_values,
    leader_worker_set_values,
    prometheus_adapter_values,
    prometheus_stack_values,
)
from pulumi_llm_inference.scaling.queue_autoscaler import pod_identity
from pulumi_llm_inference.spec.addons import PROMETHEUS_ADDRESS, Addon
from tests.contract.test_kubernetes import VERSIONS, strict
from tests.support import ROOT, record

FOLDER = Path(os.environ.get("LLM_INFERENCE_CHARTS", ROOT.parent / "shared/charts"))
VALUES = {
    Addon.PROMETHEUS_STACK: prometheus_stack_values(),
    Addon.PROMETHEUS_ADAPTER: prometheus_adapter_values(PROMETHEUS_ADDRESS),
    Addon.KEDA: keda_values(groups=True),
    Addon.DEVICE_PLUGIN: device_plugin_values(),
    Addon.LEADER_WORKER_SET: leader_worker_set_values(),
}
SOURCES = {Addon.LEADER_WORKER_SET: "lws-0.1.0.tgz"}
"""Charts packaged from their source, where the chart has no version of its own: a release gives it
that of the program."""
FREE = {
    "resources",
    "affinity",
    "podSecurityContext",
    "podDisruptionBudget.operator",
    "podDisruptionBudget.metricServer",
}
"""Values that charts pass on as they are, or that they have no default of."""


class ChartFiles:
    """The files of a packaged chart."""

    def __init__(self, addon: Addon) -> None:
        self.chart = CHARTS[addon]
        file = Path(chart_file(self.chart, str(FOLDER)))
        self.source = not file.is_file() and addon in SOURCES
        if self.source:
            file = FOLDER / SOURCES[addon]
        if not file.is_file():
            pytest.skip(f"no {file}")
        with tarfile.open(file) as archive:
            self.files = {
                item.name.removeprefix(f"{self.chart.name}/"): content.read().decode(
                    errors="replace"
                )
                for item in archive
                if (content := archive.extractfile(item)) is not None
            }

    def values(self) -> dict[str, Any]:
        """Default values, those of charts within it under their names."""
        own = yaml.safe_load(self.files["values.yaml"])
        for path, text in self.files.items():
            match path.split("/"):
                case ["charts", name, "values.yaml"]:
                    own[name] = {**(yaml.safe_load(text) or {}), **(own.get(name) or {})}
        return own


@pytest.fixture(params=list(CHARTS), ids=str)
def addon(request: pytest.FixtureRequest) -> Addon:
    return request.param


@pytest.fixture
def chart(addon: Addon) -> ChartFiles:
    return ChartFiles(addon)


def unknown(
    values: Mapping[str, Any], defaults: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    """Keys that a chart does not have, and so would not read."""
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if key not in defaults:
            yield here
        elif isinstance(value, Mapping) and not {key, here} & FREE:
            yield from unknown(value, defaults[key] or {}, here)


def test_every_chart_has_values() -> None:
    assert set(VALUES) == set(CHARTS)


def test_the_chart_is_the_pinned_one(chart: ChartFiles) -> None:
    described = yaml.safe_load(chart.files["Chart.yaml"])
    version = described["appVersion"].removeprefix("v") if chart.source else described["version"]
    assert (described["name"], version) == (chart.chart.name, chart.chart.version)


def test_the_chart_reads_what_we_set(addon: Addon, chart: ChartFiles) -> None:
    assert list(unknown(VALUES[addon], chart.values())) == []


def test_an_unknown_value_would_be_found() -> None:
    found = list(unknown({"a": {"b": 1, "c": 2}, "resources": {"x": 1}}, {"a": {"b": 0}}))
    assert found == ["a.c", "resources"]


def test_the_device_plugins_own_affinity_needs_other_programs() -> None:
    """Which is why ours replaces it; Helm merges maps but replaces lists."""
    affinity = ChartFiles(Addon.DEVICE_PLUGIN).values()["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert "feature.node.kubernetes.io" in str(terms)
    ours = VALUES[Addon.DEVICE_PLUGIN]["affinity"]["nodeAffinity"]
    assert list(ours) == list(affinity)
    assert list(ours[next(iter(ours))]) == ["nodeSelectorTerms"]


def test_the_chart_of_groups_names_its_namespace() -> None:
    chart = ChartFiles(Addon.LEADER_WORKER_SET)
    kinds = [text for path, text in chart.files.items() if path.startswith("crds/leader")]
    [conversion] = [yaml.safe_load(text)["spec"]["conversion"] for text in kinds]
    namespace = conversion["webhook"]["clientConfig"]["service"]["namespace"]
    assert namespace == chart.chart.namespace


def test_the_controller_of_groups_meets_its_namespaces_standard() -> None:
    """The chart's own values lack the seccomp profile."""
    chart = ChartFiles(Addon.LEADER_WORKER_SET)
    assert chart.chart.pod_security == "restricted"
    own, ours = chart.values(), VALUES[Addon.LEADER_WORKER_SET]
    pod = {**own["podSecurityContext"], **ours["podSecurityContext"]}
    assert pod == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = own["securityContext"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_the_adapter_leaves_a_port_of_0_out() -> None:
    template = ChartFiles(Addon.PROMETHEUS_ADAPTER).files["templates/deployment.yaml"]
    assert "{{ if .Values.prometheus.port }}:{{ .Values.prometheus.port }}" in template


def test_the_adapter_registers_no_api_but_that_of_custom_metrics() -> None:
    chart = ChartFiles(Addon.PROMETHEUS_ADAPTER)
    rules = {**chart.values()["rules"], **VALUES[Addon.PROMETHEUS_ADAPTER]["rules"]}
    for kind in ("external", "resource"):
        first = chart.files[f"templates/{kind}-metrics-apiservice.yaml"].splitlines()[0]
        assert re.fullmatch(rf"{{{{- if \.Values\.rules\.{kind} ?}}}}", first)
        assert not rules.get(kind)


def test_the_operators_webhook_and_certificate_go_together() -> None:
    """With tls the operator mounts a Secret that only the webhook's job makes."""
    values = VALUES[Addon.PROMETHEUS_STACK]["prometheusOperator"]
    assert values["admissionWebhooks"] == values["tls"] == {"enabled": False}
    templates = ChartFiles(Addon.PROMETHEUS_STACK).files
    jobs = [path for path in templates if "admission-webhooks/job-patch/job-" in path]
    assert jobs
    for path in jobs:
        assert ".Values.prometheusOperator.admissionWebhooks.enabled" in templates[path]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "args",
    [
        {"cloud": "eks", "cluster_name": "prod", "pool_priorities": [["a"]], "region": "r"},
        {"cloud": "gke", "prometheus": "managed", "methods": ["hpa"]},
    ],
    ids=["eks", "gke"],
)
def test_objects_of_add_ons(args: dict[str, Any], version: str) -> None:
    recording = record(lambda: Addons("addons", args))
    objects = [item.inputs for item in recording.resources if "kind" in item.inputs]
    assert len(objects) > 5
    for content in objects:
        kubernetes_validate.validate(content, version, strict=True)


def test_how_keda_proves_who_it_is() -> None:
    file = ROOT / "tools/crds/keda/keda.sh_triggerauthentications.yaml"
    [version] = yaml.safe_load(file.read_text())["spec"]["versions"]
    content = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "x"},
        "spec": {"podIdentity": pod_identity("c0ffee")},
    }
    schema = strict(version["schema"]["openAPIV3Schema"])
    jsonschema.Draft202012Validator(schema).validate(content)
