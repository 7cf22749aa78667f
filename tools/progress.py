"""What the user sees: results on standard output, progress beside it.

A long step shows a spinner on a terminal and plain lines elsewhere.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

# Wide where it is no terminal: a log has no edge at which to fold.
WIDTH = None if sys.stdout.isatty() else 120
console = Console(stderr=True, highlight=False, width=WIDTH)
output = Console(highlight=False, width=WIDTH)


@contextmanager
def step(text: str) -> Iterator[Status]:
    """Show that text is being done and, at the end, how long it took."""
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"… {text}")
    with console.status(text) as status:
        yield status
    console.print(f"[green]✓[/] {text} [dim]{time.monotonic() - started:.1f} s[/]")
