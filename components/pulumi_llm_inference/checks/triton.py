"""Problems of what only engine `triton` is told."""

import math
from collections.abc import Iterator, Mapping, Sequence

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.catalog.models import model_shape
from pulumi_llm_inference.engines.triton import DTYPES, LONGEST_REPOSITORY_NAME, generation
from pulumi_llm_inference.planning.fit import DTYPE_BYTES, weight_bytes
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.problems import Problem, nearest
from pulumi_llm_inference.spec.triton import TritonModelKind, TritonSpec

_BUILT_FIELDS = (
    "dtype",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "prefix_caching",
)
"""Fields that are written into a repository when it is built, and read from nowhere else."""


_UNUSED_WEIGHTS = ("claim", "download", "image", "storage_class", "stream")
"""Fields of weights that only engines that load a checkpoint read."""

_LONGEST_NAME = LONGEST_REPOSITORY_NAME - len("-repository")
"""A stack adds this to the name of a model for that of its repository."""

_UNKNOWN_GIB = 64
_LEAST_GIB = 16
"""Memory of a build, GiB: of a model whose size is not known, and of the smallest."""


def build_size(spec: ModelServerSpec) -> Mapping[str, str]:
    """What a build asks of its machine, by the fields `cpu` and `memory`; empty if none is."""
    if spec.triton is None or spec.triton.build is None:
        return {}
    build = spec.triton.build
    return {"cpu": build.cpu, "memory": build.memory or f"{_memory_gib(spec)}Gi"}


def _memory_gib(spec: ModelServerSpec) -> int:
    """Twice the weights: as the checkpoint has them, and converted."""
    shape = model_shape(spec.model)
    if shape is None:
        return _UNKNOWN_GIB
    weights = weight_bytes(shape, DTYPE_BYTES.get(spec.dtype or "auto", 2)) / 2**30
    return max(_LEAST_GIB, math.ceil(2 * weights))


def triton_problems(
    name: str, spec: ModelServerSpec, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    """What is wrong with a server called `name`, on those of its pools that are known."""
    yield from repository_problems(spec, placements, path)
    if spec.engine is not EngineName.TRITON:
        return
    if spec.triton and spec.triton.build and len(name) > _LONGEST_NAME:
        yield Problem(
            f"{path}.name",
            f"'{name}' leaves no room for what the names of its build end with",
            f"use at most {_LONGEST_NAME} characters",
        )
    if spec.args and spec.args[0].startswith("-"):
        yield Problem(
            f"{path}.args",
            f"begin with '{spec.args[0]}', and Triton's image runs the first word as a program",
            "begin with the program: ['tritonserver', '--model-repository=/models', …]",
        )


def repository_problems(
    spec: ModelServerSpec, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    """What is wrong with the repository of a server, on those of its pools that are known."""
    triton = spec.triton
    if spec.engine is not EngineName.TRITON:
        if triton is not None:
            yield Problem(
                f"{path}.triton",
                f"has no meaning for engine '{spec.engine}'",
                "remove it, or set engine to 'triton'",
            )
        return
    if triton is None:
        yield Problem(
            f"{path}.triton",
            "is missing, and Triton serves what is in a model repository",
            "set modelRepositoryClaim to the name of a claim, and build if it has none yet",
        )
        return
    for field in _UNUSED_WEIGHTS:
        if getattr(spec.weights, field) is not None:
            yield Problem(
                f"{path}.weights.{to_camel(field)}",
                "has no meaning for Triton, which loads what is in its model repository",
                "remove it",
            )
    if triton.build is None and "build" in triton.model_fields_set:
        yield Problem(
            f"{path}.triton.build",
            "is empty, which says neither to build nor how",
            "write 'build: {}', or remove it",
        )
    elif triton.build is None:
        yield from _own_repository_problems(spec, triton, path)
    else:
        yield from _build_problems(spec, triton, placements, path)
    if spec.max_num_seqs is not None and spec.replicas is None and _is_batcher(triton):
        yield Problem(
            f"{path}.maxNumSeqs",
            f"requests beyond {spec.max_num_seqs} a replica wait where Triton does not count them, "
            "so the autoscaler does not see them",
            "leave it out, so that memory is what limits the batch",
            warning=True,
        )


def _is_batcher(triton: TritonSpec) -> bool:
    return triton.kind is TritonModelKind.BATCHER


def _own_repository_problems(
    spec: ModelServerSpec, triton: TritonSpec, path: str
) -> Iterator[Problem]:
    fields = [name for name in _BUILT_FIELDS if getattr(spec, name) is not None]
    keys = [to_camel(name) for name in fields]
    if triton.max_queue_delay_microseconds is not None:
        keys.append("triton.maxQueueDelayMicroseconds")
    for key in keys:
        yield Problem(
            f"{path}.{key}",
            "has no effect on a repository that exists already",
            "write it into the repository, or set triton.build",
        )


def _build_problems(
    spec: ModelServerSpec, triton: TritonSpec, placements: Sequence[Placement], path: str
) -> Iterator[Problem]:
    if triton.model_repository_path is not None:
        yield Problem(
            f"{path}.triton.modelRepositoryPath",
            f"'{triton.model_repository_path}' has no meaning beside build",
            "remove it: what is built has a directory of its own",
        )
    if triton.build and triton.build.storage_class and not triton.build.claim_size:
        yield Problem(
            f"{path}.triton.build.storageClass",
            f"'{triton.build.storage_class}' has no meaning for a claim that exists",
            "remove it, or set claimSize to have a claim made",
        )
    if triton.build and triton.build.claim_size and not triton.build.storage_class:
        yield Problem(
            f"{path}.triton.build.storageClass",
            "is missing, and the default class of most clusters makes disks that only one node can "
            "mount, so the claim would wait for ever",
            "name a class of shared files, e.g. 'standard-rwx' (GKE), 'azurefile-csi' (AKS) or "
            "that of your EFS",
        )
    if spec.model.startswith(("/", ".")):
        yield Problem(
            f"{path}.model",
            f"'{spec.model}' is a path, and the build downloads from Hugging Face",
            "name a model there, or bring a repository of your own instead of build",
        )
    if spec.dtype is not None and spec.dtype not in DTYPES:
        yield Problem(
            f"{path}.dtype",
            f"'{spec.dtype}' is no type that weights can be converted to",
            f"use one of {', '.join(DTYPES)}",
        )
    if triton.max_queue_delay_microseconds is not None and not _is_batcher(triton):
        yield Problem(
            f"{path}.triton.maxQueueDelayMicroseconds",
            "has no meaning for the Python model, which takes requests one by one",
            "remove it, or set kind to 'batcher'",
        )
    yield from _generation_problems(spec, [p.accelerator for p in placements], path)


def _generation_problems(
    spec: ModelServerSpec, names: Sequence[str], path: str
) -> Iterator[Problem]:
    known = accelerators()
    if spec.triton and _is_batcher(spec.triton):
        for name in dict.fromkeys(name for name in names if name not in known):
            yield Problem(
                f"{path}.pools",
                f"what to compile for '{name}' is not known",
                nearest(name, known),
            )
    generations = {generation(spec, name): name for name in names if name in known}
    if len(generations) > 1:
        yield Problem(
            f"{path}.pools",
            "a compiled engine runs on the GPU generation that it was made for; these are several: "
            f"{', '.join(sorted(generations.values()))}",
            "make a model of each, the second on the same claim without claimSize and "
            "storageClass, or set triton.kind to 'python'",
        )
