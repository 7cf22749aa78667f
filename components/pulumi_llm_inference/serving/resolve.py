"""What a server's pods are made from: its spec, with nothing left to be derived."""

from pulumi_llm_inference.catalog.models import model_shape
from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.planning.fit import DTYPE_BYTES, QUANTIZATION_BITS, weight_bytes
from pulumi_llm_inference.planning.startup import startup_seconds
from pulumi_llm_inference.serving.weights import as_loaded
from pulumi_llm_inference.spec.model_server import ModelServerSpec


def resolved(spec: ModelServerSpec, engine: Engine) -> ModelServerSpec:
    """The spec with the time that its start may take, and where its weights are loaded from."""
    timed = spec.model_copy(update={"startup_seconds": start_seconds(spec)})
    return as_loaded(timed, engine.cache_path)


def start_seconds(spec: ModelServerSpec) -> int:
    """Longest time from a pod on a node to a loaded model, in seconds."""
    return spec.startup_seconds or startup_seconds(weights_gib(spec), spec.weights.source)


def weights_gib(spec: ModelServerSpec) -> float | None:
    """Size of the weights in GiB, if the catalog knows the model."""
    shape = model_shape(spec.model)
    if shape is None:
        return None
    bits = QUANTIZATION_BITS.get(spec.quantization or "")
    return weight_bytes(shape, DTYPE_BYTES.get(spec.dtype or "auto", 2), bits) / 2**30
