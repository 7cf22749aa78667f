"""The little of a Kubernetes client that the simulated clouds need, quick to start."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Kube:
    """The API server of a kubeconfig written by kwokctl: certificates in files."""

    kubeconfig: Path

    @cached_property
    def _config(self) -> tuple[dict[str, str], dict[str, str]]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        return config["clusters"][0]["cluster"], config["users"][0]["user"]

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._config[0]["server"]

    @property
    def host(self) -> str:
        """Address and port of the API server."""
        return self.server.removeprefix("https://")

    @property
    def ca(self) -> str:
        """Certificate of the authority, in base64."""
        file = Path(self._config[0]["certificate-authority"])
        return base64.b64encode(file.read_bytes()).decode()

    @property
    def client(self) -> tuple[str, str]:
        """The administrator's certificate and key, in PEM."""
        user = self._config[1]
        files = Path(user["client-certificate"]), Path(user["client-key"])
        return files[0].read_text(), files[1].read_text()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        cluster, user = self._config
        made = ssl.create_default_context(cafile=cluster["certificate-authority"])
        made.load_cert_chain(user["client-certificate"], user["client-key"])
        return made

    def call(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any] | None:
        """Call the API; None if what is asked for does not exist.

        Raises:
            OSError: The API server refuses or is not there.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own API server
            f"{self.server}{path}", data, {"Content-Type": kind}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise OSError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        return (self.call("GET", path) or {}).get("items", [])
