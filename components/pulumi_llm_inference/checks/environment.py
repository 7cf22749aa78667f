"""Problems of a whole environment, found before its first resource is made."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pulumi_llm_inference.checks.autoscaler import autoscaler_problems
from pulumi_llm_inference.checks.model_server import model_server_problems
from pulumi_llm_inference.checks.pool import pool_problems
from pulumi_llm_inference.spec.environment import EnvironmentSpec
from pulumi_llm_inference.spec.model_server import NamedModelSpec
from pulumi_llm_inference.spec.problems import Problem, SpecError, nearest, parse


def read_environment(config: Mapping[str, Any]) -> tuple[EnvironmentSpec, list[Problem]]:
    """An environment from its configuration, and the warnings about it.

    Raises:
        SpecError: with every problem of shape; if there is none, with every problem of meaning.
    """
    environment = parse(EnvironmentSpec, config)
    problems = list(environment_problems(environment))
    if errors := [problem for problem in problems if not problem.warning]:
        raise SpecError(errors)
    return environment, problems


def environment_problems(environment: EnvironmentSpec) -> Iterator[Problem]:
    """What is wrong with an environment whose shape is right."""
    yield from _repeated((pool.name for pool in environment.pools), "pools[{}].name", "pools")
    models = environment.models
    same_name = list(_repeated((model.name for model in models), "models[{}].name", "models"))
    services = (model.service_name or model.name for model in models)
    yield from same_name or _repeated(services, "models[{}].serviceName", "Services")
    for index, pool in enumerate(environment.pools):
        yield from pool_problems(pool, f"pools[{index}]")
    pools = {pool.name: pool for pool in environment.pools}
    for index, model in enumerate(models):
        path = f"models[{index}]"
        pool = pools.get(model.pool)
        if pool is None:
            yield Problem(
                f"{path}.pool", f"there is no pool '{model.pool}'", nearest(model.pool, pools)
            )
        else:
            yield from model_server_problems(model.name, model, pool, path)
        yield from _scaling_problems(model, environment, path)
    yield from _capacity_problems(environment)


def _repeated(names: Iterable[str], path: str, things: str) -> Iterator[Problem]:
    listed = list(names)
    counts = Counter(listed)
    for index, name in enumerate(listed):
        if counts[name] > 1 and listed.index(name) < index:
            yield Problem(
                path.format(index),
                f"'{name}' is the name of {counts[name]} {things}",
                "give each a name of its own",
            )


def _scaling_problems(
    model: NamedModelSpec, environment: EnvironmentSpec, path: str
) -> Iterator[Problem]:
    if model.autoscaling is None:
        return
    if "replicas" in model.model_fields_set and model.replicas is not None:
        yield Problem(
            f"{path}.replicas",
            f"{model.replicas} would be fought over with autoscaling",
            "remove replicas; autoscaling.minReplicas is the floor",
        )
    yield from autoscaler_problems(
        model.autoscaling,
        f"{path}.autoscaling",
        environment.kubernetes_version,
        environment.monitoring.prometheus_address,
    )


def _capacity_problems(environment: EnvironmentSpec) -> Iterator[Problem]:
    """Warn of pools that cannot hold what may be asked of them: pods would wait for ever."""
    for index, pool in enumerate(environment.pools):
        gpus = pool.max_nodes * pool.gpus_per_node
        wanted = sum(_most_gpus(model) for model in environment.models if model.pool == pool.name)
        if wanted > gpus:
            yield Problem(
                f"pools[{index}].maxNodes",
                f"the pool has at most {gpus} GPUs, and its models may ask for {wanted}",
                "raise maxNodes or lower maxReplicas",
                warning=True,
            )


def _most_gpus(model: NamedModelSpec) -> int:
    replicas = model.autoscaling.max_replicas if model.autoscaling else model.replicas or 1
    return replicas * model.gpus
