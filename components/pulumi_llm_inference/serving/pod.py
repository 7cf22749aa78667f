"""The pod of a model server, as a pure function of its spec."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import pulumi_kubernetes as k8s

from pulumi_llm_inference.engines.base import CONFIG_PATH, POD_IP, Engine, Probe
from pulumi_llm_inference.engines.triton import MODELS_PATH, repository_paths
from pulumi_llm_inference.serving import weights
from pulumi_llm_inference.serving.labels import server_labels
from pulumi_llm_inference.serving.resolve import start_seconds
from pulumi_llm_inference.spec.model_server import ModelServerSpec, SecretKey
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.shutdown import Shutdown, least, shutdown

HTTP_PORT_NAME = "http"
"""Name of the API's port; Services and monitors refer to it by name."""

METRICS_PORT_NAME = "metrics"
"""Name of the metrics' port, where it is another."""

_FAILURES = 3
"""Answers that must be missed in a row."""

_LARGEST_WEIGHT = 100
"""Of a preferred node affinity."""

_CONFIG_VOLUME = "config"
_REPOSITORY_VOLUME = "models"
_SHARED_MEMORY_VOLUME = "shared-memory"


class Role(StrEnum):
    """What a pod is to its replica."""

    WHOLE = "whole"
    """All of it."""
    LEADER = "leader"
    """Of several nodes the one that answers requests."""
    WORKER = "worker"
    """One of the others."""


def pod_spec(  # noqa: PLR0917  each is one of the things that a pod depends on
    name: str,
    spec: ModelServerSpec,
    engine: Engine,
    placements: Sequence[Placement],
    role: Role = Role.WHOLE,
    config_map: str | None = None,
) -> k8s.core.v1.PodSpecArgs:
    """A pod that runs on its pools only, starts slowly, stops politely, and is not root.

    Args:
        name: of the server.
        spec: what it serves, resolved.
        engine: what serves it.
        placements: where it may run, the preferred first.
        role: what it is to its replica. Default: all of it.
        config_map: name of the ConfigMap with the engine's files, if it has any.
    """
    user = spec.run_as_user or engine.user_id
    end = shutdown(spec.drain_seconds, least([p.shutdown_seconds for p in placements]))
    spec = spec.model_copy(update={"drain_seconds": end.drain_seconds})
    return k8s.core.v1.PodSpecArgs(
        service_account_name=name,
        automount_service_account_token=False,
        # Kubernetes would inject NAME_PORT variables, which engines read as settings of theirs.
        enable_service_links=False,
        affinity=affinity(placements),
        tolerations=tolerations(placements),
        topology_spread_constraints=[_spread(name, engine)],
        termination_grace_period_seconds=end.grace_seconds,
        security_context=security_context(user, engine.group_id),
        init_containers=weights.init_containers(spec, engine.cache_path) or None,
        containers=[_container(spec, engine, placements, end, role)],
        volumes=[
            *weights.volumes(name, spec.weights),
            *_repository_volumes(spec),
            *(
                [
                    k8s.core.v1.VolumeArgs(
                        name=_CONFIG_VOLUME,
                        config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=config_map),
                    )
                ]
                if config_map
                else []
            ),
            k8s.core.v1.VolumeArgs(
                name=_SHARED_MEMORY_VOLUME,
                empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(
                    medium="Memory", size_limit=spec.shared_memory
                ),
            ),
        ],
    )


def scrape_annotations(engine: Engine) -> dict[str, str]:
    """What a Prometheus without an operator finds a pod by; empty if there are no metrics."""
    if engine.metrics_path is None:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": engine.metrics_path,
        "prometheus.io/port": str(engine.metrics_port or engine.port),
    }


def ports(engine: Engine) -> dict[str, int]:
    """Ports of a server by name: the API's, and the metrics' where it is another."""
    own = {METRICS_PORT_NAME: engine.metrics_port} if engine.metrics_port else {}
    return {HTTP_PORT_NAME: engine.port, **own}


def _container(
    spec: ModelServerSpec,
    engine: Engine,
    placements: Sequence[Placement],
    end: Shutdown,
    role: Role,
) -> k8s.core.v1.ContainerArgs:
    arguments = engine.arguments(spec) if spec.args is None else spec.args
    gpus = {placements[0].gpu_resource: str(spec.gpus)}
    # Of a replica on several nodes the leader answers for all.
    answers = role is not Role.WORKER
    patience = math.ceil(start_seconds(spec) / engine.startup.period_seconds)
    # An engine that drops its requests at the end must be left alone until they are done.
    sleep = end.deregistration_seconds + (0 if engine.drains else end.drain_seconds)
    return k8s.core.v1.ContainerArgs(
        name=engine.name.value,
        image=spec.image or engine.image,
        command=list(engine.command) or None,
        args=[
            *arguments,
            *engine.always(spec),
            *_node_arguments(spec, engine, role),
            *spec.extra_args,
        ],
        env=environment(spec, engine),
        # Nor is one of the others scraped.
        ports=[
            k8s.core.v1.ContainerPortArgs(name=name, container_port=port)
            for name, port in ports(engine).items()
        ]
        if answers
        else None,
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests={"cpu": spec.cpu, "memory": spec.memory, **gpus}, limits=gpus
        ),
        startup_probe=_probe(engine.startup, patience) if answers else None,
        readiness_probe=_probe(engine.readiness, _FAILURES) if answers else None,
        liveness_probe=_probe(engine.liveness, _FAILURES) if answers else None,
        lifecycle=k8s.core.v1.LifecycleArgs(
            post_start=k8s.core.v1.LifecycleHandlerArgs(
                exec_=k8s.core.v1.ExecActionArgs(command=engine.post_start(spec))
            )
            if engine.post_start
            else None,
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(
                sleep=k8s.core.v1.SleepActionArgs(seconds=sleep)
            ),
        ),
        security_context=k8s.core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
            # The root file system stays writable: nvidia-cdi-hook needs it so.
        ),
        volume_mounts=[
            *weights.mounts(spec.weights, engine.cache_path),
            *_repository_mounts(spec, placements),
            k8s.core.v1.VolumeMountArgs(name=_SHARED_MEMORY_VOLUME, mount_path="/dev/shm"),  # noqa: S108
            *(
                [k8s.core.v1.VolumeMountArgs(name=_CONFIG_VOLUME, mount_path=CONFIG_PATH)]
                if engine.files(spec)
                else []
            ),
        ],
    )


def _node_arguments(spec: ModelServerSpec, engine: Engine, role: Role) -> list[str]:
    if role is Role.WHOLE or engine.node_arguments is None:
        return []
    return engine.node_arguments(spec, role is Role.LEADER)


def _probe(asked: Probe, failures: int) -> k8s.core.v1.ProbeArgs:
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=asked.path, port=HTTP_PORT_NAME),
        period_seconds=asked.period_seconds,
        timeout_seconds=asked.timeout_seconds,
        failure_threshold=failures,
    )


def environment(spec: ModelServerSpec, engine: Engine) -> list[k8s.core.v1.EnvVarArgs]:
    """Variables of a container: the engine's, and the user's over them."""
    token: Mapping[str, SecretKey] = (
        {"HF_TOKEN": spec.hugging_face_token} if spec.hugging_face_token else {}
    )
    variables = {**engine.environment(spec), **token, **spec.env}
    address = k8s.core.v1.EnvVarArgs(
        name=POD_IP,
        value_from=k8s.core.v1.EnvVarSourceArgs(
            field_ref=k8s.core.v1.ObjectFieldSelectorArgs(field_path="status.podIP")
        ),
    )
    return [
        # First, because only what stands before a variable can be named in its value.
        *([address] if spec.nodes > 1 else []),
        *(weights.variable(name, value) for name, value in variables.items()),
    ]


def security_context(user: int, group: int) -> k8s.core.v1.PodSecurityContextArgs:
    """A pod that is not root and owns what is mounted into it."""
    return k8s.core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=group,
        fs_group=user,
        # Walking a large cache at every start takes minutes.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def _repository_volumes(spec: ModelServerSpec) -> list[k8s.core.v1.VolumeArgs]:
    if spec.triton is None:
        return []
    claim = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(
        claim_name=spec.triton.model_repository_claim, read_only=True
    )
    return [k8s.core.v1.VolumeArgs(name=_REPOSITORY_VOLUME, persistent_volume_claim=claim)]


def _repository_mounts(
    spec: ModelServerSpec, placements: Sequence[Placement]
) -> list[k8s.core.v1.VolumeMountArgs]:
    if spec.triton is None:
        return []
    [path, *_] = repository_paths(spec, [p.accelerator for p in placements]).values()
    return [
        k8s.core.v1.VolumeMountArgs(
            name=_REPOSITORY_VOLUME, mount_path=MODELS_PATH, sub_path=path, read_only=True
        )
    ]


def affinity(placements: Sequence[Placement]) -> k8s.core.v1.AffinityArgs:
    """Any of the pools, and the earlier the better.

    Nodes that exist are preferred so; which pool grows is for the node autoscaler to say.
    """
    terms = [_node_term(placement) for placement in placements]
    step = _LARGEST_WEIGHT // len(terms)
    return k8s.core.v1.AffinityArgs(
        node_affinity=k8s.core.v1.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=k8s.core.v1.NodeSelectorArgs(
                node_selector_terms=terms
            ),
            preferred_during_scheduling_ignored_during_execution=[
                k8s.core.v1.PreferredSchedulingTermArgs(
                    weight=_LARGEST_WEIGHT - index * step, preference=term
                )
                for index, term in enumerate(terms[:-1])
            ]
            or None,
        )
    )


def _node_term(placement: Placement) -> k8s.core.v1.NodeSelectorTermArgs:
    return k8s.core.v1.NodeSelectorTermArgs(
        match_expressions=[
            k8s.core.v1.NodeSelectorRequirementArgs(key=key, operator="In", values=[value])
            for key, value in placement.node_labels.items()
        ]
    )


def tolerations(placements: Sequence[Placement]) -> list[k8s.core.v1.TolerationArgs]:
    """Of the taints of all the pools."""
    # `Exists`, because clouds give the same taint different values.
    taints = dict.fromkeys((t.key, t.effect.value) for p in placements for t in p.taints)
    return [
        k8s.core.v1.TolerationArgs(key=key, operator="Exists", effect=effect)
        for key, effect in taints
    ]


def _spread(name: str, engine: Engine) -> k8s.core.v1.TopologySpreadConstraintArgs:
    return k8s.core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="ScheduleAnyway",
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=server_labels(name, engine)),
    )
