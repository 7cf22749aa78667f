"""The command line: `llm-inference …`.

Commands import what they need when they run, so that each starts as fast as it can.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from pulumi_llm_inference.cli import catalog, engines, fitting, previewing
from pulumi_llm_inference.cli.output import OUT

app = typer.Typer(
    name="llm-inference",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Self-hosted LLMs on Kubernetes that scale by the requests waiting.",
    epilog="Exit codes: 0 done, 1 problems in the configuration, 2 wrong use of the command.",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        OUT.print(version("pulumi-llm-inference"))
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Self-hosted LLMs on Kubernetes that scale by the requests waiting."""


for _command in (
    previewing.preview,
    engines.engines,
    catalog.accelerators,
    catalog.machines,
    fitting.fit,
    engines.adapter_rules,
):
    app.command()(_command)
