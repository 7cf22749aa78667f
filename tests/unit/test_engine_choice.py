"""Which engine is recommended, and the page that says so."""

import itertools
import re
import runpy
from collections.abc import Iterator

import pytest

from pulumi_llm_inference.catalog.accelerators import accelerators
from pulumi_llm_inference.engines import ENGINES
from pulumi_llm_inference.engines.base import ENGINE_FIELDS
from pulumi_llm_inference.engines.choice import (
    FAMILIES,
    FIGURES,
    LEAST_DAYS,
    ROWS,
    RULES,
    TITLES,
    Answers,
    Need,
    NoEngineError,
    capability,
    comparison,
    obstacles,
    recommend,
)
from pulumi_llm_inference.spec.autoscaling import Signal
from pulumi_llm_inference.spec.model_server import EngineName
from tests.support import ROOT

ACCELERATORS = [None, *accelerators(), *FAMILIES]
NEEDS = [
    frozenset(needs)
    for size in range(len(Need) + 1)
    for needs in itertools.combinations(Need, size)
]
AUTOSCALING = frozenset({Need.AUTOSCALING})


def _all_answers(accelerator: str | None) -> Iterator[Answers]:
    yes_or_no = (False, True)
    for models, days, prefixes, development, needs in itertools.product(
        (None, 1, 2), (None, 0, LEAST_DAYS), yes_or_no, yes_or_no, NEEDS
    ):
        yield Answers(
            accelerator=accelerator,
            models=models,
            days=days,
            shared_prefixes=prefixes,
            development=development,
            needs=needs,
        )


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_whatever_is_asked_the_engine_can_do_it(accelerator: str | None) -> None:
    for answers in _all_answers(accelerator):
        try:
            found = recommend(answers)
        except NoEngineError:
            assert all(obstacles(engine, answers) for engine in ENGINES.values())
            continue
        engine = ENGINES[found.engine]
        assert accelerator is None or capability(accelerator) >= engine.least_capability
        assert Need.AUTOSCALING not in answers.needs or engine.gauges(Signal.QUEUE_SIZE)
        assert Need.LORA not in answers.needs or "lora_adapters" in engine.fields
        assert Need.API_KEY not in answers.needs or "api_key" in engine.fields
        assert Need.MULTI_NODE not in answers.needs or engine.node_arguments
        assert found.reason
        assert found.because
        named = [found.engine, *found.alternatives, *found.impossible]
        assert sorted(named) == sorted(ENGINES)
        assert all(found.alternatives.values())
        assert all(found.impossible.values())


@pytest.mark.parametrize("accelerator", ["nvidia-t4", "t4", "T4", "turing"])
def test_a_t4_never_gets_what_needs_ampere(accelerator: str) -> None:
    for answers in _all_answers(accelerator):
        if Need.SEVERAL_FRAMEWORKS in answers.needs:
            with pytest.raises(NoEngineError, match=r"compute capability 8\.0"):
                recommend(answers)
        else:
            found = recommend(answers)
            assert found.engine not in {EngineName.TENSORRT_LLM, EngineName.TRITON}
            assert "compute capability 8.0" in found.impossible[EngineName.TENSORRT_LLM]


@pytest.mark.parametrize(
    ("answers", "engine"),
    [
        (Answers(), EngineName.VLLM),
        (Answers(development=True), EngineName.OLLAMA),
        (Answers(development=True, accelerator="t4"), EngineName.OLLAMA),
        (Answers(development=True, needs=AUTOSCALING), EngineName.VLLM),
        (Answers(models=1, days=LEAST_DAYS), EngineName.TENSORRT_LLM),
        (Answers(models=1, days=LEAST_DAYS - 1), EngineName.VLLM),
        (Answers(models=2, days=90), EngineName.VLLM),
        (Answers(models=1, days=90, accelerator="t4"), EngineName.VLLM),
        (Answers(models=1, days=90, needs=frozenset({Need.LORA})), EngineName.VLLM),
        (Answers(models=3, shared_prefixes=True), EngineName.SGLANG),
        (
            Answers(shared_prefixes=True, needs=frozenset(Need) - {Need.SEVERAL_FRAMEWORKS}),
            "sglang",
        ),
        (Answers(accelerator="volta"), EngineName.OLLAMA),
        (Answers(needs=frozenset({Need.SEVERAL_FRAMEWORKS, *AUTOSCALING})), EngineName.TRITON),
    ],
)
def test_who_gets_what(answers: Answers, engine: str) -> None:
    assert recommend(answers).engine == engine


def test_a_rule_that_is_passed_over_says_why() -> None:
    found = recommend(Answers(accelerator="t4", models=1, days=30))
    [passed] = [step for step in found.because if "but not" in step]
    assert "TensorRT-LLM" in passed
    assert "t4" in passed


def test_only_engines_that_are_given_are_recommended() -> None:
    for name, engine in ENGINES.items():
        assert recommend(Answers(), {name: engine}).engine == name


def test_no_engine_for_what_none_can_do() -> None:
    with pytest.raises(NoEngineError, match="no engine can do all of this") as error:
        recommend(Answers(accelerator="pascal", needs=AUTOSCALING))
    _, *lines = str(error.value).splitlines()
    titles = list(TITLES.values())
    assert [line.split(":")[0] for line in lines] == [f"  {title}" for title in titles]


def test_a_reason_does_not_say_the_engines_name_again() -> None:
    for name, reason in recommend(Answers(needs=AUTOSCALING)).impossible.items():
        assert not reason.startswith(TITLES[name])


def test_an_unknown_accelerator_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'nvidia-h100-80gb'"):
        recommend(Answers(accelerator="nvidia-h100-80g"))


def test_every_engine_has_one_rule_and_the_last_asks_nothing() -> None:
    assert sorted(rule.engine for rule in RULES) == sorted(EngineName) == sorted(TITLES)
    assert [bool(rule.question) for rule in RULES] == [True] * (len(RULES) - 1) + [False]


def test_what_is_said_of_vllm_is_true() -> None:
    assert "every setting" in RULES[-1].reason
    assert ENGINES[RULES[-1].engine].fields >= set(ENGINE_FIELDS)
    assert ENGINES[RULES[-1].engine].least_capability == FAMILIES["turing"]


def test_the_comparison_says_what_the_records_say() -> None:
    for engine in ENGINES.values():
        column = comparison(engine)
        assert list(column) == [row.title for row in ROWS]
        assert all(column.values())
        assert column["image"] == engine.image
        assert column["autoscaling by queue"] == ("yes" if engine.metrics else "no")


def test_figures_have_a_source_and_a_date() -> None:
    for figure in FIGURES:
        assert figure.source
        assert re.match(r"20\d\d", figure.date)


def test_the_page_about_engines_is_made_from_their_records() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "engines.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"]()
    chart = script["flowchart"]()
    for rule in RULES:
        assert f'(["{TITLES[rule.engine]}"])' in chart
        assert rule.question in chart
