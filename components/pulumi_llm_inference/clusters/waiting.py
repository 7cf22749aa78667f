"""Values that are there only when something else is."""

from collections.abc import Iterable

import pulumi


def after(
    value: pulumi.Input[str], resources: Iterable[pulumi.CustomResource]
) -> pulumi.Output[str]:
    """The value, once the resources are there; what uses it is deleted before they are.

    GPU node pools and Kubernetes objects depend on a cluster only through such values. Pools would
    else be made before their nodes can join, and objects before there are nodes that their pods run
    on; at the end those nodes would go first, and nothing would be left to delete the objects'
    disks and load balancers.
    """
    # Previews know URNs, and not ids: else they would show all that uses the value as replaced
    # whenever one of the resources is.
    made = [resource.urn for resource in resources]
    return pulumi.Output.all(value, *made).apply(lambda parts: parts[0])
