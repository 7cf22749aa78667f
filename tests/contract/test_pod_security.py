"""Pod Security Standards, profile "restricted": https://kubernetes.io/docs/concepts/security/."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import Recording

Pod = dict[str, Any]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def _containers(pod: Pod) -> list[dict[str, Any]]:
    keys = ("initContainers", "containers", "ephemeralContainers")
    return [container for key in keys for container in pod.get(key, [])]


def _everywhere(pod: Pod, key: str) -> list[Any]:
    """The value that holds for each container: its own, or else the pod's."""
    of_pod = pod.get("securityContext", {}).get(key)
    return [item.get("securityContext", {}).get(key, of_pod) for item in _containers(pod)]


def _of_containers(pod: Pod, key: str) -> list[Any]:
    return [item.get("securityContext", {}).get(key) for item in _containers(pod)]


RULES: dict[str, Callable[[Pod], bool]] = {
    # baseline
    "no HostProcess": lambda pod: not any(_everywhere(pod, "windowsOptions")),
    "no host namespaces": lambda pod: (
        not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    ),
    "not privileged": lambda pod: not any(_of_containers(pod, "privileged")),
    "no host paths": lambda pod: not any("hostPath" in item for item in pod.get("volumes", [])),
    "no host ports": lambda pod: (
        not any(port.get("hostPort") for item in _containers(pod) for port in item.get("ports", []))
    ),
    "AppArmor not overridden": lambda pod: not any(_everywhere(pod, "appArmorProfile")),
    "SELinux not overridden": lambda pod: not any(_everywhere(pod, "seLinuxOptions")),
    "default /proc": lambda pod: set(_of_containers(pod, "procMount")) <= {None, "Default"},
    "no sysctls": lambda pod: not pod.get("securityContext", {}).get("sysctls"),
    "probes and hooks name no host": lambda pod: "'host':" not in str(_containers(pod)),
    # restricted
    "volume types": lambda pod: all(
        set(item) - {"name"} <= _VOLUMES for item in pod.get("volumes", [])
    ),
    "no escalation": lambda pod: set(_of_containers(pod, "allowPrivilegeEscalation")) == {False},
    "not root": lambda pod: set(_everywhere(pod, "runAsNonRoot")) == {True},
    "no user 0": lambda pod: 0 not in _everywhere(pod, "runAsUser"),
    "seccomp": lambda pod: all(
        profile and profile["type"] in {"RuntimeDefault", "Localhost"}
        for profile in _everywhere(pod, "seccompProfile")
    ),
    "no capabilities": lambda pod: all(
        capabilities
        and "ALL" in capabilities["drop"]
        and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}
        for capabilities in _of_containers(pod, "capabilities")
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("environment", ["local", "rich", "engines"])
def test_pods_are_restricted(environment: str, rule: str, request: pytest.FixtureRequest) -> None:
    recording: Recording = request.getfixturevalue(environment)
    pods = {name: pod["spec"] for name, pod in recording.pods().items()}
    assert pods
    assert [name for name, pod in pods.items() if not RULES[rule](pod)] == []


def test_the_rules_refuse_a_pod_that_says_nothing() -> None:
    pod = {"containers": [{"name": "x"}]}
    refused = {name for name, rule in RULES.items() if not rule(pod)}
    assert refused == {"no escalation", "not root", "seccomp", "no capabilities"}
