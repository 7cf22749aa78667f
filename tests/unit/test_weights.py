"""Where weights come from: what pods get, the copy before they start, how long they may take."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pulumi_kubernetes as k8s
import pytest
from pydantic import ValidationError

from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.checks.weights import bucket_problems, weights_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.planning.startup import (
    DEFAULT_SECONDS,
    LEAST_SECONDS,
    SAFETY,
    STEPS,
    startup_seconds,
)
from pulumi_llm_inference.serving.weights import (
    COPY_SCRIPT,
    as_loaded,
    claim_name,
    claim_spec,
    init_containers,
    model_path,
    mounts,
    volumes,
)
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec
from pulumi_llm_inference.spec.weights import WeightsSource, WeightsSpec
from tests.contract.test_pod_security import RULES
from tests.support import record

CACHE = "/cache"
AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "acme"}


class Server(ModelServerSpec):
    weights: WeightsSpec = WeightsSpec()
    """Where weights come from."""


def server(weights: Mapping[str, Any], **fields: Any) -> Any:
    return Server.model_validate({"model": "org/model", "weights": weights, **fields})


def claim(name: str, weights: WeightsSpec) -> dict[str, Any]:
    spec = claim_spec(weights)
    assert spec
    made = record(lambda: k8s.core.v1.PersistentVolumeClaim("claim", spec=spec))
    return made.one("PersistentVolumeClaim")["spec"]


def pod_of(spec: Any) -> dict[str, Any]:
    """A pod as `pod_spec` makes it, of no more than concerns weights."""

    def program() -> None:
        k8s.core.v1.Pod(
            "pod",
            metadata={"name": "chat"},
            spec=k8s.core.v1.PodSpecArgs(
                security_context=k8s.core.v1.PodSecurityContextArgs(
                    run_as_non_root=True,
                    run_as_user=2000,
                    fs_group=2000,
                    seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                ),
                init_containers=init_containers(spec, CACHE) or None,
                containers=[
                    k8s.core.v1.ContainerArgs(
                        name="engine",
                        image="engine:1",
                        volume_mounts=mounts(spec.weights, CACHE),
                        security_context=k8s.core.v1.SecurityContextArgs(
                            allow_privilege_escalation=False,
                            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                        ),
                    )
                ],
                volumes=volumes("chat", spec.weights),
            ),
        )

    return record(program).one("Pod")["spec"]


# What a user may write.


@pytest.mark.parametrize("field", ["stream", "download"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("s3://bucket/models/llama-3.1/", "s3://bucket/models/llama-3.1"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/llama", "az://container/llama"),
    ],
)
def test_objects_are_read(field: str, written: str, read: str) -> None:
    weights = WeightsSpec.model_validate({field: written})
    assert getattr(weights, field) == weights.objects == read
    assert weights.bucket == read.split("/")[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "bucket/path"),
        ("stream", "https://bucket/path"),
        ("stream", "s3://"),
        ("download", "s3://bucket/a b"),
        ("download", "s3://bucket,endpoint=evil:x/y"),
        ("image", "registry.example.com/model"),
        ("image", "localhost:5000/model"),
        ("image", "registry.example.com/a model:1"),
        ("path", "../etc"),
        ("path", "/"),
        ("claim", "No Name"),
        ("storageClass", "No Name"),
        ("size", "60 GB"),
        ("shared", "perhaps"),
    ],
)
def test_other_shapes_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        WeightsSpec.model_validate({field: value})


@pytest.mark.parametrize(
    "image",
    ["m:1", "registry.example.com/m:v1.0", "localhost:5000/m:1", f"r/m@sha256:{'0' * 64}"],
)
def test_images_are_read(image: str) -> None:
    assert WeightsSpec(image=image).source is WeightsSource.IMAGE


@pytest.mark.parametrize(
    ("weights", "source"),
    [
        ({}, WeightsSource.HUB),
        ({"size": "60Gi"}, WeightsSource.HUB),
        ({"claim": "models"}, WeightsSource.CLAIM),
        ({"storage_class": "rwx", "size": "1Ti"}, WeightsSource.CLAIM),
        ({"storage_class": "rwo", "size": "1Ti", "shared": False}, WeightsSource.HUB),
        ({"claim": "models", "stream": "s3://b"}, WeightsSource.STREAM),
        ({"claim": "models", "download": "s3://b"}, WeightsSource.DOWNLOAD),
        ({"image": "m:1"}, WeightsSource.IMAGE),
    ],
)
def test_the_source_follows(weights: dict[str, Any], source: WeightsSource) -> None:
    assert WeightsSpec.model_validate(weights).source is source


# What is wrong with it.


@pytest.mark.parametrize(
    ("weights", "field", "cure"),
    [
        ({"claim": "models", "size": "60Gi"}, "size", "remove it"),
        ({"claim": "models", "storageClass": "rwx"}, "storageClass", "remove it"),
        ({"storageClass": "rwx"}, "size", "200Gi"),
        ({"shared": False}, "shared", "storageClass"),
        ({"stream": "s3://b", "download": "s3://b"}, "download", "keep one"),
        ({"download": "s3://b", "image": "m:1"}, "image", "keep one"),
        ({"path": "models"}, "path", "set image"),
        ({"stream": "az://c/m"}, "stream", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_problems(weights: dict[str, Any], field: str, cure: str) -> None:
    problems = weights_problems(server(weights), ENGINES[EngineName.VLLM], "1.35", "models[0]")
    [problem] = problems
    assert problem.path == f"models[0].weights.{field}"
    assert cure in problem.cure
    assert not problem.warning


@pytest.mark.parametrize(
    ("weights", "fields"),
    [
        ({}, {}),
        ({"size": "60Gi"}, {}),
        ({"claim": "models"}, {}),
        ({"storageClass": "rwx", "size": "1Ti"}, {}),
        ({"storageClass": "rwo", "size": "1Ti", "shared": False, "stream": "s3://b"}, {}),
        ({"download": "az://c/m"}, {"env": AZURE}),
        ({"image": "m:1", "path": "models"}, {}),
    ],
)
def test_no_problems(weights: dict[str, Any], fields: dict[str, Any]) -> None:
    spec = server(weights, **fields)
    assert list(weights_problems(spec, ENGINES[EngineName.VLLM], "1.35", "m")) == []
    assert list(weights_problems(spec, ENGINES[EngineName.VLLM], None, "m")) == []


@pytest.mark.parametrize(("version", "refused"), [("1.30", 1), ("1.34", 1), ("1.35", 0), (None, 0)])
def test_image_volumes_need_a_version(version: str | None, refused: int) -> None:
    spec = server({"image": "m:1"})
    problems = list(weights_problems(spec, ENGINES[EngineName.VLLM], version, "m"))
    assert [problem.path for problem in problems] == ["m.weights.image"] * refused


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine is not EngineName.VLLM])
def test_only_vllm_streams(engine: EngineName) -> None:
    triton = {"modelRepositoryClaim": "c"} if engine is EngineName.TRITON else None
    spec = server({"stream": "s3://b"}, engine=engine, triton=triton)
    [problem] = model_server_problems("m", spec, [], "m", "1.35")
    assert problem.path == "m.weights.stream"


def test_streaming_needs_arguments_and_has_not_been_seen_on_several_nodes() -> None:
    spec = server({"stream": "s3://b"}, args=["s3://b"])
    [problem] = weights_problems(spec, ENGINES[EngineName.VLLM], "1.35", "m")
    assert "extraArgs" in problem.cure
    spec = server({"stream": "s3://b"}, nodes=2)
    [problem] = weights_problems(spec, ENGINES[EngineName.VLLM], "1.35", "m")
    assert problem.warning


@pytest.mark.parametrize(
    ("uri", "bucket", "warnings"),
    [
        (None, None, []),
        ("s3://b/m", "b", []),
        ("az://c/m", "/subscriptions/s/…/containers/c", []),
        ("gs://b/m", None, [True]),
        ("gs://b/m", "other", [False]),
    ],
)
def test_the_bucket_is_the_one_that_pods_may_read(
    uri: str | None, bucket: str | None, warnings: list[bool]
) -> None:
    problems = bucket_problems(WeightsSpec(download=uri), bucket, "models[0]")
    assert [problem.warning for problem in problems] == warnings


# What the pod gets.


@pytest.mark.parametrize(
    ("weights", "cache"),
    [
        ({}, {"emptyDir": {}}),
        ({"size": "60Gi"}, {"emptyDir": {"sizeLimit": "60Gi"}}),
        ({"claim": "models"}, {"persistentVolumeClaim": {"claimName": "models"}}),
        (
            {"storage_class": "rwx", "size": "1Ti"},
            {"persistentVolumeClaim": {"claimName": "chat-weights"}},
        ),
    ],
)
def test_the_cache(weights: dict[str, Any], cache: dict[str, Any]) -> None:
    pod = pod_of(server(weights))
    assert pod["volumes"] == [{"name": "cache", **cache}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "cache", "mountPath": CACHE}]
    assert "initContainers" not in pod


def test_a_claim_for_all_and_one_for_each() -> None:
    wanted = {"storage_class": "fast", "size": "1Ti"}
    shared = WeightsSpec.model_validate(wanted)
    assert claim_name("chat") == "chat-weights"
    assert claim("chat", shared) == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Ti"}},
    }
    own = WeightsSpec.model_validate({**wanted, "shared": False})
    assert claim_spec(own) is None
    [volume] = pod_of(server({**wanted, "shared": False}))["volumes"]
    template = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert template["accessModes"] == ["ReadWriteOnce"]
    assert template["storageClassName"] == "fast"
    assert claim_spec(WeightsSpec(claim="models")) is None


def test_an_image_is_mounted_and_loaded() -> None:
    spec = server({"image": "registry.example.com/m:1", "path": "/models/"})
    pod = pod_of(spec)
    assert pod["volumes"][1] == {
        "name": "weights",
        "image": {"reference": "registry.example.com/m:1"},
    }
    mount = pod["containers"][0]["volumeMounts"][1]
    assert mount["readOnly"]
    assert model_path(spec.weights, CACHE) == f"{mount['mountPath']}/models"
    assert model_path(WeightsSpec(image="m:1"), CACHE) == mount["mountPath"]


@pytest.mark.parametrize(
    "weights", [{}, {"claim": "models"}, {"stream": "s3://b/m"}, {"download": "s3://b/m"}]
)
def test_what_is_loaded_keeps_its_name(weights: dict[str, Any]) -> None:
    spec = server(weights)
    loaded = as_loaded(spec, CACHE)
    if spec.weights.objects is None:
        assert loaded is spec
        return
    assert loaded.model == model_path(spec.weights, CACHE) != spec.model
    assert loaded.served_model_name == "org/model"
    named = as_loaded(server(weights, served_model_name="chat"), CACHE)
    assert named.served_model_name == "chat"


def test_two_downloads_are_two_directories() -> None:
    paths = {
        model_path(WeightsSpec(download=f"s3://{bucket}/{path}"), CACHE)
        for bucket in ("a", "b")
        for path in ("v1/llama", "v2/llama")
    }
    assert len(paths) == 4
    assert all(str(path).startswith(f"{CACHE}/weights/llama-") for path in paths)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "weights",
    [
        {"storage_class": "rwo", "size": "1Ti", "shared": False},
        {"claim": "models", "download": "gs://b/m"},
    ],
)
def test_pods_are_restricted(weights: dict[str, Any], rule: str) -> None:
    assert RULES[rule](pod_of(server(weights)))


@pytest.mark.parametrize(
    ("weights", "version"),
    [
        ({"size": "60Gi"}, "1.30"),
        ({"storage_class": "rwo", "size": "1Ti", "shared": False}, "1.30"),
        ({"claim": "models", "download": "gs://b/m"}, "1.30"),
        ({"image": "m:1"}, "1.35"),
    ],
)
def test_kubernetes_takes_the_pods(weights: dict[str, Any], version: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chat"}}
    kubernetes_validate.validate({**pod, "spec": pod_of(server(weights))}, version, strict=True)


def test_the_copier_gets_what_it_needs_of_the_servers_variables() -> None:
    env = {
        **AZURE,
        "VLLM_LOGGING_LEVEL": "DEBUG",
        "RCLONE_S3_PROVIDER": "Minio",
        "AWS_ACCESS_KEY_ID": {"name": "minio", "key": "id"},
    }
    pod = pod_of(server({"download": "s3://b/m"}, env=env))
    [container] = pod["initContainers"]
    found = {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}
    assert found["AZURE_STORAGE_ACCOUNT_NAME"] == "acme"
    assert found["RCLONE_S3_PROVIDER"] == "Minio"
    assert found["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "minio", "key": "id"}}
    assert "VLLM_LOGGING_LEVEL" not in found
    assert found["SOURCE"] == ":s3:b/m"
    assert found["TARGET"] == model_path(WeightsSpec(download="s3://b/m"), CACHE)
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["resources"].keys() == {"requests", "limits"}
    assert container["volumeMounts"] == [{"name": "cache", "mountPath": CACHE}]


@pytest.mark.parametrize(
    ("uri", "remote"),
    [("s3://b", ":s3:b"), ("gs://b/m", ":gcs:b/m"), ("az://c/m", ":azureblob:c/m")],
)
def test_remotes(uri: str, remote: str) -> None:
    [container] = pod_of(server({"download": uri}, env=AZURE))["initContainers"]
    assert {"name": "SOURCE", "value": remote} in container["env"]


# The copy itself, against a program that copies as rclone does.

_RCLONE = r"""#!/bin/sh
# rclone copy SOURCE TARGET --config "" --partial-suffix SUFFIX …
set -eu
source="$OBJECTS/$(echo "$2" | cut -d : -f 3)" target="$3" suffix="$7"
echo "start $$ $suffix" >> "$LOG"
[ -d "$source" ] || exit 0
for file in "$source"/*; do
  name="$(basename "$file")"
  cmp -s "$file" "$target/$name" && continue
  head -c 3 "$file" > "$target/$name.0000aaaa$suffix"
  sleep "${PAUSE:-0}"
  [ "$name" = "${DIES_AT:-}" ] && exit 9
  cat "$file" > "$target/$name.0000aaaa$suffix"
  mv "$target/$name.0000aaaa$suffix" "$target/$name"
  echo "copied $name" >> "$LOG"
done
"""


class Node:
    """Where pods run the script: a shared cache, object storage, and programs of theirs."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "cache/weights/m-1"
        self.objects = folder / "objects/bucket/m"
        self.objects.mkdir(parents=True)
        for name in ("a.safetensors", "b.safetensors", "config.json"):
            (self.objects / name).write_text(f"contents of {name}")
        self._folder = folder
        self._log = folder / "log"
        self._started: list[subprocess.Popen[str]] = []
        self.program("rclone", _RCLONE)

    def program(self, name: str, text: str) -> None:
        file = self._folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def start(self, **variables: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "OBJECTS": str(self._folder / "objects"),
            "LOG": str(self._log),
            "SOURCE": ":s3:bucket/m",
            "TARGET": str(self.target),
            **variables,
        }
        started = subprocess.Popen(
            ["sh", "-euc", COPY_SCRIPT],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(started)
        return started

    def run(self, **variables: str) -> int:
        process = self.start(**variables)
        process.communicate(timeout=20)
        return process.returncode

    def until_started(self, number: int) -> None:
        end = time.monotonic() + 10
        while len(self.lines("start")) < number:
            assert time.monotonic() < end
            time.sleep(0.02)

    def lines(self, word: str) -> list[str]:
        text = self._log.read_text() if self._log.exists() else ""
        return [line for line in text.splitlines() if line.startswith(word)]

    @property
    def is_complete(self) -> bool:
        return self.target.with_name("m-1.complete").exists()

    def assert_copied(self) -> None:
        assert self.is_complete
        copied = {file.name: file.read_text() for file in self.target.iterdir()}
        assert copied == {file.name: file.read_text() for file in self.objects.iterdir()}

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.close()


def test_a_copy_is_made_once(node: Node) -> None:
    assert node.run() == 0
    node.assert_copied()
    assert node.run() == 0
    assert len(node.lines("start")) == 1


def test_an_interrupted_copy_goes_on(node: Node) -> None:
    assert node.run(DIES_AT="b.safetensors") == 9
    assert not node.is_complete
    assert [file for file in node.target.iterdir() if file.name.endswith(".part")]
    assert node.run() == 0
    node.assert_copied()
    assert sorted(node.lines("copied")) == [
        "copied a.safetensors",
        "copied b.safetensors",
        "copied config.json",
    ]


def test_a_second_pod_waits_for_the_first(node: Node) -> None:
    first = node.start(PAUSE="0.2")
    node.until_started(1)
    second = node.start()
    for process in (first, second):
        process.communicate(timeout=20)
        assert process.returncode == 0
    node.assert_copied()
    assert len(node.lines("start")) == 1


def test_a_second_pod_takes_over_from_one_that_dies(node: Node) -> None:
    first = node.start(PAUSE="0.2", DIES_AT="b.safetensors")
    node.until_started(1)
    second = node.start()
    first.communicate(timeout=20)
    second.communicate(timeout=20)
    assert (first.returncode, second.returncode) == (9, 0)
    node.assert_copied()
    assert len(node.lines("copied")) == 3


def test_without_locks_two_pods_do_each_other_no_harm(node: Node) -> None:
    node.program("flock", "#!/bin/sh\nexit 1\n")
    node.program("hostname", "#!/bin/sh\necho $POD\n")
    pods = [node.start(PAUSE="1", POD=name) for name in ("chat-1", "chat-2")]
    node.until_started(2)
    for process in pods:
        process.communicate(timeout=20)
        assert process.returncode == 0
    node.assert_copied()
    suffixes = [line.split()[2] for line in node.lines("start")]
    assert len(set(suffixes)) == 2
    assert all(len(suffix) <= 16 for suffix in suffixes)  # rclone takes no more


def test_an_empty_source_is_no_model(node: Node) -> None:
    assert node.run(SOURCE=":s3:bucket/misspelt") == 1
    assert not node.is_complete


def test_a_pod_that_is_told_to_end_does(node: Node) -> None:
    process = node.start(PAUSE="5")
    node.until_started(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert not node.is_complete


# The time that it may take.


@pytest.mark.parametrize("source", WeightsSource)
def test_more_weights_take_longer(source: WeightsSource) -> None:
    budgets = [startup_seconds(size, source) for size in (0, 1, 15, 131, 640)]
    assert budgets == sorted(budgets)
    assert budgets[0] == LEAST_SECONDS
    assert budgets[-1] > budgets[1]
    assert all(budget % 60 == 0 for budget in budgets)
    assert startup_seconds(None, source) == DEFAULT_SECONDS


def test_the_faster_source_gets_less() -> None:
    budget = {source: startup_seconds(131, source) for source in WeightsSource}
    assert min(budget.values()) == budget[WeightsSource.STREAM]
    assert max(budget.values()) == budget[WeightsSource.IMAGE]
    assert budget[WeightsSource.DOWNLOAD] < budget[WeightsSource.CLAIM]


def test_budgets_cover_the_slowest_figure_found() -> None:
    for steps in STEPS.values():
        for step in steps:
            assert step.source.startswith("assumed") == (step.slowest is None)
            assert step.slowest is None or step.slowest >= step.gib_per_second / SAFETY * 0.99


def test_the_page_says_what_the_code_says() -> None:
    page = (Path(__file__).parents[2] / "docs/weights.md").read_text("utf-8")
    for source in WeightsSource:
        minutes = [startup_seconds(size, source) // 60 for size in (15, 131)]
        assert f"| {minutes[0]} min | {minutes[1]} min |" in page
