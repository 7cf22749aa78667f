"""Where a model's weights come from and where they are kept."""

import re
from enum import StrEnum

from pydantic import field_validator

from pulumi_llm_inference.spec.base import Spec, object_name, optional, quantity

_OBJECTS = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]*)(/[^\s/]+)*")
_TAGGED = re.compile(r"[^\s:@]+(:[0-9]+/[^\s:@]+)?(:\w[\w.-]{0,127}|@sha256:[0-9a-f]{64}){1,2}")
_DIRECTORY = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*")


class WeightsSource(StrEnum):
    """Where the bytes of a model come from at the start of a replica."""

    HUB = "hub"
    """The Hugging Face Hub, into a disk of the pod; or a path in the engine's image."""
    CLAIM = "claim"
    """A claim that replicas share, which the first fills from the Hub."""
    STREAM = "stream"
    """Object storage, straight into the GPUs."""
    DOWNLOAD = "download"
    """Object storage, copied into the cache before the engine starts."""
    IMAGE = "image"
    """An OCI image, which the node pulls and mounts."""


def _objects(value: str) -> str:
    """Accept a directory of object storage; a `/` at its end means nothing."""
    text = value.rstrip("/")
    if not _OBJECTS.fullmatch(text):
        raise ValueError(
            "is not a directory of object storage: write 's3://bucket/path', 'gs://bucket/path' "
            "or 'az://container/path'"
        )
    return text


def _image(value: str) -> str:
    """Accept an image that is the same tomorrow: with a tag or digest."""
    if not _TAGGED.fullmatch(value):
        raise ValueError(
            "is not an image with a tag or digest: write for example 'registry.example.com/model:1'"
        )
    return value


def _directory(value: str) -> str:
    """Accept a directory below another; a `/` at its ends means nothing."""
    text = value.strip("/")
    if not _DIRECTORY.fullmatch(text):
        raise ValueError("is not a directory in an image: write for example 'models/llama'")
    return text


class WeightsSpec(Spec):
    """Where weights come from, and the cache for them and for compiled kernels.

    The cache: a directory of the node that lives as long as the pod, unless `claim` or
    `storageClass` is set. The source: the Hugging Face Hub, or a path in image or cache, unless one
    of `stream`, `download` and `image` is set.
    """

    claim: str | None = None
    """Existing PersistentVolumeClaim as cache, shared by the replicas: ReadWriteMany, or all run on
    one node. Default: none."""
    storage_class: str | None = None
    """Storage class of a claim to make as cache, `size` large. It must offer ReadWriteMany if
    `shared`. Default: none is made."""
    size: str | None = None
    """Size of the claim to make, or limit of the node's directory, e.g. `60Gi`. Default: no
    limit."""
    shared: bool = True
    """Whether the claim to make is one for all replicas. If not, each pod gets one of its own that
    goes with it. Default yes."""
    stream: str | None = None
    """Directory of object storage with safetensors that vLLM reads straight into the GPUs:
    `s3://…`, `gs://…` or `az://container/…`. Default: none."""
    download: str | None = None
    """Directory of object storage, as in `stream`, that is copied into the cache before the engine
    starts. What lies there must not change: put a version into the path. Default: none."""
    image: str | None = None
    """OCI image that holds the weights, with tag or digest. Kubernetes 1.35. Default: none."""
    path: str | None = None
    """Directory of the weights in `image`, e.g. `models`. Default: its root."""

    _claim = field_validator("claim", "storage_class")(optional(object_name))
    _size = field_validator("size")(optional(quantity))
    _objects = field_validator("stream", "download")(optional(_objects))
    _image = field_validator("image")(optional(_image))
    _path = field_validator("path")(optional(_directory))

    @property
    def source(self) -> WeightsSource:
        """Where the weights come from."""
        if self.image:
            return WeightsSource.IMAGE
        if self.stream:
            return WeightsSource.STREAM
        if self.download:
            return WeightsSource.DOWNLOAD
        shares = self.claim or (self.storage_class and self.shared)
        return WeightsSource.CLAIM if shares else WeightsSource.HUB

    @property
    def objects(self) -> str | None:
        """The directory of object storage that is read, if any."""
        return self.stream or self.download

    @property
    def bucket(self) -> str | None:
        """Bucket that is read, or on Azure the container, if any."""
        return self.objects.split("/")[2] if self.objects else None
