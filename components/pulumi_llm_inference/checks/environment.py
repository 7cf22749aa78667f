"""Problems of a whole environment, found before its first resource is made."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_llm_inference.checks.autoscaler import autoscaler_problems
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.checks.pool import pool_problems
from pulumi_llm_inference.spec.autoscaling import AutoscalingMethod
from pulumi_llm_inference.spec.environment import EnvironmentSpec, MonitorKind
from pulumi_llm_inference.spec.model_server import NamedModelSpec
from pulumi_llm_inference.spec.pool import NamedPoolSpec
from pulumi_llm_inference.spec.problems import Problem, SpecError, nearest, parse


def read_environment(config: Mapping[str, Any]) -> tuple[EnvironmentSpec, list[Problem]]:
    """An environment from its configuration, and the warnings about it as a whole.

    Warnings about its parts are the components' to give.

    Raises:
        SpecError: with every problem of shape; if there is none, with every problem of meaning.
    """
    environment = parse(EnvironmentSpec, config)
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
    for index, pool in enumerate(environment.pools):
        yield from pool_problems(pool.name, pool, f"pools[{index}]")
    pools = {pool.name: pool for pool in environment.pools}
    for index, model in enumerate(models):
        path = f"models[{index}]"
        pool = pools.get(model.pool)
        if pool is None:
            yield Problem(
                f"{path}.pool", f"there is no pool '{model.pool}'", nearest(model.pool, pools)
            )
        yield from model_server_problems(model.name, model, pool, path)
        yield from _scaling_problems(model, environment, path)


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
        and monitoring.kind is not MonitorKind.SERVICE_MONITOR
    ):
        yield Problem(
            f"{path}.autoscaling.method",
            "'keda' finds a server's metrics by the label 'service', which only monitors set",
            "set monitoring.kind to 'service-monitor', or use method 'hpa'",
        )
    yield from autoscaler_problems(
        model.autoscaling,
        f"{path}.autoscaling",
        environment.kubernetes_version,
        monitoring.prometheus_address,
    )


def capacity_warnings(environment: EnvironmentSpec) -> Iterator[Problem]:
    """Warn of pools that cannot hold what may be asked of them: pods would wait for ever."""
    for index, pool in enumerate(environment.pools):
        wanted = math.ceil(
            sum(_most_nodes(model, pool) for model in environment.models if model.pool == pool.name)
        )
        if wanted > pool.max_nodes:
            yield Problem(
                f"pools[{index}].maxNodes",
                f"the pool has at most {pool.max_nodes} nodes, and its models may need {wanted}",
                "raise maxNodes or lower maxReplicas",
                warning=True,
            )


def _most_nodes(model: NamedModelSpec, pool: NamedPoolSpec) -> float:
    """Nodes that a model fills at its largest; a replica's GPUs are on one node."""
    replicas = model.autoscaling.max_replicas if model.autoscaling else model.replicas or 1
    return replicas / (pool.gpus_per_node // model.gpus)
