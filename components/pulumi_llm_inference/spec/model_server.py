"""A model served by an engine."""

from enum import StrEnum

from pydantic import Field, field_validator

from pulumi_llm_inference.spec.autoscaling import AutoscalerSpec
from pulumi_llm_inference.spec.base import (
    Spec,
    kubernetes_labels,
    kubernetes_name,
    object_name,
    optional,
    quantity,
    variable_names,
)
from pulumi_llm_inference.spec.triton import TritonSpec
from pulumi_llm_inference.spec.weights import WeightsSpec

OWN_LABELS = frozenset(
    {
        "app.kubernetes.io/component",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/name",
        "app.kubernetes.io/part-of",
        "llm-d.ai/engine-type",
        "llm-d.ai/inference-serving",
    }
)
"""Labels that every object of a server has; selectors rely on them."""


class EngineName(StrEnum):
    """Inference servers."""

    VLLM = "vllm"
    """vLLM."""
    SGLANG = "sglang"
    """SGLang."""
    TENSORRT_LLM = "tensorrt-llm"
    """TensorRT-LLM's own server, `trtllm-serve`."""
    TRITON = "triton"
    """NVIDIA Triton with the TensorRT-LLM backend."""
    OLLAMA = "ollama"
    """Ollama, for development."""


class ServiceType(StrEnum):
    """How the model is reached."""

    CLUSTER_IP = "ClusterIP"
    """From within the cluster."""
    LOAD_BALANCER = "LoadBalancer"
    """From outside, by the cloud's load balancer. Whoever reaches it can use the model."""


class SecretKey(Spec):
    """One value of a Kubernetes Secret in the model's namespace."""

    name: str
    """Name of the Secret."""
    key: str
    """Key in the Secret."""

    _name = field_validator("name")(object_name)


class HuggingFaceToken(SecretKey):
    """The Secret with the token that opens gated models."""

    key: str = "HF_TOKEN"
    """Key in the Secret. Default `HF_TOKEN`."""


class LoraAdapter(Spec):
    """A fine-tuned variant that shares the model's weights; requests name it like a model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    """Name that requests use."""
    source: str = Field(pattern=r"^[^\s=]+$")
    """Hugging Face id, or a path in the image or cache."""


class ModelServerSpec(Spec):
    """One model, served by one engine."""

    engine: EngineName = EngineName.VLLM
    """Inference server. Default `vllm`."""
    model: str = Field(min_length=1)
    """Hugging Face id, or a path in the image or cache."""
    image: str | None = None
    """Container image with tag or digest. It must run as the engine's own does: the same user and
    flags. Default: the engine's release that this version knows."""
    served_model_name: str | None = None
    """Name that requests use. Default: `model`."""
    replicas: int | None = Field(default=1, ge=1)
    """Fixed number of replicas. Default 1. None: an autoscaler owns it."""
    floor: int = Field(default=0, ge=0)
    """Replicas on capacity that is not spot, beside `replicas`; no autoscaler moves them. Default
    0."""
    gpus: int = Field(default=1, ge=1)
    """GPUs of each replica, on each of its nodes. Default 1."""
    nodes: int = Field(default=1, ge=1)
    """Nodes of each replica, for a model that is larger than one. Default 1."""
    tensor_parallel_size: int | None = Field(default=None, ge=1)
    """GPUs that share every layer of a copy of the model. Default: `gpus`."""
    pipeline_parallel_size: int | None = Field(default=None, ge=1)
    """Groups of such GPUs, each with a part of the layers. Default: `nodes`."""
    dtype: str | None = None
    """Type of weights and activations: `auto`, `bfloat16`, `half`, … Default: the engine's."""
    quantization: str | None = None
    """Quantization method, e.g. `awq` or `fp8`. Default: the checkpoint's."""
    kv_cache_dtype: str | None = None
    """Type of the KV cache: `auto`, `fp8`, … Default: the engine's."""
    max_model_len: int | None = Field(default=None, ge=1)
    """Longest prompt plus answer, in tokens. Default: the model's."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Requests that run at once in a replica; the rest wait. Default: the engine's."""
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    """Tokens of one step of the engine. Default: the engine's."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Share of GPU memory that the engine takes up front. Default: the engine's."""
    prefix_caching: bool | None = None
    """Whether prompts that begin alike share their KV cache. Default: the engine's, mostly yes."""
    lora_adapters: list[LoraAdapter] = []
    """LoRA adapters that are served beside the model."""
    max_lora_rank: int | None = Field(default=None, ge=1)
    """Largest rank of the adapters. Default: the engine's."""
    api_key: SecretKey | None = None
    """Secret with the key that requests must carry. Default: none is asked for."""
    args: list[str] | None = Field(default=None, min_length=1)
    """Arguments in place of all that the fields above would make, graceful shutdown included."""
    extra_args: list[str] = []
    """Arguments after those that the fields above make."""
    env: dict[str, str | SecretKey] = {}
    """Environment variables: text, or `{name, key}` of a Secret."""
    hugging_face_token: HuggingFaceToken | None = None
    """Secret with the token for gated models; never the token."""
    weights: WeightsSpec = WeightsSpec()
    """Where weights come from and are kept. Default: from the Hugging Face Hub, in a directory of
    the node."""
    shared_memory: str = "8Gi"
    """Limit of /dev/shm, which workers of one replica talk through. Default 8Gi."""
    cpu: str = "2"
    """CPU request. Default 2."""
    memory: str = "8Gi"
    """Memory request. Default 8Gi."""
    triton: TritonSpec | None = None
    """What engine `triton` serves, and where it finds it; required for that engine, and for no
    other."""
    run_as_user: int | None = Field(default=None, ge=1)
    """User of an image of yours that does not know the engine's. Default: the engine's."""
    startup_seconds: int | None = Field(default=None, ge=60)
    """Longest time from container start to a loaded model, download included. Default: by size and
    source of the weights; 1800 where the size is not known."""
    drain_seconds: int = Field(default=45, ge=1)
    """Time that running requests get to finish when a replica is taken away. Default 45; less where
    spot nodes give less."""
    service_name: str | None = None
    """Name of the Service. Default: the model server's."""
    service_type: ServiceType = ServiceType.CLUSTER_IP
    """`ClusterIP` (default) or `LoadBalancer`."""
    service_annotations: dict[str, str] = {}
    """Annotations of the Service, e.g. those that make a load balancer internal."""
    labels: dict[str, str] = {}
    """Labels for every object of the model, beside its own."""

    _labels = field_validator("labels")(kubernetes_labels)
    _variables = field_validator("env")(variable_names)
    _quantities = field_validator("shared_memory", "cpu", "memory")(quantity)
    _service_name = field_validator("service_name")(optional(kubernetes_name))


class NamedModelSpec(ModelServerSpec):
    """A model of an environment."""

    name: str
    """Unique in the environment; the Deployment and what belongs to it are named so."""
    pools: list[str] = Field(min_length=1)
    """Names of the pools that the replicas may run on, the preferred first."""
    weights_bucket: str | None = Field(default=None, min_length=1)
    """Bucket that the pods may read, without a key. GKE and EKS: its name; AKS: resource id of
    the blob container. Default: none."""
    autoscaling: AutoscalerSpec | None = None
    """What moves the replicas. Default: nothing, `replicas` stays."""

    _name = field_validator("name")(kubernetes_name)
