"""Answers the scrapes of pods that do not exist, as their engine would.

KWOK makes pods Ready without running them, so nothing listens at their addresses. The bridge
follows the scrape configuration that prometheus-operator writes and changes one thing in it: every
job scrapes through a proxy, and the proxy is the bridge. It knows each pod by its address and
answers with the queue that the load file gives it; what monitors, selectors, ports and labels say
stays in force, so a monitor that is wrong finds nothing here either.
"""

import base64
import gzip
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
import yaml
from kubernetes import client, config, watch
from prometheus_client import CollectorRegistry, Gauge, generate_latest

HOST = "127.0.0.1"
METRICS_PATH = "/metrics"
DEFAULT_PORT = "8000"  # vLLM's own
# What the operator's reloader fills in where Prometheus runs in a pod; we are the only shard.
POD_VARIABLES = {"SHARD": "0", "POD_NAME": "prometheus-local-0"}
# What vLLM exports, and from which field of a share of the load it comes.
GAUGES = {
    "vllm:num_requests_waiting": "waiting",
    "vllm:num_requests_running": "running",
    "vllm:kv_cache_usage_perc": "kv_cache",
}


@dataclass(frozen=True)
class Pod:
    """What the bridge must know of a pod that answers.

    Attributes:
        name: Its name; unique within its namespace and workload.
        workload: Namespace and name of what made it, a Deployment say.
        address: IP address.
        port: Port of its engine.
        model: Name under which it serves its model.
    """

    name: str
    workload: tuple[str, str]
    address: str
    port: str
    model: str


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
    engine = pod.spec.containers[0]
    words = [*(engine.command or ()), *(engine.args or ())]
    return Pod(
        name=pod.metadata.name,
        workload=(pod.metadata.namespace, workload_name(pod.metadata)),
        address=pod.status.pod_ip,
        port=flag(words, "--port") or DEFAULT_PORT,
        model=flag(words, "--served-model-name") or flag(words, "--model") or positional(words),
    )


def workload_name(metadata: Any) -> str:
    """Return the name of what made a pod: its Deployment, else its controller, else itself."""
    owner = next((o.name for o in metadata.owner_references or () if o.controller), metadata.name)
    template = (metadata.labels or {}).get("pod-template-hash")
    return owner.removesuffix(f"-{template}") if template else owner


def flag(words: list[str], name: str) -> str | None:
    """Return the value of `--name value` or `--name=value`."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        key, equals, value = word.partition("=")
        if key == name:
            return value if equals else following
    return None


def positional(words: list[str]) -> str:
    """Return the model of `vllm serve MODEL`; images have the first two as their entry point."""
    if "serve" in words[:-1]:
        return words[words.index("serve") + 1]
    return words[0] if words and not words[0].startswith("-") else "unknown"


def exposition(pod: Pod, part: Share) -> bytes:
    """Return a pod's metrics page."""
    registry = CollectorRegistry()
    for name, field in GAUGES.items():
        gauge = Gauge(name, "Simulated.", ["model_name", "engine"], registry=registry)
        gauge.labels(pod.model, "0").set(getattr(part, field))
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
        if pod is None or (str(url.port), url.path) != (pod.port, METRICS_PATH):
            self._answer(404)
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

    def _answer(self, status: int, body: bytes = b"") -> None:
        """Send a response."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
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
    for target in (pods.follow, partial(configuration.follow, *secret.split("/"))):
        threading.Thread(target=target, daemon=True).start()
    handler = partial(Handler, pods=pods, load=load, ready=configuration.ready)
    ThreadingHTTPServer((HOST, port), handler).serve_forever()


if __name__ == "__main__":
    typer.run(main)
