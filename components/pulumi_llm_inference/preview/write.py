"""Writes a preview to files: resources for programs, manifests for kubectl."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pulumi_llm_inference.preview.recorder import SECRET, Resource

_OWN_ANNOTATIONS = "pulumi.com/"
"""Prefix of annotations that only Pulumi reads."""


_FIRST = {"CustomResourceDefinition": 0, "Namespace": 1, "Node": 2, "ServiceAccount": 3}
"""Kinds that others need to be there, in the order to apply them."""


@dataclass(frozen=True)
class Manifest:
    """A Kubernetes object, ready for `kubectl apply`."""

    file: str
    """Name of its file; in the order of these names objects can be applied."""
    content: dict[str, Any]
    """The object."""


@dataclass(frozen=True)
class Omission:
    """A Kubernetes resource that cannot be a manifest, and why."""

    urn: str
    """Which resource."""
    reason: str
    """Why not."""


def manifests(resources: Iterable[Resource]) -> tuple[list[Manifest], list[Omission]]:
    """The Kubernetes objects among `resources`, and what had to be left out."""
    found: list[dict[str, Any]] = []
    left_out: list[Omission] = []
    for resource in resources:
        if not resource.type.startswith("kubernetes:"):
            continue
        if resource.type.startswith("kubernetes:helm"):
            left_out.append(Omission(resource.urn, "a Helm release, rendered at deployment"))
        elif "kind" not in resource.inputs:
            left_out.append(Omission(resource.urn, "several objects, read at deployment"))
        elif gaps := list(_gaps(resource.inputs)):
            left_out.append(Omission(resource.urn, f"{gaps[0]} is known at deployment only"))
        else:
            found.append(_for_kubectl(resource.inputs))
    found.sort(key=lambda content: _FIRST.get(content["kind"], len(_FIRST)))
    return [
        Manifest(f"{index:03}-{_label(content)}.yaml", content)
        for index, content in enumerate(found)
    ], left_out


def cloud_resources(resources: Iterable[Resource]) -> dict[str, list[str]]:
    """Names of what a cloud makes, by type; components and Kubernetes objects left out."""
    found: dict[str, list[str]] = {}
    for resource in resources:
        if not resource.type.startswith(("kubernetes:", "llm-inference:", "pulumi:")):
            found.setdefault(resource.type, []).append(resource.name)
    return dict(sorted(found.items()))


def write(resources: list[Resource], folder: Path) -> tuple[list[Manifest], list[Omission]]:
    """Write `resources.json` and `manifests/` into `folder`, in place of earlier ones."""
    found, left_out = manifests(resources)
    target = folder / "manifests"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for manifest in found:
        (target / manifest.file).write_text(yaml.safe_dump(manifest.content))
    records = json.dumps([asdict(resource) for resource in resources], indent=2)
    (folder / "resources.json").write_text(records + "\n")
    return found, left_out


def _label(content: dict[str, Any]) -> str:
    return f"{content['kind']}-{content['metadata'].get('name', 'unnamed')}".lower()


def _gaps(value: Any, path: str = "") -> Iterator[str]:
    """Where a value is unknown or secret."""
    if isinstance(value, dict):
        if value == SECRET or _is_unknown(value):
            yield path
        else:
            for key, item in value.items():
                yield from _gaps(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _gaps(item, f"{path}[{index}]")


def _is_unknown(value: dict[str, Any]) -> bool:
    return list(value) == ["unknown"] and str(value["unknown"]).startswith("urn:pulumi:")


def _for_kubectl(inputs: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(inputs.get("metadata", {}))
    kept = {
        key: value
        for key, value in metadata.pop("annotations", {}).items()
        if not key.startswith(_OWN_ANNOTATIONS)
    }
    return {**inputs, "metadata": {**metadata, **({"annotations": kept} if kept else {})}}
