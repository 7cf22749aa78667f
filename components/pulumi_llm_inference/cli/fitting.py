"""`llm-inference fit`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulumi_llm_inference.cli.output import OUT, AsJson, fail

if TYPE_CHECKING:
    from pulumi_llm_inference.catalog.accelerators import Accelerator
    from pulumi_llm_inference.catalog.models import ModelShape
    from pulumi_llm_inference.engines.base import Engine
    from pulumi_llm_inference.planning.fit import Fit


def fit(  # noqa: PLR0917  the command line names them
    model: Annotated[str, typer.Argument(help="Hugging Face id, or a config.json of its.")],
    accelerator: Annotated[str, typer.Option(help="GPU model, e.g. nvidia-l4.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs of a replica, per node.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of a replica.")] = 1,
    gpus_per_node: Annotated[
        int | None, typer.Option(min=1, help="GPUs of a machine. Default: of the largest.")
    ] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Longest request.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of the weights, e.g. half.")] = None,
    quantization: Annotated[str | None, typer.Option(help="Method, e.g. awq or fp8.")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="E.g. fp8.")] = None,
    engine: Annotated[str, typer.Option(help="Engine that will serve it.")] = "vllm",
    hub: Annotated[
        bool, typer.Option("--hub", help="Read config.json from the Hugging Face Hub.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Estimate whether a model fits GPUs, and how many requests they then serve at once.

    Exit code 1 if it does not fit. The network is asked with --hub only, with
    the token in HF_TOKEN if there is one. Examples:

      llm-inference fit Qwen/Qwen3-8B --accelerator nvidia-l40s

      llm-inference fit Qwen/Qwen3-32B --accelerator nvidia-l40s --hub
    """
    from pulumi_llm_inference.catalog.machines import sellers
    from pulumi_llm_inference.planning.fit import MOST_NODES, QUANTIZATION_BITS
    from pulumi_llm_inference.planning.fit import fit as estimate
    from pulumi_llm_inference.spec.problems import nearest

    gpu, server = _accelerator(accelerator), _engine(engine)
    if why := _NO_CHECKPOINT.get(engine):
        fail(
            f"nothing is known of the memory of '{engine}': {why} (leave --engine out for the "
            "checkpoint)"
        )
    if gpu.compute_capability < server.least_capability:
        least = ".".join(map(str, server.least_capability))
        fail(f"{engine} does not start on {accelerator}: it needs compute capability {least}")
    if nodes > 1 and server.node_arguments is None:
        fail(f"a replica of {engine} is on one node here, not on {nodes}")
    if nodes > 1 and gpus is None:
        fail("--nodes needs --gpus, the GPUs on each of them; without both they are looked for")
    if quantization is not None and quantization not in QUANTIZATION_BITS:
        fail(
            f"quantization '{quantization}' is not known "
            f"({nearest(quantization, QUANTIZATION_BITS)})"
        )
    given = {
        "max_model_len": max_model_len,
        "dtype": dtype,
        "quantization": quantization,
        "kv_cache_dtype": kv_cache_dtype,
    }
    shape = _shape(model, hub)
    try:
        found = estimate(
            shape,
            gpu,
            gpus=gpus,
            nodes=nodes,
            gpus_per_node=gpus_per_node or max(sellers(accelerator).values(), default=None),
            gpu_memory_utilization=server.gpu_memory_utilization,
            most_nodes=MOST_NODES if server.node_arguments else 1,
            **given,
        )
    except ValueError as error:
        fail(str(error))
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        _show(found, shape.name or model, accelerator)
        options = {**given, "engine": engine, "gpus_per_node": gpus_per_node, "hub": hub}
        for step in _next_steps(found, model, accelerator, server, options):
            OUT.print(f"next: {step}", markup=False, highlight=False, soft_wrap=True)
    if not found.fits:
        raise typer.Exit(1)


def _accelerator(name: str) -> "Accelerator":
    from pulumi_llm_inference.catalog.accelerators import accelerators
    from pulumi_llm_inference.spec.problems import nearest

    if name not in accelerators():
        fail(f"'{name}' is not in the catalog ({nearest(name, accelerators())})")
    return accelerators()[name]


def _engine(name: str) -> "Engine":
    from pulumi_llm_inference.engines import ENGINES
    from pulumi_llm_inference.spec.problems import nearest

    known = {str(engine): record for engine, record in ENGINES.items()}
    if name not in known:
        fail(f"'{name}' is not an engine ({nearest(name, known)})")
    return known[name]


def _shape(model: str, hub: bool) -> "ModelShape":
    from pulumi_llm_inference.catalog.models import model_shape, model_shapes, shape_of_config
    from pulumi_llm_inference.cli.hub import HubError, config
    from pulumi_llm_inference.spec.problems import nearest

    known = model_shape(model)
    if not (hub or known or model.endswith(".json")):
        fail(
            f"'{model}' is not in the catalog ({nearest(model, model_shapes())}); "
            "give its config.json instead, or read it with --hub"
        )
    try:
        if hub:
            # The catalog's count of parameters is published, that of a config.json an estimate.
            return shape_of_config(config(model), known.parameters if known else None, name=model)
        if known:
            return known
        return shape_of_config(json.loads(Path(model).read_text("utf-8")), name=model)
    except HubError as error:
        fail(str(error))
    except FileNotFoundError:
        fail(f"{model}: there is no such file")
    except json.JSONDecodeError as error:
        fail(f"{model}: is not JSON (line {error.lineno}, column {error.colno})")
    except (OSError, TypeError, ValueError) as error:
        fail(f"{model}: {error}")


_VERDICTS = {
    (True, True): ("fits", "bold green"),
    (False, True): ("may not fit", "bold yellow"),
    (False, False): ("does not fit", "bold red"),
}
"""Words and colour by whether the estimate says yes, and whether there is no error: an estimate
that is close to the edge is no error."""


def _show(found: "Fit", model: str, accelerator: str) -> None:
    from rich.table import Table
    from rich.text import Text

    size = found.tensor_parallel * found.pipeline_parallel
    possible = all(reason.warning for reason in found.reasons)
    verdict, style = _VERDICTS[found.fits, possible]
    OUT.print(Text.assemble(f"{model} ", (verdict, style), f" {size} x {accelerator}"))
    table = Table(show_header=False, box=None, padding=(0, 2))
    for title, value in _figures(found):
        table.add_row(title, value)
    OUT.print(table)
    for reason in found.reasons:
        colour = "yellow" if reason.warning else "red"
        OUT.print(str(reason), style=colour, markup=False, highlight=False, soft_wrap=True)


def _figures(found: "Fit") -> list[tuple[str, str]]:
    split = f"{found.tensor_parallel} GPUs share each layer"
    if found.pipeline_parallel > 1:
        split += f", {found.pipeline_parallel} groups share the layers"
    needed = f"GPUs needed: {found.gpus or 'too many'}"
    if found.nodes:
        needed += f", on {found.nodes} node{'s' if found.nodes > 1 else ''}"
    return [
        ("size", needed),
        ("split", split if found.tensor_parallel > 1 or found.pipeline_parallel > 1 else "none"),
        ("weights", f"{found.weights_gib:.1f} GiB in all"),
        ("overhead", f"{found.overhead_gib:.1f} GiB a GPU"),
        (
            "KV cache",
            f"{found.kv_cache_gib:.1f} GiB a GPU, {found.kv_bytes_per_token:.0f} B a token",
        ),
        ("longest request", f"{found.max_context} tokens"),
        ("at once", f"{found.max_concurrency} requests of the longest that is allowed"),
        ("queue target", f"{found.queue_target} waiting a replica, to start with"),
    ]


def _next_steps(
    found: "Fit", model: str, accelerator: str, server: "Engine", options: Mapping[str, Any]
) -> list[str]:
    """What to write if it fits, with the `options` that it fits with, or else what to try."""
    from pydantic.alias_generators import to_camel

    if found.fits:
        given = {name: options[name] for name in _KEYS if options[name] is not None}
        keys = {to_camel(name): given[name] for name in given if name in server.fields}
        keys = {"engine": server.name.value, **keys}
        nodes = found.nodes or 1
        keys["gpus"] = found.tensor_parallel * found.pipeline_parallel // nodes
        if nodes > 1:
            keys["nodes"] = nodes
        if found.pipeline_parallel != nodes:
            keys["tensorParallelSize"] = found.tensor_parallel
            keys["pipelineParallelSize"] = found.pipeline_parallel
        target = f"targets: {{queueSize: {found.queue_target}}}"
        keys["autoscaling"] = f"{{minReplicas: 1, maxReplicas: 4, {target}}}"
        written = ", ".join(f"{key}: {value}" for key, value in keys.items())
        return [
            f"in the environment's model {written}",
            *(
                f"in place of {to_camel(name)}, which {server.name} does not have: "
                f"{server.instead.get(name, 'leave it out')}"
                for name in given
                if name not in server.fields
            ),
            *_where(accelerator),
        ]
    if found.gpus is None:
        return ["llm-inference accelerators  (one with more memory)"]
    # Without --gpus and --nodes it finds them, and also whether groups must share the layers.
    words = [f"llm-inference fit {model} --accelerator {accelerator}"]
    refused = {reason.path for reason in found.reasons if not reason.warning} & _TYPES
    for name, value in options.items():
        if value is not None and value is not False and to_camel(name) not in refused:
            option = f"--{name.replace('_', '-')}"
            words.append(option if value is True else f"{option} {value}")
    return [" ".join(words)]


def _where(accelerator: str) -> list[str]:
    """How to list the machines with it, of the first cloud that sells some."""
    from pulumi_llm_inference.catalog.machines import sellers

    sold = list(sellers(accelerator))
    others = f"  (or {', '.join(sold[1:])})" if sold[1:] else ""
    return [f"llm-inference machines {cloud} {accelerator}{others}" for cloud in sold[:1]]


_KEYS = ("max_model_len", "dtype", "quantization", "kv_cache_dtype")
"""Options that are keys of a model in an environment, where its engine has them."""

_TYPES = frozenset({"dtype", "kvCacheDtype"})
"""Paths of problems that leaving the key out solves."""

_NO_CHECKPOINT = {
    "ollama": "it serves GGUF files, mostly of 4 bits",
    "triton": "it runs engines built before",
}
"""Engines that do not load the checkpoint that is estimated, with what they serve."""
