"""Triton: how it is launched, what fills its repository, and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import kubernetes_validate
import pulumi
import pytest
import yaml

from pulumi_llm_inference.checks.autoscaler import autoscaler_problems, signal_problems
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.checks.triton import build_size, triton_problems
from pulumi_llm_inference.engines.base import ENGINE_FIELDS, SIGNALS
from pulumi_llm_inference.engines.triton import (
    TRITON,
    build_inputs,
    build_name,
    generation,
    repository_paths,
)
from pulumi_llm_inference.serving import triton_build
from pulumi_llm_inference.serving.model_repository import TritonModelRepository
from pulumi_llm_inference.serving.model_server import ModelServer
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.base import fields_of
from pulumi_llm_inference.spec.model_server import ModelServerSpec, NamedModelSpec
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, GpuNodePoolSpec, Placement
from pulumi_llm_inference.spec.problems import SpecError
from tests.contract.test_pod_security import RULES
from tests.environments import tracked_config
from tests.support import ROOT, TOKEN, Recording, record

GUIDE: dict[str, Any] = {
    "engine": "triton",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "replicas": 4,
    "gpus": 2,
    "hugging_face_token": {"name": "hf-token"},
    "triton": {
        "model_repository_claim": "tensorrt-models-pvc",
        "max_queue_delay_microseconds": 100,
        "build": {"claim_size": "200Gi", "storage_class": "standard-rwx"},
    },
}
"""What a deployment guide asks of Triton."""


def spec(**changes: Any) -> ModelServerSpec:
    return ModelServerSpec.model_validate({**GUIDE, **changes})


def triton(**changes: Any) -> dict[str, Any]:
    return {**GUIDE["triton"], **changes}


def on(*accelerators: str) -> list[Placement]:
    return [
        placement(
            f"pool-{index}",
            GpuNodePoolSpec(accelerator=name, gpus_per_node=2, max_nodes=1),
            Cloud.GKE,
        )
        for index, name in enumerate(accelerators)
    ]


# --- how it is launched


def test_one_gpu_needs_no_launcher() -> None:
    assert TRITON.arguments(spec(gpus=1)) == [
        "tritonserver",
        "--model-repository=/models",
        "--exit-timeout-secs=45",
    ]
    assert TRITON.files(spec(gpus=1)) == {}


def test_the_python_model_starts_its_own_processes() -> None:
    assert TRITON.arguments(spec(triton=triton(kind="python")))[0] == "tritonserver"


def test_its_flags_are_tritons() -> None:
    for gpus in (1, 2):
        for word in TRITON.arguments(spec(gpus=gpus)):
            if word.startswith("--"):
                assert word.split("=")[0] in TRITON.flags()
    assert {*TRITON.own_flags, *TRITON.fixed_flags} <= TRITON.flags()
    assert set(re.findall(r"(--[a-z]+-[a-z-]+)", TRITON.files(spec())["serve.sh"])) <= {
        *TRITON.flags(),
        "--allow-run-as-root",
        "--bind-to",
    }


def test_every_field_is_understood_or_explained() -> None:
    assert {*TRITON.fields, *TRITON.instead} == set(ENGINE_FIELDS)


MPIRUN = """
    # As Open MPI: contexts between colons; when told to end it kills whoever is slow.
    words=() pids=()
    launch() { [ "${#words[@]}" = 0 ] || { "${words[@]:2}" & pids+=($!); }; words=(); }
    shift 3
    for word; do if [ "$word" = : ]; then launch; else words+=("$word"); fi; done
    launch
    trap 'echo mpirun was told >>log; kill -KILL "${pids[@]}"; exit 1' TERM
    wait
"""

TRITONSERVER = """
    echo "$@" >>log
    case "$*" in
    *explicit*) until [ -e ended ]; do sleep 0.05; done; echo worker ended >>log; exit 0 ;;
    esac
    trap 'sleep 0.5; echo drained >>log; touch ended; exit 0' TERM
    touch serving
    while :; do sleep 0.05; done
"""


def program(folder: Path, name: str, text: str, first_line: str = "#!/bin/bash") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"{first_line}\n{textwrap.dedent(text)}")
    file.chmod(0o755)


def logged(folder: Path) -> list[str]:
    """What the programs wrote."""
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_several_gpus_start_a_rank_each_and_end_with_the_leader(tmp_path: Path) -> None:
    program(tmp_path / "bin", "mpirun", MPIRUN)
    program(tmp_path / "bin", "tritonserver", TRITONSERVER)
    command = TRITON.arguments(spec())
    assert command[:3] == ["bash", "/etc/llm-inference/serve.sh", "2"]
    [(name, text)] = TRITON.files(spec()).items()
    (tmp_path / name).write_text(text)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    server = subprocess.Popen(
        ["bash", name, *command[2:], "--log-verbose=1"],
        cwd=tmp_path,
        env={"PATH": path, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 20
        while not (tmp_path / "serving").exists() or len(logged(tmp_path)) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
    lines = logged(tmp_path)
    leader, worker = sorted(lines[:2], key=lambda line: "explicit" in line)
    for line in (leader, worker):
        assert line.startswith("--model-repository=/models --exit-timeout-secs=45 --log-verbose=1")
    assert "--load-model=tensorrt_llm" in worker
    assert "--load-model" not in leader
    assert lines[2:] == ["drained", "worker ended"]


def test_its_queue() -> None:
    waiting, running = TRITON.gauges(Signal.CONCURRENCY)
    assert waiting.where('namespace="a"') == (
        'nv_trt_llm_request_metrics{request_type="waiting",namespace="a"}'
    )
    assert running.labels == 'request_type="scheduled"'
    assert all(TRITON.gauges(item) for item in SIGNALS)
    assert TRITON.no_queue(spec()) == ""
    assert "query" in TRITON.no_queue(spec(triton=triton(kind="python")))


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "accelerators", "key"),
    [
        ({"triton": None}, ["nvidia-l4"], "triton"),
        ({"engine": "vllm"}, ["nvidia-l4"], "triton"),
        ({"model": "/models/mine"}, ["nvidia-l4"], "model"),
        ({"dtype": "int8"}, ["nvidia-l4"], "dtype"),
        ({"triton": triton(kind="python")}, ["nvidia-l4"], "triton.maxQueueDelayMicroseconds"),
        (
            {"triton": triton(model_repository_path="a")},
            ["nvidia-l4"],
            "triton.modelRepositoryPath",
        ),
        (
            {"triton": triton(build={"storage_class": "x"})},
            ["nvidia-l4"],
            "triton.build.storageClass",
        ),
        ({"triton": triton(build=None)}, ["nvidia-l4"], "triton.build"),
        (
            {"triton": {"model_repository_claim": "a", "max_queue_delay_microseconds": 1}},
            ["nvidia-l4"],
            "triton.maxQueueDelayMicroseconds",
        ),
        (
            {"triton": triton(build={"claim_size": "9Gi"})},
            ["nvidia-l4"],
            "triton.build.storageClass",
        ),
        (
            {"triton": {"model_repository_claim": "a"}, "max_model_len": 8192},
            ["nvidia-l4"],
            "maxModelLen",
        ),
        ({}, ["nvidia-a100-80gb", "nvidia-l4"], "pools"),
        ({}, ["nvidia-a1000"], "pools"),
        ({"weights": {"download": "gs://bucket/llama"}}, ["nvidia-l4"], "weights.download"),
        ({"weights": {"claim": "cache"}}, ["nvidia-l4"], "weights.claim"),
        ({"weights": {"storage_class": "a"}}, ["nvidia-l4"], "weights.storageClass"),
        ({"args": ["--model-repository=/models"]}, ["nvidia-l4"], "args"),
        ({"replicas": None, "max_num_seqs": 64}, ["nvidia-l4"], "maxNumSeqs"),
    ],
)
def test_problems(changes: dict[str, Any], accelerators: list[str], key: str) -> None:
    [problem] = triton_problems("llama", spec(**changes), on(*accelerators), "models[0]")
    assert problem.path == f"models[0].{key}"
    assert problem.cure
    assert problem.warning is (key == "maxNumSeqs")


def test_the_guide_is_accepted() -> None:
    assert list(triton_problems("llama", spec(), on("nvidia-a100-80gb"), "m")) == []
    same = on("nvidia-a100-40gb", "nvidia-a100-80gb")
    assert list(triton_problems("llama", spec(), same, "m")) == []
    both = on("nvidia-l4", "nvidia-a100-80gb")
    python = spec(triton=triton(kind="python", max_queue_delay_microseconds=None))
    assert list(triton_problems("llama", python, both, "m")) == []
    program = spec(args=["tritonserver", "--model-repository=/models"])
    assert list(triton_problems("llama", program, same, "m")) == []


def test_a_name_leaves_room_for_the_jobs_of_a_build() -> None:
    pools = on("nvidia-l4")
    assert list(triton_problems("a" * 35, spec(), pools, "models[0]")) == []
    [problem] = triton_problems("a" * 36, spec(), pools, "models[0]")
    assert problem.path == "models[0].name"
    assert "35" in problem.cure
    own = spec(triton={"model_repository_claim": "a"})
    assert list(triton_problems("a" * 63, own, pools, "models[0]")) == []


@pytest.mark.parametrize(
    ("changes", "memory"),
    [
        ({}, "30Gi"),  # 8.03 billion parameters of 2 bytes, twice
        ({"dtype": "float32"}, "60Gi"),
        ({"model": "Qwen/Qwen2.5-3B-Instruct"}, "16Gi"),
        ({"model": "nobody/knows"}, "64Gi"),
        ({"triton": triton(build={"memory": "20Gi"})}, "20Gi"),
    ],
)
def test_what_a_build_asks_for(changes: dict[str, Any], memory: str) -> None:
    assert build_size(spec(**changes)) == {"cpu": "2", "memory": memory}
    assert build_size(spec(triton={"model_repository_claim": "a"})) == {}


def shown_models() -> list[NamedModelSpec]:
    """The models on the page."""
    page = (ROOT / "docs/triton.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    return [NamedModelSpec.model_validate(yaml.safe_load(block)["models"][0]) for block in blocks]


def test_the_page_shows_the_guide() -> None:
    shown = shown_models()[0]
    assert fields_of(ModelServerSpec, shown) == dict(spec())
    assert TRITON.image in (ROOT / "docs/triton.md").read_text("utf-8")


def test_the_page_shows_a_repository_of_ones_own() -> None:
    shown = shown_models()[1]
    pools = on("nvidia-h100-80gb")
    assert list(model_server_problems(shown.name, shown, pools, "m")) == []
    assert shown.autoscaling
    assert shown.autoscaling.query
    address = "http://prometheus.monitoring.svc:9090"
    assert list(autoscaler_problems(shown.autoscaling, "a", "1.36", address)) == []
    assert list(signal_problems(shown.autoscaling, "a", TRITON, TRITON.no_queue(shown))) == []


# --- where it is


def test_a_repository_has_a_name_of_its_inputs() -> None:
    [path] = repository_paths(spec(), ["nvidia-a100-80gb"]).values()
    assert path
    assert re.fullmatch(r"sm80-[0-9a-f]{10}", path)
    changes: list[dict[str, Any]] = [
        {"model": "other/model"},
        {"gpus": 4},
        {"dtype": "half"},
        {"image": "nvcr.io/nvidia/tritonserver:25.11-trtllm-python-py3"},
        {"triton": triton(max_queue_delay_microseconds=200)},
    ]
    others = {
        repository_paths(spec(**change), ["nvidia-a100-80gb"])["nvidia-a100-80gb"]
        for change in changes
    }
    assert len({path, *others}) == len(changes) + 1
    # What the engine does not depend on moves nothing.
    assert repository_paths(spec(replicas=8), ["nvidia-a100-80gb"]) == {"nvidia-a100-80gb": path}


def test_an_own_repository_is_where_its_owner_says() -> None:
    own = spec(triton={"model_repository_claim": "a", "model_repository_path": "llama/v1"})
    assert repository_paths(own, ["nvidia-l4"]) == {"nvidia-l4": "llama/v1"}
    root = spec(triton={"model_repository_claim": "a"})
    assert repository_paths(root, ["nvidia-l4"]) == {"nvidia-l4": None}
    with pytest.raises(ValueError, match="only engine"):
        repository_paths(spec(triton=None), ["nvidia-l4"])


def test_generations() -> None:
    assert generation(spec(), "nvidia-a100-40gb") == generation(spec(), "nvidia-a100-80gb")
    assert generation(spec(), "nvidia-l4") == "sm89"
    python = spec(triton=triton(kind="python"))
    assert generation(python, "nvidia-l4") == generation(python, "nvidia-a100-40gb") == "any"


# --- the component


def repository(*accelerators: str, **changes: Any) -> Recording:
    args = {**GUIDE, "placements": on(*accelerators), "namespace": "serving", **changes}
    return record(lambda: TritonModelRepository("llama", args))


def test_a_job_for_each_generation() -> None:
    made = repository("nvidia-l4", "nvidia-a100-40gb", "nvidia-a100-80gb")
    jobs = made.every("Job")
    names = {job["metadata"]["name"]: job for job in jobs}
    assert {name.split("-")[1] for name in names} == {"sm80", "sm89"}
    assert all(re.fullmatch(r"llama-sm\d+-[0-9a-f]{10}", name) for name in names)
    assert made.completed
    for item in made.manifests():
        kubernetes_validate.validate(item.content, "1.30", strict=True)
    [ampere] = [job for name, job in names.items() if "sm80" in name]
    terms = ampere["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    required = terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert len(required) == 2


def test_the_build_is_where_the_servers_are_and_restricted() -> None:
    made = repository("nvidia-a100-80gb")
    [job] = made.every("Job")
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert pod["tolerations"]
    assert [name for name, rule in RULES.items() if not rule(pod)] == []
    [token] = [item for item in container["env"] if item["name"] == "HF_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"]["name"] == "hf-token"
    # A Service of the server must not find it.
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] != TRITON.name
    assert job["spec"]["activeDeadlineSeconds"] > 7200
    [options] = [item for item in made.resources if item.type.endswith(":Job")]
    assert options.name == "llama-sm80"


def test_it_reads_what_its_config_map_says() -> None:
    made = repository("nvidia-a100-80gb")
    data = made.one("ConfigMap")["data"]
    compile(data["build.py"], "build.py", "exec")
    inputs = json.loads(data["sm80.json"])
    assert inputs == build_inputs(spec(), "sm80")
    assert inputs["max_queue_delay_microseconds"] == 100
    [job] = made.every("Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    target = container["args"][3]
    assert target == f"/models/{build_name(inputs)}"
    assert job["metadata"]["name"] == f"llama-{build_name(inputs)}"


def test_a_claim_is_made_or_borrowed() -> None:
    claim = repository("nvidia-a100-80gb").one("PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "tensorrt-models-pvc"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == "standard-rwx"
    assert not repository("nvidia-a100-80gb", triton=triton(build={})).every(
        "PersistentVolumeClaim"
    )


def test_a_claim_outlives_what_made_it() -> None:
    kept: dict[str, bool | None] = {}

    def see(seen: pulumi.ResourceTransformationArgs) -> None:
        kept[seen.type_.rpartition(":")[2]] = seen.opts.retain_on_delete

    args = {**GUIDE, "placements": on("nvidia-a100-80gb")}
    options = pulumi.ResourceOptions(transformations=[see])
    record(lambda: TritonModelRepository("llama", args, options))
    assert kept["PersistentVolumeClaim"] is True
    assert not kept["Job"]


def test_the_build_has_what_the_server_is_given() -> None:
    given = {
        "HTTPS_PROXY": "http://proxy:3128",
        "HF_ENDPOINT": {"name": "mirror", "key": "address"},
    }
    [job] = repository("nvidia-a100-80gb", env=given).every("Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item for item in container["env"]}
    assert variables["HTTPS_PROXY"]["value"] == "http://proxy:3128"
    secret = variables["HF_ENDPOINT"]["valueFrom"]["secretKeyRef"]
    assert (secret["name"], secret["key"]) == ("mirror", "address")
    assert {"HOME", "USER", "HF_TOKEN"} <= variables.keys()
    assert container["resources"]["requests"]["memory"] == "30Gi"


def test_nothing_is_compiled_for_the_python_model() -> None:
    python = triton(kind="python", max_queue_delay_microseconds=None)
    [job] = repository("nvidia-a100-80gb", "nvidia-l4", triton=python).every("Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert "limits" not in container["resources"]
    assert "sm" not in job["metadata"]["name"].split("-")[1]


def test_it_knows_where_things_are() -> None:
    found: list[TritonModelRepository] = []
    args = {**GUIDE, "placements": on("nvidia-a100-80gb")}
    record(lambda: found.append(TritonModelRepository("llama", args)))
    assert found[0].claim == "tensorrt-models-pvc"


def test_names_of_jobs_are_short_enough() -> None:
    args = {**GUIDE, "placements": on("nvidia-b200")}
    with pytest.raises(pulumi.RunError, match="at most 46 characters"):
        record(lambda: TritonModelRepository("a" * 47, args))
    made = record(lambda: TritonModelRepository("a" * 46, args))
    assert len(made.one("Job")["metadata"]["name"]) <= 63


@pytest.mark.parametrize("own", [None, {"model_repository_claim": "a"}])
def test_it_refuses_to_build_what_was_not_asked_for(own: dict[str, Any] | None) -> None:
    with pytest.raises(pulumi.RunError, match=r"triton\.build: is missing"):
        repository("nvidia-a100-80gb", triton=own)


# --- the program of the build, with stand-ins for the image's tools

HUB = """
    import os, pathlib
    def snapshot_download(repo_id, local_dir, ignore_patterns):
        open("calls", "a").write("download\\n")
        folder = pathlib.Path(local_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text("weights")
        if os.environ.get("FAIL") == "download":
            raise SystemExit("the network is gone")
        architecture = os.environ.get("ARCHITECTURE", "LlamaForCausalLM")
        (folder / "config.json").write_text('{"architectures": ["%s"]}' % architecture)
        (folder / "tokenizer.json").write_text("{}")
"""

TOOL = """
    import json, os, pathlib, sys
    name, words = {name!r}, sys.argv[1:]
    open("calls", "a").write(" ".join([name, *words]) + "\\n")
    values = dict(zip(words[::2], words[1::2]))
    output = pathlib.Path(values["--output_dir"])
    output.mkdir(parents=True)  # neither tool has been here before
    (output / "rank0").write_text("")
    if os.environ.get("FAIL") == name:
        sys.exit(3)
    size = int(values.get("--max_batch_size", 2048))
    (output / "config.json").write_text(json.dumps({{"build_config": {{"max_batch_size": size}}}}))
"""

FILL = """
    import pathlib, string, sys
    flag, file, pairs = sys.argv[1:]
    assert flag == "-i"
    text = pathlib.Path(file).read_text()
    values = {"max_queue_size": 0, "max_queue_delay_microseconds": 0}
    for key, value in (pair.split(":") for pair in pairs.split(",")):
        assert key in text, key
        values[key] = value
    pathlib.Path(file).write_text(string.Template(text).safe_substitute(values))
"""

BATCHING = """
max_batch_size: ${triton_max_batch_size}
dynamic_batching {
    max_queue_delay_microseconds: ${max_queue_delay_microseconds}
    default_queue_policy: { max_queue_size: ${max_queue_size} }
}
"""

TEMPLATES = {
    "ensemble": "max_batch_size: ${triton_max_batch_size}\n# ${not a place}\n",
    "preprocessing": BATCHING
    + 'string_value: "${tokenizer_dir}"\nstring_value: "${multimodal_model_path}"\n'
    + "count: ${preprocessing_instance_count}\n",
    "postprocessing": 'string_value: "${tokenizer_dir}"\ncount: ${postprocessing_instance_count}\n',
    "tensorrt_llm": BATCHING
    + 'backend: "${triton_backend}"\ndecoupled: ${decoupled_mode}\n'
    + 'data_type: ${logits_datatype}\nstring_value: "${engine_dir}"\n'
    + 'string_value: "${enable_kv_cache_reuse}"\n',
    "tensorrt_llm_bls": "decoupled: ${decoupled_mode}\ncount: ${bls_instance_count}\n",
}
"""The places that matter of triton_backend/all_models/inflight_batcher_llm."""


class Image:
    """Stand-ins for what the build finds in Triton's image, and a claim to build in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = folder / "app"
        python = f"#!{sys.executable}"
        program(
            self.app / "examples/models/core/llama",
            "convert_checkpoint.py",
            TOOL.format(name="convert"),
        )
        program(folder / "bin", "trtllm-build", TOOL.format(name="trtllm-build"), python)
        program(self.app / "tools", "fill_template.py", FILL)
        program(folder / "lib", "huggingface_hub.py", HUB)
        for name, text in TEMPLATES.items():
            program(self.app / "all_models/inflight_batcher_llm" / name, "config.pbtxt", text)
            (self.app / "all_models/inflight_batcher_llm" / name / "1").mkdir()
        program(self.app / "all_models/llmapi/tensorrt_llm", "config.pbtxt", 'backend: "python"')
        (self.app / "all_models/llmapi/tensorrt_llm/1").mkdir()
        self.claim = folder / "claim"
        self.claim.mkdir()

    def build(
        self, inputs: dict[str, Any], **environment: str
    ) -> tuple[subprocess.CompletedProcess[str], Path]:
        """Run the Job's program once."""
        file = self.folder / "inputs.json"
        file.write_text(json.dumps(inputs))
        target = self.claim / build_name(inputs)
        words = [sys.executable, triton_build.__file__, file, target, "--app", self.app]
        done = subprocess.run(
            [*words, "--workers", "2"],
            cwd=self.folder,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(self.folder / "lib"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done, target

    def calls(self) -> list[str]:
        """Programs that did something, in order."""
        file = self.folder / "calls"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


INPUTS = build_inputs(spec(max_num_seqs=64, max_model_len=8192, prefix_caching=True), "sm80")


def test_a_repository_is_built(image: Image) -> None:
    done, target = image.build(INPUTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert image.calls() == ["download", "convert", "trtllm-build"]
    calls = (image.folder / "calls").read_text()
    assert "--tp_size 2 --pp_size 1" in calls
    assert "--workers 2 --max_batch_size 64 --max_seq_len 8192" in calls
    config = (target / "tensorrt_llm/config.pbtxt").read_text()
    assert "max_batch_size: 64" in config
    # Where Triton reads it, as the guide has it.
    assert re.search(r"dynamic_batching \{\s+max_queue_delay_microseconds: 100\n", config)
    assert 'string_value: "/models/tensorrt_llm/1/engine"' in config
    assert 'string_value: "True"' in config
    assert (target / "tensorrt_llm/1/engine/config.json").exists()
    tokenizer = target / "preprocessing/1/tokenizer"
    assert sorted(file.name for file in tokenizer.iterdir()) == ["config.json", "tokenizer.json"]
    assert {item.name for item in target.iterdir() if item.is_dir()} == set(TEMPLATES)
    assert not (image.claim / ".work" / target.name).exists()


def test_a_second_run_does_nothing(image: Image) -> None:
    _, target = image.build(INPUTS)
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    calls = image.calls()
    done, _ = image.build(INPUTS)
    assert done.returncode == 0
    assert "whole already" in done.stdout
    assert image.calls() == calls
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before


@pytest.mark.parametrize("step", ["download", "convert", "trtllm-build"])
def test_an_interrupted_build_goes_on(image: Image, step: str) -> None:
    order = ["download", "convert", "trtllm-build"]
    done, target = image.build(INPUTS, FAIL=step)
    assert done.returncode != 0
    assert not target.exists()
    assert image.calls() == order[: order.index(step) + 1]
    done, target = image.build(INPUTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / triton_build.STAMP).exists()
    again = image.calls()[order.index(step) + 1 :]
    assert again == order[order.index(step) :]


def test_a_build_that_was_killed_while_it_laid_out_goes_on(image: Image) -> None:
    template = image.app / "all_models/inflight_batcher_llm/ensemble/config.pbtxt"
    text = template.read_text()
    template.write_text(text + "data_type: ${brand_new}\n")
    done, target = image.build(INPUTS)
    assert done.returncode == 1
    assert "brand_new" in done.stdout
    assert not target.exists()
    template.write_text(text)
    done, target = image.build(INPUTS)
    assert done.returncode == 0
    assert image.calls() == ["download", "convert", "trtllm-build"]


def test_it_does_not_wait_for_ever_nor_overwrite(image: Image) -> None:
    target = image.claim / build_name(INPUTS)
    target.mkdir()  # a kubelet's, for a server that came too early
    assert image.build(INPUTS)[0].returncode == 0
    (target / triton_build.STAMP).unlink()
    done, _ = image.build(INPUTS)
    assert done.returncode == 1
    assert "was not made by this build" in done.stdout


def test_an_unknown_architecture_is_named(image: Image) -> None:
    done, target = image.build(INPUTS, ARCHITECTURE="NewForCausalLM")
    assert done.returncode == 1
    assert "'NewForCausalLM'" in done.stdout
    assert not target.exists()


def test_an_image_without_converters_is_named(image: Image) -> None:
    done, _ = image.build(INPUTS, ARCHITECTURE="Qwen2ForCausalLM")
    assert done.returncode == 1
    assert "this image has no converter" in done.stdout


def test_the_python_model_is_laid_out(image: Image) -> None:
    inputs = build_inputs(
        spec(triton=triton(kind="python", max_queue_delay_microseconds=None), max_model_len=8192),
        "any",
    )
    done, target = image.build(inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert image.calls() == ["download"]
    model = json.loads((target / "tensorrt_llm/1/model.yaml").read_text())
    assert model["model"] == "/models/tensorrt_llm/1/checkpoint"
    assert (model["tensor_parallel_size"], model["max_seq_len"]) == (2, 8192)
    assert (target / "tensorrt_llm/1/checkpoint/model.safetensors").exists()


def test_the_build_never_shows_a_token(image: Image) -> None:
    done, _ = image.build(INPUTS, HF_TOKEN=TOKEN)
    assert done.returncode == 0
    assert TOKEN not in done.stdout + done.stderr


# --- both together


def test_servers_read_what_their_job_made() -> None:
    args = {**GUIDE, "placements": on("nvidia-a100-80gb")}

    def program() -> None:
        made = TritonModelRepository("llama-repository", args)
        ModelServer("llama", args, pulumi.ResourceOptions(depends_on=[made]))

    made = record(program)
    container = made.container("llama")
    mounts = {item["mountPath"]: item for item in container["volumeMounts"]}
    [job] = made.every("Job")
    [build] = job["spec"]["template"]["spec"]["containers"]
    assert f"/models/{mounts['/models']['subPath']}" == build["args"][3]
    assert mounts["/models"]["readOnly"] is True
    assert "--model-repository=/models" in container["args"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert made.one("Deployment", "llama")["spec"]["replicas"] == 4
    [script] = [item["data"] for item in made.every("ConfigMap") if "serve.sh" in item["data"]]
    assert f"/etc/llm-inference/{next(iter(script))}" in container["args"]
    # The Service finds servers alone.
    selector = made.one("Service")["spec"]["selector"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= labels.items()
    for item in made.manifests():
        kubernetes_validate.validate(item.content, "1.30", strict=True)


def built(name: str, **build: str) -> dict[str, Any]:
    """A model of an environment whose repository is built."""
    return {
        "name": name,
        "engine": "triton",
        "model": "Qwen/Qwen2.5-1.5B-Instruct",
        "pools": ["l4"],
        "triton": {"modelRepositoryClaim": "c", "build": build},
    }


def test_a_claim_is_made_by_one_model() -> None:
    made = {"claimSize": "50Gi", "storageClass": "rwx"}
    pools = [{"name": "l4", "accelerator": "nvidia-l4", "maxNodes": 2}]
    config = {"cloud": "local", "pools": pools}
    with pytest.raises(SpecError) as raised:
        read_environment(config | {"models": [built("a", **made), built("b", **made)]})
    [problem] = raised.value.problems
    assert problem.path == "models[1].triton.build.claimSize"
    assert "models[0].triton.build.claimSize" in problem.message
    read_environment(config | {"models": [built("a", **made), built("b")]})


def test_a_build_fits_the_machines_of_its_pools() -> None:
    config = tracked_config("gke-dev")
    config["pools"] = [{"name": "l4", "accelerator": "nvidia-l4", "maxNodes": 1}]
    config["models"] = [built("a", memory="64Gi")]
    with pytest.raises(SpecError) as raised:
        read_environment(config)
    [problem] = raised.value.problems
    assert problem.path == "models[0].triton.build.memory"
    assert "larger machine" in problem.cure
