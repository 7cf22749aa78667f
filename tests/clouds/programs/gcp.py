"""A GKE cluster with a GPU pool, and a server on it: plain Pulumi, nothing of the package."""

import json

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s

config = pulumi.Config("test")
location = "europe-west4"
machine = config.get("machine") or "g2-standard-8"
accelerator = "nvidia-l4" if machine.startswith("g2") else "nvidia-tesla-a100"

cluster = gcp.container.Cluster(
    "cluster",
    location=location,
    initial_node_count=1,
    remove_default_node_pool=True,
    deletion_protection=False,
    release_channel=gcp.container.ClusterReleaseChannelArgs(channel="REGULAR"),
)
system = gcp.container.NodePool(
    "system",
    cluster=cluster.name,
    location=location,
    node_count=1,
    node_locations=[f"{location}-a"],
    node_config=gcp.container.NodePoolNodeConfigArgs(machine_type="e2-standard-4"),
)
pool = gcp.container.NodePool(
    "gpu",
    cluster=cluster.name,
    location=location,
    node_locations=[f"{location}-a", f"{location}-b"],
    autoscaling=gcp.container.NodePoolAutoscalingArgs(
        total_min_node_count=0, total_max_node_count=2, location_policy="ANY"
    ),
    node_config=gcp.container.NodePoolNodeConfigArgs(
        machine_type=machine,
        spot=True,
        labels={"team": "inference"},
        guest_accelerators=[
            gcp.container.NodePoolNodeConfigGuestAcceleratorArgs(type=accelerator, count=1)
        ],
    ),
    opts=pulumi.ResourceOptions(depends_on=[system]),
)
kubeconfig = pulumi.Output.all(cluster.endpoint, cluster.master_auth).apply(
    lambda values: json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "gke",
                    "cluster": {
                        "server": f"https://{values[0]}",
                        "certificate-authority-data": values[1]["cluster_ca_certificate"],
                    },
                }
            ],
            "users": [
                {
                    "name": "gke",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "gke-gcloud-auth-plugin",
                            "installHint": "install gke-gcloud-auth-plugin",
                            "provideClusterInfo": True,
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
            "contexts": [{"name": "gke", "context": {"cluster": "gke", "user": "gke"}}],
            "current-context": "gke",
        }
    )
)
provider = k8s.Provider(
    "cluster",
    kubeconfig=kubeconfig,
    cluster_identifier="gke",
    opts=pulumi.ResourceOptions(depends_on=[pool]),
)
tolerations = [
    k8s.core.v1.TolerationArgs(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
]


def server(name: str, tolerated: bool, replicas: int) -> k8s.apps.v1.Deployment:
    """Run a server on the GPU pool, or let it wait for ever without the toleration."""
    labels = {"app": name}
    annotations = {} if tolerated else {"pulumi.com/skipAwait": "true"}
    return k8s.apps.v1.Deployment(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name, annotations=annotations),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=replicas,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
                spec=k8s.core.v1.PodSpecArgs(
                    node_selector={"cloud.google.com/gke-accelerator": accelerator},
                    tolerations=tolerations if tolerated else [],
                    containers=[
                        k8s.core.v1.ContainerArgs(
                            name="server",
                            image="server:1",
                            resources=k8s.core.v1.ResourceRequirementsArgs(
                                limits={"nvidia.com/gpu": "1"}
                            ),
                        )
                    ],
                ),
            ),
        ),
        opts=pulumi.ResourceOptions(provider=provider),
    )


server("gke-server", tolerated=True, replicas=2)
server("gke-waiting", tolerated=False, replicas=1)
pulumi.export("pool", pool.name)
pulumi.export("effectiveTaints", pool.node_config.effective_taints)
