"""An environment on Google Kubernetes Engine."""

import cloud
from pulumi_llm_inference import GkeCluster, GkeGpuNodePool, GkeMetricsAccess, GkeStorageAccess
from pulumi_llm_inference.addons.google_adapter import PODS
from pulumi_llm_inference.spec.addons import Addon, addons_needed
from pulumi_llm_inference.spec.environment import GkeEnvironmentSpec

_BORROWED = {
    "connection": ("cluster_name", "location", "project", "service_account"),
    "storageConnection": ("project",),
}


def deploy(environment: GkeEnvironmentSpec) -> None:
    """Make or find the cluster, its pools, its add-ons, then the models."""
    home = cloud.home(environment, GkeCluster, _BORROWED)
    pools = {
        pool.name: GkeGpuNodePool(
            pool.name, {**cloud.pool_args(environment, pool), **home.connection}
        )
        for pool in environment.pools
    }
    addons = {}
    needed = addons_needed(environment.cloud, environment.addons, frozenset(environment.methods))
    if Addon.GOOGLE_ADAPTER in needed and not environment.cluster_stack:
        access = GkeMetricsAccess("metrics", {"project": home.connection["project"], "pods": PODS})
        addons["identity_annotations"] = access.service_account_annotations
    cloud.deploy(environment, home, pools, GkeStorageAccess, addons)
