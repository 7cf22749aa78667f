"""Makes a Triton model repository from a Hugging Face model: the program of the build's Job.

It runs in Triton's image with nothing but what that has, and is safe to run again: what is done is
kept, what was cut off goes on, and the repository appears under its name only when it is whole.

Tools and templates, as the image has them (triton_backend/ci of NVIDIA/TensorRT-LLM uses them so):
/app/examples/**/convert_checkpoint.py, trtllm-build, /app/all_models, /app/tools/fill_template.py.
That they are in the image of 25.12 is not verified.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

SERVED_FROM = Path("/models")
"""Where servers mount the repository; paths in it must be true there."""

STAMP = "build.json"
"""File of a whole repository with what it was made from. Triton looks at directories only."""

FAMILIES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "MixtralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen",
    "Qwen2MoeForCausalLM": "qwen",
    "Qwen3ForCausalLM": "qwen",
    "Qwen3MoeForCausalLM": "qwen",
}
"""Folder of examples/models/core whose script converts an architecture; all take the same flags."""

_DUPLICATES = ["original/*", "consolidated*", "*.pth", "*.gguf"]
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.h5", "*.msgpack", "*.onnx", ".cache")


class BuildError(Exception):
    """What keeps a repository from being made."""


def say(text: str) -> None:
    """Write a line to the log at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*words: object) -> None:
    """Run a program of the image, and end with it if it fails."""
    command = [str(word) for word in words]
    say(f"+ {' '.join(command)}")
    subprocess.run(command, check=True)


def build(inputs: Mapping[str, Any], target: Path, app: Path, workers: int) -> None:
    """Make the repository `target` with the tools below `app`."""
    if (target / STAMP).exists():
        say(f"{target} is whole already")
        return
    if target.exists() and any(target.iterdir()):
        raise BuildError(f"{target} exists and was not made by this build: remove it")
    work = target.parent / ".work" / target.name
    repository = work / "repository"
    model = repository / "tensorrt_llm" / "1"
    is_python = inputs["kind"] == "python"
    # The runtime of the Python model reads it as it is; that of a compiled engine never does.
    checkpoint = (model if is_python else work) / "checkpoint"
    _step(work, "download", lambda: _download(inputs["model"], checkpoint))
    if is_python:
        _lay_out_python(inputs, app, repository)
    else:
        converted, engine = work / "converted", model / "engine"
        _step(work, "convert", lambda: _convert(inputs, app, checkpoint, converted))
        _step(work, "compile", lambda: _compile(inputs, converted, engine, workers))
        _lay_out_batcher(inputs, app, repository, checkpoint)
    (repository / STAMP).write_text(json.dumps(inputs, indent=2, sort_keys=True))
    # Also over the empty directory that a kubelet makes for a server that was too early.
    repository.rename(target)
    shutil.rmtree(work)
    say(f"{target} is whole")


def _step(work: Path, name: str, make: Callable[[], None]) -> None:
    """Do a step unless an earlier run has."""
    done = work / f"{name}.done"
    if done.exists():
        say(f"{name}: done before")
        return
    make()
    done.touch()


def _download(model: str, folder: Path) -> None:
    """Get the checkpoint; files that are there already stay."""
    from huggingface_hub import snapshot_download  # type: ignore[import-not-found]

    say(f"+ download {model}")
    # The token comes from the environment (HF_TOKEN).
    snapshot_download(repo_id=model, local_dir=str(folder), ignore_patterns=_DUPLICATES)


def _convert(inputs: Mapping[str, Any], app: Path, checkpoint: Path, output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    config = json.loads((checkpoint / "config.json").read_text())
    [architecture] = config.get("architectures") or ["unknown"]
    if architecture not in FAMILIES:
        raise BuildError(
            f"'{architecture}' is none of {', '.join(FAMILIES)}: bring a repository of your own, "
            "or use kind 'python'"
        )
    run(
        sys.executable,
        _script(app, FAMILIES[architecture]),
        "--model_dir",
        checkpoint,
        "--output_dir",
        output,
        "--dtype",
        inputs["dtype"],
        "--tp_size",
        inputs["tensor_parallel_size"],
        "--pp_size",
        inputs["pipeline_parallel_size"],
    )


def _script(app: Path, family: str) -> Path:
    """The converter of a family; releases keep it in different places."""
    places = [
        app / folder / family / "convert_checkpoint.py"
        for folder in ("examples/models/core", "tensorrt_llm/examples/models/core", "examples")
    ]
    for place in places:
        if place.exists():
            return place
    raise BuildError(f"this image has no converter: none of {', '.join(map(str, places))}")


def _compile(inputs: Mapping[str, Any], converted: Path, output: Path, workers: int) -> None:
    shutil.rmtree(output, ignore_errors=True)
    limits = ("max_batch_size", "max_num_tokens", "max_seq_len")
    run(
        "trtllm-build",
        "--checkpoint_dir",
        converted,
        "--output_dir",
        output,
        "--gemm_plugin",
        "auto",
        # Prompts that begin alike can share their cache only so.
        "--use_paged_context_fmha",
        "enable",
        "--workers",
        workers,
        *(word for name in limits if inputs[name] for word in (f"--{name}", inputs[name])),
    )


def _lay_out_batcher(
    inputs: Mapping[str, Any], app: Path, repository: Path, checkpoint: Path
) -> None:
    shutil.copytree(app / "all_models/inflight_batcher_llm", repository, dirs_exist_ok=True)
    tokenizer = "preprocessing/1/tokenizer"
    shutil.copytree(
        checkpoint,
        repository / tokenizer,
        ignore=shutil.ignore_patterns(*_WEIGHTS),
        dirs_exist_ok=True,
    )
    engine = "tensorrt_llm/1/engine"
    config = json.loads((repository / engine / "config.json").read_text())
    values = {
        "accumulate_tokens": "False",
        "batching_strategy": "inflight_fused_batching",
        "bls_instance_count": 1,
        "decoupled_mode": "True",  # without it no answer can be streamed
        "encoder_input_features_data_type": "TYPE_FP16",
        "engine_dir": SERVED_FROM / engine,
        "kv_cache_free_gpu_mem_fraction": 0.9,
        "logits_datatype": "TYPE_FP32",
        "max_queue_delay_microseconds": inputs["max_queue_delay_microseconds"],
        "max_queue_size": 0,
        "postprocessing_instance_count": 1,
        "preprocessing_instance_count": 1,
        "prompt_embedding_table_data_type": "TYPE_FP16",
        "tokenizer_dir": SERVED_FROM / tokenizer,
        "triton_backend": "tensorrtllm",
        "triton_max_batch_size": config["build_config"]["max_batch_size"],
    }
    if inputs["prefix_caching"] is not None:
        values["enable_kv_cache_reuse"] = inputs["prefix_caching"]
    for file in sorted(repository.glob("*/config.pbtxt")):
        fill(file, values, app)


def fill(file: Path, values: Mapping[str, object], app: Path) -> None:
    """Put values into a template with the image's own tool, which refuses those it has not.

    Raises:
        BuildError: if a place is left that Triton could not read.
    """
    text = file.read_text()
    pairs = [f"{name}:{value}" for name, value in values.items() if f"${{{name}}}" in text]
    if pairs:
        run(sys.executable, app / "tools/fill_template.py", "-i", file, ",".join(pairs))
    left = [line.strip() for line in _lines(file) if "${" in line and '"' not in line]
    if left:
        raise BuildError(f"{file} has places that this build does not know: {'; '.join(left)}")


def _lines(file: Path) -> Iterator[str]:
    """Lines of a configuration without remarks."""
    return (line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))


def _lay_out_python(inputs: Mapping[str, Any], app: Path, repository: Path) -> None:
    shutil.copytree(app / "all_models/llmapi", repository, dirs_exist_ok=True)
    arguments = {
        name: inputs[name]
        for name in (
            "dtype",
            "max_batch_size",
            "max_num_tokens",
            "max_seq_len",
            "pipeline_parallel_size",
            "tensor_parallel_size",
        )
        if inputs[name] is not None
    }
    model = {
        "model": str(SERVED_FROM / "tensorrt_llm/1/checkpoint"),
        "backend": "pytorch",
        **arguments,
        "triton_config": {"max_batch_size": 0, "decoupled": True},
    }
    if inputs["prefix_caching"] is not None:
        model["kv_cache_config"] = {"enable_block_reuse": inputs["prefix_caching"]}
    # JSON is YAML, and needs no library.
    (repository / "tensorrt_llm/1/model.yaml").write_text(json.dumps(model, indent=2))


def main() -> int:
    """Make the repository that a file of inputs describes."""
    parser = argparse.ArgumentParser(description="Make a Triton model repository.")
    parser.add_argument("inputs", type=Path, help="file with what to make it from")
    parser.add_argument("target", type=Path, help="directory to make it in")
    parser.add_argument("--app", type=Path, default=Path("/app"), help="what the image brings")
    parser.add_argument("--workers", type=int, default=1, help="GPUs to compile on")
    arguments = parser.parse_args()
    target: Path = arguments.target
    work = target.parent / ".work" / target.name
    work.mkdir(parents=True, exist_ok=True)
    # Kubernetes may run two pods of a Job at a time, when a node is lost from sight.
    with (work.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            build(
                json.loads(arguments.inputs.read_text()), target, arguments.app, arguments.workers
            )
        except (BuildError, subprocess.CalledProcessError) as error:
            say(f"failed: {error}")
            return 1
        finally:
            if (target / STAMP).exists():
                shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    # What the tools write belongs on the claim, never in the container.
    os.umask(0o022)
    sys.exit(main())
