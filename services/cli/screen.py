"""What commands show: results on standard output, progress and remarks on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# A file or a pipe gets whole lines, however long.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 1000)
notes = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is under way; a terminal shows a spinner meanwhile and the time it took afterwards."""
    began = time.monotonic()
    if not notes.is_terminal:
        notes.print(f"{what} …", markup=False)
        yield
        return
    with notes.status(f"{what} …"):
        yield
    notes.print(f"[green]✓[/] {what} [dim]({time.monotonic() - began:.1f} s)[/]")
