"""Objects against the schemas of Kubernetes and of the custom resources, strictly."""

import functools
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.support import ROOT, Recording

VERSIONS = [
    version
    for version in dict.fromkeys(map(utils.major_minor, utils.all_versions()))
    if int(version.split(".")[1]) >= 30
]
TOLERANCE_SINCE = "1.35"
CUSTOM = {
    "ServiceMonitor": "monitoring/monitoring.coreos.com_servicemonitors.yaml",
    "ScaledObject": "keda/keda.sh_scaledobjects.yaml",
    "LeaderWorkerSet": "lws/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
}

# Each call reads a file of megabytes.
utils.schema_contents = functools.cache(utils.schema_contents)


def strict(schema: dict[str, Any], top: bool = True) -> dict[str, Any]:
    """A CRD's schema as JSON schema that refuses what the API server would drop."""
    result = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    result.pop("format", None)
    if "properties" in schema:
        result["properties"] = {
            key: strict(value, top=False) for key, value in schema["properties"].items()
        }
        if top:  # the API server checks it against its own schema
            result["properties"]["metadata"] = {"type": "object"}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = strict(schema[key], top=False)
    if schema.get("type") == "object" and not (
        schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    ):
        result["additionalProperties"] = False
    return result


@functools.cache
def custom_schema(kind: str, version: str) -> dict[str, Any]:
    definition = yaml.safe_load((ROOT / "tools/crds" / CUSTOM[kind]).read_text())["spec"]
    [served] = [item for item in definition["versions"] if item["name"] == version]
    assert served["served"]
    return strict(served["schema"]["openAPIV3Schema"])


def check_custom(content: dict[str, Any]) -> None:
    version = content["apiVersion"].split("/")[1]
    schema = custom_schema(content["kind"], version)
    jsonschema.Draft202012Validator(schema).validate(content)


def contents(recording: Recording, *, custom: bool) -> Iterator[dict[str, Any]]:
    """The objects, one Node of each pool."""
    for manifest in recording.manifests():
        content = manifest.content
        if content["kind"] == "Node" and not content["metadata"]["name"].endswith("-0"):
            continue
        if (content["kind"] in CUSTOM) == custom:
            yield content


def test_the_newest_schemas_are_there() -> None:
    assert VERSIONS[0] == "1.30"
    assert len(VERSIONS) >= 7


@pytest.mark.parametrize(
    ("environment", "version"),
    [
        *((environment, version) for environment in ("local", "rich") for version in VERSIONS),
        ("engines", VERSIONS[-1]),
        *(("tolerant", version) for version in VERSIONS if version >= TOLERANCE_SINCE),
    ],
)
def test_kubernetes_objects(environment: str, version: str, request: pytest.FixtureRequest) -> None:
    checked = set()
    for content in contents(request.getfixturevalue(environment), custom=False):
        used = kubernetes_validate.validate(content, version, strict=True)
        assert used == version
        checked.add(content["kind"])
    assert checked >= {"Deployment", "Service", "HorizontalPodAutoscaler", "Node"}


@pytest.mark.parametrize(
    ("environment", "count"), [("local", 1), ("rich", 2), ("tolerant", 2), ("engines", 6)]
)
def test_custom_resources(environment: str, count: int, request: pytest.FixtureRequest) -> None:
    found = list(contents(request.getfixturevalue(environment), custom=True))
    assert len(found) == count
    for content in found:
        check_custom(content)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServiceMonitor", "spec.endpoints.0.intervall", "15s"),
        ("ServiceMonitor", "spec.endpoints.0.interval", "15 s"),
        ("ServiceMonitor", "spec.selectors", {}),
        ("ScaledObject", "spec.triggers.0.metadata.ignoreNullValues", False),
        ("ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behavior.scale_up", {}),
        ("ScaledObject", "spec.minReplicaCount", "1"),
    ],
)
def test_the_check_itself_refuses(kind: str, path: str, value: object, rich: Recording) -> None:
    content = yaml.safe_load(yaml.safe_dump(rich.one(kind)))
    *steps, last = path.split(".")
    here = content
    for step in steps:
        here = here[int(step)] if step.isdigit() else here[step]
    here[last] = value
    with pytest.raises(jsonschema.ValidationError):
        check_custom(content)


def test_fields_of_newer_versions_are_gated(rich: Recording, tolerant: Recording) -> None:
    def tolerances(recording: Recording) -> str:
        return str([*recording.every("HorizontalPodAutoscaler"), *recording.every("ScaledObject")])

    assert "tolerance" not in tolerances(rich)
    assert tolerances(tolerant).count("'tolerance': '50m'") == 2
