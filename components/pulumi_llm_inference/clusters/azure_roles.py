"""Built-in roles of Azure."""

from pulumi import Input, Output

_SUBSCRIPTION_PARTS = 3
"""`/subscriptions/ID` are three parts: the first is empty."""


def role_definition(resource_id: Input[str], role: str) -> Output[str]:
    """Full id of a built-in role, in the subscription of a resource.

    Azure takes shorter ones too, and gives back this one, which would look like a change.

    Args:
        resource_id: id of any resource in the subscription.
        role: the role's GUID.
    """
    return Output.from_input(resource_id).apply(
        lambda known: (
            f"{subscription(known)}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        )
    )


def subscription(resource_id: str) -> str:
    """`/subscriptions/ID`, from the id of anything in it."""
    return "/".join(resource_id.split("/")[:_SUBSCRIPTION_PARTS])
