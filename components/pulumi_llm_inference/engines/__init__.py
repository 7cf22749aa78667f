"""Inference servers: how each is run, what it measures, and what it cannot do."""

from collections.abc import Mapping

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.engines.vllm import VLLM
from pulumi_llm_inference.spec.model_server import EngineName

ENGINES: Mapping[EngineName, Engine] = {VLLM.name: VLLM}
"""All engines by name."""
