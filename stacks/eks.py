"""An environment on Amazon Elastic Kubernetes Service."""

import cloud
from pulumi_llm_inference import EksCluster, EksGpuNodePool, EksStorageAccess
from pulumi_llm_inference.spec.environment import EksEnvironmentSpec
from pulumi_llm_inference.spec.pool import EksAmi

_BORROWED = {
    "connection": ("cluster_name", "region", "kubernetes_version", "node_role_arn", "subnet_ids"),
    "storageConnection": ("cluster_name", "region"),
}


def deploy(environment: EksEnvironmentSpec) -> None:
    """Make or find the cluster, its pools, its add-ons, then the models."""
    version = {"kubernetes_version": environment.kubernetes_version}
    home = cloud.home(environment, EksCluster, _BORROWED, version)
    pools = {
        pool.name: EksGpuNodePool(
            pool.name,
            {
                **cloud.pool_args(environment, pool),
                **home.connection,
                "ami": environment.gpu_ami,
            },
        )
        for pool in environment.pools
    }
    cloud.deploy(
        environment,
        home,
        pools,
        EksStorageAccess,
        {
            "bottlerocket": environment.gpu_ami is EksAmi.BOTTLEROCKET,
            "cluster_name": home.connection["cluster_name"],
            "region": home.connection["region"],
            "pool_priorities": [
                [pools[name].node_group.node_group_name for name in group]
                for group in environment.growth_order
            ],
        },
    )
