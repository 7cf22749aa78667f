"""Groups of pods that serve one model together: the LeaderWorkerSet of a server on several nodes.

One LeaderWorkerSet is made for a server, and each of its replicas is a group: a leader, which
answers requests, and workers, which only compute. Facts are from kubernetes-sigs/lws v0.9.0, whose
files are named.

- Its webhook puts LWS_LEADER_ADDRESS, LWS_GROUP_SIZE and LWS_WORKER_INDEX before all other
  variables of every container (pkg/utils/pod/pod_utils.go), so arguments and variables can name
  them: `$(LWS_LEADER_ADDRESS)`.
- It has a scale subresource that counts groups. `status.hpaPodSelector` selects the leaders of all
  groups, by NAME_LABEL and LEADERS (pkg/controllers/leaderworkerset_controller.go): an
  autoscaler that targets API_VERSION and KIND by name divides the leaders' queue by the groups.
- A group is ready when all its pods are; only the leader has a readiness probe.
- Its name must be an RFC 1035 label (pkg/webhooks/leaderworkerset_webhook.go): it starts with a
  letter.
"""

from collections.abc import Mapping
from typing import Any

import pulumi_kubernetes as k8s

API_VERSION = "leaderworkerset.x-k8s.io/v1"
"""API version of a LeaderWorkerSet."""

KIND = "LeaderWorkerSet"
"""Kind of a LeaderWorkerSet."""

NAME_LABEL = "leaderworkerset.sigs.k8s.io/name"
"""Label of a group's pods: the LeaderWorkerSet's name."""

LEADERS: Mapping[str, str] = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
"""What tells a leader from its workers: what a Service of the server selects besides."""

READY_ANNOTATIONS: Mapping[str, str] = {"pulumi.com/waitFor": "condition=Available"}
"""What makes Pulumi wait until all groups are ready: of itself it does for built-in kinds only."""

_WAVE = "25%"
"""Share of the groups that an update replaces at a time: that of a Deployment. Rounded up it is
what may be added, rounded down what may be missing, so that one group is added before the only one
goes."""


def group_spec(
    replicas: int | None,
    nodes: int,
    leader: k8s.core.v1.PodTemplateSpecArgs,
    worker: k8s.core.v1.PodTemplateSpecArgs,
) -> dict[str, Any]:
    """Spec of a LeaderWorkerSet, for a CustomResource.

    Args:
        replicas: number of groups; None leaves it out, for an autoscaler to set.
        nodes: pods of each group, one a node: the leader and its workers.
        leader: pod template of the leader, with its probes.
        worker: pod template of the workers, without readiness and startup probes.
    """
    return {
        **({} if replicas is None else {"replicas": replicas}),
        # Workers connect to the leader before it is ready: it waits for them to load the model.
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxSurge": _WAVE, "maxUnavailable": _WAVE},
        },
        # A headless Service for each group. The other policy makes one of the LeaderWorkerSet's
        # name, and takes that of the server for it where there is one: leaders had no address
        # (pkg/utils/controller/controller_utils.go, CreateHeadlessServiceIfNotExists).
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "leaderWorkerTemplate": {
            "size": nodes,
            # What is left of a group cannot take a lost process back: NCCL's communicators are
            # made once. RecreateGroupAfterStart, which older releases do not know, saves nothing:
            # it still replaces the group for a restart from before all its pods ran.
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": leader,
            "workerTemplate": worker,
        },
    }
