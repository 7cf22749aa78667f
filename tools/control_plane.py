"""A local Kubernetes control plane that autoscales for real and runs no container.

kwokctl starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK, which plays
the kubelets. Beside the cluster, as programs of ours, run prometheus-operator (it turns monitors
into a scrape configuration), Prometheus, the metrics adapter, the bridge, which answers the scrapes
of pods that do not exist, and on request KEDA and the controller of LeaderWorkerSet. All of it
listens on the loopback only and lives in one folder, so that several can run side by side.
"""

import base64
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

import processes
import programs
from processes import Background
from progress import step

HOST = "127.0.0.1"
CLUSTER = "local"
NAMESPACE = "monitoring"
PROMETHEUS = "local"  # the Prometheus object; its configuration is in Secret prometheus-local
EXTERNAL = "v1beta1.external.metrics.k8s.io"
CRDS = Path(__file__).parent / "crds"
PODS = "10.244.0.1/16"  # addresses of pods that do not exist: one for each, also of thousands
PORTS = (
    "apiserver",
    "etcd",
    "etcd-peer",
    "controller-manager",
    "scheduler",
    "kwok",
    "operator",
    "prometheus",
    "adapter",
    "bridge",
    "keda-adapter",
    "keda-grpc",
    "keda-metrics",
    "keda-health",
    "lws-webhooks",
    "lws-health",
)
LWS_PODS = {"matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]}
# Below the range from which the kernel takes ports for outgoing connections.
PORT_RANGE = range(20000, 32000)


@dataclass(frozen=True)
class ControlPlane:
    """A control plane in a folder; used as a context manager it stops when left.

    Attributes:
        folder: Where all of it lives; made if need be.
        hpa_sync: How often autoscalers are evaluated; fixed when the cluster is created.
        scrape: Interval that overrides the monitors' own ("1s"), to make tests fast.
        keda: Whether KEDA runs too.
        lws: Whether the controller of LeaderWorkerSet runs too.
        rules: The metrics adapter's rules; by default those of `llm-inference adapter-rules`.
    """

    folder: Path
    hpa_sync: str = "15s"
    scrape: str | None = None
    keda: bool = False
    lws: bool = False
    rules: str | None = None

    def __enter__(self) -> "ControlPlane":
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, also after an error."""
        self.stop()

    def start(self) -> None:
        """Start what does not run yet; goes on where an interrupted start stopped."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.get_programs()
        if not self._created.exists():
            self.stop()
            with step("creating the cluster"):
                self._create()
        with step("starting the control plane"):
            self._start_cluster()
            for program in self._background():
                processes.ensure(self.folder, program, self.logs)
            self._wait()

    def get_programs(self) -> dict[str, Path]:
        """Return where the programs are, once they are there: minutes, the first time."""
        return self._programs

    def stop(self) -> None:
        """End everything that was started here and forget the cluster."""
        processes.stop(self.folder)
        for leftover in ("kwok", "prometheus", "keda", "lws"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        self.kubeconfig.unlink(missing_ok=True)

    def load(
        self, waiting: int, running: int = 0, model: str | None = None, lost: int | str = 0
    ) -> None:
        """Set what the model's servers report; of every model if none is named.

        Args:
            waiting: Requests in the queues of all its pods together.
            running: Requests in work on all its pods together.
            model: The workload (a Deployment's name, say).
            lost: How many of its pods do not answer scrapes; or "all".
        """
        body = {"waiting": waiting, "running": running, "model": model, "lost": lost}
        _http(f"http://{HOST}:{self.ports['bridge']}/load", body)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl on the cluster and return what it prints.

        Raises:
            subprocess.CalledProcessError: It failed.
            subprocess.TimeoutExpired: It did not end within two minutes.
        """
        done = subprocess.run(
            [self._programs["kubectl"], "--kubeconfig", self.kubeconfig, *arguments],
            env=os.environ | self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,  # kubectl itself waits for ever
        )
        return done.stdout

    @property
    def kubeconfig(self) -> Path:
        """Credentials of the cluster's administrator."""
        return self.folder / "kubeconfig.yaml"

    @property
    def logs(self) -> Path:
        """Logs of the programs beside the cluster; those of the cluster are under `kwok`."""
        return self.folder / "logs"

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus is."""
        return f"http://{HOST}:{self.ports['prometheus']}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point kubectl, kwokctl and Pulumi at this cluster."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kube-cache"),  # else in the user's home
            "KWOK_WORKDIR": str(self.folder / "kwok"),
        }

    @cached_property
    def ports(self) -> dict[str, int]:
        """The port of each listener: free ones when first asked, then always the same."""
        file = self.folder / "ports.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = file.with_suffix(".part")
            part.write_text(json.dumps(free_ports(PORTS)))
            part.replace(file)
        return json.loads(file.read_text())

    @property
    def _home(self) -> Path:
        """What kwokctl made: certificates, logs, etcd's data."""
        return self.folder / "kwok" / "clusters" / CLUSTER

    @property
    def _pki(self) -> Path:
        """Certificates; the administrator's is valid for localhost, so servers use it too."""
        return self._home / "pki"

    @property
    def _created(self) -> Path:
        """Exists once the cluster was created to the end."""
        return self.folder / "kwok" / "created"

    @cached_property
    def _programs(self) -> dict[str, Path]:
        """Where the programs are."""
        keda, lws = programs.KEDA if self.keda else (), programs.LWS if self.lws else ()
        names = (*programs.CLUSTER, *keda, *lws)
        return {**programs.ensure(names), "metrics-adapter": programs.ensure_metrics_adapter()}

    def _create(self) -> None:
        """Create the cluster and what every later start relies on."""
        config = self.folder / "kwokctl.yaml"
        config.write_text(yaml.safe_dump(self._kwokctl_config()))
        self._kwokctl("create", "--config", config, "--kubeconfig", self.kubeconfig)
        self.kubeconfig.chmod(0o600)
        self._created.touch()

    def _start_cluster(self) -> None:
        """Start the cluster's programs that do not run."""
        alive = {str(pid) for pid, _ in processes.running(self.folder)}
        for file in (self._home / "pids").glob("*.pid"):
            # kwokctl trusts a number that may have been reused since.
            if file.read_text().strip() not in alive:
                file.unlink()
        self._kwokctl("start")
        optional = {"keda": self.keda, "lws": self.lws}
        for kinds in ("monitoring", *(kinds for kinds, wanted in optional.items() if wanted)):
            files = f"--filename={CRDS / kinds}"
            self.kubectl("apply", "--server-side", files)
            processes.wait(f"kinds of {kinds}", lambda files=files: self._established(files), 60)
        objects = yaml.safe_dump_all(self._objects())
        self.kubectl("apply", "--server-side", "--filename=-", given=objects)

    def _established(self, files: str) -> bool:
        """Tell whether the kinds of the files are served; waits for them."""
        try:
            self.kubectl("wait", "--for=condition=Established", files, "--timeout=60s")
        except subprocess.CalledProcessError:
            return (
                False  # one is so new that it has no conditions yet, which kubectl cannot wait for
            )
        return True

    def _kwokctl(self, verb: str, *arguments: str | Path) -> None:
        """Run kwokctl; what it starts is marked as ours.

        Raises:
            processes.StartError: It failed.
        """
        command = [self._programs["kwokctl"], verb, "cluster", "--name", CLUSTER, "--wait", "2m"]
        done = subprocess.run(
            [*command, *arguments],
            env=os.environ | self.environment | processes.mark(self.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise processes.StartError(f"kwokctl {verb} cluster: {done.stderr[-800:]}")

    def _kwokctl_config(self) -> dict[str, Any]:
        """Return how kwokctl is to build the cluster."""
        found, ports = self._programs, self.ports
        extra = {
            # Without these no aggregated API works, and the metrics adapters are such.
            "kube-apiserver": {
                "requestheader-client-ca-file": str(self._pki / "ca.crt"),
                "requestheader-allowed-names": "kwok-admin",
                "requestheader-username-headers": "X-Remote-User",
                "requestheader-group-headers": "X-Remote-Group",
                "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            },
            "kube-controller-manager": {"horizontal-pod-autoscaler-sync-period": self.hpa_sync},
            "kwok-controller": {
                "cidr": PODS,
                "manage-all-nodes": "false",
                "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
            },
        }
        return {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokctlConfiguration",
            "options": {
                "runtime": "binary",
                "bindAddress": HOST,
                "disableQPSLimits": True,
                "kubeApiserverPort": ports["apiserver"],
                "etcdPort": ports["etcd"],
                "etcdPeerPort": ports["etcd-peer"],
                "kubeControllerManagerPort": ports["controller-manager"],
                "kubeSchedulerPort": ports["scheduler"],
                "kwokControllerPort": ports["kwok"],
                "etcdBinary": str(found["etcd"]),
                "kubeApiserverBinary": str(found["kube-apiserver"]),
                "kubeControllerManagerBinary": str(found["kube-controller-manager"]),
                "kubeSchedulerBinary": str(found["kube-scheduler"]),
                "kwokControllerBinary": str(found["kwok"]),
                "kubectlBinary": str(found["kubectl"]),
            },
            "componentsPatches": [
                {
                    "name": component,
                    "extraArgs": [
                        {"key": key, "value": value, "override": key == "manage-all-nodes"}
                        for key, value in arguments.items()
                    ],
                }
                for component, arguments in extra.items()
            ],
        }

    def _objects(self) -> list[dict[str, Any]]:
        """Return the objects of the monitoring beside the cluster."""
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            self._prometheus_object(),
            *_aggregated("custom.metrics.k8s.io", ("v1beta1", "v1beta2"), self.ports["adapter"]),
            *(
                _aggregated("external.metrics.k8s.io", ("v1beta1",), self.ports["keda-adapter"])
                if self.keda
                else ()
            ),
            *(self._lws_webhooks() if self.lws else ()),
        ]

    def _prometheus_object(self) -> dict[str, Any]:
        """Return the Prometheus whose configuration the operator writes.

        It takes every monitor of every namespace. Its own pods are not wanted (no replicas): our
        Prometheus runs beside the cluster and reaches the API server like any other client.
        """
        every: dict[str, Any] = {}
        kinds = ("serviceMonitor", "podMonitor", "probe", "rule")
        return {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": PROMETHEUS, "namespace": NAMESPACE},
            "spec": {
                "replicas": 0,
                "scrapeInterval": "15s",
                "apiserverConfig": {
                    "host": f"https://{HOST}:{self.ports['apiserver']}",
                    "tlsConfig": {
                        "caFile": str(self._pki / "ca.crt"),
                        "certFile": str(self._pki / "admin.crt"),
                        "keyFile": str(self._pki / "admin.key"),
                    },
                },
                **{f"{kind}Selector": every for kind in kinds},
                **{f"{kind}NamespaceSelector": every for kind in kinds},
            },
        }

    def _background(self) -> Iterable[Background]:
        """Return the programs beside the cluster."""
        found, ports, pki = self._programs, self.ports, self._pki
        config = self.folder / "prometheus" / "prometheus.yml"
        rules = self.folder / "adapter-rules.yaml"
        config.parent.mkdir(exist_ok=True)
        if not config.exists():
            config.write_text("global: {}\n")  # until the operator has written the real one
        rules.write_text(self.rules or _adapter_rules())
        load = self.folder / "load.json"
        bridge = Path(__file__).with_name("bridge.py")
        yield Background(
            "bridge",
            (
                sys.executable,
                str(bridge),
                f"--kubeconfig={self.kubeconfig}",
                f"--secret={NAMESPACE}/prometheus-{PROMETHEUS}",
                f"--config={config}",
                f"--prometheus={self.prometheus_url}",
                f"--load={load}",
                f"--port={ports['bridge']}",
                *([f"--scrape={self.scrape}"] if self.scrape else ()),
            ),
            reads=(bridge,),
        )
        yield Background(
            "prometheus-operator",
            (
                str(found["prometheus-operator"]),
                f"-apiserver=https://{HOST}:{ports['apiserver']}",
                f"-ca-file={pki / 'ca.crt'}",
                f"-cert-file={pki / 'admin.crt'}",
                f"-key-file={pki / 'admin.key'}",
                f"-web.listen-address={HOST}:{ports['operator']}",
                "-kubelet-endpoints=false",
            ),
        )
        yield Background(
            "prometheus",
            (
                str(found["prometheus"]),
                f"--config.file={config}",
                f"--storage.tsdb.path={config.parent / 'data'}",
                "--storage.tsdb.retention.time=6h",
                f"--web.listen-address={HOST}:{ports['prometheus']}",
                "--web.enable-lifecycle",
                # A monitor that is removed leaves its last samples for so long (5 min if not
                # set): the next test would see the lost scrapes of the one before.
                *(["--query.lookback-delta=10s"] if self.scrape else ()),
            ),
        )
        adapter = found["metrics-adapter"]
        relist = self.scrape or "10s"
        # An idle server's series must stay known for longer than anybody waits for a request.
        discovery = (f"--metrics-relist-interval={relist}", "--metrics-max-age=6h")
        yield Background(
            "metrics-adapter",
            (
                str(adapter),
                f"--config={rules}",
                f"--prometheus-url={self.prometheus_url}",
                *(discovery if adapter.name == "prometheus-adapter" else ()),
                *self._aggregated_server("adapter"),
            ),
            reads=(rules,),
        )
        if self.keda:
            yield from self._keda()
        if self.lws:
            yield self._lws()

    def _keda(self) -> Iterable[Background]:
        """Return KEDA's operator and its metrics adapter."""
        ports = self.ports
        grpc = f"{HOST}:{ports['keda-grpc']}"
        certificates = self._certificates("keda")
        yield Background(
            "keda",
            (
                str(self._programs["keda"]),
                "--leader-elect=false",
                f"--cert-dir={certificates}",
                f"--metrics-service-bind-address={grpc}",
                f"--metrics-bind-address={HOST}:{ports['keda-metrics']}",
                f"--health-probe-bind-address={HOST}:{ports['keda-health']}",
            ),
            environment={
                "KUBECONFIG": str(self.kubeconfig),
                "WATCH_NAMESPACE": "",  # all
                "POD_NAMESPACE": "keda",
                "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
            },
        )
        yield Background(
            "keda-adapter",
            (
                str(self._programs["keda-loopback-adapter"]),
                f"--metrics-service-address={grpc}",
                "--metrics-service-grpc-authority=localhost",
                f"--metrics-service-cert-dir={certificates}",
                *self._aggregated_server("keda-adapter"),
            ),
        )

    def _lws(self) -> Background:
        """Return LeaderWorkerSet's controller, which also serves the webhooks of its kind."""
        ports = self.ports
        certificates = self._certificates("lws")
        config = certificates / "config.yaml"
        settings = {
            "apiVersion": "config.lws.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "webhook": {
                "host": HOST,
                "port": ports["lws-webhooks"],
                "certDir": str(certificates),
            },
            "health": {"healthProbeBindAddress": f"{HOST}:{ports['lws-health']}"},
            "metrics": {"bindAddress": "0"},  # none
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
        }
        config.write_text(yaml.safe_dump(settings))
        return Background(
            "lws",
            (
                str(self._programs["lws-manager"]),
                f"--config={config}",
                f"--kubeconfig={self.kubeconfig}",
                "--zap-stacktrace-level=panic",
            ),
            reads=(config,),
        )

    def _lws_webhooks(self) -> Iterable[dict[str, Any]]:
        """Return the objects by which the API server asks LeaderWorkerSet's controller.

        One webhook gives its pods their place in a group, without which the controller cannot tell
        leaders from workers.
        """
        sets = ("leaderworkerset.x-k8s.io", "leaderworkersets", ["CREATE", "UPDATE"])
        authority = base64.b64encode((self._pki / "ca.crt").read_bytes()).decode()
        for kind, verb in (("Mutating", "mutate"), ("Validating", "validate")):
            yield {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": f"{kind}WebhookConfiguration",
                "metadata": {"name": f"lws-{kind.lower()}-webhook-configuration"},
                "webhooks": [
                    {
                        "name": f"{verb}-{resource}.lws.x-k8s.io",
                        "admissionReviewVersions": ["v1"],
                        "sideEffects": "None",
                        "failurePolicy": "Fail",
                        "clientConfig": {
                            "url": self._lws_webhook(f"{verb}-{path}"),
                            "caBundle": authority,
                        },
                        "rules": [
                            {
                                "apiGroups": [group],
                                "apiVersions": ["v1"],
                                "operations": operations,
                                "resources": [resource],
                            }
                        ],
                        **selector,
                    }
                    for (group, resource, operations), path, selector in (
                        (sets, "leaderworkerset-x-k8s-io-v1-leaderworkerset", {}),
                        (("", "pods", ["CREATE"]), "-v1-pod", {"objectSelector": LWS_PODS}),
                    )
                ],
            }

    def _lws_webhook(self, path: str) -> str:
        """Return the URL of a webhook of LeaderWorkerSet's controller."""
        return f"https://{HOST}:{self.ports['lws-webhooks']}/{path}"

    def _certificates(self, name: str) -> Path:
        """Return a folder of the program's own with the administrator's certificate in it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        for source, target in (("admin.crt", "tls.crt"), ("admin.key", "tls.key"), ("ca.crt",) * 2):
            shutil.copy(self._pki / source, folder / target)
        return folder

    def _aggregated_server(self, port: str) -> tuple[str, ...]:
        """Return the flags of a server that the API server delegates to."""
        return (
            f"--secure-port={self.ports[port]}",
            f"--bind-address={HOST}",
            f"--tls-cert-file={self._pki / 'admin.crt'}",
            f"--tls-private-key-file={self._pki / 'admin.key'}",
            *(
                f"--{purpose}-kubeconfig={self.kubeconfig}"
                for purpose in ("lister", "authentication", "authorization")
            ),
        )

    def _controls(self, name: str) -> bool:
        """Tell whether a part of the control plane works; start it again if it ended.

        On a machine that is busy the controller manager gives up: it waits 10 s for an API server,
        and nobody starts it a second time. Deployments would then make no pods, silently.
        """
        if _answers(f"https://{HOST}:{self.ports[name]}/healthz"):
            return True
        pid = (self._home / "pids" / f"kube-{name}.pid").read_text().strip()
        if pid not in {str(pid) for pid, _ in processes.running(self.folder)}:
            self._start_cluster()
        return False

    def _wait(self) -> None:
        """Wait until everything answers."""
        for name in ("controller-manager", "scheduler"):
            log = self._home / "logs" / f"kube-{name}.log"
            processes.wait(name, lambda name=name: self._controls(name), 60, log)
        for port, path, log in (
            ("kwok", "healthz", self._home / "logs" / "kwok-controller.log"),
            ("prometheus", "-/ready", self.logs / "prometheus.log"),
            ("bridge", "ready", self.logs / "bridge.log"),
            *([("keda-health", "readyz", self.logs / "keda.log")] if self.keda else ()),
        ):
            url = f"http://{HOST}:{self.ports[port]}/{path}"
            processes.wait(port, lambda url=url: _answers(url), 60, log)
        if self.lws:
            # It calls itself ready at once; its webhooks are the last that it sets up.
            url = self._lws_webhook("validate--v1-pod")
            processes.wait("lws", lambda: _answers(url), 60, self.logs / "lws.log")
        for name in ("v1beta1.custom.metrics.k8s.io", *([EXTERNAL] if self.keda else ())):
            self.kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s")


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Return a free loopback port for each name."""
    taken: dict[str, int] = {}
    for name in names:
        while name not in taken:
            port = random.choice(PORT_RANGE)  # noqa: S311 - no secret
            with socket.socket() as probe:
                if port not in taken.values() and probe.connect_ex((HOST, port)):
                    taken[name] = port
    return taken


def _aggregated(group: str, versions: Iterable[str], port: int) -> list[dict[str, Any]]:
    """Return the objects by which the API server finds a server of ours on this machine."""
    service = {"name": group.replace(".", "-"), "namespace": NAMESPACE, "port": port}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service["name"], "namespace": NAMESPACE},
            "spec": {
                "type": "ExternalName",
                "externalName": "localhost",
                "ports": [{"port": port}],
            },
        },
        *(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "service": service,
                    "insecureSkipTLSVerify": True,  # its certificate is for localhost
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            }
            for version in versions
        ),
    ]


def _adapter_rules() -> str:
    """Return the metrics adapter's rules for every engine of the library."""
    command = [Path(sys.executable).with_name("llm-inference"), "adapter-rules"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _http(url: str, body: Mapping[str, Any] | None = None) -> bytes:
    """GET a URL of ours, or POST a body to it."""
    data = None if body is None else json.dumps(body).encode()
    # The loopback's certificates are made up at start by whoever serves; nothing secret is sent.
    tls = ssl._create_unverified_context()  # noqa: S323
    with urllib.request.urlopen(url, data, timeout=5, context=tls) as response:  # noqa: S310 - ours
        return response.read()


def _answers(url: str) -> bool:
    """Tell whether a server of ours is ready."""
    try:
        _http(url)
    except OSError:
        return False
    return True
