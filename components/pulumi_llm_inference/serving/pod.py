"""The pod of a model server, as a pure function of its spec."""

import math
from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.serving.labels import server_labels
from pulumi_llm_inference.spec.model_server import ModelServerSpec, SecretKey, WeightsCache
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.shutdown import Shutdown, least, shutdown

HTTP_PORT_NAME = "http"
"""Name of the API's port; Services and monitors refer to it by name."""

_PROBE_PERIOD_SECONDS = 10
_PROBE_TIMEOUT_SECONDS = 5

_LARGEST_WEIGHT = 100
"""Of a preferred node affinity."""

_CACHE_VOLUME = "cache"
_SHARED_MEMORY_VOLUME = "shared-memory"


def pod_spec(
    name: str, spec: ModelServerSpec, engine: Engine, placements: Sequence[Placement]
) -> k8s.core.v1.PodSpecArgs:
    """A pod that runs on its pools only, starts slowly, stops politely, and is not root."""
    end = shutdown(spec.drain_seconds, least([p.shutdown_seconds for p in placements]))
    spec = spec.model_copy(update={"drain_seconds": end.drain_seconds})
    return k8s.core.v1.PodSpecArgs(
        service_account_name=name,
        automount_service_account_token=False,
        # Kubernetes would inject NAME_PORT variables, which engines read as settings of theirs.
        enable_service_links=False,
        affinity=_affinity(placements),
        tolerations=_tolerations(placements),
        topology_spread_constraints=[_spread(name, engine)],
        termination_grace_period_seconds=end.grace_seconds,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=engine.user_id,
            run_as_group=engine.group_id,
            fs_group=engine.user_id,
            # Walking a large cache at every start takes minutes.
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[_container(spec, engine, placements[0].gpu_resource, end)],
        volumes=[
            _cache_volume(spec.weights_cache),
            k8s.core.v1.VolumeArgs(
                name=_SHARED_MEMORY_VOLUME,
                empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(
                    medium="Memory", size_limit=spec.shared_memory
                ),
            ),
        ],
    )


def scrape_annotations(engine: Engine) -> dict[str, str]:
    """What a Prometheus without an operator finds a pod by."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": engine.metrics_path,
        "prometheus.io/port": str(engine.port),
    }


def _container(
    spec: ModelServerSpec, engine: Engine, gpu_resource: str, end: Shutdown
) -> k8s.core.v1.ContainerArgs:
    arguments = engine.arguments(spec) if spec.args is None else spec.args
    gpus = {gpu_resource: str(spec.gpus)}
    health = k8s.core.v1.HTTPGetActionArgs(path=engine.health_path, port=HTTP_PORT_NAME)

    def probe(failures: int) -> k8s.core.v1.ProbeArgs:
        return k8s.core.v1.ProbeArgs(
            http_get=health,
            period_seconds=_PROBE_PERIOD_SECONDS,
            timeout_seconds=_PROBE_TIMEOUT_SECONDS,
            failure_threshold=failures,
        )

    return k8s.core.v1.ContainerArgs(
        name=engine.name.value,
        image=spec.image or engine.image,
        args=[*arguments, *spec.extra_args],
        env=_environment(spec, engine),
        ports=[k8s.core.v1.ContainerPortArgs(name=HTTP_PORT_NAME, container_port=engine.port)],
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests={"cpu": spec.cpu, "memory": spec.memory, **gpus}, limits=gpus
        ),
        startup_probe=probe(math.ceil(spec.startup_seconds / _PROBE_PERIOD_SECONDS)),
        readiness_probe=probe(failures=3),
        liveness_probe=probe(failures=3),
        lifecycle=k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(
                sleep=k8s.core.v1.SleepActionArgs(seconds=end.deregistration_seconds)
            )
        ),
        security_context=k8s.core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
            # The root file system stays writable: nvidia-cdi-hook needs it so.
        ),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name=_CACHE_VOLUME, mount_path=engine.cache_path),
            k8s.core.v1.VolumeMountArgs(name=_SHARED_MEMORY_VOLUME, mount_path="/dev/shm"),  # noqa: S108
        ],
    )


def _environment(spec: ModelServerSpec, engine: Engine) -> list[k8s.core.v1.EnvVarArgs]:
    token: Mapping[str, SecretKey] = (
        {"HF_TOKEN": spec.hugging_face_token} if spec.hugging_face_token else {}
    )
    variables = {**engine.environment(spec), **token, **spec.env}
    return [
        k8s.core.v1.EnvVarArgs(name=name, value=value)
        if isinstance(value, str)
        else k8s.core.v1.EnvVarArgs(
            name=name,
            value_from=k8s.core.v1.EnvVarSourceArgs(
                secret_key_ref=k8s.core.v1.SecretKeySelectorArgs(name=value.name, key=value.key)
            ),
        )
        for name, value in variables.items()
    ]


def _affinity(placements: Sequence[Placement]) -> k8s.core.v1.AffinityArgs:
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


def _tolerations(placements: Sequence[Placement]) -> list[k8s.core.v1.TolerationArgs]:
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


def _cache_volume(cache: WeightsCache) -> k8s.core.v1.VolumeArgs:
    if cache.claim:
        claim = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=cache.claim)
        return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, persistent_volume_claim=claim)
    directory = k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=cache.size)
    return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, empty_dir=directory)
