"""Command lines against the flags that the engines' parsers take."""

import math
from typing import Any

import pytest
import yaml

from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import CONFIG_PATH, ENGINE_FIELDS, Engine
from pulumi_llm_inference.engines.triton import TRITON, build_inputs
from pulumi_llm_inference.serving.pod import pod_spec
from pulumi_llm_inference.spec.model_server import (
    EngineName,
    LoraAdapter,
    ModelServerSpec,
    SecretKey,
)
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, GpuNodePoolSpec
from pulumi_llm_inference.spec.triton import EngineBuild, TritonSpec
from tests.environments import ENGINE_VARIANTS
from tests.support import Recording, flag_values

EVERYTHING: dict[str, Any] = {
    "served_model_name": "served",
    "tensor_parallel_size": 2,
    "pipeline_parallel_size": 3,
    "dtype": "half",
    "quantization": "awq",
    "kv_cache_dtype": "fp8",
    "max_model_len": 4096,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 5000,
    "gpu_memory_utilization": 0.51,
    "prefix_caching": False,
    "lora_adapters": [LoraAdapter(name="sql", source="org/sql")],
    "max_lora_rank": 64,
    "api_key": SecretKey(name="keys", key="api"),
}
EVERYWHERE = "0.0.0.0"  # noqa: S104
PLACEMENT = placement("pool", GpuNodePoolSpec(accelerator="nvidia-l4", max_nodes=1), Cloud.LOCAL)
FEW_FLAGS = {EngineName.OLLAMA: 0, EngineName.TRITON: 30, EngineName.TENSORRT_LLM: 40}


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def spec(**fields: Any) -> ModelServerSpec:
    return ModelServerSpec(model="org/model", startup_seconds=1800, **fields)


def flags(arguments: list[str]) -> list[str]:
    return [word.split("=")[0] for word in arguments if word.startswith("--")]


def test_the_list_of_flags_is_whole(engine: Engine) -> None:
    assert len(engine.flags()) >= FEW_FLAGS.get(engine.name, 100)


def test_every_field_is_understood_or_has_an_alternative(engine: Engine) -> None:
    assert set(EVERYTHING) == set(ENGINE_FIELDS)
    assert engine.fields <= set(ENGINE_FIELDS)
    assert set(engine.instead) == set(ENGINE_FIELDS) - engine.fields


def test_every_field_changes_what_the_engine_is_given(engine: Engine) -> None:
    def given(**fields: Any) -> object:
        triton = TritonSpec(model_repository_claim="c", build=EngineBuild())
        made = spec(triton=triton if engine is TRITON else None, **fields)
        built = build_inputs(made, "sm90") if engine is TRITON else None
        words = [*engine.arguments(made), *engine.always(made)]
        return words, engine.environment(made), engine.files(made), built

    for field in engine.fields:
        other = {field: EVERYTHING[field]}
        if field == "tensor_parallel_size":
            other["gpus"] = 4
        assert given(**other) != given(), field
        written = str(given(**other))
        if (
            field != "dtype"
            and isinstance(EVERYTHING[field], str | float)
            and not isinstance(EVERYTHING[field], bool)
        ):
            assert str(EVERYTHING[field]) in written, field


def test_every_flag_that_a_field_makes_exists(engine: Engine) -> None:
    made = spec(gpus=6, **{field: EVERYTHING[field] for field in engine.fields})
    assert set(flags([*engine.arguments(made), *engine.always(made)])) <= engine.flags()
    if engine.node_arguments:
        for leader in (True, False):
            assert set(flags(engine.node_arguments(made, leader))) <= engine.flags()


def test_flags_that_are_refused_exist(engine: Engine) -> None:
    for flag in {**engine.own_flags, **engine.fixed_flags}:
        assert not flag.startswith("--") or flag in engine.flags()


def test_the_flags_that_a_server_sets_are_refused_from_users(engine: Engine) -> None:
    made = spec(gpus=4, nodes=2)
    words = [*engine.arguments(made), *engine.always(made)]
    if engine.node_arguments:
        words += engine.node_arguments(made, False)
    assert set(flags(words)) <= {*engine.own_flags, *engine.fixed_flags}


def test_arguments_of_the_user_leave_what_others_rely_on(engine: Engine) -> None:
    """Nobody may set these by `args`, so they are set beside them."""
    kept = engine.always(spec(args=["x"]))
    assert kept == engine.always(spec())
    assert EVERYWHERE not in engine.arguments(spec())
    pod: Any = pod_spec("m", spec(args=["x"]), engine, [PLACEMENT])
    [container] = pod.containers
    assert container.args == ["x", *kept]


def test_data_parallel_queues_of_sglang_are_all_reported() -> None:
    always = ENGINES[EngineName.SGLANG].always
    flag = "--enable-metrics-for-all-schedulers"
    assert flag in always(spec(extra_args=["--enable-dp-attention"]))
    assert flag not in always(spec())


@pytest.mark.parametrize("environment", ["local", "rich", "engines"])
def test_emitted_flags_exist(environment: str, request: pytest.FixtureRequest) -> None:
    recording: Recording = request.getfixturevalue(environment)
    for pod in recording.pods().values():
        [container] = pod["spec"]["containers"]
        engine = ENGINES[container["name"]]
        assert set(flags(container["args"])) <= engine.flags()


@pytest.mark.parametrize(
    ("engine", "variant"),
    [(engine, variant) for engine, variants in ENGINE_VARIANTS.items() for variant in variants],
)
def test_every_variant_is_served(engine: str, variant: str, engines: Recording) -> None:
    name = f"{engine}-{variant}"
    container = engines.container(name)
    record = ENGINES[EngineName(engine)]
    fields = ENGINE_VARIANTS[engine][variant]
    assert container["image"] == record.image
    gpus = str(fields.get("gpus", 1))
    assert container["resources"]["limits"] == {"nvidia.com/gpu": gpus}
    given = f"{container['args']} {container['env']} {container.get('lifecycle')}"
    if record is not TRITON:  # it serves what was built of the model
        assert fields["model"] in given
    if "loraAdapters" in fields:
        assert "sql=org/sql-lora" in container["args"]
    if variant == "parallel" and record is not TRITON and "tensor_parallel_size" in record.fields:
        values = flag_values(container["args"])
        [size] = {
            value for flag, value in values.items() if flag.replace("_", "-").startswith("--t")
        }
        assert size == gpus
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = engines.one("Service", name)["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in service} == ports


def test_servers_listen_beyond_their_pod(engines: Recording) -> None:
    """Engines that listen on the loopback by themselves are told not to."""
    for name in ("sglang-one-gpu", "tensorrt-llm-one-gpu"):
        assert flag_values(engines.container(name)["args"])["--host"] == EVERYWHERE
    variables = {item["name"]: item for item in engines.container("ollama-one-gpu")["env"]}
    assert variables["OLLAMA_HOST"]["value"].startswith(f"{EVERYWHERE}:")


def test_metrics_that_are_off_by_default_are_on(engines: Recording) -> None:
    assert "--enable-metrics" in engines.container("sglang-one-gpu")["args"]
    container = engines.container("tensorrt-llm-quantized")
    path = flag_values(container["args"])["--config"]
    assert path.startswith(CONFIG_PATH)
    [mount] = [item for item in container["volumeMounts"] if item["mountPath"] == CONFIG_PATH]
    volumes = {item["name"]: item for item in engines.pod("tensorrt-llm-quantized")["volumes"]}
    config_map = engines.one("ConfigMap", volumes[mount["name"]]["configMap"]["name"])
    config = yaml.safe_load(config_map["data"][path.removeprefix(f"{CONFIG_PATH}/")])
    assert config["return_perf_metrics"] is True
    assert config["enable_iter_perf_stats"] is True
    assert config["kv_cache_config"] == {"dtype": "fp8"}


def test_probes_leave_the_time_that_engines_need(engines: Recording) -> None:
    for name in engines.pods():
        container = engines.container(name)
        record = ENGINES[container["name"]]
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 600
        for kind, probe in (("startup", record.startup), ("liveness", record.liveness)):
            said = container[f"{kind}Probe"]
            assert said["httpGet"]["path"] == probe.path
            assert said["timeoutSeconds"] <= said["periodSeconds"]
    # It generates a token, and answers after a second at the earliest.
    assert engines.container("sglang-one-gpu")["livenessProbe"]["timeoutSeconds"] > 20


def test_pods_live_until_their_requests_are_done(engines: Recording) -> None:
    for name, pod in engines.pods().items():
        sleep = engines.container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
        record = ENGINES[engines.container(name)["name"]]
        least = 45 if record.drains else 0
        assert pod["spec"]["terminationGracePeriodSeconds"] > sleep + least
        assert sleep >= (15 if record.drains else 60)


def test_several_nodes_share_one_model(engines: Recording) -> None:
    for engine in ("vllm", "sglang"):
        record = ENGINES[EngineName(engine)]
        assert record.node_arguments
        made = spec(nodes=2, gpus=4)
        arguments = [*record.arguments(made), *record.node_arguments(made, True)]
        sizes = [int(word) for word in arguments if word.isdigit() and int(word) in (2, 4)]
        assert 4 in sizes
        assert 2 in sizes
        assert "$(LWS_WORKER_INDEX)" in arguments
        assert any("$(LWS_LEADER_ADDRESS)" in word for word in arguments)
        assert record.environment(made) != record.environment(spec(gpus=4))


def test_only_what_is_asked_for_is_said() -> None:
    said = set(flag_values(ENGINES[EngineName.VLLM].arguments(spec())))
    assert said == {"--tensor-parallel-size", "--shutdown-timeout"}


def test_a_copy_is_split_over_all_gpus_unless_told_otherwise(engine: Engine) -> None:
    if "tensor_parallel_size" in engine.fields:
        assert "4" in engine.arguments(spec(gpus=4))
        assert "4" not in engine.arguments(spec(gpus=4, tensor_parallel_size=2))


def test_keys_are_references(engine: Engine) -> None:
    if "api_key" in engine.fields:
        made = spec(api_key=EVERYTHING["api_key"])
        variables = engine.environment(made)
        assert EVERYTHING["api_key"] in variables.values()


def test_arguments_of_the_user(rich: Recording) -> None:
    assert rich.container("raw")["args"] == ["/models/m", "--max-num-seqs=8"]
    assert rich.container("chat")["args"][-1] == "--enable-chunked-prefill"


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


def test_memory_shares_differ_in_meaning() -> None:
    """A share of all GPU memory is not TensorRT-LLM's share of what the weights leave."""
    assert "gpu_memory_utilization" not in ENGINES[EngineName.TENSORRT_LLM].fields
    assert math.isclose(ENGINES[EngineName.VLLM].gpu_memory_utilization, 0.92)
