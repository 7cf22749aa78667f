"""The command line."""

import json
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.catalog.models import config_of_row
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.checks.fit import _LOAD_CHECKPOINTS, fit_problems
from pulumi_llm_inference.cli import app, fitting, hub
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.choice import Need
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud
from tests.support import ROOT, TOKEN, changed, cli, cli_here, local_config, write_environment

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_help_names_all_commands_and_the_exit_codes() -> None:
    text = cli_here("--help").stdout
    for command in COMMANDS:
        assert command in text
    assert "Exit codes" in text


@pytest.mark.parametrize(
    "command",
    COMMANDS,
)
def test_help_of_a_command_has_an_example(command: str) -> None:
    done = cli_here(command, "--help")
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert f"llm-inference {command}" in done.stdout.split("Example")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_wraps_no_example_in_a_narrow_terminal(command: str) -> None:
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
    shown = [line.strip() for line in runner.invoke(app, [command, "--help"]).stdout.splitlines()]
    text = get_command(app).commands[command].help  # type: ignore[attr-defined]
    examples = [line.strip() for line in text.splitlines() if "llm-inference " in line]
    assert examples
    assert set(examples) <= set(shown)


def test_help_names_every_need() -> None:
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
    shown = runner.invoke(app, ["engines", "--help"]).stdout
    assert all(need in shown for need in Need if need is not Need.AUTOSCALING)


def test_version() -> None:
    assert cli_here("--version").stdout.strip() == version("pulumi-llm-inference")


def test_commands_import_what_they_need_when_they_run() -> None:
    heavy = {"huggingface_hub", "pulumi", "pydantic", "yaml"}
    program = f"import sys, pulumi_llm_inference.cli; print({heavy} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_no_arguments_show_help() -> None:
    assert "Usage" in cli_here().output


@pytest.mark.parametrize(
    "arguments", [["--nope"], ["preview"], ["preview", "local", "--jsn"], ["nope"]]
)
def test_wrong_use_ends_as_2(arguments: list[str]) -> None:
    assert cli_here(*arguments).exit_code == 2


NAMES = {"t4", "l4", "a10g", "l40s", "a100-40gb", "a100-80gb", "h100-80gb", "h200-141gb", "b200"}


def test_accelerators() -> None:
    table = cli_here("accelerators").stdout
    listed = json.loads(cli_here("accelerators", "--json").stdout)
    assert {item["name"] for item in listed} >= {f"nvidia-{name}" for name in NAMES}
    for item in listed:
        assert item["name"] in table
        assert item["memory_mib"] == accelerators()[item["name"]].memory_mib


def test_preview_as_json_prints_nothing_else() -> None:
    done = cli("preview", "local", "--json")
    assert done.returncode == 0
    resources = json.loads(done.stdout)
    assert "kubernetes:apps/v1:Deployment" in {item["type"] for item in resources}


def test_preview_works_from_a_folder_below() -> None:
    done = cli_here("preview", "local", cwd=ROOT / "stacks/environments")
    assert done.exit_code == 0
    assert "vllm-inference" in done.stdout
    assert "--out DIR" in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_warnings_go_to_the_error_stream(options: list[str], tmp_path: Path) -> None:
    folder = write_environment(tmp_path, changed("models.0.autoscaling.maxReplicas", 21))
    done = cli_here("preview", "test", *options, cwd=folder)
    assert done.exit_code == 0
    assert "may need 6" in done.stderr
    assert "may need 6" not in done.stdout


def test_machines() -> None:
    found = json.loads(cli_here("machines", "gke", "nvidia-l4", "--json").stdout)
    assert [item["name"] for item in found][:2] == ["g2-standard-4", "g2-standard-8"]
    assert "g2-standard-96" in cli_here("machines", "gke").stdout
    unsold = cli_here("machines", "aks", "nvidia-l4")
    assert unsold.exit_code == 1
    assert "it sells nvidia-a10" in unsold.stderr
    assert "'gcp' is not one of aks, eks, gke" in cli_here("machines", "gcp").stderr


LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_fit() -> None:
    done = cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", "--max-model-len", "8192", "--json")
    found = json.loads(done.stdout)
    assert found["fits"]
    assert found["kv_bytes_per_token"] == 131072
    assert found["gpus"] == 1
    tesla = ("--accelerator", "nvidia-t4", "--dtype", "half", "--max-model-len", "4096")
    refused = cli_here("fit", LLAMA, *tesla, "--gpus", "1")
    assert refused.exit_code == 1
    assert "does not fit 1 x nvidia-t4" in refused.stdout
    assert "GPUs needed: 2" in refused.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["llama", "--accelerator", "nvidia-l4"], "give its config.json instead"),
        ([LLAMA, "--accelerator", "nvidia-l5"], "(did you mean 'nvidia-l4'? known: "),
        (
            [LLAMA, "--accelerator", "nvidia-h100"],
            "'nvidia-h100' is not in the catalog (did you mean 'nvidia-h100-80gb'? known: ",
        ),
        ([LLAMA, "--accelerator", "nvidia-v100"], "is not in the catalog (known: "),
        ([LLAMA, "--accelerator", "nvidia-l4", "--quantization", "awk"], "did you mean 'awq'?"),
        ([LLAMA, "--accelerator", "nvidia-l4", "--dtype", "bf17"], "bf17"),
        ([LLAMA, "--accelerator", "nvidia-l4", "--nodes", "2"], "--nodes needs --gpus"),
        (["no/where.json", "--accelerator", "nvidia-l4"], "no/where.json: there is no such file"),
        (
            [LLAMA, "--accelerator", "nvidia-l4", "--engine", "ollama"],
            "nothing is known of the memory of 'ollama': it serves GGUF files",
        ),
        (
            [LLAMA, "--accelerator", "nvidia-l4", "--engine", "triton"],
            "nothing is known of the memory of 'triton': it runs engines built before",
        ),
    ],
)
def test_fit_says_what_it_does_not_know(arguments: list[str], said: str) -> None:
    done = cli_here("fit", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_fit_says_where_a_file_is_not_json(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("\nnope")
    done = cli_here("fit", str(bad), "--accelerator", "nvidia-l4")
    assert done.exit_code == 1
    assert done.stderr == f"{bad}: is not JSON (line 2, column 1)\n"


def test_engines_whose_memory_is_not_known() -> None:
    """Also those that the check of an environment leaves out."""
    assert {*fitting._NO_CHECKPOINT, *_LOAD_CHECKPOINTS} == set(ENGINES)


def test_fit_has_what_programs_need() -> None:
    done = cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", "--json")
    keys = {"fits", "gpus", "weights_gib", "kv_bytes_per_token", "max_context", "max_concurrency"}
    assert keys <= json.loads(done.stdout).keys()


def test_fit_says_what_to_do_next() -> None:
    fits = cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", "--max-model-len", "8192").stdout
    assert f"{LLAMA} fits 1 x nvidia-l4" in fits
    assert "engine: vllm, maxModelLen: 8192, gpus: 1, autoscaling: {minReplicas: 1, " in fits
    assert "llm-inference machines gke nvidia-l4" in fits
    assert "llm-inference machines eks nvidia-l40s" in cli_here(*EXAMPLE).stdout
    options = ("--accelerator", "nvidia-t4", "--gpus", "1", "--dtype", "half")
    missing = cli_here("fit", LLAMA, *options).stdout
    [next_step] = [line for line in missing.splitlines() if line.startswith("next: ")]
    assert "--dtype half" in next_step
    again = cli_here(*next_step.removeprefix("next: llm-inference ").split())
    assert again.exit_code == 0, again.stdout


EXAMPLE = ("fit", "Qwen/Qwen3-8B", "--accelerator", "nvidia-l40s")


def test_the_first_example_of_fit_fits() -> None:
    assert " ".join(EXAMPLE) in cli_here("fit", "--help").stdout
    assert cli_here(*EXAMPLE).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (LLAMA, "nvidia-t4", "--dtype", "half", "--gpus", "1"),
        (LLAMA, "nvidia-t4", "--dtype", "bfloat16"),
        ("microsoft/phi-4", "nvidia-t4", "--gpus", "1"),  # layers of 2 GPUs, in 2 groups
    ],
)
def test_what_fit_says_to_try_next_fits(arguments: tuple[str, ...]) -> None:
    model, accelerator, *options = arguments
    done = cli_here("fit", model, "--accelerator", accelerator, *options)
    assert done.exit_code == 1
    [step] = [line for line in done.stdout.splitlines() if line.startswith("next: ")]
    again = cli_here(*step.removeprefix("next: llm-inference ").split())
    assert again.exit_code == 0, again.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (LLAMA, "nvidia-l4", "--max-model-len", "8192"),
        (LLAMA, "nvidia-l4", "--kv-cache-dtype", "fp8", "--quantization", "fp8"),
        (LLAMA, "nvidia-l4", "--engine", "tensorrt-llm", "--quantization", "fp8"),
        (LLAMA, "nvidia-l4", "--engine", "sglang", "--max-model-len", "8192"),
        ("microsoft/phi-4", "nvidia-t4"),
        ("meta-llama/Llama-3.1-70B-Instruct", "nvidia-l4", "--max-model-len", "8192"),
    ],
)
def test_an_environment_takes_what_fit_says_to_write(arguments: tuple[str, ...]) -> None:
    model, accelerator, *options = arguments
    done = cli_here("fit", model, "--accelerator", accelerator, *options)
    assert done.exit_code == 0, done.output
    [written] = [line for line in done.stdout.splitlines() if "environment's model " in line]
    keys = yaml.safe_load(f"{{{written.split('model ', 1)[1]}}}")
    config = local_config()
    [name] = config["models"][0]["pools"]
    config["models"] = [{"name": "it", "model": model, "pools": [name], **keys}]
    [pool] = [pool for pool in config["pools"] if pool["name"] == name]
    pool |= {"accelerator": accelerator, "gpusPerNode": keys["gpus"]}
    config["pools"] = [pool]
    environment, _ = read_environment(config)
    [made], on = environment.models, placement(name, environment.pools[0], Cloud.LOCAL)
    assert list(fit_problems(made, ENGINES[made.engine], [on], "m")) == []


def test_fit_knows_the_largest_machine() -> None:
    """No machine has 16 L4: what does not fit in 8 is on several nodes."""
    shape = ("fit", "meta-llama/Llama-3.1-70B-Instruct", "--accelerator", "nvidia-l4", "--json")
    found = json.loads(cli_here(*shape).stdout)
    assert found["gpus"] > 8
    assert found["nodes"] == found["gpus"] / 8
    assert found["tensor_parallel"] <= 8


def test_fit_says_what_to_do_about_keys_that_an_engine_does_not_have() -> None:
    options = ("--accelerator", "nvidia-l4", "--engine", "tensorrt-llm", "--quantization", "fp8")
    shown = cli_here("fit", LLAMA, *options).stdout
    assert "quantization: fp8" not in shown
    assert "in place of quantization, which tensorrt-llm does not have: name a " in shown


def test_fit_knows_what_engines_take() -> None:
    options = ("--accelerator", "nvidia-l4", "--max-model-len", "8192", "--json")
    free = {
        engine: json.loads(cli_here("fit", LLAMA, *options, "--engine", engine).stdout)
        for engine in ("vllm", "sglang")
    }
    assert free["vllm"]["kv_cache_gib"] > free["sglang"]["kv_cache_gib"]
    old = cli_here("fit", LLAMA, "--accelerator", "nvidia-t4", "--engine", "tensorrt-llm")
    assert old.exit_code == 1
    assert "does not start on nvidia-t4: it needs compute capability 8.0" in old.stderr
    single = ("--engine", "tensorrt-llm", "--nodes", "2")
    spread = cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", *single)
    assert "a replica of tensorrt-llm is on one node here, not on 2" in spread.stderr
    wrong = cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", "--engine", "vlm")
    assert "did you mean 'vllm'?" in wrong.stderr


def test_an_estimate_that_is_close_is_no_verdict() -> None:
    """L4: 2.2 GiB of KV cache by the estimate, up to 4.6 with the least overhead."""
    options = ("--accelerator", "nvidia-l4", "--gpus", "1", "--max-model-len")
    verdicts = [cli_here("fit", LLAMA, *options, length) for length in ("8192", "22000", "120000")]
    words = [done.stdout.splitlines()[0].removeprefix(f"{LLAMA} ") for done in verdicts]
    assert [word.removesuffix(" 1 x nvidia-l4") for word in words] == [
        "fits",
        "may not fit",
        "does not fit",
    ]


def test_fit_over_several_nodes() -> None:
    deepseek = ("fit", "deepseek-ai/DeepSeek-V3", "--accelerator", "nvidia-h100-80gb")
    sized = (*deepseek, "--gpus", "8", "--gpus-per-node", "8", "--json")
    assert cli_here(*sized).exit_code == 1
    assert cli_here(*sized, "--nodes", "2").exit_code == 0


MODEL = "acme/model"
CONFIG = dict(
    config_of_row(
        {
            "name": MODEL,
            "aliases": "",
            "parameters": "",
            "active_parameters": "",
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "quant_method": "",
            "tie_word_embeddings": "no",
            "num_hidden_layers": "32",
            "num_attention_heads": "32",
            "num_key_value_heads": "8",
            "hidden_size": "4096",
            "intermediate_size": "14336",
            "vocab_size": "128256",
            "max_position_embeddings": "8192",
        }
    )
)
FROM_HUB = ("fit", MODEL, "--accelerator", "nvidia-l4", "--hub", "--json")


class _Hub(types.ModuleType):
    """Stands in for huggingface_hub: one model, and what was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__("huggingface_hub")
        self.file = folder / "config.json"
        self.file.write_text(json.dumps(CONFIG))
        self.tokens: list[object] = []
        self.error: Exception | None = None
        self.seconds = 0.0
        self.cached: str | None = None

    def hf_hub_download(self, model: str, name: str, *, token: object, etag_timeout: float) -> str:
        assert (model, name) == (MODEL, "config.json")
        assert etag_timeout <= hub.DEADLINE_SECONDS
        self.tokens.append(token)
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        return str(self.file)

    def try_to_load_from_cache(self, model: str, name: str) -> str | None:
        assert (model, name) == (MODEL, "config.json")
        return self.cached


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Hub:
    found = _Hub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", found)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return found


def test_fit_reads_a_configuration_from_the_hub(fake_hub: _Hub) -> None:
    found = json.loads(cli_here(*FROM_HUB).stdout)
    assert found["fits"]
    assert found["kv_bytes_per_token"] == 131072
    assert fake_hub.tokens == [False]  # not even one that a login left


def test_the_hub_is_asked_with_its_option_only(fake_hub: _Hub) -> None:
    assert cli_here("fit", MODEL, "--accelerator", "nvidia-l4").exit_code == 1
    assert cli_here("fit", LLAMA, "--accelerator", "nvidia-l4", "--gpus", "1").stdout
    assert fake_hub.tokens == []


class GatedRepoError(Exception):
    """By this name the Hub's library says that a token is missing."""


class LocalEntryNotFoundError(FileNotFoundError):
    """By this name it says that it is offline, and nothing is in the cache."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GatedRepoError(TOKEN), "it is gated: accept its terms on its page, and set HF_TOKEN"),
        (LocalEntryNotFoundError(TOKEN), "cannot be reached: check the network"),
        (RuntimeError(TOKEN), "it cannot be read (RuntimeError)"),
    ],
)
def test_what_the_hub_refuses_is_said_without_the_token(
    fake_hub: _Hub, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fake_hub.error = error
    done = cli_here(*FROM_HUB)
    assert done.exit_code == 1
    assert said in done.stderr
    assert fake_hub.tokens == [TOKEN]
    assert TOKEN not in done.output
    assert len(done.stderr.splitlines()) == 1


def test_a_hub_that_is_late_is_not_waited_for(
    fake_hub: _Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DEADLINE_SECONDS", 5.0)
    monkeypatch.setattr(threading.Thread, "join", lambda *_: None)  # as if it was over
    fake_hub.seconds = 0.5
    refused = cli_here(*FROM_HUB)
    assert refused.exit_code == 1
    assert "cannot be reached" in refused.stderr
    fake_hub.cached = str(fake_hub.file)
    assert cli_here(*FROM_HUB).exit_code == 0


def test_without_its_library_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = cli_here(*FROM_HUB)
    assert done.exit_code == 1
    assert "pip install 'pulumi-llm-inference[hub]'" in done.stderr


class _Server(BaseHTTPRequestHandler):
    """As much of the Hub as a download of one file needs."""

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(json.dumps(CONFIG).encode())

    def _answer(self, body: bytes) -> None:
        found = self.path == f"/{MODEL}/resolve/main/config.json"
        self.send_response(200 if found else 404)
        if not found:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(json.dumps(CONFIG)) if found else 0))
        self.end_headers()
        self.wfile.write(body if found else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.skipif(not find_spec("huggingface_hub"), reason="the extra 'hub' is not installed")
def test_fit_with_the_hubs_own_library(endpoint: str, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    done = cli(*FROM_HUB, env=env)
    assert json.loads(done.stdout)["fits"], done.stderr
    assert done.stderr == ""
    other = cli("fit", "acme/other", "--accelerator", "nvidia-l4", "--hub", env=env)
    assert f"there is no such model on {endpoint}" in other.stderr
    offline = {**env, "HF_ENDPOINT": "http://127.0.0.1:9"}
    begin = time.monotonic()
    assert cli(*FROM_HUB, env=offline).returncode == 0  # of the cache
    refused = cli("fit", "acme/other", "--accelerator", "nvidia-l4", "--hub", env=offline)
    assert "the Hub at http://127.0.0.1:9 cannot be reached" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert time.monotonic() - begin < 40  # the library itself gives up after 23 s, each time


def test_engines_are_compared() -> None:
    done = cli_here("engines")
    for engine in ENGINES.values():
        assert engine.image in done.stdout
    assert "recommended" not in done.stdout
    assert "--ask" in done.stdout
    found = json.loads(cli_here("engines", "--json").stdout)
    assert found["engines"].keys() == set(ENGINES)
    assert found["recommendation"] is None


def test_an_engine_is_recommended() -> None:
    asked = ("engines", "--accelerator", "h100-80gb", "--models", "1", "--weeks", "4")
    shown = cli_here(*asked).stdout
    assert "recommended: TensorRT-LLM: " in shown
    assert "not Ollama: it has no metrics" in shown
    assert "image" not in shown  # the tables are for who gives no answers
    assert "published, not measured here: " in shown
    found = json.loads(cli_here(*asked, "--json").stdout)["recommendation"]
    assert found["engine"] == "tensorrt-llm"
    assert found["because"]
    assert set(found["alternatives"]) | set(found["impossible"]) == set(ENGINES) - {"tensorrt-llm"}


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        (["--shared-prefixes"], "sglang"),
        (["--development"], "ollama"),
        (["--development", "--autoscaling"], "vllm"),
        (["--models", "2", "--weeks", "9"], "vllm"),
        (["--weeks", "3", "--models", "1", "--needs", "api-key"], "vllm"),
        (["--needs", "several-frameworks"], "triton"),
    ],
)
def test_options_of_engines(options: list[str], engine: str) -> None:
    done = cli_here("engines", *options, "--json")
    assert json.loads(done.stdout)["recommendation"]["engine"] == engine


def test_engines_ask_what_is_not_said() -> None:
    answers = "n\nnvidia-h1000\nhopper\n0\nx\n3\n1\ny\ny\nlorra\nlora, api-key\n"
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    done = runner.invoke(app, ["engines", "--ask", "--json"], input=answers)
    assert done.exit_code == 0, done.output
    printed = done.stdout[done.stdout.index("{") :]  # the runner shows what was typed before it
    found = json.loads(printed)["recommendation"]
    assert found["engine"] == "sglang"
    assert "it has no API keys" in found["impossible"]["triton"]
    for said in (
        "neither in the catalog nor a family",
        "0 is less than 1",
        "'x' is not a number",
        "'lorra' is no need (did you mean 'lora'?",
    ):
        assert said in done.stderr
    open_ = runner.invoke(app, ["engines", "--ask", "--json"], input="\n" * 7)
    printed = open_.stdout[open_.stdout.index("{") :]
    assert json.loads(printed)["recommendation"]["engine"] == "vllm"
    said = runner.invoke(
        app, ["engines", "--ask", "--json", "--development", "--accelerator", "t4"], input="\n" * 5
    )
    assert "For development only?" not in said.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accelerator", "nvidia-l5"], "did you mean 'nvidia-l4'?"),
        (["--needs", "lorra"], "did you mean 'lora'?"),
        (["--accelerator", "pascal"], "no engine can do all of this\n  vLLM: it needs "),
    ],
)
def test_engines_say_what_is_wrong(options: list[str], said: str) -> None:
    done = cli_here("engines", *options)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.output
