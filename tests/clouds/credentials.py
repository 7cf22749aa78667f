"""Credential plugins of kubectl: they hand out the local administrator's certificate."""

import argparse
import json
import os
import sys
from pathlib import Path

from tests.clouds.kube import Kube
from tests.clouds.model import KUBECONFIG, State


def main() -> None:
    """Print an ExecCredential, or fail for a cluster that does not exist."""
    cloud, *arguments = sys.argv[1:]
    state = State.of_environment()
    info = json.loads(os.environ.get("KUBERNETES_EXEC_INFO", "{}"))
    if cloud == "gke":
        parser = argparse.ArgumentParser(prog="gke-gcloud-auth-plugin")
        parser.add_argument("--use_application_default_credentials", action="store_true")
        parser.parse_args(arguments)
        # Google's plugin is not told a cluster's name; its address where the kubeconfig says
        # provideClusterInfo.
        server = info.get("spec", {}).get("cluster", {}).get("server")
        clusters = state.records("gcp:container/cluster:Cluster")
        if not any(server in (None, f"https://{one.outputs['endpoint']}") for one in clusters):
            sys.exit(f"gke-gcloud-auth-plugin: no GKE cluster exists at {server}")
    else:
        parser = argparse.ArgumentParser(prog="aws")
        parser.add_argument("--region")
        parser.add_argument("--output")
        parser.add_argument("--profile")
        parser.add_argument("service", choices=["eks"])
        parser.add_argument("operation", choices=["get-token"])
        parser.add_argument("--cluster-name", required=True)
        parser.add_argument("--role-arn")
        # The real CLI takes its global options anywhere.
        chosen = parser.parse_intermixed_args(arguments)
        found = state.find("aws:eks/cluster:Cluster", name=chosen.cluster_name)
        if found is None:
            sys.exit(f"aws: No cluster found for name: {chosen.cluster_name}.")
        if chosen.region not in (None, found.outputs["region"]):
            sys.exit(f"aws: {chosen.cluster_name} is not in {chosen.region}")
    version = info.get("apiVersion", "client.authentication.k8s.io/v1beta1")
    certificate, key = Kube(Path(os.environ[KUBECONFIG])).client
    credential = {"clientCertificateData": certificate, "clientKeyData": key}
    shown = {"apiVersion": version, "kind": "ExecCredential", "spec": {}, "status": credential}
    sys.stdout.write(json.dumps(shown))


if __name__ == "__main__":
    main()
