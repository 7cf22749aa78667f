"""Problems of where weights come from and where they are kept."""

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.spec.model_server import EngineName, ModelServerSpec
from pulumi_llm_inference.spec.problems import Problem
from pulumi_llm_inference.spec.weights import WeightsSource, WeightsSpec

_IMAGE_VOLUMES = 35
"""First minor version of Kubernetes 1 with image volumes unless they are turned off: beta, on by
default (kubernetes/website pull request 52733); stable in 1.36 (kubernetes/kubernetes pull request
136711). The restricted Pod Security Standard allows them since 1.33 (pull request 130394 there)."""

_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
"""What names the storage account of an `az://`: to vLLM
(docs/models/extensions/runai_model_streamer.md) and to rclone (backend/azureblob/auth/auth.go)."""


def weights_problems(
    spec: ModelServerSpec, engine: Engine, kubernetes_version: str | None, path: str
) -> Iterator[Problem]:
    """What is wrong with the weights of a server.

    Args:
        spec: the server.
        engine: its engine.
        kubernetes_version: minor version of the cluster, `1.35`; None if it is not known.
        path: where the server's spec stands.
    """
    place = f"{path}.weights"
    yield from _cache_problems(spec.weights, place)
    yield from _source_problems(spec.weights, place)
    yield from _engine_problems(spec, engine, place)
    if spec.weights.image and kubernetes_version and _minor(kubernetes_version) < _IMAGE_VOLUMES:
        yield Problem(
            f"{place}.image",
            f"needs image volumes, which Kubernetes {kubernetes_version} does not have by default",
            f"set kubernetesVersion if the cluster is 1.{_IMAGE_VOLUMES} or newer, or use download",
        )


def bucket_problems(weights: WeightsSpec, bucket: str | None, path: str) -> Iterator[Problem]:
    """What is wrong with the bucket that pods may read, given what they are to read.

    Args:
        weights: where weights come from.
        bucket: the model's `weightsBucket`.
        path: where the model's spec stands.
    """
    wanted = weights.bucket
    if wanted is None:
        return
    if bucket is None:
        yield Problem(
            f"{path}.weightsBucket",
            f"is not set, so nothing here lets the pods read '{weights.objects}'",
            f"set it to '{wanted}' (AKS: resource id of the container), unless they may already",
            warning=True,
        )
    elif bucket.rpartition("/")[2] != wanted:
        yield Problem(
            f"{path}.weightsBucket",
            f"lets the pods read '{bucket}', and the weights are in '{wanted}'",
            "give the same bucket in both",
        )


def _cache_problems(weights: WeightsSpec, place: str) -> Iterator[Problem]:
    if weights.claim:
        for field in ("storage_class", "size"):
            value = getattr(weights, field)
            if value:
                yield Problem(
                    f"{place}.{to_camel(field)}",
                    f"'{value}' has no meaning beside a claim",
                    "remove it: the claim that exists has its own",
                )
    elif weights.storage_class and not weights.size:
        yield Problem(
            f"{place}.size",
            f"is not set, and a claim of '{weights.storage_class}' must have one",
            "set it to the size of all weights that the cache is for, e.g. '200Gi'",
        )
    if not weights.shared and not weights.storage_class:
        yield Problem(
            f"{place}.shared",
            "is about a claim to make, and there is none",
            "set storageClass and size, or remove it",
        )


def _source_problems(weights: WeightsSpec, place: str) -> Iterator[Problem]:
    sources = [name for name in ("stream", "download", "image") if getattr(weights, name)]
    for other in sources[1:]:
        yield Problem(
            f"{place}.{other}",
            f"is a second source beside {sources[0]}",
            "keep one of them",
        )
    if weights.path and not weights.image:
        yield Problem(f"{place}.path", "is about an image, and there is none", "set image")


def _engine_problems(spec: ModelServerSpec, engine: Engine, place: str) -> Iterator[Problem]:
    weights = spec.weights
    # Of Triton `triton_problems` says it.
    here = weights.source in (WeightsSource.HUB, WeightsSource.CLAIM)
    if here or engine.name is EngineName.TRITON:
        return
    field = f"{place}.{weights.source.value}"
    if engine.name is EngineName.OLLAMA:
        yield Problem(
            field,
            "is of no use to Ollama, which keeps models in a format of its own",
            "remove it: Ollama pulls the model into its cache",
        )
    elif weights.stream and engine.name is not EngineName.VLLM:
        yield Problem(field, f"is not known to work with {engine.name}", "use download")
    elif spec.args is not None:
        yield Problem(
            field, "has no effect beside args", "remove it, or use extraArgs in place of args"
        )
    elif weights.stream and spec.nodes > 1:
        # Seen with Ray and 0.25.1; not verified without.
        yield Problem(
            field,
            "on several nodes is known to fail in some set-ups (vllm-project/vllm issue 50616)",
            "use download with a shared cache",
            warning=True,
        )
    if weights.objects and weights.objects.startswith("az:") and _ACCOUNT not in spec.env:
        yield Problem(
            field,
            f"'{weights.objects}' does not say in which storage account the container is",
            f"set env.{_ACCOUNT}",
        )


def _minor(version: str) -> int:
    return int(version.split(".")[1])
