"""Problems of a model server on its pool."""

from collections.abc import Iterator, Sequence

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.spec.model_server import OWN_LABELS, ModelServerSpec
from pulumi_llm_inference.spec.pool import CapacityType, Placement
from pulumi_llm_inference.spec.problems import Problem, nearest
from pulumi_llm_inference.spec.shutdown import least, shutdown


def model_server_problems(
    name: str, spec: ModelServerSpec, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    """What is wrong with a server called `name`, on those of its pools that are known."""
    yield from name_problems(name, f"{path}.name")
    yield from _name_problems(name, spec, path)
    # Two pools of the same kind have the same problems.
    yield from dict.fromkeys(
        problem for nodes in placements for problem in _gpu_problems(spec, nodes, path)
    )
    yield from _capacity_problems(spec, placements, path)
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


def _capacity_problems(
    spec: ModelServerSpec, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    lasting = [p for p in placements if p.capacity_type is not CapacityType.SPOT]
    if spec.floor and placements and not lasting:
        yield Problem(
            f"{path}.floor",
            f"{spec.floor} replicas are to stay, and every pool of the model is spot",
            "add an on-demand or reserved pool to the model's pools, or set floor to 0",
        )
    if len({p.gpu_resource for p in placements}) > 1:
        yield Problem(
            f"{path}.pools",
            "count their GPUs under different names, and a pod can ask for one",
            "use pools with the same GPU resource",
        )
    wanted = spec.drain_seconds
    given = shutdown(wanted, least([p.shutdown_seconds for p in placements])).drain_seconds
    if given < wanted:
        yield Problem(
            f"{path}.drainSeconds",
            f"{wanted} s are more than a spot node leaves: running requests get {given} s",
            f"lower it to {given}, or serve from capacity that stays",
            warning=True,
        )


def _gpu_problems(spec: ModelServerSpec, nodes: Placement, path: str) -> Iterator[Problem]:
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
    if accelerator and not accelerator.is_ampere_or_newer:
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
