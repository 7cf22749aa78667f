"""What Triton serves, and where it finds it."""

from enum import StrEnum

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.base import Spec, object_name, optional, quantity


class TritonModelKind(StrEnum):
    """Ways in which Triton runs TensorRT-LLM."""

    BATCHER = "batcher"
    """A compiled engine behind the C++ in-flight batcher, which exports its queue."""
    PYTHON = "python"
    """The PyTorch runtime behind Triton's Python backend: nothing to compile, and no queue metric
    (triton-inference-server/tensorrtllm_backend issue 479)."""


class EngineBuild(Spec):
    """How the repository is made: once, by a Job on the model's pools."""

    claim_size: str | None = None
    """Size of the claim, which is then made, e.g. `200Gi`: three times the weights of each model
    that is built into it. It stays when nothing here makes it any longer. Default: the claim
    exists."""
    storage_class: str | None = None
    """Storage class of the claim, required with `claimSize`: one that several nodes can mount
    (Filestore, EFS, Azure Files), which a cluster's default mostly is not."""
    timeout_seconds: int = Field(default=7200, ge=300)
    """Longest time for download, conversion and compilation together; time for a node to come and
    for the image to be pulled is added. Default 7200."""
    cpu: str = "2"
    """CPU request of the Job; it takes more where there is more. Default 2."""
    memory: str | None = None
    """Memory request of the Job, which holds all weights in it. Default: twice the weights, at
    least 16Gi; 64Gi where their size is not known."""

    _class = field_validator("storage_class")(optional(object_name))
    _sizes = field_validator("claim_size", "memory")(optional(quantity))
    _cpu = field_validator("cpu")(quantity)


class TritonSpec(Spec):
    """What only engine `triton` is told."""

    model_repository_claim: str
    """PersistentVolumeClaim with the model repository, e.g. `tensorrt-models-pvc`. Servers mount it
    read-only."""
    model_repository_path: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)*$"
    )
    """Directory in the claim of a repository of your own. Default: that of `build`, or else the
    claim's root."""
    kind: TritonModelKind = TritonModelKind.BATCHER
    """`batcher` (default) or `python`."""
    max_queue_delay_microseconds: int | None = Field(default=None, ge=0)
    """How long Triton holds a request back so that others can join it, put into the built
    repository's `config.pbtxt`. The in-flight batcher takes requests into a running batch, so it
    matters little. Default: not at all."""
    build: EngineBuild | None = None
    """How the repository is made; `{}` for all defaults. Default: it is not, the claim has one."""

    _claim = field_validator("model_repository_claim")(object_name)
