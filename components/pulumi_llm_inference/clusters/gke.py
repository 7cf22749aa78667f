"""A cluster on Google Kubernetes Engine."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
from pulumi import Input, Output

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.kubeconfig import gke_kubeconfig
from pulumi_llm_inference.clusters.names import camel_keys, shortened
from pulumi_llm_inference.clusters.waiting import after
from pulumi_llm_inference.spec.cluster import GkeClusterSpec
from pulumi_llm_inference.spec.pool import Cloud

_PODS, _SERVICES = "pods", "services"
"""Names of the subnet's secondary ranges."""

_NODE_ROLES = {
    "node": "roles/container.defaultNodeServiceAccount",
    "images": "roles/artifactregistry.reader",
    "streaming": "roles/serviceusage.serviceUsageConsumer",
}
"""What nodes may do: write logs and metrics, pull images
(docs.cloud.google.com/kubernetes-engine/security/configure-node-service-accounts), and pull them by
streaming, without which pods on nodes that stream do not start
(docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming, "Requirements";
terraform-google-modules/terraform-google-kubernetes-engine issue 2251)."""

_LONGEST_ACCOUNT_ID = 30
"""Longest id of a service account (gcp.serviceaccount.Account.account_id)."""

_LOGS = ["SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER"]
"""What goes to Cloud Logging. Audit logs of changes always do."""

_KEY_ROTATION = f"{90 * 24 * 3600}s"
_ALL_APIS = "https://www.googleapis.com/auth/cloud-platform"
"""The scope that leaves it to the roles what nodes may do."""


class GkeClusterArgs(GkeClusterSpec, Args):
    """Arguments of GkeCluster."""


class GkeCluster(pulumi.ComponentResource):
    """A private, regional cluster in a network of its own, with a pool for the system's pods.

    Secrets are encrypted with a key of the cluster's own, pods have identities (Workload Identity),
    network policies hold (Dataplane V2), nodes may only write logs and metrics and pull images.
    """

    kubeconfig: Output[str]
    """For `gke-gcloud-auth-plugin`; holds no credentials, and is a secret all the same. It is there
    once there are nodes."""
    cluster: gcp.container.Cluster
    """The cluster itself."""
    system_pool: gcp.container.NodePool
    """The nodes without GPUs."""
    node_account: gcp.serviceaccount.Account
    """What all nodes run as."""
    network: gcp.compute.Network
    """The network of the cluster alone."""
    connection: dict[str, Any]
    """What GkeGpuNodePool needs to know, by the names of its arguments."""
    storage_connection: dict[str, Any]
    """What GkeStorageAccess needs to know, by the names of its arguments."""

    def __init__(
        self,
        name: str,
        args: GkeClusterArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = GkeClusterArgs.model_validate(args)
        cluster_name = given.name or name
        spec = given.model_copy(update={"name": cluster_name})
        require(
            [*name_problems(name, name), *cluster_problems(Cloud.GKE, spec, name)],
            f"GkeCluster '{name}'",
        )
        super().__init__("llm-inference:index:GkeCluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.network = gcp.compute.Network(
            f"{name}-network",
            gcp.compute.NetworkArgs(auto_create_subnetworks=False, project=spec.project),
            opts=child,
        )
        subnet = gcp.compute.Subnetwork(
            f"{name}-nodes", subnet_args(spec, self.network.id), opts=child
        )
        nat = self._nat(name, spec, child)
        self.node_account = gcp.serviceaccount.Account(
            f"{name}-nodes",
            gcp.serviceaccount.AccountArgs(
                account_id=account_id(spec),
                display_name=f"Nodes of {cluster_name}",
                project=spec.project,
            ),
            opts=child,
        )
        roles = [
            gcp.projects.IAMMember(
                f"{name}-{purpose}-role",
                gcp.projects.IAMMemberArgs(
                    project=spec.project, role=role, member=self.node_account.member
                ),
                opts=child,
            )
            for purpose, role in _NODE_ROLES.items()
        ]
        key, key_use = self._key(name, spec, child)
        account = after(self.node_account.email, [*roles, nat])
        self.cluster = gcp.container.Cluster(
            f"{name}-cluster",
            cluster_args(spec, self.network.id, subnet.id, after(key.id, [key_use]), account),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Both describe the first nodes only, which are gone once the cluster stands.
                ignore_changes=["nodeConfig", "initialNodeCount"],
                # Stops `pulumi destroy` at its preview; GKE's own protection says no only when all
                # that is in the cluster is gone.
                protect=spec.deletion_protection or None,
            ),
        )
        self.system_pool = gcp.container.NodePool(
            f"{name}-system",
            system_pool_args(spec, self.cluster.name, account),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["initialNodeCount"]),
        )
        self.connection = {
            "cluster_name": self.cluster.name,
            "location": spec.region,
            "project": spec.project,
            "service_account": account,
        }
        self.storage_connection = {"project": spec.project}
        self.kubeconfig = Output.secret(
            Output.all(
                after(self.cluster.name, [self.system_pool]),
                self.cluster.endpoint,
                self.cluster.master_auth.apply(lambda auth: auth.cluster_ca_certificate),
            ).apply(lambda parts: gke_kubeconfig(*parts))
        )
        self.register_outputs(
            {
                "kubeconfig": self.kubeconfig,
                "connection": camel_keys(self.connection),
                "storageConnection": camel_keys(self.storage_connection),
            }
        )

    def _nat(
        self, name: str, spec: GkeClusterSpec, child: pulumi.ResourceOptions
    ) -> gcp.compute.RouterNat:
        """The way out for nodes, which have private addresses only."""
        router = gcp.compute.Router(
            f"{name}-router",
            gcp.compute.RouterArgs(
                network=self.network.id, project=spec.project, region=spec.region
            ),
            opts=child,
        )
        return gcp.compute.RouterNat(
            f"{name}-nat",
            gcp.compute.RouterNatArgs(
                router=router.name,
                nat_ip_allocate_option="AUTO_ONLY",
                source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
                project=spec.project,
                region=spec.region,
            ),
            opts=child,
        )

    def _key(
        self, name: str, spec: GkeClusterSpec, child: pulumi.ResourceOptions
    ) -> tuple[gcp.kms.CryptoKey, gcp.kms.CryptoKeyIAMMember]:
        """A key for the cluster's secrets, and GKE's permission to use it.

        Names have random ends: Google never forgets a key ring, so none could be made twice.
        """
        ring = gcp.kms.KeyRing(
            f"{name}-keys",
            gcp.kms.KeyRingArgs(location=spec.region, project=spec.project),
            opts=child,
        )
        key = gcp.kms.CryptoKey(
            f"{name}-secrets",
            gcp.kms.CryptoKeyArgs(
                key_ring=ring.id, rotation_period=_KEY_ROTATION, labels=spec.tags
            ),
            opts=child,
        )
        gke = gcp.projects.ServiceIdentity(
            f"{name}-gke",
            gcp.projects.ServiceIdentityArgs(
                project=spec.project, service="container.googleapis.com"
            ),
            opts=child,
        )
        use = gcp.kms.CryptoKeyIAMMember(
            f"{name}-secrets-use",
            gcp.kms.CryptoKeyIAMMemberArgs(
                crypto_key_id=key.id,
                role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
                member=gke.member,
            ),
            opts=child,
        )
        return key, use


def account_id(spec: GkeClusterSpec) -> str:
    """Id of the nodes' service account; as unique in the project as the cluster is."""
    return shortened(f"{spec.name}-{spec.region}-nodes", _LONGEST_ACCOUNT_ID)


def subnet_args(spec: GkeClusterSpec, network: Input[str]) -> gcp.compute.SubnetworkArgs:
    """The subnet of nodes, pods and Services."""
    ranges = {_PODS: spec.pod_network, _SERVICES: spec.service_network}
    return gcp.compute.SubnetworkArgs(
        network=network,
        project=spec.project,
        region=spec.region,
        ip_cidr_range=spec.network,
        # Registries and buckets of Google are reached without NAT.
        private_ip_google_access=True,
        secondary_ip_ranges=[
            gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name=use, ip_cidr_range=cidr)
            for use, cidr in ranges.items()
        ],
    )


def cluster_args(
    spec: GkeClusterSpec,
    network: Input[str],
    subnet: Input[str],
    key: Input[str],
    account: Input[str],
) -> gcp.container.ClusterArgs:
    """The cluster, without nodes that stay.

    Args:
        spec: what the user asked for, the cluster's name filled in.
        network: id of the network.
        subnet: id of the subnet.
        key: id of the key that encrypts secrets.
        account: e-mail of the nodes' service account.
    """
    container = gcp.container
    return container.ClusterArgs(
        name=spec.name,
        project=spec.project,
        location=spec.region,
        node_locations=spec.zones or None,
        deletion_protection=spec.deletion_protection,
        resource_labels=spec.tags,
        release_channel=container.ClusterReleaseChannelArgs(channel=spec.release_channel.upper()),
        network=network,
        subnetwork=subnet,
        networking_mode="VPC_NATIVE",
        datapath_provider="ADVANCED_DATAPATH",
        ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=_PODS, services_secondary_range_name=_SERVICES
        ),
        private_cluster_config=container.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True, enable_private_endpoint=not spec.api_networks
        ),
        master_authorized_networks_config=container.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=[
                container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=cidr)
                for cidr in spec.api_networks
            ],
            gcp_public_cidrs_access_enabled=False,
        ),
        database_encryption=container.ClusterDatabaseEncryptionArgs(
            state="ENCRYPTED", key_name=key
        ),
        workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
            workload_pool=f"{spec.project}.svc.id.goog"
        ),
        enable_shielded_nodes=True,
        logging_config=container.ClusterLoggingConfigArgs(enable_components=_LOGS),
        monitoring_config=container.ClusterMonitoringConfigArgs(
            enable_components=["SYSTEM_COMPONENTS"],
            managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
        ),
        # Not node auto-provisioning: pools are declared. The profile gives idle nodes back sooner.
        cluster_autoscaling=container.ClusterClusterAutoscalingArgs(
            enabled=False, autoscaling_profile="OPTIMIZE_UTILIZATION"
        ),
        addons_config=container.ClusterAddonsConfigArgs(
            gcs_fuse_csi_driver_config=container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(
                enabled=True
            )
        ),
        remove_default_node_pool=True,
        initial_node_count=1,
        node_config=container.ClusterNodeConfigArgs(
            machine_type=spec.system_machine,
            service_account=account,
            oauth_scopes=[_ALL_APIS],
            shielded_instance_config=container.ClusterNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
        ),
    )


def system_pool_args(
    spec: GkeClusterSpec, cluster: Input[str], account: Input[str]
) -> gcp.container.NodePoolArgs:
    """The nodes without GPUs, over all zones.

    Args:
        spec: what the user asked for.
        cluster: name of the cluster.
        account: e-mail of the nodes' service account.
    """
    container = gcp.container
    return container.NodePoolArgs(
        cluster=cluster,
        project=spec.project,
        location=spec.region,
        # One a zone: the autoscaler does not grow a pool that has no nodes to its least.
        initial_node_count=1,
        autoscaling=container.NodePoolAutoscalingArgs(
            total_min_node_count=spec.system_nodes.min_nodes,
            total_max_node_count=spec.system_nodes.max_nodes,
            location_policy="BALANCED",
        ),
        management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
        node_config=container.NodePoolNodeConfigArgs(
            machine_type=spec.system_machine,
            service_account=account,
            oauth_scopes=[_ALL_APIS],
            resource_labels=spec.tags,
            workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(
                mode="GKE_METADATA"
            ),
            shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
        ),
    )
