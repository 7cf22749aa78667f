"""The pod of a model server, as a pure function of its spec."""

import math
from collections.abc import Mapping

import pulumi_kubernetes as k8s

from pulumi_llm_inference.engines.base import Engine
from pulumi_llm_inference.serving.labels import selector_labels
from pulumi_llm_inference.spec.model_server import ModelServerSpec, SecretKey, WeightsCache
from pulumi_llm_inference.spec.pool import Placement

HTTP_PORT_NAME = "http"
"""Name of the API's port; Services and monitors refer to it by name."""

_PROBE_PERIOD_SECONDS = 10
_PROBE_TIMEOUT_SECONDS = 5

_DEREGISTRATION_SECONDS = 15
"""How long a leaving pod still takes requests, until every proxy knows that it leaves."""

_EXIT_SECONDS = 15
"""Between the last request and the end of the process."""

_CACHE_VOLUME = "cache"
_SHARED_MEMORY_VOLUME = "shared-memory"


def pod_spec(
    name: str, spec: ModelServerSpec, engine: Engine, placement: Placement
) -> k8s.core.v1.PodSpecArgs:
    """A pod that runs on its pool only, starts slowly, stops politely, and is not root."""
    return k8s.core.v1.PodSpecArgs(
        service_account_name=name,
        automount_service_account_token=False,
        # Kubernetes would inject NAME_PORT variables, which engines read as settings of theirs.
        enable_service_links=False,
        affinity=_affinity(placement),
        tolerations=_tolerations(placement),
        topology_spread_constraints=[_spread(name, engine)],
        termination_grace_period_seconds=_DEREGISTRATION_SECONDS
        + spec.drain_seconds
        + _EXIT_SECONDS,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=engine.user_id,
            run_as_group=engine.group_id,
            fs_group=engine.user_id,
            # Walking a large cache at every start takes minutes.
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[_container(spec, engine, placement)],
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
    spec: ModelServerSpec, engine: Engine, placement: Placement
) -> k8s.core.v1.ContainerArgs:
    arguments = engine.arguments(spec) if spec.args is None else spec.args
    gpus = {placement.gpu_resource: str(spec.gpus)}
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
                sleep=k8s.core.v1.SleepActionArgs(seconds=_DEREGISTRATION_SECONDS)
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


def _affinity(placement: Placement) -> k8s.core.v1.AffinityArgs:
    return k8s.core.v1.AffinityArgs(
        node_affinity=k8s.core.v1.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=k8s.core.v1.NodeSelectorArgs(
                node_selector_terms=[
                    k8s.core.v1.NodeSelectorTermArgs(
                        match_expressions=[
                            k8s.core.v1.NodeSelectorRequirementArgs(
                                key=key, operator="In", values=[value]
                            )
                            for key, value in placement.node_labels.items()
                        ]
                    )
                ]
            )
        )
    )


def _tolerations(placement: Placement) -> list[k8s.core.v1.TolerationArgs]:
    # `Exists`, because clouds give the same taint different values.
    return [
        k8s.core.v1.TolerationArgs(key=taint.key, operator="Exists", effect=taint.effect.value)
        for taint in placement.taints
    ]


def _spread(name: str, engine: Engine) -> k8s.core.v1.TopologySpreadConstraintArgs:
    return k8s.core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="ScheduleAnyway",
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector_labels(name, engine)),
    )


def _cache_volume(cache: WeightsCache) -> k8s.core.v1.VolumeArgs:
    if cache.claim:
        claim = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=cache.claim)
        return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, persistent_volume_claim=claim)
    directory = k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=cache.size)
    return k8s.core.v1.VolumeArgs(name=_CACHE_VOLUME, empty_dir=directory)
