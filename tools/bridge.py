"""Answers the scrapes of pods that do not exist, as their engine would.

KWOK makes pods Ready without running them, so nothing listens at their addresses. The bridge
follows the scrape configuration that prometheus-operator writes and changes one thing in it: every
job scrapes through a proxy, and the proxy is the bridge. It knows each pod by its address and
answers with the queue that the load file gives it; what monitors, selectors, ports and labels say
stays in force, so a monitor that is wrong finds nothing here either.

Nobody provisions storage for such pods either, and those that wait for a volume are not scheduled:
the bridge gives each claim one that does not exist.
"""

import base64
import gzip
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
import yaml
from kubernetes import client, config, watch
from prometheus_client import CollectorRegistry, Gauge, generate_latest

HOST = "127.0.0.1"
# What the operator's reloader fills in where Prometheus runs in a pod; we are the only shard.
POD_VARIABLES = {"SHARD": "0", "POD_NAME": "prometheus-local-0"}
# Of a group's pods only the first serves (kubernetes-sigs/lws api/leaderworkerset/v1).
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
TEXT, JSON = "text/plain; version=0.0.4", "application/json"


@dataclass(frozen=True)
class Load:
    """What all pods of a workload are to report together.

    Attributes:
        waiting: Requests in their queues.
        running: Requests in work.
        lost: How many of the pods do not answer; or "all".
    """

    waiting: int = 0
    running: int = 0
    lost: int | str = 0


@dataclass(frozen=True)
class Share:
    """What one pod reports."""

    waiting: int
    running: int

    @property
    def kv_cache(self) -> float:
        """Use of the cache: requests wait because there is no room for more."""
        return 1.0 if self.waiting else 0.0

    @property
    def active(self) -> int:
        """Requests that it has taken."""
        return self.waiting + self.running

    @property
    def most(self) -> int:
        """Requests that it could take."""
        return 256

    @property
    def prefill(self) -> int:
        """Requests whose prompt it reads."""
        return 0


@dataclass(frozen=True)
class Gauges:
    """A gauge, or one for each value of a label.

    Attributes:
        name: Its name.
        fields: The field of a share that it tells; with `label`, one for each of its values.
        label: What tells the series of one name apart.
    """

    name: str
    fields: Mapping[str, str]
    label: str = ""


@dataclass(frozen=True)
class Engine:
    """How an inference server tells of its load, from its own documents and source.

    Written down a second time on purpose: what the product believes of engines is tested here.

    Attributes:
        signs: Parts of an image's name, or of a command, that say it is this engine.
        gauges: What it exports.
        path: Where.
        port: On which port, unless a flag says otherwise.
        port_flags: The flags that do.
        model_flags: Flags that name the model, the strongest first.
        programs: Words that a model follows in a command: it needs no flag there.
        model: What every model is called, where the command does not say it.
        model_label: Label that names the model.
        labels: Its other labels.
        needs: Of each of these one flag must be given, or nobody gets its metrics.
        others: Type and text of what it answers elsewhere on that port.
    """

    signs: tuple[str, ...]
    gauges: tuple[Gauges, ...]
    path: str = "/metrics"
    port: str = "8000"
    port_flags: tuple[str, ...] = ("--port",)
    model_flags: tuple[str, ...] = ("--served-model-name", "--model")
    programs: tuple[str, ...] = ()
    model: str = ""
    model_label: str = "model_name"
    labels: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[tuple[str, ...], ...] = ()
    others: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def _gauges(waiting: str, running: str, kv_cache: str) -> tuple[Gauges, ...]:
    """Return three gauges of one series each."""
    names = {"waiting": waiting, "running": running, "kv_cache": kv_cache}
    return tuple(Gauges(name, {"": share_field}) for share_field, name in names.items())


# In the order in which signs are looked for: Triton's images name the backend, SGLang's and
# TensorRT-LLM's commands may name a model that is called after another engine.
ENGINES = {
    # triton-inference-server/tensorrtllm_backend README.md, "Triton Metrics"
    "triton": Engine(
        signs=("tritonserver",),
        gauges=(
            Gauges(
                "nv_trt_llm_request_metrics",
                {
                    "waiting": "waiting",
                    "context": "prefill",
                    "scheduled": "running",
                    "active": "active",
                    "max": "most",
                },
                "request_type",
            ),
            Gauges(
                "nv_trt_llm_kv_cache_block_metrics",
                {"fraction": "kv_cache", "max": "most"},
                "kv_cache_block_type",
            ),
        ),
        port="8002",
        port_flags=("--metrics-port",),
        model="tensorrt_llm",  # of the ensemble's three the one that has a queue
        model_label="model",
        labels={"version": "1"},
    ),
    # sgl-project/sglang python/sglang/srt/observability/metrics_collector.py (0.5.23)
    "sglang": Engine(
        signs=("sglang",),
        gauges=_gauges("sglang:num_queue_reqs", "sglang:num_running_reqs", "sglang:token_usage"),
        port="30000",
        model_flags=("--served-model-name", "--model-path", "--model"),
        programs=("serve",),
        labels={"engine_type": "unified", "tp_rank": "0", "pp_rank": "0"},
        needs=(("--enable-metrics",), ("--host",)),  # else it listens on the pod's loopback
    ),
    # NVIDIA/TensorRT-LLM tensorrt_llm/serve/openai_server.py, tensorrt_llm/metrics (1.3): the file
    # must ask for them, which cannot be seen here.
    "tensorrt-llm": Engine(
        signs=("tensorrt-llm", "tensorrt_llm", "trtllm-serve"),
        gauges=_gauges(
            "trtllm_num_requests_waiting",
            "trtllm_num_requests_running",
            "trtllm_kv_cache_utilization",
        ),
        path="/prometheus/metrics",
        model_flags=("--served_model_name", "--model"),
        programs=("serve", "trtllm-serve"),
        labels={"engine_type": "trtllm"},
        needs=(("--config", "--extra_llm_api_options"), ("--host",)),
        others={"/metrics": (JSON, b"[]")},
    ),
    # ollama/ollama issue 3144
    "ollama": Engine(signs=("ollama",), gauges=()),
    # vllm-project/vllm vllm/v1/metrics/loggers.py (0.33.0)
    "vllm": Engine(
        signs=("vllm", "llm-d-inference-sim"),
        gauges=_gauges(
            "vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"
        ),
        programs=("serve",),
        labels={"engine": "0"},
    ),
}


@dataclass(frozen=True)
class Pod:
    """What the bridge must know of a pod that answers.

    Attributes:
        name: Its name; unique within its namespace and workload.
        workload: Namespace and name of what made it, a Deployment say.
        address: IP address.
        engine: Name of its engine.
        port: Port of the engine's metrics.
        model: Name under which it serves its model.
    """

    name: str
    workload: tuple[str, str]
    address: str
    engine: str
    port: str
    model: str


def share(load: Load, pods: Iterable[Pod], pod: Pod) -> Share | None:
    """Return the pod's even share of its workload's load; None if it does not answer."""
    peers = sorted(peer.name for peer in pods if peer.workload == pod.workload)
    index, count = peers.index(pod.name), len(peers)
    if load.lost == "all" or index < int(load.lost):
        return None
    part, rest = divmod(load.waiting, count)
    running, running_rest = divmod(load.running, count)
    return Share(part + (index < rest), running + (index < running_rest))


def read_load(file: Path, workload: str) -> Load:
    """Return the load of a workload: its own, else that of every workload."""
    loads = json.loads(file.read_text()) if file.exists() else {}
    return Load(**loads.get(workload, loads.get("", {})))


def set_load(file: Path, workload: str | None, load: Mapping[str, Any]) -> None:
    """Set the load of a workload, or of every workload if none is named."""
    new = vars(Load(**load))
    loads = json.loads(file.read_text()) if workload and file.exists() else {}
    part = file.with_suffix(".part")
    part.write_text(json.dumps({**loads, workload or "": new}, indent=2))
    part.replace(file)


def describe(pod: Any) -> Pod | None:
    """Return what is to know of a pod object; None unless it answers."""
    conditions = {c.type: c.status for c in pod.status.conditions or ()}
    if pod.metadata.deletion_timestamp or conditions.get("Ready") != "True":
        return None
    if (pod.metadata.labels or {}).get(WORKER_INDEX, "0") != "0":
        return None
    container = pod.spec.containers[0]
    name = engine_name(container)
    if name is None:
        return None
    engine = ENGINES[name]
    words = [*(container.command or ()), *(container.args or ())]
    if not engine.gauges or not all(has_flag(words, flags) for flags in engine.needs):
        return None
    return Pod(
        name=pod.metadata.name,
        workload=(pod.metadata.namespace, workload_name(pod.metadata)),
        address=pod.status.pod_ip,
        engine=name,
        port=flag(words, engine.port_flags) or engine.port,
        model=engine.model or flag(words, engine.model_flags) or positional(words, engine.programs),
    )


def engine_name(container: Any) -> str | None:
    """Return which engine a container runs: by its image, else by its program."""
    program = " ".join(container.command or ())
    for text in (container.image or "", program):
        for name, engine in ENGINES.items():
            if any(sign in text for sign in engine.signs):
                return name
    # An image that tells nothing: only vLLM's has its program as the entry point.
    return None if program else "vllm"


def workload_name(metadata: Any) -> str:
    """Return the name of what made a pod: its Deployment, else its controller, else itself."""
    owner = next((o.name for o in metadata.owner_references or () if o.controller), metadata.name)
    template = (metadata.labels or {}).get("pod-template-hash")
    return owner.removesuffix(f"-{template}") if template else owner


def flag(words: list[str], names: Iterable[str]) -> str | None:
    """Return the value of `--name value` or `--name=value`, for the first name that has one."""
    for name in names:
        for word, following in zip(words, [*words[1:], ""], strict=False):
            key, equals, value = word.partition("=")
            if key == name:
                return value if equals else following
    return None


def has_flag(words: list[str], names: Iterable[str]) -> bool:
    """Tell whether one of these flags is given."""
    return not {word.partition("=")[0] for word in words}.isdisjoint(names)


def positional(words: list[str], programs: Iterable[str]) -> str:
    """Return the model that follows a program's name; images may have that as entry point."""
    for program in programs:
        if program in words[:-1]:
            return words[words.index(program) + 1]
    return words[0] if words and not words[0].startswith("-") else "unknown"


def exposition(pod: Pod, part: Share) -> bytes:
    """Return a pod's metrics page."""
    engine = ENGINES[pod.engine]
    labels = {engine.model_label: pod.model, **engine.labels}
    registry = CollectorRegistry()
    for gauges in engine.gauges:
        own = [gauges.label] if gauges.label else []
        gauge = Gauge(gauges.name, "Simulated.", [*labels, *own], registry=registry)
        for value, share_field in gauges.fields.items():
            series = gauge.labels(**labels, **dict.fromkeys(own, value))
            series.set(getattr(part, share_field))
    return generate_latest(registry)


def through_proxy(scrapes: dict[str, Any], proxy: str, interval: str | None) -> dict[str, Any]:
    """Return the scrape configuration with every job going through the proxy.

    Args:
        scrapes: Configuration of Prometheus.
        proxy: URL of the proxy.
        interval: Overrides the jobs' own intervals.
    """
    faster = {"scrape_interval": interval, "scrape_timeout": interval} if interval else {}
    jobs = [{**job, **faster, "proxy_url": proxy} for job in scrapes.get("scrape_configs") or ()]
    return {**scrapes, "scrape_configs": jobs}


class Pods:
    """The pods that answer; kept up to date by a thread."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Pod] = {}

    def follow(self) -> None:
        """Follow the cluster's pods, for ever."""
        listing = client.CoreV1Api().list_pod_for_all_namespaces
        follow(listing, self.see, forget=self._by_uid.clear)

    def see(self, event: str, pod: Any) -> None:
        """Take note of a pod that came, changed or went."""
        known = None if event == "DELETED" else describe(pod)
        if known:
            self._by_uid[pod.metadata.uid] = known
        else:
            self._by_uid.pop(pod.metadata.uid, None)

    def all(self) -> list[Pod]:
        """Return all pods."""
        return list(self._by_uid.values())

    def at(self, address: str) -> Pod | None:
        """Return the pod at an address."""
        return next((pod for pod in self.all() if pod.address == address), None)


def follow(
    listing: Any,
    see: Callable[[str, Any], None],
    forget: Callable[[], None] = lambda: None,
    **arguments: str,
) -> None:
    """Call see(event, object) for every object of a listing and each change, for ever.

    When a watch breaks, objects may go unseen: forget is called, and all are told again.
    """
    while True:
        try:
            forget()
            event: Any  # the client's stubs know only one of its two shapes
            for event in watch.Watch().stream(listing, **arguments):
                see(event["type"], event["object"])
        except Exception as error:  # the API server may come and go in many ways
            print(f"watching again after: {error}", flush=True)
            time.sleep(1)


class Volumes:
    """A volume for each claim, as a cloud's provisioner makes them."""

    def __init__(self) -> None:
        self._api = client.CoreV1Api()

    def follow(self) -> None:
        """Follow the cluster's claims, for ever."""
        follow(self._api.list_persistent_volume_claim_for_all_namespaces, self.see)

    def see(self, event: str, claim: Any) -> None:
        """Make the volume of a claim that has none; remove it with the claim."""
        body: Any = volume(claim)
        try:
            if event == "DELETED":
                self._api.delete_persistent_volume(body["metadata"]["name"])
            elif not claim.spec.volume_name:
                self._api.create_persistent_volume(body)
        except client.ApiException as error:
            # Told again of a claim that is not bound yet, or one that had another volume is gone.
            if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise


def volume(claim: Any) -> dict[str, Any]:
    """Return a volume that only this claim is bound to."""
    return {
        "metadata": {"name": f"simulated-{claim.metadata.uid}"},
        "spec": {
            "claimRef": {"namespace": claim.metadata.namespace, "name": claim.metadata.name},
            "capacity": claim.spec.resources.requests,
            "accessModes": claim.spec.access_modes,
            "storageClassName": claim.spec.storage_class_name or "",
            "persistentVolumeReclaimPolicy": "Retain",  # nobody is there to delete anything
            "hostPath": {"path": "/simulated"},
        },
    }


class Configuration:
    """The scrape configuration, from the operator's Secret to Prometheus."""

    def __init__(self, target: Path, prometheus: str, proxy: str, interval: str | None) -> None:
        self.ready = threading.Event()
        self._target = target
        self._prometheus = prometheus
        self._adapt = partial(through_proxy, proxy=proxy, interval=interval)

    def follow(self, namespace: str, name: str) -> None:
        """Follow the Secret, for ever."""
        listing = client.CoreV1Api().list_namespaced_secret
        follow(listing, self.see, namespace=namespace, field_selector=f"metadata.name={name}")

    def see(self, event: str, secret: Any) -> None:
        """Hand a new version of the configuration to Prometheus."""
        if event == "DELETED":
            return
        text = gzip.decompress(base64.b64decode(secret.data["prometheus.yaml.gz"])).decode()
        for variable, value in POD_VARIABLES.items():
            text = text.replace(f"$({variable})", value)
        part = self._target.with_suffix(".part")
        part.write_text(yaml.safe_dump(self._adapt(yaml.safe_load(text)), sort_keys=False))
        part.replace(self._target)
        while not self._reload():
            time.sleep(0.2)
        self.ready.set()

    def _reload(self) -> bool:
        """Ask Prometheus to read its configuration again; it may not be up yet."""
        try:
            urllib.request.urlopen(f"{self._prometheus}/-/reload", b"", timeout=5).close()  # noqa: S310
        except OSError:
            return False
        return True


class Handler(BaseHTTPRequestHandler):
    """Answers scrapes (as a proxy) and, to its own address, `GET /ready` and `POST /load`."""

    def __init__(self, *request: Any, pods: Pods, load: Path, ready: threading.Event) -> None:
        self.pods, self.load, self.ready = pods, load, ready
        super().__init__(*request)

    def do_GET(self) -> None:
        """Answer a scrape, or tell whether the bridge is ready."""
        url = urlsplit(self.path)
        if not url.scheme:
            self._answer(200 if url.path == "/ready" and self.ready.is_set() else 404)
            return
        pod = self.pods.at(url.hostname or "")
        if pod is None or str(url.port) != pod.port:
            self._answer(404)
            return
        engine = ENGINES[pod.engine]
        if url.path != engine.path:
            other = engine.others.get(url.path)
            self._answer(200, other[1], other[0]) if other else self._answer(404)
            return
        load = read_load(self.load, pod.workload[1])
        part = share(load, self.pods.all(), pod)
        if part is None:
            self._answer(503)
        else:
            self._answer(200, exposition(pod, part))

    def do_POST(self) -> None:
        """Set a load."""
        try:
            load = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            set_load(self.load, load.pop("model", None), load)
        except (TypeError, ValueError) as error:
            self._answer(400, str(error).encode())
        else:
            self._answer(204)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Log nothing: a scrape a second would only hide what matters."""

    def _answer(self, status: int, body: bytes = b"", kind: str = TEXT) -> None:
        """Send a response."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(
    *,
    kubeconfig: Annotated[str, typer.Option(help="Credentials of the cluster.")],
    secret: Annotated[str, typer.Option(help="NAMESPACE/NAME of the operator's Secret.")],
    config_file: Annotated[Path, typer.Option("--config", help="Prometheus's configuration.")],
    prometheus: Annotated[str, typer.Option(help="URL of Prometheus.")],
    load: Annotated[Path, typer.Option(help="File that holds the load.")],
    port: Annotated[int, typer.Option(help="Port to listen on.")],
    scrape: Annotated[str | None, typer.Option(help="Overrides the jobs' intervals.")] = None,
) -> None:
    """Run the bridge until it is ended."""
    config.load_kube_config(kubeconfig)
    pods = Pods()
    configuration = Configuration(config_file, prometheus, f"http://{HOST}:{port}", scrape)
    follow_secret = partial(configuration.follow, *secret.split("/"))
    for target in (pods.follow, Volumes().follow, follow_secret):
        threading.Thread(target=target, daemon=True).start()
    handler = partial(Handler, pods=pods, load=load, ready=configuration.ready)
    ThreadingHTTPServer((HOST, port), handler).serve_forever()


if __name__ == "__main__":
    typer.run(main)
