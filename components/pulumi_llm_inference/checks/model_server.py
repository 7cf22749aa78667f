"""Problems of a model server on its pool."""

from collections.abc import Iterator
from typing import Protocol

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.spec.model_server import OWN_LABELS, ModelServerSpec
from pulumi_llm_inference.spec.problems import Problem, nearest

_AMPERE = (8, 0)
"""First compute capability with bfloat16, and with fp8 KV caches in the engines."""


class GpuNodes(Protocol):
    """What there is to know of the nodes: a pool's spec says it, and so does its placement."""

    @property
    def accelerator(self) -> str:
        """GPU model, by its name in the catalog."""
        ...

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each node."""
        ...


def model_server_problems(
    name: str, spec: ModelServerSpec, nodes: GpuNodes | None, path: str
) -> Iterator[Problem]:
    """What is wrong with a server called `name`, on these nodes if they are known."""
    yield from name_problems(name, f"{path}.name")
    yield from _name_problems(name, spec, path)
    if nodes:
        yield from _gpu_problems(spec, nodes, path)
    yield from _flag_problems(spec, path)
    if spec.weights_cache.claim and spec.weights_cache.size:
        yield Problem(
            f"{path}.weightsCache.size",
            f"'{spec.weights_cache.size}' has no meaning beside a claim",
            "remove it: the claim has a size of its own",
        )


def _name_problems(name: str, spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    engine = ENGINES[spec.engine]
    field = "name" if spec.service_name is None else "serviceName"
    service = spec.service_name or name
    if service in engine.reserved_service_names:
        yield Problem(
            f"{path}.{field}",
            f"a Service named '{service}' breaks {engine.name}: Kubernetes sets "
            f"{service.upper()}_PORT for pods of its namespace, which the engine reads as its own",
            f"call it for example '{service}-service'",
        )
    for label in sorted(OWN_LABELS & spec.labels.keys()):
        yield Problem(
            f"{path}.labels",
            f"'{label}' is set by the server itself",
            "use a label of your own",
        )


def _gpu_problems(spec: ModelServerSpec, nodes: GpuNodes, path: str) -> Iterator[Problem]:
    if spec.gpus > nodes.gpus_per_node:
        yield Problem(
            f"{path}.gpus",
            f"{spec.gpus} is more than a node of the pool has ({nodes.gpus_per_node})",
            f"ask for at most {nodes.gpus_per_node}, or use a pool with larger nodes",
        )
    if spec.tensor_parallel_size and spec.tensor_parallel_size > spec.gpus:
        yield Problem(
            f"{path}.tensorParallelSize",
            f"{spec.tensor_parallel_size} is more than gpus ({spec.gpus})",
            "raise gpus, or leave it out: it follows gpus",
        )
    accelerator = accelerators().get(nodes.accelerator)
    if accelerator and accelerator.compute_capability < _AMPERE:
        if spec.dtype == "bfloat16":
            yield Problem(
                f"{path}.dtype", f"{accelerator.name} has no bfloat16", "use 'half' or leave it out"
            )
        if spec.kv_cache_dtype and spec.kv_cache_dtype.startswith("fp8"):
            yield Problem(
                f"{path}.kvCacheDtype",
                f"{accelerator.name} has no fp8",
                "use 'auto' or leave it out",
            )


def _flag_problems(spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    """Refuse flags that fields set, and warn of those that the engine's release does not know."""
    engine = ENGINES[spec.engine]
    known = engine.flags()
    if spec.args is not None:
        for field in sorted(engine.fields):
            if getattr(spec, field) is not None:
                yield Problem(
                    f"{path}.{to_camel(field)}",
                    "has no effect beside args",
                    "put it into args, or use extraArgs in place of args",
                )
    # Whoever replaces all arguments may set all but what the Service relies on.
    for field, arguments, refused in (
        ("args", spec.args or [], engine.fixed_flags),
        ("extraArgs", spec.extra_args, engine.fixed_flags | engine.own_flags),
    ):
        for index, argument in enumerate(arguments):
            flag = argument.split("=")[0].split(".")[0].replace("_", "-")
            if flag in refused:
                yield Problem(
                    f"{path}.{field}[{index}]",
                    f"'{flag}' is set by the server itself, and what depends on it would not know",
                    refused[flag],
                )
            elif flag.startswith("--") and flag not in known:
                yield Problem(
                    f"{path}.{field}[{index}]",
                    f"'{flag}' is not a flag of {engine.image}",
                    nearest(flag, known),
                    warning=True,
                )
