"""The command line."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.cli import app
from tests.support import ROOT, changed, cli, cli_here, write_environment

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


def test_version() -> None:
    assert cli_here("--version").stdout.strip() == version("pulumi-llm-inference")


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
        ([LLAMA, "--accelerator", "nvidia-l5"], "did you mean 'nvidia-l4'?"),
        ([LLAMA, "--accelerator", "nvidia-l4", "--quantization", "awk"], "did you mean 'awq'?"),
        ([LLAMA, "--accelerator", "nvidia-l4", "--dtype", "bf17"], "bf17"),
        (["nowhere.json", "--accelerator", "nvidia-l4"], "nowhere.json: "),
    ],
)
def test_fit_says_what_it_does_not_know(arguments: list[str], said: str) -> None:
    done = cli_here("fit", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
