"""What the simulated clouds have in common: problems, kinds of resources, pools, the state."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

KUBECONFIG = "SIMULATED_CLOUD_KUBECONFIG"
STATE = "SIMULATED_CLOUD_STATE"
DELAY = "SIMULATED_CLOUD_NODE_DELAY"

Inputs = Mapping[str, Any]
Taint = dict[str, str]


class RefusedError(Exception):
    """The cloud refuses a request."""


@dataclass(frozen=True)
class Problem:
    """Why an input is refused.

    Attributes:
        path: The property, as Pulumi spells it ("nodeConfig.machineType").
        reason: What is wrong with it.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Pool:
    """A pool of nodes, as the daemon needs it; one JSON file each.

    Attributes:
        key: Unique among all pools: cloud, cluster and name.
        cloud: gcp, aws or azure.
        cluster: Name of its cluster.
        name: Name of the pool.
        initial: Nodes it starts with.
        minimum: Nodes it never goes below.
        maximum: Nodes it may grow to; the same as `initial` where nothing autoscales it.
        zones: Where its nodes are, in turn.
        region: Region of the zones.
        labels: Labels of its nodes, beside zone and host name.
        taints: Taints of its nodes.
        machine: Instance type, as the cloud spells it.
        gpus: What the nodes offer as nvidia.com/gpu, once a device plugin runs.
        gpus_need: What makes the GPUs appear: nothing (""), "device-plugin", "driver-installer" or
            "gpu-operator".
        autoscaler: Where growth needs one in the cluster ("cluster-autoscaler"), else "".
        group: Name of the AWS autoscaling group.
        architecture: amd64 or arm64.
    """

    key: str
    cloud: str
    cluster: str
    name: str
    initial: int
    minimum: int
    maximum: int
    zones: list[str]
    region: str
    labels: dict[str, str]
    taints: list[Taint]
    machine: str
    gpus: int = 0
    gpus_need: str = ""
    autoscaler: str = ""
    group: str = ""
    architecture: str = "amd64"

    def digest(self) -> str:
        """Tell one make of node from another; sizes do not matter."""
        ignored = {"initial", "minimum", "maximum"}
        shown = {key: value for key, value in asdict(self).items() if key not in ignored}
        return short(json.dumps(shown, sort_keys=True), 12)


@dataclass(frozen=True)
class Record:
    """A resource that exists in a cloud."""

    cloud: str
    type: str
    id: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class State:
    """All that exists, as files in a folder: plugins come and go, the cloud stays."""

    folder: Path

    @classmethod
    def of_environment(cls) -> "State":
        """The folder that the test's fixture chose."""
        return cls(Path(os.environ[STATE]))

    def records(self, type_: str | None = None) -> list[Record]:
        """Return what exists, of one type or of all."""
        found = (Record(**item) for item in _read(self.folder / "resources"))
        return [record for record in found if type_ in (None, record.type)]

    def find(self, type_: str, **wanted: Any) -> Record | None:
        """Return the resource whose outputs have these values."""
        for record in self.records(type_):
            values = {**record.outputs, "id": record.id}
            if all(values.get(key) == value for key, value in wanted.items()):
                return record
        return None

    def pools(self) -> list[Pool]:
        """Return all pools, in the order of their keys."""
        return sorted((Pool(**item) for item in _read(self.folder / "pools")), key=lambda p: p.key)

    def save(self, record: Record) -> None:
        """Write a resource."""
        _write(self._file(record.type, record.id), asdict(record))

    def forget(self, type_: str, id_: str) -> None:
        """Remove a resource."""
        self._file(type_, id_).unlink(missing_ok=True)

    def load(self, type_: str, id_: str) -> Record | None:
        """Return a resource."""
        try:
            return Record(**json.loads(self._file(type_, id_).read_text()))
        except FileNotFoundError:
            return None

    def save_pool(self, pool: Pool) -> None:
        """Write a pool; the daemon makes its nodes."""
        _write(self.folder / "pools" / f"{short(pool.key)}.json", asdict(pool))

    def forget_pool(self, key: str) -> None:
        """Remove a pool; the daemon removes its nodes."""
        (self.folder / "pools" / f"{short(key)}.json").unlink(missing_ok=True)

    def _file(self, type_: str, id_: str) -> Path:
        return self.folder / "resources" / f"{short(f'{type_} {id_}')}.json"


@dataclass(frozen=True)
class Request:
    """A resource to be made or changed.

    Attributes:
        type: Pulumi's token.
        urn: Pulumi's name of it.
        inputs: Checked inputs.
        config: The provider's configuration (project, region, …).
        state: What exists.
        id: What it is called in the cloud; empty while it is not made yet.
    """

    type: str
    urn: str
    inputs: dict[str, Any]
    config: dict[str, Any]
    state: State
    id: str = ""

    @property
    def name(self) -> str:
        """The last part of the URN."""
        return self.urn.rsplit("::", 1)[-1]


def _none(_: Any) -> Iterable[Any]:
    return ()


@dataclass(frozen=True)
class Kind:
    """How a cloud treats a type of resource.

    Attributes:
        check: What is wrong with inputs by themselves, known before anything is made.
        refuse: What a creation or update meets in the cloud: missing or existing things.
        answer: Id and computed outputs.
        hold: Why it cannot be deleted now.
        pools: The pools that the resource stands for, given its id.
        immutable: Paths whose change replaces it; `*` stands for an index or a key.
        name: The input that names it in the cloud; filled in where `autoname` allows it.
        autoname: Whether the provider makes up a name.
        defaults: Inputs that the provider fills in.
    """

    answer: Callable[[Request], tuple[str, dict[str, Any]]]
    check: Callable[[Inputs], Iterable[Problem]] = _none
    refuse: Callable[[Request], Iterable[str]] = _none
    hold: Callable[[Request], Iterable[str]] = _none
    pools: Callable[[Request, str], Iterable[Pool]] = field(default=lambda _r, _i: ())
    immutable: tuple[str, ...] = ()
    name: str = "name"
    autoname: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)


def short(text: str, length: int = 16) -> str:
    """Return a short name that depends on nothing but the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def matches(pattern: str, path: str) -> bool:
    """Tell whether a path is at or under a pattern, in which `*` stands for one part."""
    wanted, parts = pattern.split("."), path.split(".")
    pairs = zip(wanted, parts, strict=False)
    return len(parts) >= len(wanted) and all(one in ("*", other) for one, other in pairs)


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, add|delete|update) for whatever differs; unknown counts as different."""
    if isinstance(old, list) and isinstance(new, list):
        old, new = ({str(key): item for key, item in enumerate(one)} for one in (old, new))
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield path, "update"
        return
    for key in sorted({*old, *new}):
        inside = below(path, key)
        if key in old and key in new:
            yield from changes(old[key], new[key], inside)
        else:
            yield inside, "add" if key in new else "delete"


def below(path: str, key: Any) -> str:
    """Return the path of what a key names; its own dots are hidden (property_path has them)."""
    hidden = str(key).replace(".", "\0")
    return f"{path}.{hidden}" if path else hidden


def property_path(path: str) -> str:
    """Return a dotted path as Pulumi writes it: a[0].b["c.d/e"]."""
    made = ""
    for part in (part.replace("\0", ".") for part in path.split(".")):
        if part.isdigit():
            made += f"[{part}]"
        elif re.fullmatch(r"\w+", part):
            made += f".{part}" if made else part
        else:
            made += f'["{part}"]'
    return made


def wait_until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for the daemon to do its part.

    Raises:
        RefusedError: It did not.
    """
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise RefusedError(f"{what}: not within {seconds} s; is a SimulatedCloud running?")
        time.sleep(0.05)


def _read(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json")):
        try:
            yield json.loads(file.read_text())
        except FileNotFoundError:
            continue  # removed meanwhile


def _write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}.part")
    part.write_text(json.dumps(value, indent=1, sort_keys=True))
    part.replace(file)
