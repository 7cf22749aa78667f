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
                "extraArgs": ["--enable-chunked-prefill"],
                "env": {
                    "VLLM_LOGGING_LEVEL": "INFO",
                    "S3_KEY": {"name": "bucket", "key": "access-key"},
                },
                "huggingFaceToken": {"name": "hugging-face"},
                "weights": {"claim": "weights"},
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
                "weights": {"size": "200Gi"},
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


PARALLEL: dict[str, Any] = {"gpus": 2}
HUB = {"model": "Qwen/Qwen2.5-7B-Instruct"}
REPOSITORY = {"triton": {"modelRepositoryClaim": "tensorrt-models-pvc"}}
ENGINE_VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "vllm": {
        "one-gpu": HUB,
        "parallel": HUB | PARALLEL,
        "quantized": HUB | {"quantization": "fp8", "kvCacheDtype": "fp8"},
        "lora": HUB | {"loraAdapters": [{"name": "sql", "source": "org/sql-lora"}]},
        "nodes": HUB | {"nodes": 2, "gpus": 4},
        "stream": HUB | {"weights": {"stream": "s3://weights/qwen"}},
    },
    "sglang": {
        "one-gpu": HUB,
        "parallel": HUB | PARALLEL,
        "quantized": HUB | {"quantization": "fp8", "kvCacheDtype": "fp8_e5m2"},
        "lora": HUB
        | {"loraAdapters": [{"name": "sql", "source": "org/sql-lora"}], "maxLoraRank": 32},
        "nodes": HUB | {"nodes": 2, "gpus": 4},
        "download": HUB
        | {"weights": {"download": "gs://weights/qwen", "storageClass": "rwx", "size": "60Gi"}},
    },
    "tensorrt-llm": {
        "one-gpu": HUB,
        "image": HUB | {"weights": {"image": "registry.example.com/qwen:1", "path": "models"}},
        "parallel": HUB | PARALLEL,
        "quantized": {"model": "nvidia/Llama-3.1-8B-Instruct-FP8", "kvCacheDtype": "fp8"},
    },
    "triton": {
        "one-gpu": HUB | REPOSITORY,
        "parallel": HUB
        | PARALLEL
        | {
            "triton": {
                "modelRepositoryClaim": "built",
                "build": {"claimSize": "100Gi", "storageClass": "rwx"},
            }
        },
        "quantized": {"model": "Qwen/Qwen2.5-7B-Instruct-AWQ"} | REPOSITORY,
    },
    "ollama": {
        "one-gpu": {"model": "llama3.1:8b"},
        "parallel": {"model": "llama3.1:70b"} | PARALLEL,
        "quantized": {"model": "llama3.1:8b-instruct-q4_K_M", "kvCacheDtype": "q8_0"},
    },
}
"""What each engine serves, beside what it cannot."""


def engines_config() -> dict[str, Any]:
    """Each engine in each of its variants."""
    scaled = {"minReplicas": 1, "maxReplicas": 4, "targets": {"queueSize": 5}}
    return {
        "cloud": "local",
        "kubernetesVersion": "1.36",
        "pools": [
            {"name": "h100", "accelerator": "nvidia-h100-80gb", "gpusPerNode": 8, "maxNodes": 8}
        ],
        "models": [
            {
                "name": f"{engine}-{variant}",
                "engine": engine,
                "pools": ["h100"],
                **({} if engine == "ollama" else {"autoscaling": scaled}),
                **fields,
            }
            for engine, variants in ENGINE_VARIANTS.items()
            for variant, fields in variants.items()
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
