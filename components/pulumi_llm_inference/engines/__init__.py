"""Inference servers: how each is run, what it measures, and what it cannot do."""

from collections.abc import Mapping

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.engines.ollama import OLLAMA
from pulumi_llm_inference.engines.sglang import SGLANG
from pulumi_llm_inference.engines.tensorrt_llm import TENSORRT_LLM
from pulumi_llm_inference.engines.triton import TRITON
from pulumi_llm_inference.engines.vllm import VLLM
from pulumi_llm_inference.spec.model_server import EngineName

ENGINES: Mapping[EngineName, Engine] = {
    engine.name: engine for engine in (VLLM, SGLANG, TENSORRT_LLM, TRITON, OLLAMA)
}
"""All engines by name."""
