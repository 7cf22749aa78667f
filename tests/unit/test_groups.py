"""The LeaderWorkerSet of a server on several nodes."""

from typing import Any

import jsonschema
import pulumi_kubernetes as k8s
import pytest
import yaml

from pulumi_llm_inference.serving.groups import (
    API_VERSION,
    KIND,
    LEADERS,
    NAME_LABEL,
    READY_ANNOTATIONS,
    group_spec,
)
from tests.contract.test_kubernetes import strict
from tests.support import ROOT, record

DEFINITION = yaml.safe_load(next((ROOT / "tools/crds/lws").glob("leader*")).read_text())["spec"]
[SERVED] = DEFINITION["versions"]


def template(probe: bool) -> k8s.core.v1.PodTemplateSpecArgs:
    ready = k8s.core.v1.ProbeArgs(http_get=k8s.core.v1.HTTPGetActionArgs(path="/health", port=8000))
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(labels={"app": "chat"}),
        spec=k8s.core.v1.PodSpecArgs(
            service_account_name="chat",
            containers=[
                k8s.core.v1.ContainerArgs(
                    name="vllm", image="vllm", readiness_probe=ready if probe else None
                )
            ],
        ),
    )


def group(replicas: int | None, nodes: int = 2) -> dict[str, Any]:
    """The object as the engine gets it."""

    def program() -> None:
        k8s.apiextensions.CustomResource(
            "group",
            api_version=API_VERSION,
            kind=KIND,
            metadata=k8s.meta.v1.ObjectMetaArgs(name="chat", annotations=READY_ANNOTATIONS),
            spec=group_spec(replicas, nodes, template(probe=True), template(probe=False)),
        )

    return record(program).one(KIND)


@pytest.mark.parametrize("replicas", [None, 0, 2])
def test_the_kind_takes_it(replicas: int | None) -> None:
    content = group(replicas)
    jsonschema.Draft202012Validator(strict(SERVED["schema"]["openAPIV3Schema"])).validate(content)
    assert content["apiVersion"] == f"{DEFINITION['group']}/{SERVED['name']}"
    assert content["kind"] == DEFINITION["names"]["kind"]


@pytest.mark.parametrize("replicas", [None, 0, 2])
def test_an_autoscalers_replicas_are_left_out(replicas: int | None) -> None:
    spec = group(replicas)["spec"]
    assert spec.get("replicas") == replicas
    assert ("replicas" in spec) == (replicas is not None)


def test_a_group_is_of_a_leader_and_workers() -> None:
    made = group(1, nodes=4)["spec"]["leaderWorkerTemplate"]
    assert made["size"] == 4
    [leader] = made["leaderTemplate"]["spec"]["containers"]
    [worker] = made["workerTemplate"]["spec"]["containers"]
    assert leader.keys() - worker.keys() == {"readinessProbe"}
    assert made["workerTemplate"]["spec"]["serviceAccountName"] == "chat"


def test_the_only_group_stays_until_the_next_is_there() -> None:
    """As of a Deployment: rounded down nothing may be missing, rounded up one may be added."""
    rolling = group(1)["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]
    missing, added = (
        int(rolling[name].rstrip("%")) / 100 for name in ("maxUnavailable", "maxSurge")
    )
    assert int(missing * 1) == 0
    assert 0 < added <= 1


def test_a_servers_service_keeps_its_name() -> None:
    """With the other policy the controller would look for a headless one of that name."""
    assert group(1)["spec"]["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}


def test_autoscalers_see_leaders() -> None:
    scale = SERVED["subresources"]["scale"]
    assert scale["labelSelectorPath"] == ".status.hpaPodSelector"
    assert scale["specReplicasPath"] == ".spec.replicas"
    assert {NAME_LABEL, *LEADERS} == {
        "leaderworkerset.sigs.k8s.io/name",
        "leaderworkerset.sigs.k8s.io/worker-index",
    }
    assert list(LEADERS.values()) == ["0"]
