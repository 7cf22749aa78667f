"""Problems of a model server on its pool."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.fit import fit_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.checks.triton import triton_problems
from pulumi_llm_inference.checks.weights import weights_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import ENGINE_FIELDS, parallel_sizes
from pulumi_llm_inference.planning.fit import split_problems, type_problems
from pulumi_llm_inference.spec.model_server import OWN_LABELS, ModelServerSpec
from pulumi_llm_inference.spec.pool import CapacityType, Placement
from pulumi_llm_inference.spec.problems import Problem, nearest
from pulumi_llm_inference.spec.shutdown import least, shutdown

_BESIDE_ARGS = frozenset({"api_key"})
"""Fields that work in another way than by arguments that `args` takes the place of."""

_SECRET_NAMES = ("_KEY", "CONNECTION_STRING", "PASSWORD", "SAS_URL", "SECRET", "TOKEN")
"""Ends of the names of variables that hold a secret."""

_LONGEST_GROUP_NAME = 45
"""Pods of a group have a label of the name, their numbers and a hash, of 63 characters at most."""


def model_server_problems(
    name: str,
    spec: ModelServerSpec,
    placements: Sequence[Placement],
    path: str,
    kubernetes_version: str | None = None,
) -> Iterator[Problem]:
    """What is wrong with a server called `name`, on those of its pools that are known.

    Args:
        name: of the server.
        spec: what it serves.
        placements: of the pools that are known.
        path: where the spec stands.
        kubernetes_version: minor version of the cluster, if it is known.
    """
    yield from name_problems(name, f"{path}.name")
    yield from _name_problems(name, spec, path)
    yield from _node_problems(spec, path)
    # Two pools of the same kind have the same problems, and the fit says some of them too.
    yield from dict.fromkeys(
        [
            *(problem for nodes in placements for problem in _gpu_problems(spec, nodes, path)),
            *fit_problems(spec, ENGINES[spec.engine], placements, path),
        ]
    )
    yield from _capacity_problems(spec, placements, path)
    yield from _field_problems(spec, path)
    yield from _value_problems(spec, path)
    yield from triton_problems(name, spec, placements, path)
    yield from _flag_problems(spec, path)
    yield from weights_problems(spec, ENGINES[spec.engine], kubernetes_version, path)


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
    longest = _LONGEST_GROUP_NAME - len("-floor") * bool(spec.floor)
    if spec.nodes > 1 and len(name) > longest:
        yield Problem(
            f"{path}.name",
            f"'{name}' leaves no room for what is added to it in the names of a group's pods",
            f"use at most {longest} characters",
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
    engine = ENGINES[spec.engine]
    split = split_problems(spec.gpus, spec.nodes, *parallel_sizes(spec), nodes.gpus_per_node)
    accelerator = accelerators().get(nodes.accelerator)
    types = type_problems(accelerator, spec.dtype, spec.kv_cache_dtype) if accelerator else ()
    for problem in (*split, *types):
        yield replace(problem, path=f"{path}.{problem.path}")
    least = engine.least_capability
    if accelerator and accelerator.compute_capability < least:
        able = [each.name for each in accelerators().values() if each.compute_capability >= least]
        yield Problem(
            f"{path}.engine",
            f"'{engine.name}' needs compute capability {_dotted(least)}, and {accelerator.name} "
            f"has {_dotted(accelerator.compute_capability)}",
            f"use another engine, or one of {', '.join(able)}",
        )


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def _node_problems(spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    if spec.nodes > 1 and ENGINES[spec.engine].node_arguments is None:
        able = [name for name, other in ENGINES.items() if other.node_arguments]
        yield Problem(
            f"{path}.nodes",
            f"'{spec.engine}' cannot be one replica on {spec.nodes} nodes here",
            f"use engine {' or '.join(able)}, or larger nodes",
        )


def _field_problems(spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    """Fields that have no effect."""
    engine = ENGINES[spec.engine]
    # Of a repository that is built, the fields are the build's.
    built = spec.triton is not None and spec.triton.build is not None
    for field in ENGINE_FIELDS:
        if getattr(spec, field) in (None, []):
            continue
        if field not in engine.fields:
            yield Problem(
                f"{path}.{to_camel(field)}",
                f"'{engine.name}' has no such setting",
                f"remove it: {engine.instead[field]}",
            )
        elif spec.args is not None and field not in _BESIDE_ARGS and not built:
            yield Problem(
                f"{path}.{to_camel(field)}",
                "has no effect beside args",
                "put it into args, or use extraArgs in place of args",
            )
    if spec.max_lora_rank and not spec.lora_adapters:
        yield Problem(
            f"{path}.maxLoraRank",
            "has no effect without adapters",
            "add loraAdapters, or remove it",
        )


def _value_problems(spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    """Values that the engine does not take, that stand twice, or that must not stand in clear."""
    engine = ENGINES[spec.engine]
    for field, known in engine.values.items():
        value = getattr(spec, field)
        if value is not None and value not in known:
            yield Problem(
                f"{path}.{to_camel(field)}",
                f"'{value}' is not known to '{engine.name}'",
                nearest(value, known),
                # Another image may know more.
                warning=spec.image is not None,
            )
    names = [adapter.name for adapter in spec.lora_adapters]
    for index, name in enumerate(names):
        if name in (*names[:index], spec.served_model_name or spec.model):
            yield Problem(
                f"{path}.loraAdapters[{index}].name",
                f"'{name}' is the name of the model or of another adapter, and requests go by it",
                "give each a name of its own",
            )
    for name, value in spec.env.items():
        if isinstance(value, str) and name.endswith(_SECRET_NAMES):
            yield Problem(
                f"{path}.env.{name}",
                "is text, and a secret in clear ends in state and logs",
                "put it in a Kubernetes Secret, and name that: {name: SECRET, key: KEY}",
            )


def _flag_problems(spec: ModelServerSpec, path: str) -> Iterator[Problem]:
    """Refuse flags that fields set, and warn of those that the engine's release does not know."""
    engine = ENGINES[spec.engine]
    known = engine.flags()
    # Whoever replaces all arguments may set all but what the Service relies on.
    for field, arguments, refused in (
        ("args", spec.args or [], engine.fixed_flags),
        ("extraArgs", spec.extra_args, {**engine.fixed_flags, **engine.own_flags}),
    ):
        for index, argument in enumerate(arguments):
            flag = engine.canonical(argument.split("=")[0])
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
