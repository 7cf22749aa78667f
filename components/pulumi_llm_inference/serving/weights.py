"""How a pod gets a model's weights: volumes, the copy before the start, and what to load."""

import hashlib
import re
from collections.abc import Mapping

import pulumi_kubernetes as k8s

from pulumi_llm_inference.spec.model_server import ModelServerSpec, SecretKey
from pulumi_llm_inference.spec.weights import WeightsSpec

COPIER_IMAGE = "docker.io/rclone/rclone:1.75.1"
"""Image of the container that copies weights. Facts below are from rclone/rclone v1.75.1."""

_CACHE_VOLUME = "cache"
_IMAGE_VOLUME = "weights"
_IMAGE_PATH = "/mnt/weights"
"""Where an image with weights is mounted."""

_DIGEST_LENGTH = 8

_REMOTES = {"s3": "s3", "gs": "gcs", "az": "azureblob"}
"""rclone's backend for a scheme (backend/*, RegInfo.Prefix)."""

_COPIER_ENVIRONMENT = {
    # Credentials of the pod's identity: EKS Pod Identity, Workload Identity of GKE and AKS
    # (backend/s3 LoadDefaultConfig, backend/googlecloudstorage and azureblob `env_auth`).
    "RCLONE_S3_ENV_AUTH": "true",
    "RCLONE_S3_PROVIDER": "AWS",
    "RCLONE_GCS_ENV_AUTH": "true",
    "RCLONE_AZUREBLOB_ENV_AUTH": "true",
}

_PASSED_ON = ("AWS_", "AZURE_", "GOOGLE_", "RCLONE_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Beginnings of the variables of a server that its copier gets too."""

COPY_SCRIPT = r"""
# Any number of pods may run this on one directory at once.
done="$TARGET.complete"
already() { [ -e "$done" ] && echo "$SOURCE is in $TARGET"; }
already && exit
mkdir -p "$TARGET"
exec 9> "$TARGET.lock"
# The lock of a pod that dies ends with it. Without locks each pod copies, which costs time only:
# each writes under names of its own and then renames.
if flock 9; then
  already && exit
  find "$TARGET" -name '*.part' -delete
else
  echo "this file system has no locks: copying beside others" >&2
fi
export RCLONE_S3_REGION="${RCLONE_S3_REGION:-${AWS_REGION:-}}"
suffix=".$(hostname | cksum | cut -d ' ' -f 1).part"
rclone copy "$SOURCE" "$TARGET" --config "" --partial-suffix "$suffix" \
  --stats 30s --stats-one-line --stats-log-level NOTICE &
copy=$!
trap 'kill "$copy"; wait "$copy" || true; exit 143' TERM
wait "$copy"
[ -n "$(ls -A "$TARGET")" ] || { echo "$SOURCE is empty" >&2; exit 1; }
: > "$done"
"""
"""Copies once, whoever comes first; what an interrupted copy finished is not copied again.

rclone names its unfinished files by source alone (fs/operations/copy.go, checkPartial), so that two
pods would write into one; the suffix, at most 16 characters, keeps them apart.
"""


def claim_name(name: str) -> str:
    """Name of the claim that the server `name` makes."""
    return f"{name}-weights"


def claim_spec(weights: WeightsSpec) -> k8s.core.v1.PersistentVolumeClaimSpecArgs | None:
    """The claim that all replicas share, if one is to be made."""
    return _claim(weights, "ReadWriteMany") if weights.storage_class and weights.shared else None


def volumes(name: str, weights: WeightsSpec) -> list[k8s.core.v1.VolumeArgs]:
    """The cache of the server `name`, and the image with weights if there is one."""
    image = k8s.core.v1.ImageVolumeSourceArgs(reference=weights.image)
    return [
        _cache_volume(name, weights),
        *([k8s.core.v1.VolumeArgs(name=_IMAGE_VOLUME, image=image)] if weights.image else []),
    ]


def mounts(weights: WeightsSpec, cache_path: str) -> list[k8s.core.v1.VolumeMountArgs]:
    """Where a container finds the volumes."""
    image = k8s.core.v1.VolumeMountArgs(name=_IMAGE_VOLUME, mount_path=_IMAGE_PATH, read_only=True)
    return [
        k8s.core.v1.VolumeMountArgs(name=_CACHE_VOLUME, mount_path=cache_path),
        *([image] if weights.image else []),
    ]


def init_containers(spec: ModelServerSpec, cache_path: str) -> list[k8s.core.v1.ContainerArgs]:
    """What must end before the engine starts: the copy from object storage, or nothing.

    User, group and seccomp profile are the pod's, so what it writes belongs to the engine.
    """
    if spec.weights.download is None:
        return []
    variables: Mapping[str, str | SecretKey] = {
        **_COPIER_ENVIRONMENT,
        **{name: value for name, value in spec.env.items() if name.startswith(_PASSED_ON)},
        "SOURCE": _remote(spec.weights.download),
        "TARGET": _target(spec.weights.download, cache_path),
    }
    return [
        k8s.core.v1.ContainerArgs(
            name="weights",
            image=COPIER_IMAGE,
            command=["sh", "-euc", COPY_SCRIPT],
            env=[variable(name, value) for name, value in variables.items()],
            resources=k8s.core.v1.ResourceRequirementsArgs(
                # 16 streams of 16 MiB each, by rclone's defaults; checksums take a core.
                requests={"cpu": "1", "memory": "1Gi"},
                limits={"cpu": "4", "memory": "1Gi"},
            ),
            security_context=k8s.core.v1.SecurityContextArgs(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
            ),
            volume_mounts=mounts(WeightsSpec(), cache_path),
        )
    ]


def model_path(weights: WeightsSpec, cache_path: str) -> str | None:
    """What the engine must load in place of the model's name; None: the name will do."""
    if weights.stream:
        return weights.stream
    if weights.download:
        return _target(weights.download, cache_path)
    if weights.image:
        return f"{_IMAGE_PATH}/{weights.path}" if weights.path else _IMAGE_PATH
    return None


def as_loaded(spec: ModelServerSpec, cache_path: str) -> ModelServerSpec:
    """The spec as the engine must see it: it loads a place, and is called as before."""
    path = model_path(spec.weights, cache_path)
    if path is None:
        return spec
    return spec.model_copy(
        update={"model": path, "served_model_name": spec.served_model_name or spec.model}
    )


def _remote(uri: str) -> str:
    """A directory of object storage as rclone names it: `:s3:bucket/path`."""
    scheme, _, rest = uri.partition("://")
    return f":{_REMOTES[scheme]}:{rest}"


def _target(uri: str, cache_path: str) -> str:
    """Where in the cache a directory of object storage is copied to; others are somewhere else."""
    digest = hashlib.sha256(uri.encode()).hexdigest()[:_DIGEST_LENGTH]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", uri.rpartition("/")[2])
    return f"{cache_path}/weights/{name}-{digest}"


def _cache_volume(name: str, weights: WeightsSpec) -> k8s.core.v1.VolumeArgs:
    if weights.claim or claim_spec(weights):
        claim = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(
            claim_name=weights.claim or claim_name(name)
        )
        return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, persistent_volume_claim=claim)
    if weights.storage_class:
        template = k8s.core.v1.PersistentVolumeClaimTemplateArgs(
            spec=_claim(weights, "ReadWriteOnce")
        )
        own = k8s.core.v1.EphemeralVolumeSourceArgs(volume_claim_template=template)
        return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, ephemeral=own)
    directory = k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=weights.size)
    return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, empty_dir=directory)


def _claim(weights: WeightsSpec, mode: str) -> k8s.core.v1.PersistentVolumeClaimSpecArgs:
    return k8s.core.v1.PersistentVolumeClaimSpecArgs(
        access_modes=[mode],
        storage_class_name=weights.storage_class,
        resources=k8s.core.v1.VolumeResourceRequirementsArgs(
            requests={"storage": weights.size} if weights.size else None
        ),
    )


def variable(name: str, value: str | SecretKey) -> k8s.core.v1.EnvVarArgs:
    """An environment variable: text, or a value of a Secret."""
    if isinstance(value, str):
        return k8s.core.v1.EnvVarArgs(name=name, value=value)
    key = k8s.core.v1.SecretKeySelectorArgs(name=value.name, key=value.key)
    source = k8s.core.v1.EnvVarSourceArgs(secret_key_ref=key)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=source)
