"""A cluster on Azure Kubernetes Service."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pulumi
from pulumi import Input, Output
from pulumi_azure_native import (
    authorization,
    containerservice,
    managedidentity,
    monitor,
    network,
    operationalinsights,
    resources,
)
from pydantic import field_validator

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.clusters.azure_roles import role_definition
from pulumi_llm_inference.clusters.kubeconfig import aks_kubeconfig
from pulumi_llm_inference.clusters.names import camel_keys
from pulumi_llm_inference.spec.base import minor_version, optional
from pulumi_llm_inference.spec.cluster import AksClusterSpec
from pulumi_llm_inference.spec.pool import Cloud

_NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-498d-9955-f4d9b3b5e8a4"
"""Role by which the cluster puts nodes and load balancers in its subnet
(learn.microsoft.com/azure/role-based-access-control/built-in-roles/networking)."""

_LOGS = [
    "kube-apiserver",
    "kube-audit-admin",
    "kube-controller-manager",
    "kube-scheduler",
    "cluster-autoscaler",
    "guard",
]
"""What goes to Log Analytics; `kube-audit-admin` is the audit log without reads
(learn.microsoft.com/azure/aks/monitor-aks-reference)."""

_LOG_DAYS = 90
_LONGEST_DNS_PREFIX = 54
_DNS_HOST = 10
"""Which address of the Services' network is DNS."""


class AksClusterArgs(AksClusterSpec, Args):
    """Arguments of AksCluster."""

    kubernetes_version: str | None = None
    """Minor version, in quotes. Default: AKS' own when the cluster is made."""
    keda: bool = False
    """Whether AKS installs and updates KEDA. Default no."""

    _version = field_validator("kubernetes_version")(optional(minor_version))


class AksCluster(pulumi.ComponentResource):
    """A cluster with private nodes in a network of its own, with a pool for the system's pods.

    Pods have identities (Workload Identity), network policies hold (Cilium). Secrets are encrypted
    with Azure's own keys: a key in a vault of ours would be one more thing without which the
    cluster is lost, under a name that Azure keeps for months after it is deleted.
    """

    kubeconfig: Output[str]
    """With `adminGroups`, for `kubelogin` and without credentials; else with a client certificate.
    A secret; unknown until the cluster is there."""
    cluster: containerservice.ManagedCluster
    """The cluster itself, with the nodes without GPUs."""
    virtual_network: network.VirtualNetwork
    """The network of the cluster alone."""
    resource_group_name: Input[str]
    """Where everything is."""
    connection: dict[str, Any]
    """What AksGpuNodePool needs to know, by the names of its arguments."""
    storage_connection: dict[str, Any]
    """What AksStorageAccess needs to know, by the names of its arguments."""

    def __init__(
        self,
        name: str,
        args: AksClusterArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = AksClusterArgs.model_validate(args)
        cluster_name = given.name or name
        spec = given.model_copy(update={"name": cluster_name})
        require(
            [*name_problems(name, name), *cluster_problems(Cloud.AKS, spec, name)],
            f"AksCluster '{name}'",
        )
        super().__init__("llm-inference:index:AksCluster", name, None, opts)
        self._name = name
        self._spec = spec
        self._child = child = pulumi.ResourceOptions(parent=self)
        self.resource_group_name = self._resource_group()
        self.virtual_network = network.VirtualNetwork(
            f"{name}-network",
            network.VirtualNetworkInitArgs(
                resource_group_name=self.resource_group_name,
                location=spec.region,
                address_space=network.AddressSpaceArgs(address_prefixes=[spec.network]),
                tags=spec.tags,
            ),
            opts=child,
        )
        subnet, egress = self._subnet()
        identity = managedidentity.UserAssignedIdentity(
            f"{name}-control-plane",
            managedidentity.UserAssignedIdentityArgs(
                resource_group_name=self.resource_group_name, location=spec.region, tags=spec.tags
            ),
            opts=child,
        )
        network_role = authorization.RoleAssignment(
            f"{name}-network-role",
            authorization.RoleAssignmentArgs(
                principal_id=identity.principal_id,
                # Else Azure looks for the identity where it may not have arrived yet.
                principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
                role_definition_id=role_definition(subnet.id, _NETWORK_CONTRIBUTOR),
                scope=subnet.id,
            ),
            opts=child,
        )
        self.cluster = containerservice.ManagedCluster(
            f"{name}-cluster",
            **cluster_args(spec, self.resource_group_name, subnet.id, identity.id, egress),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[network_role],
                # Stops `pulumi destroy` at its preview. Azure has locks, but one on a cluster also
                # holds its node pools.
                protect=spec.deletion_protection or None,
                # The autoscaler writes it; a value of ours would undo its work at updates.
                ignore_changes=["agentPoolProfiles[0].count"],
            ),
        )
        self._logs()
        self.connection = {
            "cluster_name": self.cluster.name,
            "resource_group_name": self.resource_group_name,
            "subnet_id": subnet.id,
        }
        self.storage_connection = {
            "resource_group_name": self.resource_group_name,
            "location": spec.region,
            "oidc_issuer_url": self.cluster.oidc_issuer_profile.apply(_issuer_url),
        }
        self.kubeconfig = self._kubeconfig()
        self.register_outputs(
            {
                "kubeconfig": self.kubeconfig,
                "connection": camel_keys(self.connection),
                "storageConnection": camel_keys(self.storage_connection),
            }
        )

    def _resource_group(self) -> Input[str]:
        if self._spec.resource_group:
            return self._spec.resource_group
        return resources.ResourceGroup(
            f"{self._name}-group",
            resources.ResourceGroupArgs(location=self._spec.region, tags=self._spec.tags),
            opts=self._child,
        ).name

    def _subnet(self) -> tuple[network.Subnet, Output[str]]:
        """Make the subnet of the nodes, and the way out for them: their addresses are private.

        Returns:
            the subnet, and the address that their traffic comes from (CIDR).
        """
        name, spec = self._name, self._spec
        address = network.PublicIPAddress(
            f"{name}-nat",
            network.PublicIPAddressInitArgs(
                resource_group_name=self.resource_group_name,
                location=spec.region,
                sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
                public_ip_allocation_method=network.IPAllocationMethod.STATIC,
                tags=spec.tags,
            ),
            opts=self._child,
        )
        nat = network.NatGateway(
            f"{name}-nat",
            network.NatGatewayInitArgs(
                resource_group_name=self.resource_group_name,
                location=spec.region,
                sku=network.NatGatewaySkuArgs(name=network.NatGatewaySkuName.STANDARD),
                public_ip_addresses=[network.SubResourceArgs(id=address.id)],
                tags=spec.tags,
            ),
            opts=self._child,
        )
        subnet = network.Subnet(
            f"{name}-nodes",
            network.SubnetInitArgs(
                resource_group_name=self.resource_group_name,
                virtual_network_name=self.virtual_network.name,
                address_prefix=spec.network,
                nat_gateway=network.SubResourceArgs(id=nat.id),
                default_outbound_access=False,
            ),
            opts=self._child,
        )
        return subnet, Output.format("{0}/32", address.ip_address)

    def _logs(self) -> None:
        """Keep the logs of the control plane, audit included."""
        workspace = operationalinsights.Workspace(
            f"{self._name}-logs",
            operationalinsights.WorkspaceArgs(
                resource_group_name=self.resource_group_name,
                location=self._spec.region,
                sku=operationalinsights.WorkspaceSkuArgs(
                    name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018
                ),
                retention_in_days=_LOG_DAYS,
                tags=self._spec.tags,
            ),
            opts=self._child,
        )
        monitor.DiagnosticSetting(
            f"{self._name}-logs",
            monitor.DiagnosticSettingArgs(
                resource_uri=self.cluster.id,
                workspace_id=workspace.id,
                logs=[
                    monitor.DiagnosticsLogSettingsArgs(category=category, enabled=True)
                    for category in _LOGS
                ],
            ),
            opts=self._child,
        )

    def _kubeconfig(self) -> Output[str]:
        """Ask Azure for the credentials once the cluster is there, and not before.

        Its state is known only then; a name of ours would be known at once, and asked about too
        soon.
        """
        log_in = bool(self._spec.admin_groups)
        credentials = containerservice.list_managed_cluster_user_credentials_output(
            resource_group_name=self.resource_group_name,
            resource_name=Output.all(self.cluster.name, self.cluster.provisioning_state).apply(
                lambda known: known[0]
            ),
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=[self.cluster]),
        )
        return Output.secret(
            credentials.apply(lambda answer: aks_kubeconfig(answer.kubeconfigs[0].value, log_in))
        )


def _issuer_url(profile: Any) -> str:
    return profile.issuer_url


def cluster_args(
    spec: AksClusterArgs,
    resource_group: Input[str],
    subnet: Input[str],
    identity: Input[str],
    egress: Input[str],
) -> dict[str, Any]:
    """Arguments of the cluster, with the nodes without GPUs.

    Args:
        spec: what the user asked for, the cluster's name filled in.
        resource_group: name of the resource group.
        subnet: id of the nodes' subnet.
        identity: id of the control plane's identity.
        egress: where the nodes' traffic comes from (CIDR).
    """
    aks = containerservice
    return {
        # The name that its constructor knows, and ManagedClusterArgs does not.
        "resource_name_": spec.name,
        "resource_group_name": resource_group,
        "location": spec.region,
        "tags": spec.tags,
        "kubernetes_version": spec.kubernetes_version,
        "dns_prefix": dns_prefix(spec.name or ""),
        "sku": aks.ManagedClusterSKUArgs(
            name=aks.ManagedClusterSKUName.BASE, tier=aks.ManagedClusterSKUTier.STANDARD
        ),
        "identity": aks.ManagedClusterIdentityArgs(
            type=aks.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity]
        ),
        "enable_rbac": True,
        "disable_local_accounts": bool(spec.admin_groups),
        "aad_profile": aks.ManagedClusterAADProfileArgs(
            managed=True, admin_group_object_ids=spec.admin_groups
        )
        if spec.admin_groups
        else None,
        "api_server_access_profile": aks.ManagedClusterAPIServerAccessProfileArgs(
            # Nodes use the public address too, where there is one.
            authorized_ip_ranges=[*spec.api_networks, egress] if spec.api_networks else None,
            enable_private_cluster=not spec.api_networks,
            disable_run_command=True,
        ),
        "network_profile": network_profile(spec),
        "oidc_issuer_profile": aks.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
        "security_profile": aks.ManagedClusterSecurityProfileArgs(
            workload_identity=aks.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True)
        ),
        "auto_scaler_profile": aks.ManagedClusterPropertiesAutoScalerProfileArgs(
            # Follows the ConfigMap `cluster-autoscaler-priority-expander` in `kube-system`.
            expander=aks.Expander.PRIORITY,
            # Model servers have emptyDir volumes; else only empty nodes would go.
            skip_nodes_with_local_storage="false",
            # How long pods wait for a spot node before the next pool grows. AKS' own: 15 minutes.
            max_node_provision_time="10m",
        ),
        "workload_auto_scaler_profile": aks.ManagedClusterWorkloadAutoScalerProfileArgs(
            keda=aks.ManagedClusterWorkloadAutoScalerProfileKedaArgs(enabled=True)
        )
        if spec.keda
        else None,
        "auto_upgrade_profile": aks.ManagedClusterAutoUpgradeProfileArgs(
            upgrade_channel=aks.UpgradeChannel.PATCH,
            node_os_upgrade_channel=aks.NodeOSUpgradeChannel.NODE_IMAGE,
        ),
        "agent_pool_profiles": [system_pool(spec, subnet)],
    }


def network_profile(spec: AksClusterArgs) -> containerservice.ContainerServiceNetworkProfileArgs:
    """Addresses and rules of pods: an overlay, so that pods take none of the subnet's addresses."""
    aks = containerservice
    return aks.ContainerServiceNetworkProfileArgs(
        network_plugin=aks.NetworkPlugin.AZURE,
        network_plugin_mode=aks.NetworkPluginMode.OVERLAY,
        network_dataplane=aks.NetworkDataplane.CILIUM,
        network_policy=aks.NetworkPolicy.CILIUM,
        load_balancer_sku=aks.LoadBalancerSku.STANDARD,
        outbound_type=aks.OutboundType.USER_ASSIGNED_NAT_GATEWAY,
        pod_cidr=spec.pod_network,
        service_cidr=spec.service_network,
        dns_service_ip=str(ip_network(spec.service_network)[_DNS_HOST]),
    )


def system_pool(
    spec: AksClusterArgs, subnet: Input[str]
) -> containerservice.ManagedClusterAgentPoolProfileArgs:
    """The nodes without GPUs, over all zones."""
    aks, bounds = containerservice, spec.system_nodes
    return aks.ManagedClusterAgentPoolProfileArgs(
        name="system",
        mode=aks.AgentPoolMode.SYSTEM,
        type=aks.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
        os_type=aks.OSType.LINUX,
        vm_size=spec.system_machine,
        availability_zones=spec.zones or None,
        vnet_subnet_id=subnet,
        enable_node_public_ip=False,
        enable_auto_scaling=True,
        min_count=bounds.min_nodes,
        max_count=bounds.max_nodes,
        count=bounds.min_nodes,
        tags=spec.tags,
    )


def dns_prefix(name: str) -> str:
    """Begins the API's host name: letters, digits and '-', at most 54 characters."""
    return name.replace("_", "-")[:_LONGEST_DNS_PREFIX].strip("-")
