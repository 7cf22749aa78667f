"""How configuration is read: leniently where no meaning is lost, never by exception."""

import json
from typing import Any

import pulumi
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.checks.environment import read_environment
from pulumi_llm_inference.serving.model_server import ModelServerArgs
from pulumi_llm_inference.spec.environment import EnvironmentSpec
from pulumi_llm_inference.spec.pool import GpuNodePoolSpec
from pulumi_llm_inference.spec.problems import Problem, SpecError, nearest, parse, quoted
from tests.support import TOKEN, changed, local_config


def _pool(**values: Any) -> GpuNodePoolSpec:
    return parse(GpuNodePoolSpec, {"accelerator": "nvidia-l4", **values})


@pytest.mark.parametrize("value", [8, 8.0, "8"])
@pytest.mark.parametrize("key", ["maxNodes", "max_nodes"])
def test_whole_numbers(key: str, value: object) -> None:
    assert _pool(**{key: value}).max_nodes == 8
    assert type(_pool(**{key: value}).max_nodes) is int


@pytest.mark.parametrize(
    "value",
    [8.5, "8.5", "eight", None, [8], {}, True],
)
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(SpecError, match="maxNodes"):
        _pool(maxNodes=value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.0.cpu", 4),
        ("models.0.env", {"VLLM_NO_USAGE_STATS": 1}),
        ("models.0.extraArgs", ["--block-size", 16]),
        ("models.0.labels", {"revision": 7}),
    ],
)
def test_numbers_where_text_is_wanted(path: str, value: object) -> None:
    read_environment(changed(path, value))


@pytest.mark.parametrize(
    "value",
    [float("inf"), float("nan")],
)
def test_no_number_is_infinite(value: float) -> None:
    with pytest.raises(SpecError):
        read_environment(changed("models.0.autoscaling.targets.queueSize", value))


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("1.30", True),
        ("1.36", True),
        ("v1.30", False),
        ("1.30.2", False),
        ("2.0", False),
        ("1.3", False),
    ],
)
def test_kubernetes_versions(version: str, accepted: bool) -> None:
    config = changed("kubernetesVersion", version)
    if accepted:
        assert read_environment(config)[0].kubernetes_version == version
    else:
        with pytest.raises(SpecError, match="kubernetesVersion"):
            read_environment(config)


NAMES = {
    "a": True,
    "a-1": True,
    "a" * 63: True,
    "": False,
    "a" * 64: False,
    "-a": False,
    "a-": False,
    "1a": False,
    "a.b": False,
    "a_b": False,
    "A": False,
    "ä": False,
    "a\n": False,
}


@pytest.mark.parametrize(("name", "accepted"), NAMES.items())
def test_names(name: str, accepted: bool) -> None:
    config = changed("models.0.serviceName", name)
    if accepted:
        read_environment(config)
    else:
        with pytest.raises(SpecError, match="not a Kubernetes name"):
            read_environment(config)


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("app", "vllm", True),
        ("example.com/team", "", True),
        ("a" * 63, "b" * 63, True),
        ("app", "b" * 64, False),
        ("a" * 64, "b", False),
        ("app", "-b", False),
        ("app", "b c", False),
        ("/app", "b", False),
        ("a/b/c", "d", False),
        ("UPPER.example/app", "b", False),
        ("a..b/app", "b", False),
        ("a" * 254 + "/app", "b", False),
    ],
)
def test_labels(key: str, value: str, accepted: bool) -> None:
    config = changed("pools.0.labels", {key: value})
    if accepted:
        read_environment(config)
    else:
        with pytest.raises(SpecError, match=r"pools\[0\]\.labels"):
            read_environment(config)


@pytest.mark.parametrize("style", ["camel", "snake"])
def test_both_styles_of_keys(style: str) -> None:
    spec, _ = read_environment(local_config())
    written = json.loads(spec.model_dump_json(by_alias=style == "camel"))
    # `replicas` may not be given beside autoscaling, even as its default.
    for model in written["models"]:
        del model["replicas"]
    assert read_environment(written)[0] == spec


def test_a_spec_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        _pool(maxNodes=1).max_nodes = 2  # type: ignore[misc]


words = st.sampled_from(["a", "b", "gpus", "name", "vllm", "local", "nvidia-l4", "8", TOKEN])
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


def _paths(value: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Paths of everything in a configuration, as `changed` takes them."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    steps = [((*path, str(key)), item) for key, item in items]
    nested = [_paths(item, step) for step, item in steps if isinstance(item, dict | list)]
    return [".".join(step) for step, _ in steps] + [inner for found in nested for inner in found]


def _refuses_cleanly(config: Any) -> None:
    problems: tuple[Problem, ...] | None = None
    try:
        read_environment(config)
    except SpecError as error:
        problems = error.problems
    assert problems != ()
    assert all(problem.path and problem.message for problem in problems or ())


@given(st.dictionaries(st.sampled_from(list(EnvironmentSpec.model_fields)) | words, anything))
@settings(max_examples=150, deadline=None)
def test_any_configuration_is_read_or_refused(config: dict[str, Any]) -> None:
    _refuses_cleanly(config)


@given(st.sampled_from(_paths(local_config())), anything)
@example("models.0.env", {"A": {"name": "x"}})
@example("models.0.env", {"": 1})
@example("models.0.labels", {"": ""})
@settings(max_examples=400, deadline=None)
def test_any_value_anywhere_is_read_or_refused(path: str, value: Any) -> None:
    _refuses_cleanly(changed(path, value))


@pytest.mark.parametrize("config", [None, [], "x", 1])
def test_what_is_no_mapping(config: Any) -> None:
    with pytest.raises(SpecError) as error:
        parse(EnvironmentSpec, config)
    assert all(problem.path and problem.message for problem in error.value.problems)


def test_a_token_in_place_of_everything() -> None:
    with pytest.raises(SpecError) as error:
        parse(EnvironmentSpec, TOKEN)
    assert error.value.problems[0].path


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_quoted_value_is_short_and_shows_no_token(before: str, after: str) -> None:
    text = quoted([before, {"key": f"{before}{TOKEN}{after}"}])
    assert TOKEN not in text
    assert len(text) <= 61


KEY = "sk-" + "123"


@pytest.mark.parametrize("value", [KEY, [KEY]])
@pytest.mark.parametrize(
    ("field", "cure"),
    [
        ("apiKey", "'apiKey: {name: SECRET, key: KEY}'"),
        ("huggingFaceToken", "'huggingFaceToken: {name: SECRET}'"),
    ],
)
def test_a_key_in_clear_is_not_repeated(field: str, cure: str, value: object) -> None:
    with pytest.raises(SpecError) as error:
        read_environment(changed(f"models.0.{field}", value))
    [problem] = error.value.problems
    assert problem.path == f"models[0].{field}"
    assert "in clear ends in state and logs" in problem.message
    assert cure in problem.cure
    with pytest.raises(pulumi.RunError) as refused:
        ModelServerArgs.model_validate({"model": "x", "placements": [], field: value})
    assert f"ModelServerArgs.{field}: is " in str(refused.value)
    for said in (error.value, refused.value):
        assert KEY not in str(said)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nvidia-h100", "did you mean 'nvidia-h100-80gb'? "),
        ("l4", "did you mean 'nvidia-l4'? "),
        ("L40S", "did you mean 'nvidia-l40s'? "),
        ("nvidia-l5", "did you mean 'nvidia-l4'? "),
        ("nvidia-l4s", "did you mean 'nvidia-l40s'? "),
        ("nvidia-l44", "did you mean 'nvidia-l4'? "),
        ("nvidia-v100", ""),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_has_what_was_written(name: str, hint: str) -> None:
    assert nearest(name, accelerators()).startswith(f"{hint}known: ")


def test_every_union_branch_is_said_once() -> None:
    with pytest.raises(SpecError) as error:
        read_environment(changed("models.0.env", {"A": {"name": "x"}, "B": [1]}))
    paths = [problem.path for problem in error.value.problems]
    assert len(set(paths)) == len(paths)
    assert {path.split(".")[-1] for path in paths} <= {"A", "B", "key"}
