"""What a user gets wrong is said at once: the path, the value, the cure, and no traceback."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from pulumi_llm_inference import ModelServer, Monitor, QueueAutoscaler, SimulatedGpuNodePool
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, GpuNodePoolSpec
from pulumi_llm_inference.spec.problems import SpecError
from tests.support import (
    TOKEN,
    changed,
    cli,
    cli_here,
    local_config,
    preview_of,
    record,
    write_environment,
)


def _without(*keys: str) -> dict[str, Any]:
    """The environment whose model lacks some keys; flags of the model among them."""
    config = local_config()
    flags = {"maxModelLen", "maxNumSeqs", "gpuMemoryUtilization", "dtype"}
    gone = {*keys, *(flags if "maxModelLen" in keys else ())}
    [model] = config["models"]
    config["models"] = [{key: value for key, value in model.items() if key not in gone}]
    return config


def _twice(path: str) -> dict[str, Any]:
    return changed(path, [*local_config()[path], *local_config()[path]])


PLAIN = {"name": "chat", "pools": ["l4"], "model": "Qwen/Qwen2.5-1.5B-Instruct"}
TURING = changed(
    "models.0.model", "Qwen/Qwen2.5-1.5B-Instruct", changed("pools.0.accelerator", "nvidia-t4")
)

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": (
        changed("models.0.gpu", 1),
        ["models[0].gpu: unknown key 'gpu'", "did you mean 'gpus'?"],
    ),
    "unknown key at the top": (
        changed("modles", []),
        ["modles: unknown key 'modles'", "did you mean 'models'?"],
    ),
    "unknown key deep down": (
        changed("models.0.autoscaling.targets.queuesize", 5),
        ["models[0].autoscaling.targets.queuesize:", "did you mean 'queueSize'?"],
    ),
    "min above max": (
        changed("models.0.autoscaling.minReplicas", 21),
        ["models[0].autoscaling.minReplicas: 21", "maxReplicas (20)", "lower minReplicas"],
    ),
    "target of zero": (
        changed("models.0.autoscaling.targets.queueSize", 0),
        ["models[0].autoscaling.targets.queueSize: 0", "greater than or equal to 0.001"],
    ),
    "target below zero": (
        changed("models.0.autoscaling.targets.queueSize", -1.5),
        ["models[0].autoscaling.targets.queueSize: -1.5", "greater than or equal to 0.001"],
    ),
    "no target": (
        changed("models.0.autoscaling.targets", {}),
        ["models[0].autoscaling.targets: names no signal", "queueSize: 5"],
    ),
    "unknown pool": (
        changed("models.0.pools", ["l40"]),
        ["models[0].pools[0]: there is no pool 'l40'", "did you mean 'l4'?"],
    ),
    "more GPUs than a node has": (
        changed("models.0.gpus", 8),
        ["models[0].gpus: 8 is more than a node of the pool has (4)", "ask for at most 4"],
    ),
    "invalid name": (
        changed("models.0.name", "My_Model"),
        ["models[0].name: 'My_Model' is not a Kubernetes name", "use lower-case letters"],
    ),
    "invalid namespace": (
        changed("namespace", "1st"),
        ["namespace: '1st' is not a Kubernetes name", "use lower-case letters"],
    ),
    "same model twice": (
        changed("models.1.serviceName", "other", _twice("models")),
        ["models[1].name: 'vllm-inference' is the name of 2 models", "a name of its own"],
    ),
    "same pool twice": (
        _twice("pools"),
        ["pools[1].name: 'l4' is the name of 2 pools", "a name of its own"],
    ),
    "Service named vllm": (
        changed("models.0.serviceName", "vllm"),
        ["models[0].serviceName: a Service named 'vllm'", "VLLM_PORT", "'vllm-service'"],
    ),
    "Service named vllm by default": (
        changed("models.0.name", "vllm", changed("models.0.serviceName", None)),
        ["models[0].name: a Service named 'vllm'", "'vllm-service'"],
    ),
    "no models": (changed("models", []), ["models: is empty", "add at least one"]),
    "unknown accelerator": (
        changed("pools.0.accelerator", "nvidia-l5"),
        ["pools[0].accelerator: 'nvidia-l5'", "did you mean 'nvidia-l4'?", "nvidia-h200-141gb"],
    ),
    "more nodes at least than at most": (
        changed("pools.0.minNodes", 6),
        ["pools[0].minNodes: 6 is more than maxNodes (5)", "raise maxNodes"],
    ),
    "replicas beside autoscaling": (
        changed("models.0.replicas", 3),
        ["models[0].replicas: 3", "remove replicas"],
    ),
    "KEDA without an address": (
        changed("models.0.autoscaling.method", "keda"),
        ["models[0].autoscaling.method: 'keda'", "set prometheusAddress"],
    ),
    "label that selectors rely on": (
        changed("models.0.labels", {"app.kubernetes.io/name": "x"}),
        ["models[0].labels: 'app.kubernetes.io/name'", "label of your own"],
    ),
    "port among all arguments": (
        changed("models.0.args", ["m", "--port", "9000"], _without("maxModelLen")),
        ["models[0].args[1]: '--port'", "port 8000"],
    ),
    "short flag of a field": (
        changed("models.0.extraArgs", ["-tp", "4"]),
        ["models[0].extraArgs[0]: '-tp'", "tensorParallelSize"],
    ),
    "key in clear among the arguments": (
        changed("models.0.extraArgs", ["--api-key=k"]),
        ["models[0].extraArgs[0]: '--api-key'", "apiKey"],
    ),
    "no replicas and nothing that scales": (
        changed("models.0.replicas", None, _without("autoscaling")),
        ["models[0].replicas: is null", "set it, or autoscaling"],
    ),
    "claim of a wrong name": (
        changed("models.0.weights", {"claim": "Bad_Name"}),
        ["models[0].weights.claim: 'Bad_Name'", "lower-case"],
    ),
    "variable of a wrong name": (
        changed("models.0.env", {"1 BAD": "x"}),
        ["models[0].env", "'1 BAD'", "no digit first"],
    ),
    "size of a claim": (
        changed("models.0.weights", {"claim": "c", "size": "1Gi"}),
        ["models[0].weights.size: '1Gi'", "remove it"],
    ),
    "split over more GPUs than there are": (
        changed("models.0.tensorParallelSize", 2),
        ["models[0].tensorParallelSize: 2 is more than gpus (1)", "raise gpus"],
    ),
    "TensorRT-LLM on Turing": (
        changed("models.0", PLAIN | {"engine": "tensorrt-llm"}, TURING),
        ["models[0].engine: 'tensorrt-llm' needs compute capability 8.0, and nvidia-t4 has 7.5"],
    ),
    "tensor parallel that heads cannot be divided by": (
        changed("models.0", PLAIN | {"model": "Qwen/Qwen2.5-7B-Instruct", "gpus": 3}),
        ["models[0].tensorParallelSize: 28 attention heads cannot be divided by 3", "use one of"],
    ),
    "a model that is too large": (
        changed("models.0", PLAIN | {"model": "meta-llama/Llama-3.1-70B-Instruct"}),
        ["models[0].gpus: ", "GiB of weights leave no room", "or use"],
    ),
    "Ollama scaled by its queue": (
        changed(
            "models.0",
            PLAIN
            | {
                "engine": "ollama",
                "model": "llama3.1:8b",
                "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targets": {"queueSize": 5}},
            },
        ),
        ["models[0].autoscaling.targets: 'queue_size' is not measured", "'vllm' or 'sglang'"],
    ),
    "TensorRT-LLM of a version without a queue": (
        changed(
            "models.0",
            PLAIN
            | {
                "engine": "tensorrt-llm",
                "image": "nvcr.io/nvidia/tensorrt-llm/release:1.2.1",
                "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targets": {"queueSize": 5}},
            },
        ),
        ["models[0].autoscaling.targets: 'queue_size'", "since 1.3"],
    ),
    "a query for an HPA": (
        changed("models.0.autoscaling.query", {"promql": "x", "perReplica": 5}),
        ["models[0].autoscaling.query: cannot be asked by method 'hpa'", "'keda'"],
    ),
    "a setting that the engine has not": (
        changed("models.0", PLAIN | {"engine": "tensorrt-llm", "gpuMemoryUtilization": 0.8}),
        ["models[0].gpuMemoryUtilization: 'tensorrt-llm'", "--kv_cache_free_gpu_memory_fraction"],
    ),
    "several nodes for an engine that cannot": (
        changed("models.0", PLAIN | {"engine": "tensorrt-llm", "nodes": 2}),
        ["models[0].nodes: 'tensorrt-llm' cannot be one replica on 2 nodes", "vllm or sglang"],
    ),
    "metrics turned off": (
        changed("models.0.extraArgs", ["--disable-log-stats"]),
        ["models[0].extraArgs[0]: '--disable-log-stats'", "nothing would ever scale"],
    ),
    "a secret in clear among the variables": (
        changed("models.0.env", {"VLLM_API_KEY": "k"}),
        ["models[0].env.VLLM_API_KEY: is text", "{name: SECRET, key: KEY}"],
    ),
    "a cloud's secret in clear among the variables": (
        changed("models.0.env", {"AWS_SECRET_ACCESS_KEY": "k", "AWS_ACCESS_KEY_ID": "i"}),
        ["models[0].env.AWS_SECRET_ACCESS_KEY: is text"],
    ),
    "a rank without adapters": (
        changed("models.0.maxLoraRank", 8),
        ["models[0].maxLoraRank: has no effect without adapters"],
    ),
    "a group with a long name": (
        changed("models.0", PLAIN | {"name": "a" * 46, "nodes": 2, "gpus": 4}),
        ["models[0].name: ", "at most 45 characters"],
    ),
    "a claim that two models make": (
        changed(
            "models",
            [
                PLAIN | {"weights": {"storageClass": "rwx", "size": "60Gi"}},
                {
                    "name": "other",
                    "engine": "triton",
                    "model": "Qwen/Qwen2.5-1.5B-Instruct",
                    "pools": ["l4"],
                    "triton": {
                        "modelRepositoryClaim": "chat-weights",
                        "build": {"storageClass": "rwx", "claimSize": "60Gi"},
                    },
                },
            ],
        ),
        ["models[1].triton.build.claimSize: the claim 'chat-weights' is made by models[0]"],
    ),
    "adapters of one name": (
        changed("models.0.loraAdapters", [{"name": "a", "source": "o/a"}] * 2),
        ["models[0].loraAdapters[1].name: 'a' is the name of", "a name of its own"],
    ),
    "a type that there is not": (
        changed("models.0.dtype", "awk"),
        ["models[0].dtype: 'awk' is not known to 'vllm'", "bfloat16"],
    ),
    "weights beside args": (
        changed(
            "models.0",
            PLAIN | {"args": ["m"], "weights": {"download": "s3://bucket/path"}},
        ),
        ["models[0].weights.download: has no effect beside args", "extraArgs"],
    ),
    "bfloat16 on Turing": (
        changed("models.0.dtype", "bfloat16", TURING),
        ["models[0].dtype: nvidia-t4 has no bfloat16", "'half'"],
    ),
    "fp8 cache on Turing": (
        changed("models.0.kvCacheDtype", "fp8_e5m2", TURING),
        ["models[0].kvCacheDtype: nvidia-t4 has no fp8", "'auto'"],
    ),
    "tolerance on an old cluster": (
        changed(
            "models.0.autoscaling.scaleUp",
            {
                "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                "tolerance": 0.2,
            },
            changed("kubernetesVersion", "1.34"),
        ),
        ["models[0].autoscaling.scaleUp.tolerance: Kubernetes 1.34", "'1.35'"],
    ),
    "invalid quantity": (
        changed("models.0.memory", "8 GB"),
        ["models[0].memory: '8 GB' is not a Kubernetes quantity", "'8Gi'"],
    ),
    "token as the whole value": (
        changed("models.0.huggingFaceToken", TOKEN),
        ["models[0].huggingFaceToken: is a Hugging Face token", "huggingFaceToken: {name: SECRET}"],
    ),
}


def refused(environment: str, cwd: Path, program: Callable[..., Any] = cli_here) -> str:
    """What the command line says when it refuses an environment."""
    done = program("preview", environment, "--out", str(cwd / "out"), cwd=cwd)
    # An exception that nobody caught ends as 1 too.
    assert isinstance(getattr(done, "exception", None), SystemExit | None)
    assert (done.stdout, getattr(done, "returncode", None) or done.exit_code) == ("", 1)
    assert "Traceback" not in done.stderr
    assert not (cwd / "out").exists()
    assert TOKEN not in done.stderr
    return done.stderr


@pytest.mark.parametrize("case", CASES)
def test_the_command_line_says_it(case: str, tmp_path: Path) -> None:
    config, said = CASES[case]
    message = refused("test", write_environment(tmp_path, config))
    for text in said:
        assert text in message
    assert "1 problem; nothing was deployed" in message


@pytest.mark.parametrize("case", ["unknown key", "unknown pool", "token as the whole value"])
def test_the_program_says_it(case: str, tmp_path: Path) -> None:
    config, said = CASES[case]
    message = refused("test", write_environment(tmp_path, config), cli)
    for text in said:
        assert text in message


def test_all_problems_of_a_stage_at_once(tmp_path: Path) -> None:
    shape = changed("models.0.gpus", 0, changed("pools.0.maxNodes", "many"))
    shape = changed("models.0.env", {"A": TOKEN}, changed("monitoring.kind", "both", shape))
    message = refused("test", write_environment(tmp_path, shape))
    paths = re.findall(r"^  ([^:]+): ", message, re.MULTILINE)
    assert paths == ["models[0].env.A", "models[0].gpus", "monitoring.kind", "pools[0].maxNodes"]
    assert "4 problems" in message

    meaning = changed("models.0.gpus", 9, changed("models.0.autoscaling.minReplicas", 30))
    meaning = changed("pools.0.minNodes", 7, meaning)
    with pytest.raises(SpecError) as error:
        read_environment(meaning)
    assert [problem.path for problem in error.value.problems] == [
        "pools[0].minNodes",
        "models[0].gpus",
        "models[0].autoscaling.minReplicas",
    ]
    unplaced = changed("models.0.pools", ["l40"], changed("models.0.serviceName", "vllm"))
    with pytest.raises(SpecError) as error:
        read_environment(unplaced)
    assert [problem.path for problem in error.value.problems] == [
        "models[0].pools[0]",
        "models[0].serviceName",
    ]


def test_unknown_environment(tmp_path: Path) -> None:
    message = refused("locl", write_environment(tmp_path, local_config()))
    assert "locl: there is no such environment" in message
    assert "did you mean 'local'?" in message


def test_no_project(tmp_path: Path) -> None:
    message = refused("local", tmp_path)
    assert f"{tmp_path}: no Pulumi.yaml here or above" in message


NOT_CONFIGURATIONS = {
    "not YAML": "config: [unclosed",
    "tabs": "config:\n\tllm-inference:cloud: local",
}
UNEXPECTED = {
    "a list": "- config",
    "text": "config",
    "config is a list": "config: [1]",
    "a number as key": "config: {1: 2}",
    "a date": "config: {'llm-inference:namespace': 2026-01-31}",
    "not UTF-8": "config: {'llm-inference:namespace': \xff}",
    "an encrypted value": "config: {'llm-inference:namespace': {secure: AAABAA}}",
    "text that looks like a list": "config: {'llm-inference:namespace': '[default'}",
}


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(text, id=name) for name, text in NOT_CONFIGURATIONS.items()),
        *(pytest.param(text, id=name) for name, text in UNEXPECTED.items()),
    ],
)
def test_files_that_are_no_configuration(text: str, tmp_path: Path) -> None:
    write_environment(tmp_path, {})
    (tmp_path / "stacks/environments/Pulumi.test.yaml").write_bytes(text.encode("latin-1"))
    assert "problem" in refused("test", tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = cli_here("preview", "local", "--out", str(file))
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code != 0
    assert str(file) in done.stderr


@pytest.mark.parametrize(
    ("path", "value", "found_at"),
    [
        ("models.0.huggingFaceToken", {"name": TOKEN}, "models[0].huggingFaceToken.name"),
        ("models.0.env", {"HF_TOKEN": TOKEN}, "models[0].env.HF_TOKEN"),
        ("models.0.args", ["m", f"--hf-token={TOKEN}"], "models[0].args[1]"),
        ("models.0.extraArgs", ["--hf-token", TOKEN], "models[0].extraArgs[1]"),
        ("models.0.serviceAnnotations", {"note": f"({TOKEN})"}, "models[0].serviceAnnotations"),
        ("models.0.gpus", TOKEN, "models[0].gpus"),
        ("token", {"deep": [{"er": TOKEN}]}, "token.deep[0].er"),
        ("cloud", TOKEN, "cloud"),
        pytest.param("models.0.env", {TOKEN: "x"}, "models[0].env", id="key"),
        pytest.param("models.0", {TOKEN: "x"}, "models[0]", id="unknown key"),
        pytest.param("models.0.labels", {"a b": TOKEN}, "models[0].labels", id="wrong label"),
    ],
)
def test_a_token_in_clear_is_refused_and_never_shown(
    path: str, value: object, found_at: str
) -> None:
    with pytest.raises(SpecError) as error:
        read_environment(changed(path, value))
    assert TOKEN not in str(error.value)
    at = [problem for problem in error.value.problems if problem.path.startswith(found_at)]
    assert "Hugging Face token in clear" in str(at)
    assert "huggingFaceToken: {name: SECRET}" in str(at)


def test_a_token_in_a_broken_file_is_not_shown(tmp_path: Path) -> None:
    write_environment(tmp_path, {})
    file = tmp_path / "stacks/environments/Pulumi.test.yaml"
    file.write_text(f"config:\n  llm-inference:token: [{TOKEN}\n")
    refused("test", tmp_path)


L4 = placement(
    "l4", GpuNodePoolSpec(accelerator="nvidia-l4", gpus_per_node=4, max_nodes=1), Cloud.LOCAL
)
SERVER = {"model": "m", "placements": [L4]}
BOUNDS = {"min_replicas": 1, "max_replicas": 2, "targets": {"queue_size": 5}}


def _scaler(**args: Any) -> None:
    target = ModelServer("chat", {**SERVER, "replicas": None})
    QueueAutoscaler("chat", {"target": target, **BOUNDS, **args})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            lambda: ModelServer("chat", {**SERVER, "gpu": 1}),
            ["ModelServerArgs.gpu: unknown key 'gpu'", "did you mean 'gpus'?"],
        ),
        (lambda: ModelServer("chat", {"model": "m"}), ["ModelServerArgs.placements: is missing"]),
        (
            lambda: ModelServer("chat", {**SERVER, "gpus": 8, "tensor_parallel_size": 9}),
            ["chat.gpus: 8", "at most 4", "chat.tensorParallelSize: 9", "2 problems"],
        ),
        (lambda: ModelServer("vllm", SERVER), ["vllm.name: a Service named 'vllm'"]),
        (
            lambda: ModelServer("chat", {**SERVER, "service_name": "Chat"}),
            ["ModelServerArgs.service_name: 'Chat' is not a Kubernetes name"],
        ),
        pytest.param(
            lambda: ModelServer("My_Model", SERVER),
            ["My_Model", "is not a Kubernetes name"],
            id="invalid server name",
        ),
        pytest.param(
            lambda: SimulatedGpuNodePool("A_B", {"accelerator": "nvidia-l4", "max_nodes": 1}),
            ["A_B", "is not a Kubernetes name"],
            id="invalid pool name",
        ),
        pytest.param(
            lambda: SimulatedGpuNodePool("p" * 63, {"accelerator": "nvidia-l4", "max_nodes": 1}),
            ["p" * 63],
            id="pool name too long for its nodes",
        ),
        pytest.param(
            lambda: Monitor("M_M", {"servers": [ModelServer("chat", SERVER)]}),
            ["M_M", "is not a Kubernetes name"],
            id="invalid monitor name",
        ),
        (
            lambda: ModelServer("chat", {**SERVER, "env": {"HF_TOKEN": TOKEN}}),
            ["ModelServerArgs.env.HF_TOKEN: is a Hugging Face token in clear"],
        ),
        (
            lambda: SimulatedGpuNodePool("p", {"accelerator": "l4", "max_nodes": 0}),
            ["SimulatedGpuNodePoolArgs.max_nodes: 0", "greater than or equal to 1"],
        ),
        (
            lambda: SimulatedGpuNodePool("p", {"accelerator": "l4", "max_nodes": 1}),
            ["p.accelerator: 'l4' is not in the catalog", "nvidia-l4"],
        ),
        (lambda: _scaler(min_replicas=3), ["chat.minReplicas: 3", "maxReplicas (2)"]),
        (
            lambda: _scaler(targets={"queueSize": 0}),
            ["QueueAutoscalerArgs.targets.queueSize: 0", "greater than or equal to 0.001"],
        ),
        (lambda: _scaler(targets={}), ["chat.targets: names no signal"]),
        (lambda: _scaler(method="keda"), ["chat.method: 'keda'"]),
        (lambda: Monitor("m", {"servers": []}), ["MonitorArgs.servers: []", "at least 1"]),
        (lambda: Monitor("m", {"servers": ["x"]}), ["MonitorArgs.servers[0]: 'x'"]),
        (lambda: ModelServer("chat", [1]), ["ModelServerArgs: [1]"]),  # type: ignore[arg-type]
    ],
)
def test_constructors_refuse_it_too(program: Callable[[], object], said: list[str]) -> None:
    with pytest.raises(pulumi.RunError) as error:
        record(program)
    for text in said:
        assert text in str(error.value)
    assert TOKEN not in str(error.value)


def test_unknown_flags_are_a_warning(tmp_path: Path) -> None:
    config = changed("models.0.extraArgs", ["--enable-prefix-cachin", "--block-size=16"])
    warning = preview_of(tmp_path, config).warnings[0]
    assert "vllm-inference.extraArgs[0]: '--enable-prefix-cachin' is not a flag" in warning
    assert "did you mean '--enable-prefix-caching'?" in warning


def test_a_warning_is_said_once(tmp_path: Path) -> None:
    config = changed("models.0.extraArgs", ["--enable-prefix-cachin"])
    assert len(preview_of(tmp_path, config).warnings) == 1


def test_a_pool_too_small_for_its_models_is_a_warning(tmp_path: Path) -> None:
    [warning] = preview_of(tmp_path, changed("models.0.autoscaling.maxReplicas", 21)).warnings
    assert "pools[0].maxNodes: the pool has at most 5 nodes" in warning
    assert "may need 6" in warning
