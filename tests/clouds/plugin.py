"""A provider plugin of a simulated cloud: prints its port, then serves the engine.

Protocol: pulumi/pulumi proto/pulumi/provider.proto. Secrets are not accepted, so the engine strips
and restores them by itself.
"""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.clouds import model, wire
from tests.clouds.kube import Kube
from tests.clouds.model import Kind, Record, RefusedError, Request, State
from tests.clouds.nodes import pool_key

MODULES = {"gcp": "gcp", "aws": "aws", "azure-native": "azure"}
WAIT = 60.0  # seconds for the daemon to make or remove a pool's nodes


class Cloud(Protocol):
    """What the module of a cloud offers."""

    KINDS: Mapping[str, Kind]
    """Types it is strict about."""
    INVOKES: Mapping[str, Callable[[dict[str, Any], dict[str, Any], State], dict[str, Any]]]
    """Functions: of arguments, configuration and state."""

    def configure(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration, completed from the environment; or refuse it."""
        ...

    def echo(self, type_: str) -> Kind:
        """Return how a type is treated that nobody models."""
        ...


@dataclass
class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol, for any cloud."""

    cloud: Cloud
    package: str
    config: dict[str, Any] = field(default_factory=dict)

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version="99.0.0")

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        given = wire.decode(request.args)
        with refusals(context):
            self.config = self.cloud.configure(given)
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = self._kind(request.urn)
        inputs = self._defaulted(kind, request)
        problems = list(kind.check(without_marks(inputs)))
        return provider_pb2.CheckResponse(
            inputs=wire.encode(inputs),
            failures=[
                provider_pb2.CheckFailure(
                    property=model.property_path(problem.path), reason=problem.reason
                )
                for problem in problems
            ],
        )

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = self._kind(request.urn)
        old = wire.decode(request.old_inputs) or wire.decode(request.olds)
        new = wire.decode(request.news)
        found = list(model.changes(without_marks(old), without_marks(new)))
        kinds = provider_pb2.PropertyDiff.Kind
        detailed, replaces = {}, []
        for path, what in found:
            replace = any(model.matches(pattern, path) for pattern in kind.immutable)
            suffix = "_REPLACE" if replace else ""
            shown = model.property_path(path)
            detailed[shown] = provider_pb2.PropertyDiff(
                kind=kinds.Value(f"{what.upper()}{suffix}"), inputDiff=True
            )
            if replace:
                replaces.append(shown)
        own_name = kind.name not in new.get("__defaults", []) and not new.get(
            "__createBeforeDelete"
        )
        same_name = new.get(kind.name) is not None and new[kind.name] == old.get(kind.name)
        some = provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(
            changes=some if found else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=replaces,
            diffs=sorted({path.split(".")[0] for path, _ in found}),
            detailedDiff=detailed,
            hasDetailedDiff=True,
            # pulumi-terraform-bridge pkg/tfbridge/provider.go nameRequiresDeleteBeforeReplace;
            # pulumi-azure-native provider.go createBeforeDeleteFlag.
            deleteBeforeReplace=bool(replaces) and own_name and same_name,
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = wire.decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(id="", properties=wire.encode(inputs))
        with refusals(context):
            id_, outputs = self._apply(request.urn, "", inputs)
        return provider_pb2.CreateResponse(id=id_, properties=wire.encode(outputs))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = wire.decode(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=wire.encode(inputs))
        with refusals(context):
            _, outputs = self._apply(request.urn, request.id, inputs)
        return provider_pb2.UpdateResponse(properties=wire.encode(outputs))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = State.of_environment().load(type_of(request.urn), request.id)
        if record is None:
            return provider_pb2.ReadResponse()
        given = wire.decode(request.inputs)
        marks = {key: value for key, value in given.items() if key.startswith("__")}
        return provider_pb2.ReadResponse(
            id=record.id,
            properties=wire.encode({**marks, **record.inputs, **record.outputs}),
            inputs=wire.encode({**marks, **record.inputs}),
        )

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = wire.decode(request.old_inputs) or wire.decode(request.properties)
        made = self._request(request.urn, request.id, inputs)
        kind = self._kind(request.urn)
        with refusals(context):
            refuse(kind.hold(made))
            keys = {pool.key for pool in kind.pools(made, request.id)}
            made.state.forget(made.type, request.id)
            for key in keys:
                made.state.forget_pool(key)
            if keys:
                model.wait_until(lambda: not nodes_of(keys), WAIT, f"nodes of {keys} removed")
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        function = self.cloud.INVOKES.get(request.tok)
        if function is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"not simulated: {request.tok}")
            return None
        try:
            found = function(wire.decode(request.args), self.config, State.of_environment())
        except RefusedError as error:
            failure = provider_pb2.CheckFailure(property="", reason=str(error))
            return provider_pb2.InvokeResponse(failures=[failure])
        answer = provider_pb2.InvokeResponse()
        getattr(answer, "return").CopyFrom(wire.encode(found))
        return answer

    def _kind(self, urn: str) -> Kind:
        type_ = type_of(urn)
        return self.cloud.KINDS.get(type_) or self.cloud.echo(type_)

    def _request(self, urn: str, id_: str, inputs: dict[str, Any]) -> Request:
        state = State.of_environment()
        return Request(type_of(urn), urn, without_marks(inputs), self.config, state, id_)

    def _defaulted(self, kind: Kind, request: Any) -> dict[str, Any]:
        """Return the inputs as the real provider completes them, which is what it compares."""
        given, old = wire.decode(request.news), wire.decode(request.olds)
        defaults = dict(kind.defaults)
        urn_name = request.urn.rsplit("::", 1)[-1]
        azure = self.package == "azure-native"
        if kind.autoname and not any(key.startswith(kind.name) for key in given):
            again = kind.name in old.get("__defaults", []) or old.get("__createBeforeDelete")
            seed = request.randomSeed.hex() or request.urn
            made = (
                f"{urn_name}{model.short(seed, 8)}"
                if azure
                else (f"{urn_name}-{model.short(seed, 7)}")
            )
            defaults[kind.name] = old[kind.name] if again and kind.name in old else made
        filled = [key for key in defaults if key not in given]
        inputs = {**defaults, **given}
        if azure:
            if kind.name in filled:
                inputs["__createBeforeDelete"] = True
        else:
            inputs["__defaults"] = sorted(filled)
        return inputs

    def _apply(self, urn: str, id_: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Make or change a resource and wait for its nodes."""
        made, kind = self._request(urn, id_, inputs), self._kind(urn)
        problems = [
            f"{model.property_path(one.path)}: {one.reason}" for one in kind.check(made.inputs)
        ]
        refuse([*problems, *kind.refuse(made)])
        new_id, computed = kind.answer(made)
        id_ = id_ or new_id
        outputs = {**made.inputs, **computed}
        cloud = MODULES[self.package]
        made.state.save(Record(cloud, made.type, id_, made.name, inputs, outputs))
        pools = list(kind.pools(made, id_))
        for pool in pools:
            made.state.save_pool(pool)
        try:
            for pool in pools:
                model.wait_until(
                    lambda pool=pool: len(nodes_of({pool.key})) >= pool.minimum,
                    WAIT,
                    f"nodes of {pool.key}",
                )
        except RefusedError:
            made.state.forget(made.type, id_)
            for pool in pools:
                made.state.forget_pool(pool.key)
            raise
        return id_, {**inputs, **outputs}


def type_of(urn: str) -> str:
    """Return the resource's own type."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def without_marks(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return inputs without what providers note for themselves."""
    return {key: value for key, value in inputs.items() if not key.startswith("__")}


def refuse(reasons: Any) -> None:
    """Refuse if there is a reason.

    Raises:
        RefusedError: There is.
    """
    found = list(reasons)
    if found:
        raise RefusedError("; ".join(found))


@contextmanager
def refusals(context: Any) -> Iterator[None]:
    """Tell the engine what the cloud refuses."""
    try:
        yield
    except RefusedError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def nodes_of(keys: set[str]) -> list[str]:
    """Return the names of the pools' nodes."""
    nodes = Kube(Path(os.environ[model.KUBECONFIG])).items("/api/v1/nodes")
    return [node["metadata"]["name"] for node in nodes if pool_key(node) in keys]


def end_with(parent: int) -> None:
    """End when the engine is gone, also if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    """Serve until the engine ends us."""
    package = sys.argv[1]
    cloud: Any = importlib.import_module(f"tests.clouds.{MODULES[package]}")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(cloud, package), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
