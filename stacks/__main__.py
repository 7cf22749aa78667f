"""The stack program: reads an environment, proves it as a whole, then makes it."""

from importlib import import_module

import pulumi

from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.spec.problems import SpecError
from pulumi_llm_inference.stack_config import stack_config

try:
    environment, warnings = read_environment(stack_config())
except SpecError as error:
    raise pulumi.RunError(str(error)) from None
for warning in warnings:
    pulumi.log.warn(str(warning))

EXTRAS = {"pulumi_gcp": "gcp", "pulumi_aws": "aws", "pulumi_azure_native": "azure"}
"""What installs a cloud's SDK."""

# One module a cloud, named like it, so that no stack imports another cloud's SDK.
try:
    import_module(environment.cloud).deploy(environment)
except ModuleNotFoundError as error:
    if error.name not in EXTRAS:
        raise
    command = f"pip install 'pulumi-llm-inference[{EXTRAS[error.name]}]'"
    raise pulumi.RunError(f"cloud: '{environment.cloud}' needs {error.name} ({command})") from None
