"""Several pools in order of preference, a floor that spot cannot take, and how pods end."""

from typing import Any

import pytest

from pulumi_llm_inference import ModelServer
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.spec.environment import ENVIRONMENTS, CloudEnvironmentSpec
from pulumi_llm_inference.spec.placement import placement
from pulumi_llm_inference.spec.pool import CapacityType, Cloud, GpuNodePoolSpec, Placement
from pulumi_llm_inference.spec.problems import parse
from pulumi_llm_inference.spec.shutdown import shutdown
from tests.environments import tracked_config
from tests.support import Recording, changed, flag_values, record, selects


def place(name: str, capacity: CapacityType, cloud: Cloud = Cloud.GKE) -> Placement:
    spec = GpuNodePoolSpec(accelerator="nvidia-l4", max_nodes=4, capacity_type=capacity)
    return placement(name, spec, cloud)


RESERVED = place("reserved", CapacityType.RESERVED)
ON_DEMAND = place("lasting", CapacityType.ON_DEMAND)
SPOT = place("spot", CapacityType.SPOT)


def served(*placements: Placement, **args: Any) -> Recording:
    return record(lambda: ModelServer("chat", {"model": "m", "placements": placements, **args}))


def test_a_pod_runs_on_any_of_its_pools_and_prefers_the_first() -> None:
    affinity = served(RESERVED, ON_DEMAND, SPOT).pod("chat")["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    labels = [{rule["key"]: rule["values"] for rule in term["matchExpressions"]} for term in terms]
    assert [term["llm-inference/pool"] for term in labels] == [["reserved"], ["lasting"], ["spot"]]
    preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [item["preference"] for item in preferred] == terms[:-1]
    weights = [item["weight"] for item in preferred]
    assert weights == sorted(weights, reverse=True)
    assert 1 <= weights[-1] < weights[0] <= 100


def test_one_pool_is_no_preference() -> None:
    affinity = served(ON_DEMAND).pod("chat")["affinity"]["nodeAffinity"]
    assert "preferredDuringSchedulingIgnoredDuringExecution" not in affinity


def test_it_tolerates_the_taints_of_all_its_pools_once() -> None:
    tolerations = served(ON_DEMAND, SPOT).pod("chat")["tolerations"]
    assert [item["key"] for item in tolerations] == ["nvidia.com/gpu", "cloud.google.com/gke-spot"]
    assert {item["operator"] for item in tolerations} == {"Exists"}


def test_a_floor_stays_off_spot_behind_the_same_service() -> None:
    recording = served(SPOT, ON_DEMAND, floor=2, replicas=None)
    floor = recording.resource("Deployment", "chat-floor")
    assert floor.inputs["spec"]["replicas"] == 2
    assert floor.ignoreChanges == []
    assert "replicas" not in recording.one("Deployment", "chat")["spec"]
    affinity = recording.pod("chat-floor")["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert "lasting" in str(term)
    assert "spot" not in str(recording.pod("chat-floor")["tolerations"])
    templates = recording.pods()
    service = recording.one("Service")["spec"]["selector"]
    budget = recording.one("PodDisruptionBudget")["spec"]["selector"]
    for name, template in templates.items():
        labels = template["metadata"]["labels"]
        assert service.items() <= labels.items()
        assert selects(budget, labels)
        for other in templates:
            own = recording.one("Deployment", other)["spec"]["selector"]
            assert selects(own, labels) == (other == name)


@pytest.mark.parametrize(
    ("cloud", "ends"),
    [
        (Cloud.LOCAL, (15, 45, 15)),
        (Cloud.GKE, (3, 9, 3)),
        (Cloud.EKS, (15, 45, 15)),
        (Cloud.AKS, (4, 12, 4)),
    ],
)
def test_on_spot_a_pod_ends_within_what_the_cloud_leaves(
    cloud: Cloud, ends: tuple[int, int, int]
) -> None:
    recording = served(place("spot", CapacityType.SPOT, cloud))
    pod, container = recording.pod("chat"), recording.container("chat")
    pre_stop, drain, _ = ends
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == pre_stop
    assert flag_values(container["args"])["--shutdown-timeout"] == str(drain)
    assert pod["terminationGracePeriodSeconds"] == sum(ends)
    assert bool(recording.warnings) == (drain < 45)
    for warning in recording.warnings:
        assert f"running requests get {drain} s" in warning


def test_the_floor_drains_as_long_as_it_likes() -> None:
    recording = served(SPOT, ON_DEMAND, floor=1, drain_seconds=60)
    assert recording.pod("chat")["terminationGracePeriodSeconds"] == 15
    assert recording.pod("chat-floor")["terminationGracePeriodSeconds"] == 15 + 60 + 15


@pytest.mark.parametrize("notice", [None, *range(5, 400, 7)])
@pytest.mark.parametrize("drain", [1, 45, 600])
def test_the_end_of_a_pod_fits(drain: int, notice: int | None) -> None:
    end = shutdown(drain, notice)
    assert 1 <= end.drain_seconds <= drain
    if notice is not None:
        assert end.grace_seconds <= notice


def environment(**models: list[str]) -> CloudEnvironmentSpec:
    """The pools of eks-prod, and models on them."""
    config = tracked_config("eks-prod")
    [model] = config["models"]
    del model["floor"]
    config["models"] = [{**model, "name": name, "pools": on} for name, on in models.items()]
    found = parse(ENVIRONMENTS["eks"], config)
    assert isinstance(found, CloudEnvironmentSpec)
    return found


def test_pools_grow_in_the_order_that_models_prefer() -> None:
    both = ["l4-spot", "l4"]
    assert environment(a=both).growth_order == [["l4-spot"], ["l4"]]
    assert environment(a=both, b=["l4"]).growth_order == [["l4-spot"], ["l4"]]
    # Who wants it last counts: nobody's last resort grows first.
    assert environment(a=both, b=both[::-1]).growth_order == [["l4", "l4-spot"]]


def test_too_little_room_in_all_pools_together_is_said() -> None:
    config = changed("models.0.autoscaling.maxReplicas", 19, tracked_config("gke-prod"))
    _, warnings = read_environment(config)
    [said] = [str(warning) for warning in warnings]
    assert "models[0].pools: have room for 20 pods, and the model may need 21" in said


def test_an_order_that_nobody_is_told_is_said() -> None:
    config = tracked_config("eks-prod")
    del config["cluster"]
    config["clusterStack"] = "me/llm-inference/cluster"
    _, warnings = read_environment(config)
    assert "is for 'me/llm-inference/cluster' to say" in str(warnings[0])
