"""An environment on a cluster whose GPU nodes are simulated."""

import workloads
from ground import Ground
from pulumi_llm_inference import SimulatedGpuNodePool
from pulumi_llm_inference.spec.base import fields_of
from pulumi_llm_inference.spec.environment import EnvironmentSpec
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec


def deploy(environment: EnvironmentSpec) -> None:
    """Make the pools, then the models on them."""
    pools = {
        pool.name: SimulatedGpuNodePool(pool.name, fields_of(GpuNodePoolSpec, pool))
        for pool in environment.pools
    }
    ground = Ground(prometheus_address=environment.prometheus_address)
    workloads.deploy(environment, pools, ground)
