"""What all commands print with."""

from typing import Annotated, NoReturn

import typer
from rich.console import Console

OUT, ERR = Console(), Console(stderr=True)
"""Results, and everything else."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with exit code 1."""
    ERR.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)
