"""An environment on Azure Kubernetes Service."""

import cloud
from pulumi_llm_inference import AksCluster, AksGpuNodePool, AksStorageAccess
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.environment import AksEnvironmentSpec

_BORROWED = {
    "connection": ("cluster_name", "resource_group_name", "subnet_id"),
    "storageConnection": ("resource_group_name", "location", "oidc_issuer_url"),
}


def deploy(environment: AksEnvironmentSpec) -> None:
    """Make or find the cluster, its pools, its add-ons, then the models."""
    args = {
        "kubernetes_version": environment.kubernetes_version,
        "keda": environment.addons.keda and AutoscalingMethod.KEDA in environment.methods,
    }
    home = cloud.home(environment, AksCluster, _BORROWED, args)
    pools = {
        pool.name: AksGpuNodePool(
            pool.name, {**cloud.pool_args(environment, pool), **home.connection}
        )
        for pool in environment.pools
    }
    addons = {"pool_priorities": environment.growth_order}
    cloud.deploy(environment, home, pools, AksStorageAccess, addons)
