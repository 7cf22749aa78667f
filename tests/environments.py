"""Environments that tests deploy."""

from typing import Any

import yaml

from tests.support import ROOT, without_project

CLOUDS = ("gke", "eks", "aks")
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"


def rich_config(kubernetes_version: str = "1.30", tolerance: float | None = None) -> dict[str, Any]:
    """Every option somewhere, on pools of all capacity types, in a namespace of its own."""
    own_rules: dict[str, Any] = {
        "stabilizationWindowSeconds": 60,
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 30},
            {"type": "Percent", "value": 10, "periodSeconds": 60},
        ],
        "selectPolicy": "Min",
    }
    if tolerance is not None:
        own_rules["tolerance"] = tolerance
    return {
        "cloud": "local",
        "namespace": "llm",
        "kubernetesVersion": kubernetes_version,
        "monitoring": {
            "intervalSeconds": 30,
            "labels": {"release": "prometheus"},
            "prometheusAddress": PROMETHEUS,
        },
        "pools": [
            {"name": "l4", "accelerator": "nvidia-l4", "gpusPerNode": 4, "maxNodes": 2},
            {
                "name": "a100-spot",
                "accelerator": "nvidia-a100-80gb",
                "gpusPerNode": 8,
                "minNodes": 1,
                "maxNodes": 4,
                "capacityType": "spot",
                "labels": {"team": "search"},
            },
            {
                "name": "h100",
                "accelerator": "nvidia-h100-80gb",
                "gpusPerNode": 8,
                "maxNodes": 1,
                "capacityType": "reserved",
            },
        ],
        "models": [
            {
                "name": "chat",
                "pools": ["a100-spot"],
                "model": "meta-llama/Llama-3.1-70B-Instruct",
                "image": "registry.example.com/vllm@sha256:" + "0" * 64,
                "servedModelName": "chat",
                "gpus": 4,
                "tensorParallelSize": 4,
                "dtype": "bfloat16",
                "quantization": "fp8",
                "kvCacheDtype": "fp8",
                "maxModelLen": 8192,
                "maxNumSeqs": 128,
                "maxNumBatchedTokens": 16384,
                "gpuMemoryUtilization": 0.92,
                "extraArgs": ["--enable-prefix-caching"],
                "env": {
                    "VLLM_LOGGING_LEVEL": "INFO",
                    "S3_KEY": {"name": "bucket", "key": "access-key"},
                },
                "huggingFaceToken": {"name": "hugging-face"},
                "weightsCache": {"claim": "weights"},
                "sharedMemory": "16Gi",
                "cpu": "500m",
                "memory": "64Gi",
                "startupSeconds": 3605,
                "drainSeconds": 120,
                "serviceType": "LoadBalancer",
                "serviceAnnotations": {"networking.gke.io/load-balancer-type": "Internal"},
                "labels": {"team": "search", "app": "chat"},
                "autoscaling": {
                    "method": "keda",
                    "minReplicas": 1,
                    "maxReplicas": 4,
                    "targets": {"concurrency": 60, "queueSize": 2.5},
                    "preset": "steady",
                    "scaleUp": own_rules,
                },
            },
            {
                "name": "coder",
                "pools": ["l4"],
                "model": "Qwen/Qwen2.5-Coder-7B",
                "labels": {"team": "search"},
                "autoscaling": {
                    "minReplicas": 2,
                    "maxReplicas": 4,
                    "targets": {"queueSize": 3, "concurrency": 100},
                    "preset": "kubernetes",
                    "scaleDown": own_rules,
                },
            },
            {
                "name": "fixed",
                "pools": ["h100"],
                "model": "mistralai/Mistral-Large",
                "gpus": 4,
                "replicas": 2,
                "weightsCache": {"size": "200Gi"},
                "serviceName": "mistral",
            },
            {
                "name": "raw",
                "pools": ["l4"],
                "model": "m",
                "args": ["/models/m", "--max-num-seqs=8"],
            },
        ],
    }


def tracked_config(name: str) -> dict[str, Any]:
    """Configuration of a tracked environment, without that of the cloud's provider."""
    file = ROOT / f"stacks/environments/Pulumi.{name}.yaml"
    config = without_project(yaml.safe_load(file.read_text())["config"])
    return {key: value for key, value in config.items() if ":" not in key}


BUCKETS = {
    "gke": "weights",
    "eks": "weights",
    "aks": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
    "/blobServices/default/containers/weights",
}


def cloud_config(cloud: str) -> dict[str, Any]:
    """A cloud's production environment, whose model reads its weights from a bucket."""
    config = tracked_config(f"{cloud}-prod")
    config["models"][0]["weightsBucket"] = BUCKETS[cloud]
    return config


def managed_config() -> dict[str, Any]:
    """GKE with its own Prometheus, whose adapter knows no sums."""
    config = cloud_config("gke")
    config["addons"] = {"prometheus": "managed"}
    config["models"][0]["autoscaling"]["targets"] = {"queueSize": 5}
    return config
