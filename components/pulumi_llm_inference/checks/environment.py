"""Problems of a whole environment, found before its first resource is made."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from pulumi_llm_inference.checks.addons import addons_problems, metrics_source
from pulumi_llm_inference.checks.autoscaler import (
    autoscaler_problems,
    signal_problems,
    source_problems,
)
from pulumi_llm_inference.checks.cluster import cluster_problems
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.checks.pool import machines_of, pool_problems
from pulumi_llm_inference.checks.triton import build_size
from pulumi_llm_inference.checks.weights import bucket_problems
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.base import quantity_value
from pulumi_llm_inference.spec.environment import (
    ENVIRONMENTS,
    AksEnvironmentSpec,
    CloudEnvironmentSpec,
    EnvironmentSpec,
    MonitorKind,
)
from pulumi_llm_inference.spec.model_server import NamedModelSpec
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import Cloud, NamedPoolSpec
from pulumi_llm_inference.spec.problems import Problem, SpecError, nearest, parse


def read_environment(config: Mapping[str, Any]) -> tuple[EnvironmentSpec, list[Problem]]:
    """An environment from its configuration, and the warnings about it as a whole.

    Warnings about its parts are the components' to give.

    Raises:
        SpecError: with every problem of shape; if there is none, with every problem of meaning.
    """
    # An unknown cloud is the first problem to say, which every kind of environment does.
    kind = ENVIRONMENTS.get(str(config.get("cloud")), EnvironmentSpec)
    environment = parse(kind, config)
    problems = environment_problems(environment)
    if errors := [problem for problem in problems if not problem.warning]:
        raise SpecError(errors)
    return environment, list(capacity_warnings(environment))


def environment_problems(environment: EnvironmentSpec) -> Iterator[Problem]:
    """What is wrong with an environment whose shape is right."""
    models = environment.models
    yield from _repeated(
        "pools", {f"pools[{i}].name": pool.name for i, pool in enumerate(environment.pools)}
    )
    yield from _repeated("models", {f"models[{i}].name": m.name for i, m in enumerate(models)})
    services = {
        f"models[{i}].serviceName": m.service_name or m.name
        for i, m in enumerate(models)
        if m.service_name or m.name not in {other.name for other in models[:i]}
    }
    yield from _repeated("Services", services)
    yield from _claim_problems(models)
    yield from _floor_problems(models)
    if isinstance(environment, CloudEnvironmentSpec):
        yield from _cloud_problems(environment)
    else:
        yield from _local_problems(environment)
    for index, pool in enumerate(environment.pools):
        yield from pool_problems(
            pool.name, pool, environment.cloud, f"pools[{index}]", zones=_zones(environment)
        )
    pools = {pool.name: pool for pool in environment.pools}
    for index, model in enumerate(models):
        path = f"models[{index}]"
        for place, name in enumerate(model.pools):
            if name not in pools:
                yield Problem(
                    f"{path}.pools[{place}]", f"there is no pool '{name}'", nearest(name, pools)
                )
            elif name in model.pools[:place]:
                yield Problem(f"{path}.pools[{place}]", f"'{name}' is named already", "remove it")
        placements = [
            placement(name, pools[name], environment.cloud) for name in model.pools if name in pools
        ]
        # What is only a warning is the component's to say.
        problems = model_server_problems(
            model.name, model, placements, path, environment.kubernetes_version
        )
        yield from (problem for problem in problems if not problem.warning)
        problems = bucket_problems(model.weights, model.weights_bucket, path)
        yield from (problem for problem in problems if not problem.warning)
        yield from _size_problems(model, pools, environment.cloud, path)
        yield from _scaling_problems(model, environment, path)


def _size_problems(
    model: NamedModelSpec, pools: Mapping[str, NamedPoolSpec], cloud: Cloud, path: str
) -> Iterator[Problem]:
    """Pods that ask for all that a machine of their pools has wait for ever."""
    asked = {f"{path}.cpu": model.cpu, f"{path}.memory": model.memory}
    size = build_size(model)
    asked |= {f"{path}.triton.build.{key}": value for key, value in size.items()}
    # Of several machine types of a pool, the smallest may be what there is.
    machines = [
        machine
        for name in model.pools
        if name in pools and cloud is not Cloud.LOCAL
        for machine in machines_of(cloud, pools[name])[:1]
    ]
    if not machines:
        return
    cores = max(machine.vcpus for machine in machines)
    gib = max(machine.memory_gib for machine in machines)
    for place, quantity in asked.items():
        largest, has = (
            (cores, f"{cores:g}") if place.endswith("cpu") else (gib * 2**30, f"{gib:g}Gi")
        )
        if quantity_value(quantity) >= largest:
            yield Problem(
                place,
                f"'{quantity}' is not less than the machine of any of its pools has ({has}), and a "
                "node needs some itself",
                "ask for less, or set a larger machine for the pool",
            )


def _claim_problems(models: Sequence[NamedModelSpec]) -> Iterator[Problem]:
    """A claim is made once, whoever uses it."""
    made: dict[str, str] = {}
    for index, model in enumerate(models):
        path = f"models[{index}]"
        claims = {}
        if model.weights.storage_class and model.weights.shared:
            claims[f"{model.name}-weights"] = f"{path}.weights.storageClass"
        if model.triton and model.triton.build and model.triton.build.claim_size:
            claims[model.triton.model_repository_claim] = f"{path}.triton.build.claimSize"
        for claim, place in claims.items():
            if claim in made:
                yield Problem(
                    place,
                    f"the claim '{claim}' is made by {made[claim]} already",
                    "leave claimSize and storageClass out of all models but one, or use another "
                    "claim",
                )
            made.setdefault(claim, place)


def _floor_problems(models: Sequence[NamedModelSpec]) -> Iterator[Problem]:
    """A floor's Deployment has a name of its own, which another model may have."""
    names = {model.name for model in models}
    for index, model in enumerate(models):
        if model.floor and f"{model.name}-floor" in names:
            yield Problem(
                f"models[{index}].floor",
                f"needs the name '{model.name}-floor', which another model has",
                "rename that model",
            )


def _local_problems(environment: EnvironmentSpec) -> Iterator[Problem]:
    """What is wrong with an environment on simulated nodes."""
    for field in ("pools", "models"):
        if not getattr(environment, field):
            yield Problem(field, "is empty: there is nothing to run", "add at least one")
    for index, model in enumerate(environment.models):
        if model.weights_bucket:
            yield Problem(
                f"models[{index}].weightsBucket",
                f"'{model.weights_bucket}' cannot be reached from simulated nodes",
                "remove it, or choose a cloud",
            )


def _cloud_problems(environment: CloudEnvironmentSpec) -> Iterator[Problem]:
    """What is wrong with an environment's cluster, and with what it needs once."""
    sources = ("cluster", "existing_cluster", "cluster_stack")
    given = [to_camel(name) for name in sources if getattr(environment, name) is not None]
    if len(given) != 1:
        yield Problem(
            given[1] if given else "cluster",
            f"{' and '.join(given)} are {len(given)} clusters" if given else "is missing",
            f"give one of {', '.join(map(to_camel, sources))}",
        )
    for source in sources[:2]:
        if (spec := getattr(environment, source)) is not None:
            yield from cluster_problems(environment.cloud, spec, to_camel(source))
    pins_version = environment.cloud in (Cloud.EKS, Cloud.AKS) and environment.cluster is not None
    if pins_version and "kubernetes_version" not in environment.model_fields_set:
        yield Problem(
            "kubernetesVersion",
            "is missing: the cluster is made with it",
            "write for example '1.35'",
        )
    yield from addons_problems(
        environment.cloud,
        environment.addons,
        frozenset(environment.methods),
        environment.prometheus_address,
        "addons",
    )
    yield from _existing_problems(environment)
    if environment.models and not environment.pools:
        yield Problem("pools", "is empty: there is nowhere for the models to run", "add one")
    if environment.cloud is Cloud.GKE and _zones(environment) is None:
        for index, pool in enumerate(environment.pools):
            if not pool.zones:
                yield Problem(
                    f"pools[{index}].zones",
                    "is missing: not every zone of a region has every GPU",
                    "name the zones that have it, here or under cluster",
                )


def _existing_problems(environment: CloudEnvironmentSpec) -> Iterator[Problem]:
    """What is missing to use a cluster that somebody else made."""
    if environment.existing_cluster is None:
        return
    if environment.cloud is Cloud.EKS and environment.addons.node_autoscaler:
        yield Problem(
            "addons.nodeAutoscaler",
            "is on, and cluster-autoscaler has no identity in a cluster that is not ours",
            "set it to no, and see that the cluster has a node autoscaler",
        )
    if isinstance(environment, AksEnvironmentSpec) and environment.existing_cluster:
        buckets = [model.name for model in environment.models if model.weights_bucket]
        for field in ("location", "oidc_issuer_url") if buckets else ():
            if getattr(environment.existing_cluster, field) is None:
                yield Problem(
                    f"existingCluster.{to_camel(field)}",
                    f"is missing, and '{buckets[0]}' reads its weights from a bucket",
                    "add it",
                )


def _zones(environment: EnvironmentSpec) -> list[str] | None:
    """Zones of the cluster, where the environment says them."""
    cluster = environment.cluster if isinstance(environment, CloudEnvironmentSpec) else None
    return (cluster.zones or None) if cluster else None


def _repeated(things: str, names: Mapping[str, str]) -> Iterator[Problem]:
    """Find names that stand at several paths; the first of them may keep it."""
    counts = Counter(names.values())
    seen: set[str] = set()
    for path, name in names.items():
        if name in seen:
            yield Problem(
                path,
                f"'{name}' is the name of {counts[name]} {things}",
                "give each a name of its own",
            )
        seen.add(name)


def _scaling_problems(
    model: NamedModelSpec, environment: EnvironmentSpec, path: str
) -> Iterator[Problem]:
    if model.autoscaling is None:
        if model.replicas is None:
            yield Problem(
                f"{path}.replicas",
                "is null, and nothing scales the model",
                "set it, or autoscaling",
            )
        return
    if "replicas" in model.model_fields_set and model.replicas is not None:
        yield Problem(
            f"{path}.replicas",
            f"{model.replicas} would be fought over with autoscaling",
            "remove replicas; autoscaling.minReplicas is the floor",
        )
    monitoring = environment.monitoring
    if (
        model.autoscaling.method is AutoscalingMethod.KEDA
        and model.autoscaling.targets.by_signal()
        and monitoring.kind is not MonitorKind.SERVICE_MONITOR
    ):
        yield Problem(
            f"{path}.autoscaling.method",
            "'keda' finds a server's metrics by the label 'service', which only monitors set",
            "set monitoring.kind to 'service-monitor', or use method 'hpa'",
        )
    place = f"{path}.autoscaling"
    yield from autoscaler_problems(
        model.autoscaling, place, environment.kubernetes_version, environment.prometheus_address
    )
    engine = ENGINES[model.engine]
    yield from signal_problems(model.autoscaling, place, engine, engine.no_queue(model))
    if isinstance(environment, CloudEnvironmentSpec):
        source = metrics_source(environment.cloud, environment.addons)
        yield from source_problems(model.autoscaling, place, engine, source)


def capacity_warnings(environment: EnvironmentSpec) -> Iterator[Problem]:
    """Warn of pools that cannot hold what may be asked of them: pods would wait for ever."""
    for index, pool in enumerate(environment.pools):
        only_here = [model for model in environment.models if model.pools == [pool.name]]
        wanted = math.ceil(sum(_most_nodes(model, pool) for model in only_here))
        if wanted > pool.max_nodes:
            yield Problem(
                f"pools[{index}].maxNodes",
                f"the pool has at most {pool.max_nodes} nodes, and its models may need {wanted}",
                "raise maxNodes or lower maxReplicas",
                warning=True,
            )
    yield from _order_warnings(environment)
    yield from _bucket_warnings(environment)
    pools = {pool.name: pool for pool in environment.pools}
    for index, model in enumerate(environment.models):
        room = sum(
            pools[name].max_nodes * _pods_per_node(model, pools[name]) for name in model.pools
        )
        if len(model.pools) > 1 and _most_pods(model) > room:
            yield Problem(
                f"models[{index}].pools",
                f"have room for {room} pods, and the model may need {_most_pods(model)}",
                "raise maxNodes or lower maxReplicas",
                warning=True,
            )


def _bucket_warnings(environment: EnvironmentSpec) -> Iterator[Problem]:
    """Warn of buckets that nothing here lets the pods read."""
    if isinstance(environment, CloudEnvironmentSpec):
        for index, model in enumerate(environment.models):
            problems = bucket_problems(model.weights, model.weights_bucket, f"models[{index}]")
            yield from (problem for problem in problems if problem.warning)


def _order_warnings(environment: EnvironmentSpec) -> Iterator[Problem]:
    """Warn of an order of pools that the node autoscaler is not told."""
    if not (isinstance(environment, CloudEnvironmentSpec) and environment.cluster_stack):
        return
    for index, model in enumerate(environment.models):
        if len(model.pools) > 1 and environment.cloud is not Cloud.GKE:
            yield Problem(
                f"models[{index}].pools",
                "are preferred in this order where nodes exist, but which pool grows is for "
                f"'{environment.cluster_stack}' to say, which does not know them",
                "make cluster and models in one stack if it matters",
                warning=True,
            )


def _most_nodes(model: NamedModelSpec, pool: NamedPoolSpec) -> float:
    """Nodes that a model fills at its largest."""
    return _most_pods(model) / _pods_per_node(model, pool)


def _most_pods(model: NamedModelSpec) -> int:
    scaled = model.autoscaling.max_replicas if model.autoscaling else model.replicas or 1
    return (model.floor + scaled) * model.nodes


def _pods_per_node(model: NamedModelSpec, pool: NamedPoolSpec) -> int:
    """A pod's GPUs are on one node."""
    return pool.gpus_per_node // model.gpus
