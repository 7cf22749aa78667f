"""A stack of somebody else's: one pool in a cluster that exists, and one model on it."""

import pulumi
import pulumi_kubernetes as k8s

from pulumi_llm_inference import (
    GkeGpuNodePool,
    GkeGpuNodePoolArgs,
    ModelServer,
    ModelServerArgs,
)

config = pulumi.Config()
cluster = k8s.Provider("theirs", kubeconfig=config.require("kubeconfig"))
pool = GkeGpuNodePool(
    "l4",
    GkeGpuNodePoolArgs(
        accelerator="nvidia-l4",
        max_nodes=2,
        zones=["us-central1-a"],
        cluster_name="theirs",
        location="us-central1",
        service_account="nodes@my-project.iam.gserviceaccount.com",
    ),
)
server = ModelServer(
    "chat",
    ModelServerArgs(model="Qwen/Qwen2.5-7B-Instruct", placements=[pool.placement]),
    pulumi.ResourceOptions(provider=cluster, depends_on=pool),
)
pulumi.export("accelerator", pool.placement.accelerator)
pulumi.export("url", server.url)
