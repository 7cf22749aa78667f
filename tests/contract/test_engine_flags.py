"""Command lines against the flags that the engine's parser takes."""

import pytest

from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.spec.model_server import ModelServerSpec
from tests.support import Recording, flag_values

EVERYTHING = ModelServerSpec(
    model="m",
    served_model_name="s",
    gpus=4,
    tensor_parallel_size=2,
    dtype="auto",
    quantization="fp8",
    kv_cache_dtype="fp8",
    max_model_len=4096,
    max_num_seqs=8,
    max_num_batched_tokens=4096,
    gpu_memory_utilization=0.5,
)


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def test_the_list_of_flags_is_whole(engine: Engine) -> None:
    assert len(engine.flags()) > 100


@pytest.mark.parametrize("environment", ["local", "rich"])
def test_emitted_flags_exist(environment: str, request: pytest.FixtureRequest) -> None:
    recording: Recording = request.getfixturevalue(environment)
    for name, pod in recording.pods().items():
        engine = next(e for e in ENGINES.values() if e.name in pod["metadata"]["labels"].values())
        flags = [
            argument.split("=")[0]
            for argument in recording.container(name)["args"]
            if argument.startswith("--")
        ]
        assert flags
        assert set(flags) <= engine.flags()


def test_every_field_about_the_model_reaches_the_command_line(engine: Engine) -> None:
    values = flag_values(engine.arguments(EVERYTHING))
    assert set(values) <= engine.flags()
    for field, value in EVERYTHING.model_dump(exclude_unset=True).items():
        if field not in ("model", "gpus"):
            assert values[f"--{field.replace('_', '-')}"] == str(value)


def test_a_copy_is_split_over_all_gpus_unless_told_otherwise(engine: Engine) -> None:
    spec = ModelServerSpec(model="m", gpus=4)
    assert flag_values(engine.arguments(spec))["--tensor-parallel-size"] == "4"


def test_only_what_is_asked_for_is_said(engine: Engine) -> None:
    said = set(flag_values(engine.arguments(ModelServerSpec(model="m"))))
    assert said == {"--tensor-parallel-size", "--shutdown-timeout"}


def test_arguments_of_the_user(rich: Recording) -> None:
    assert rich.container("raw")["args"] == ["/models/m", "--max-num-seqs=8"]
    assert rich.container("chat")["args"][-1] == "--enable-prefix-caching"


def test_secrets_are_references(rich: Recording) -> None:
    variables = {item["name"]: item for item in rich.container("chat")["env"]}
    for name, secret, key in [
        ("HF_TOKEN", "hugging-face", "HF_TOKEN"),
        ("S3_KEY", "bucket", "access-key"),
    ]:
        assert "value" not in variables[name]
        assert variables[name]["valueFrom"] == {"secretKeyRef": {"name": secret, "key": key}}
    assert variables["VLLM_LOGGING_LEVEL"]["value"] == "INFO"


def test_service_and_cache_options(rich: Recording) -> None:
    assert rich.one("Service", "chat")["spec"]["type"] == "LoadBalancer"
    annotations = rich.one("Service", "chat")["metadata"]["annotations"]
    assert annotations["networking.gke.io/load-balancer-type"] == "Internal"
    assert rich.one("Service", "mistral")["spec"]["type"] == "ClusterIP"
    engine = next(iter(ENGINES.values()))
    for name, source in {
        "chat": {"persistentVolumeClaim": {"claimName": "weights"}},
        "coder": {"emptyDir": {}},
        "fixed": {"emptyDir": {"sizeLimit": "200Gi"}},
    }.items():
        mounts = rich.container(name)["volumeMounts"]
        [cache] = [item["name"] for item in mounts if item["mountPath"] == engine.cache_path]
        volumes = {volume.pop("name"): volume for volume in map(dict, rich.pod(name)["volumes"])}
        assert volumes[cache] == source
