"""Policies of AWS, as text."""

import json
from typing import Any

_VERSION = "2012-10-17"

_PARTITIONS = {"us-gov-": "aws-us-gov", "cn-": "aws-cn"}
"""Partitions by how the names of their regions begin (botocore partitions.json)."""


def partition(region: str | None) -> str:
    """What ARNs in a region begin with after `arn:`; AWS' own for no region and all others."""
    found = (name for start, name in _PARTITIONS.items() if (region or "").startswith(start))
    return next(found, "aws")


def policy(*statements: dict[str, Any]) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": _VERSION, "Statement": list(statements)}, sort_keys=True)


def allow(*actions: str) -> dict[str, Any]:
    """A statement that allows actions on everything, unless the caller narrows it."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def trust(service: str, *actions: str) -> str:
    """A policy by which a service of AWS gives a role to what it runs."""
    return policy(
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", *actions],
            "Principal": {"Service": service},
        }
    )


POD_TRUST = trust("pods.eks.amazonaws.com", "sts:TagSession")
"""For the roles of pods
(docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html)."""
