"""What a Triton server serves, made where it is served from."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import Input, Output  # noqa: F401
from pulumi.output import T  # noqa: F401
from pydantic import Field

from pulumi_llm_inference.args import Args, require
from pulumi_llm_inference.checks.names import name_problems
from pulumi_llm_inference.checks.triton import build_size, repository_problems
from pulumi_llm_inference.engines.base import CONFIG_PATH
from pulumi_llm_inference.engines.triton import (
    LONGEST_REPOSITORY_NAME,
    MODELS_PATH,
    TRITON,
    build_inputs,
    build_name,
    generation,
)
from pulumi_llm_inference.serving import triton_build
from pulumi_llm_inference.serving.labels import NAME_LABEL, SERVER_LABEL
from pulumi_llm_inference.serving.pod import affinity, environment, security_context, tolerations
from pulumi_llm_inference.spec.model_server import ModelServerSpec
from pulumi_llm_inference.spec.pool import Placement
from pulumi_llm_inference.spec.problems import Problem
from pulumi_llm_inference.spec.triton import EngineBuild, TritonModelKind, TritonSpec

_NODE_SECONDS = 1200
"""A GPU node that does not exist yet, and an image of 16 GB."""

_MARGIN_SECONDS = 300
"""How much longer the deployment waits than Kubernetes, so that the Job says what was wrong."""

_RETRIES = 3
"""Each goes on where the one before stopped."""

_SCRIPT = "build.py"
_CACHE_PATH = "/cache"


class TritonModelRepositoryArgs(ModelServerSpec, Args):
    """Arguments of TritonModelRepository: those of the server that it is for."""

    placements: list[Placement] = Field(min_length=1)
    """Where the server's replicas may run, and so what compiled engines are made for."""
    namespace: Input[str] = "default"
    """Namespace of every object. Default `default`."""


class TritonModelRepository(pulumi.ComponentResource):
    """A model repository in a PersistentVolumeClaim, built by one Job for each GPU generation.

    A Job is named after its inputs: other inputs make another Job and another directory, and leave
    what running servers read alone. Directories of old inputs stay until somebody removes them. So
    does a claim that was made here: it holds hours of work, and other models may use it.
    """

    claim: str
    """Name of the PersistentVolumeClaim."""
    jobs: Sequence[k8s.batch.v1.Job]
    """The builds; whoever depends on the component waits for them."""

    def __init__(
        self,
        name: str,
        args: TritonModelRepositoryArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        spec = TritonModelRepositoryArgs.model_validate(args)
        require(_problems(name, spec), f"TritonModelRepository '{name}'")
        super().__init__("llm-inference:index:TritonModelRepository", name, None, opts)
        triton, build = _asked(spec)
        # Not those of a server: its Service would send requests to the Jobs.
        labels = {
            **spec.labels,
            "app.kubernetes.io/component": "model-repository",
            "app.kubernetes.io/managed-by": "pulumi",
            NAME_LABEL: "triton-model-repository",
            SERVER_LABEL: name,
        }

        def metadata(object_name: str, **more: Any) -> k8s.meta.v1.ObjectMetaArgs:
            return k8s.meta.v1.ObjectMetaArgs(
                name=object_name, namespace=spec.namespace, labels=labels, **more
            )

        # By generation, of which several accelerators may be one.
        groups: dict[str, list[Placement]] = {}
        for placement in spec.placements:
            groups.setdefault(generation(spec, placement.accelerator), []).append(placement)
        inputs = {key: build_inputs(spec, key) for key in groups}
        own = pulumi.ResourceOptions(parent=self)
        needs: list[pulumi.Resource] = []
        if build.claim_size:
            needs.append(
                k8s.core.v1.PersistentVolumeClaim(
                    f"{name}-claim",
                    metadata=metadata(
                        triton.model_repository_claim,
                        # Some classes bind only once a pod wants it.
                        annotations={"pulumi.com/skipAwait": "true"},
                    ),
                    spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
                        access_modes=["ReadWriteMany"],
                        storage_class_name=build.storage_class,
                        resources=k8s.core.v1.VolumeResourceRequirementsArgs(
                            requests={"storage": build.claim_size}
                        ),
                    ),
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
            )
        config = k8s.core.v1.ConfigMap(
            f"{name}-config",
            metadata=metadata(f"{name}-build"),
            data={
                _SCRIPT: inspect.getsource(triton_build),
                **{f"{key}.json": json.dumps(value, indent=2) for key, value in inputs.items()},
            },
            opts=own,
        )
        needs.append(config)
        self.jobs = [
            k8s.batch.v1.Job(
                f"{name}-{key}",
                metadata=metadata(
                    f"{name}-{build_name(inputs[key])}",
                    # One that failed is made anew by the next deployment, and goes on.
                    annotations={"pulumi.com/replaceUnready": "true"},
                ),
                spec=k8s.batch.v1.JobSpecArgs(
                    backoff_limit=_RETRIES,
                    # From the Job's creation, so with the time that its pod waits for a node.
                    active_deadline_seconds=build.timeout_seconds + _NODE_SECONDS,
                    pod_failure_policy=_disruptions_do_not_count(),
                    template=k8s.core.v1.PodTemplateSpecArgs(
                        metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
                        spec=_pod(spec, key, placements, f"{name}-build"),
                    ),
                ),
                opts=pulumi.ResourceOptions.merge(
                    # Pods need what the server depends on, such as a pool's nodes.
                    pulumi.ResourceOptions(depends_on=opts.depends_on if opts else None),
                    pulumi.ResourceOptions(
                        parent=self,
                        depends_on=needs,
                        custom_timeouts=pulumi.CustomTimeouts(
                            create=f"{build.timeout_seconds + _NODE_SECONDS + _MARGIN_SECONDS}s"
                        ),
                    ),
                ),
            )
            for key, placements in groups.items()
        ]
        self.claim = triton.model_repository_claim
        self.register_outputs({"claim": self.claim})


def _problems(name: str, spec: TritonModelRepositoryArgs) -> list[Problem]:
    found = [*name_problems(name, name)]
    if spec.triton is None or spec.triton.build is None:
        found.append(Problem(f"{name}.triton.build", "is missing", "say how to build, e.g. {}"))
    elif len(name) > LONGEST_REPOSITORY_NAME:
        found.append(
            Problem(
                name,
                f"'{name}' leaves no room for what the names of its Jobs end with",
                f"use at most {LONGEST_REPOSITORY_NAME} characters",
            )
        )
    # A server runs on one generation; a repository may be built for several servers.
    return [
        *found,
        *dict.fromkeys(
            problem
            for placement in spec.placements
            for problem in repository_problems(spec, [placement], name)
        ),
    ]


def _asked(spec: ModelServerSpec) -> tuple[TritonSpec, EngineBuild]:
    """What the checks have found to be there."""
    triton = spec.triton
    if triton is None or triton.build is None:
        raise ValueError("checked before")
    return triton, triton.build


def _pod(
    spec: ModelServerSpec, key: str, placements: Sequence[Placement], config: str
) -> k8s.core.v1.PodSpecArgs:
    """A pod that builds for one generation, on a machine that has it, and is not root."""
    triton, _ = _asked(spec)
    user = spec.run_as_user or TRITON.user_id
    # TensorRT compiles for the GPU that it runs on.
    compiles = triton.kind is TritonModelKind.BATCHER
    gpus = {placements[0].gpu_resource: str(spec.gpus)} if compiles else {}
    volumes = {
        MODELS_PATH: k8s.core.v1.VolumeArgs(
            name="models",
            persistent_volume_claim=k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(
                claim_name=triton.model_repository_claim
            ),
        ),
        CONFIG_PATH: k8s.core.v1.VolumeArgs(
            name="config", config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=config)
        ),
        _CACHE_PATH: k8s.core.v1.VolumeArgs(
            name="cache", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs()
        ),
        "/dev/shm": k8s.core.v1.VolumeArgs(  # noqa: S108
            name="shared-memory",
            empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(
                medium="Memory", size_limit=spec.shared_memory
            ),
        ),
    }
    return k8s.core.v1.PodSpecArgs(
        restart_policy="Never",
        automount_service_account_token=False,
        enable_service_links=False,
        affinity=affinity(placements),
        tolerations=tolerations(placements),
        security_context=security_context(user, TRITON.group_id),
        containers=[
            k8s.core.v1.ContainerArgs(
                name="build",
                image=spec.image or TRITON.image,
                args=[
                    "python3",
                    f"{CONFIG_PATH}/{_SCRIPT}",
                    f"{CONFIG_PATH}/{key}.json",
                    f"{MODELS_PATH}/{build_name(build_inputs(spec, key))}",
                    "--workers",
                    str(spec.gpus),
                ],
                env=environment(spec, TRITON),
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests={**build_size(spec), **gpus},
                    limits=gpus or None,
                ),
                security_context=k8s.core.v1.SecurityContextArgs(
                    allow_privilege_escalation=False,
                    capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                ),
                volume_mounts=[
                    k8s.core.v1.VolumeMountArgs(name=volume.name, mount_path=mount)
                    for mount, volume in volumes.items()
                ],
            )
        ],
        volumes=list(volumes.values()),
    )


def _disruptions_do_not_count() -> k8s.batch.v1.PodFailurePolicyArgs:
    """A node that is taken away is no failure of the build."""
    return k8s.batch.v1.PodFailurePolicyArgs(
        rules=[
            k8s.batch.v1.PodFailurePolicyRuleArgs(
                action="Ignore",
                on_pod_conditions=[
                    k8s.batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(
                        type="DisruptionTarget", status="True"
                    )
                ],
            )
        ]
    )
