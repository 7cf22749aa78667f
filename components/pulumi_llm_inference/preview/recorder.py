"""A Pulumi resource monitor that writes down what it is asked for, and makes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_project, get_stack

_STACK_TYPE = "pulumi:pulumi:Stack"

SECRET = {"secret": True}
"""What stands for a secret value."""


@dataclass(frozen=True)
class Resource:
    """One resource, as the program asked the engine for it."""

    type: str
    """Type token, e.g. `kubernetes:apps/v1:Deployment`."""
    name: str
    """Pulumi's name of it."""
    urn: str
    """Pulumi's unique name of it."""
    parent: str
    """URN of its parent, or empty."""
    inputs: dict[str, Any]
    """Inputs in wire form. What only a deployment can know is `{"unknown": "<urn>.<path>"}`, with
    the place where it is missing; what is secret is `{"secret": true}`."""
    dependencies: list[str] = field(default_factory=list)
    """URNs of what must be there first."""
    ignoreChanges: list[str] = field(default_factory=list)  # noqa: N815  the wire's name
    """Paths that updates leave alone."""
    customTimeouts: dict[str, str] = field(default_factory=dict)  # noqa: N815
    """Timeouts of create, update and delete, where set."""


class _Echo(Mocks):
    """Gives every resource its inputs back as outputs."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", _outputs(args.inputs)

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise pulumi.RunError(
            f"the program asks a provider for '{args.token}', which a preview without one cannot "
            "answer; use `pulumi preview`"
        )


def _outputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs in the form of outputs, which azure-native has another of for identities.

    It takes a list of ids, and gives back what it knows of each.
    """
    identity = inputs.get("identity")
    if not (isinstance(identity, Mapping) and "userAssignedIdentities" in identity):
        return dict(inputs)
    known = {str(one): {} for one in identity["userAssignedIdentities"]}
    return {**inputs, "identity": {**identity, "userAssignedIdentities": known}}


class Recorder(MockMonitor):
    """Records every registration; give it to `pulumi.runtime.set_mocks` as `monitor`."""

    recorded: list[Resource]
    """What was registered, in order."""

    def __init__(self) -> None:
        super().__init__(_Echo())
        self.recorded = []

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Name a resource as the engine does: with the types of all its parents but the stack."""
        parents = parent.split("::")[2] if parent else _STACK_TYPE
        qualified = type_ if parents == _STACK_TYPE else f"{parents}${type_}"
        return "::".join([f"urn:pulumi:{get_stack()}", get_project(), qualified, name])

    def RegisterResource(  # noqa: N802  gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Write the request down and answer as an engine would at preview."""
        response = super().RegisterResource(request)
        if request.type != _STACK_TYPE:
            self.recorded.append(_resource(request, response.urn))
        return response


def _resource(request: resource_pb2.RegisterResourceRequest, urn: str) -> Resource:
    timeouts = request.customTimeouts
    return Resource(
        type=request.type,
        name=request.name,
        urn=urn,
        parent=request.parent,
        inputs=_plain(json_format.MessageToDict(request.object), urn),
        dependencies=sorted(request.dependencies),
        ignoreChanges=list(request.ignoreChanges),
        customTimeouts={
            step: value
            for step in ("create", "update", "delete")
            if (value := getattr(timeouts, step))
        },
    )


def _plain(value: Any, path: str) -> Any:
    """The value without the wire's signs: no sentinels, no secrets, no whole numbers as 8.0."""
    match value:
        case {rpc._special_sig_key: rpc._special_secret_sig}:
            return SECRET
        case Mapping():
            return {key: _plain(value[key], f"{path}.{key}") for key in sorted(value)}
        case list():
            return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case rpc.UNKNOWN:
            return {"unknown": path}
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
