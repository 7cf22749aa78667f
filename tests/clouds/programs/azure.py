"""An AKS cluster with a spot GPU pool, the device plugin, and a server on it: plain Pulumi."""

import base64

import pulumi
import pulumi_azure_native as azure
import pulumi_kubernetes as k8s

config = pulumi.Config("test")
SPOT = "kubernetes.azure.com/scalesetpriority"

group = azure.resources.ResourceGroup("group", location="westeurope")
cluster = azure.containerservice.ManagedCluster(
    "cluster",
    resource_group_name=group.name,
    location=group.location,
    dns_prefix="test",
    identity=azure.containerservice.ManagedClusterIdentityArgs(
        type=azure.containerservice.ResourceIdentityType.SYSTEM_ASSIGNED
    ),
    agent_pool_profiles=[
        azure.containerservice.ManagedClusterAgentPoolProfileArgs(
            name="system", mode="System", count=1, vm_size="Standard_D4s_v5"
        )
    ],
)
pool = azure.containerservice.AgentPool(
    "gpu",
    resource_group_name=group.name,
    resource_name_=cluster.name,
    agent_pool_name="gpu",
    mode="User",
    vm_size=config.get("machine") or "Standard_NC24ads_A100_v4",
    enable_auto_scaling=True,
    min_count=0,
    max_count=2,
    scale_set_priority="Spot",
    scale_set_eviction_policy="Delete",
    spot_max_price=-1,
    node_taints=["sku=gpu:NoSchedule", f"{SPOT}=spot:NoSchedule"],
    node_labels={SPOT: "spot", "pool": "gpu"},
)
credentials = azure.containerservice.list_managed_cluster_user_credentials_output(
    resource_group_name=group.name, resource_name=cluster.name
)
provider = k8s.Provider(
    "cluster",
    kubeconfig=credentials.kubeconfigs[0].value.apply(lambda text: base64.b64decode(text).decode()),
    cluster_identifier="aks",
)
inside = pulumi.ResourceOptions(provider=provider, depends_on=[pool])
tolerations = [
    k8s.core.v1.TolerationArgs(key="sku", operator="Equal", value="gpu"),
    k8s.core.v1.TolerationArgs(key=SPOT, operator="Exists"),
]


def pod(labels: dict[str, str], image: str, gpus: int) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return a pod for the GPU pool."""
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
        spec=k8s.core.v1.PodSpecArgs(
            node_selector={"pool": "gpu"},
            tolerations=tolerations,
            containers=[
                k8s.core.v1.ContainerArgs(
                    name="main",
                    image=image,
                    resources=k8s.core.v1.ResourceRequirementsArgs(
                        limits={"nvidia.com/gpu": str(gpus)} if gpus else {}
                    ),
                )
            ],
        ),
    )


plugin = {"app": "device-plugin"}
k8s.apps.v1.DaemonSet(
    "device-plugin",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        namespace="kube-system", annotations={"pulumi.com/skipAwait": "true"}
    ),
    spec=k8s.apps.v1.DaemonSetSpecArgs(
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=plugin),
        template=pod(plugin, "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.17.0", 0),
    ),
    opts=inside,
)
server = {"app": "aks-server"}
k8s.apps.v1.Deployment(
    "server",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="aks-server"),
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=1,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=server),
        template=pod(server, "server:1", 1),
    ),
    opts=inside,
)
pulumi.export("pool", pool.name)
