"""`llm-inference engines` and `adapter-rules`."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulumi_llm_inference.cli.output import OUT, AsJson, fail

if TYPE_CHECKING:
    from pulumi_llm_inference.engines.choice import Answers, Recommendation

_DAYS_OF_A_WEEK = 7


def engines(  # noqa: PLR0917  the command line names them
    accelerator: Annotated[
        str | None, typer.Option(help="GPU model or family, e.g. nvidia-t4 or hopper.")
    ] = None,
    models: Annotated[
        int | None, typer.Option(min=1, help="Models served in the months to come.")
    ] = None,
    weeks: Annotated[
        float | None, typer.Option(min=0, help="Weeks until it must be in production.")
    ] = None,
    shared_prefixes: Annotated[
        bool | None,
        typer.Option(help="Many requests begin alike, have many turns, or need JSON."),
    ] = None,
    development: Annotated[bool | None, typer.Option(help="For development only.")] = None,
    autoscaling: Annotated[
        bool | None, typer.Option(help="Replicas follow the queue. Default: if in production.")
    ] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option(help="What it must be able to do; repeatable."),
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask for the answers one by one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the inference engines, or say which one suits.

    Without answers it compares them; with some, or --ask, it recommends one.
    Needs are lora, multi-node, api-key and several-frameworks. Examples:

      llm-inference engines

      llm-inference engines --accelerator nvidia-h100-80gb --models 1 --weeks 4

      llm-inference engines --ask
    """
    from pulumi_llm_inference.engines import ENGINES
    from pulumi_llm_inference.engines.choice import comparison, recommend

    given = {
        "accelerator": accelerator,
        "models": models,
        "weeks": weeks,
        "shared_prefixes": shared_prefixes,
        "development": development,
        "autoscaling": autoscaling,
        "needs": needs or None,
    }
    given = {name: answer for name, answer in given.items() if answer is not None}
    if ask:
        given |= _ask(given)
    try:
        found = recommend(_answers(given)) if given else None
    except ValueError as error:
        fail(str(error))
    if as_json:
        compared = {name: comparison(engine) for name, engine in ENGINES.items()}
        recommended = asdict(found) if found else None
        print(json.dumps({"engines": compared, "recommendation": recommended}, indent=2))
        return
    if found:
        _recommend(found)
    else:
        _compare()
        OUT.print("next: llm-inference engines --ask  (which one suits)", markup=False)


def adapter_rules() -> None:
    """Print the configuration of prometheus-adapter for all engines.

    It names no model, so it stays as it is when models come and go. Example:

      llm-inference adapter-rules > adapter.yaml
    """
    import yaml

    from pulumi_llm_inference.engines import ENGINES
    from pulumi_llm_inference.scaling.queries import adapter_rules as rules

    yaml.safe_dump(rules(ENGINES.values()), sys.stdout, sort_keys=False, width=200)


def _answers(given: Mapping[str, Any]) -> "Answers":
    from pulumi_llm_inference.engines.choice import Answers, Need

    development = bool(given.get("development"))
    wanted: set[str] = set(given.get("needs") or ())
    if unknown := _unknown_need(wanted):
        fail(f"--needs {unknown}")
    if given.get("autoscaling", not development):
        wanted.add(str(Need.AUTOSCALING))
    weeks = given.get("weeks")
    return Answers(
        accelerator=given.get("accelerator"),
        models=given.get("models"),
        days=None if weeks is None else weeks * _DAYS_OF_A_WEEK,
        shared_prefixes=bool(given.get("shared_prefixes")),
        development=development,
        needs=frozenset(Need(need) for need in wanted),
    )


def _unknown_need(wanted: Iterable[str]) -> str:
    """What to say of the first of `wanted` that is no need; empty if all are."""
    from pulumi_llm_inference.engines.choice import Need
    from pulumi_llm_inference.spec.problems import nearest

    known = {str(need) for need in Need}
    unknown = sorted(set(wanted) - known)
    return f"'{unknown[0]}' is no need ({nearest(unknown[0], known)})" if unknown else ""


def _ask(given: Mapping[str, Any]) -> dict[str, Any]:
    """Answers to the questions that no option has answered; on the error stream, beside JSON."""
    from pulumi_llm_inference.engines.choice import Need, capability

    def known(name: str) -> str:
        try:
            capability(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        return name

    def number(kind: type, least: int) -> Callable[[str], float]:
        def read(text: str) -> float:
            try:
                value = kind(text)
            except ValueError:
                raise typer.BadParameter(f"'{text}' is not a number") from None
            if value < least:
                raise typer.BadParameter(f"{text} is less than {least}")
            return value

        return read

    def needs(text: str) -> list[str]:
        wanted = [need.strip() for need in text.split(",") if need.strip()]
        if unknown := _unknown_need(wanted):
            raise typer.BadParameter(unknown)
        return wanted

    def ask(question: str, read: Callable[[str], Any]) -> Any:
        """The answer as `read` takes it; None if it is left open."""
        return typer.prompt(
            question,
            default="",
            show_default=False,
            value_proc=lambda text: read(text.strip()) if text.strip() else None,
            err=True,
        )

    others = ", ".join(need for need in Need if need is not Need.AUTOSCALING)
    questions = {
        "development": lambda: typer.confirm("For development only?", default=False, err=True),
        "accelerator": lambda: ask("GPU model or family (empty: open)", known),
        "models": lambda: ask("Models to serve (empty: open)", number(int, 1)),
        "weeks": lambda: ask("Weeks until production (empty: open)", number(float, 0)),
        "shared_prefixes": lambda: typer.confirm(
            "Do many requests begin alike, have many turns, or need JSON?", default=False, err=True
        ),
        "autoscaling": lambda: typer.confirm(
            "Must replicas follow the queue?", default=True, err=True
        ),
        "needs": lambda: ask(f"Needs, by commas: {others} (empty: none)", needs),
    }
    return {name: question() for name, question in questions.items() if name not in given}


def _compare() -> None:
    """Two tables, since names of images and metrics are too long for columns of five engines."""
    from rich.table import Column, Table

    from pulumi_llm_inference.engines import ENGINES
    from pulumi_llm_inference.engines.choice import ROWS, TITLES

    titles = [TITLES[name] for name in ENGINES]
    folded = [Column(title, overflow="fold") for title in titles]
    abilities = Table(Column("", no_wrap=True), *folded, title="what each can do")
    for row in ROWS:
        if not row.long:
            abilities.add_row(row.title, *(row.cell(engine) for engine in ENGINES.values()))
    names = [row for row in ROWS if row.long]
    columns = [Column(row.title, overflow="fold") for row in names]
    runs = Table(Column("", no_wrap=True), *columns, title="what each is called")
    for title, engine in zip(titles, ENGINES.values(), strict=True):
        runs.add_row(title, *(row.cell(engine) for row in names))
    OUT.print(abilities)
    OUT.print(runs)


def _recommend(found: "Recommendation") -> None:
    from rich.text import Text

    from pulumi_llm_inference.engines.choice import FIGURES, TITLES

    title = TITLES[found.engine]
    OUT.print(Text.assemble("recommended: ", (title, "bold green"), f": {found.reason}"))
    for step in found.because:
        OUT.print(f"  {step}", markup=False, highlight=False, soft_wrap=True)
    for name, reason in found.impossible.items():
        OUT.print(f"not {TITLES[name]}: {reason}", style="yellow", markup=False, soft_wrap=True)
    for name, reason in found.alternatives.items():
        OUT.print(f"or {TITLES[name]}: {reason}", markup=False, highlight=False, soft_wrap=True)
    for figure in FIGURES:
        if figure.engine == found.engine:
            OUT.print(
                f"published, not measured here: {figure.text} ({figure.source}, {figure.date})",
                style="dim",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    OUT.print(f"next: 'engine: {found.engine}' in the environment's model", markup=False)
