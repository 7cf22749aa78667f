"""Values that are there only when something else is."""

from collections.abc import Iterable

import pulumi


def after(
    value: pulumi.Input[str], resources: Iterable[pulumi.CustomResource]
) -> pulumi.Output[str]:
    """The value, once the resources are there; what uses it is deleted before they are.

    Node pools depend on a cluster only through such values, and would else be made before their
    nodes can join.
    """
    made = [resource.id for resource in resources]
    return pulumi.Output.all(value, *made).apply(lambda parts: parts[0])
