"""Kubeconfigs that hold no credentials: they name the program that gets a token."""

import base64
from collections.abc import Sequence
from typing import Any

import yaml

_AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""Application that every AKS cluster with Entra is to Entra (azure.github.io/kubelogin)."""


def gke_kubeconfig(name: str, endpoint: str, certificate: str) -> str:
    """For a cluster on GKE; needs `gke-gcloud-auth-plugin`.

    Credentials are those that Pulumi makes the cluster with, Application Default Credentials:
    those of `gcloud auth application-default login`, of the file that
    `GOOGLE_APPLICATION_CREDENTIALS` names, or of the machine. Without the flag the plugin takes
    those of `gcloud auth login` (kubernetes/cloud-provider-gcp cmd/gke-gcloud-auth-plugin).

    Args:
        name: name of the cluster, and of the context.
        endpoint: address of the API.
        certificate: certificate of the cluster's authority, base64.
    """
    command = ["gke-gcloud-auth-plugin", "--use_application_default_credentials"]
    return _kubeconfig(name, f"https://{endpoint}", certificate, command)


def eks_kubeconfig(name: str, endpoint: str, certificate: str, region: str) -> str:
    """For a cluster on EKS; needs `aws` and credentials of a user or role with access.

    Args:
        name: name of the cluster, and of the context.
        endpoint: URL of the API.
        certificate: certificate of the cluster's authority, base64.
        region: region of the cluster.
    """
    command = ["aws", "eks", "get-token", "--cluster-name", name, "--region", region]
    return _kubeconfig(name, endpoint, certificate, [*command, "--output", "json"])


def aks_kubeconfig(credentials: str, log_in: bool) -> str:
    """For a cluster on AKS, from what Azure gives its users.

    Args:
        credentials: Azure's kubeconfig, base64.
        log_in: whether users log in to Entra (`az login`, `kubelogin`), rather than use the client
            certificate in the credentials.
    """
    text = base64.b64decode(credentials).decode()
    if not log_in:
        return text
    [entry] = yaml.safe_load(text)["clusters"]
    cluster = entry["cluster"]
    command = ["kubelogin", "get-token", "--login", "azurecli", "--server-id", _AKS_SERVER]
    return _kubeconfig(
        entry["name"], cluster["server"], cluster["certificate-authority-data"], command
    )


def _kubeconfig(name: str, server: str, certificate: str, command: Sequence[str]) -> str:
    program, *arguments = command
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": certificate},
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [
            {
                "name": name,
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "command": program,
                        "args": arguments,
                        "interactiveMode": "IfAvailable",
                        "provideClusterInfo": True,
                    }
                },
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False)
