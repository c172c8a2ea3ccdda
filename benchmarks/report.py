"""A figure, the raw limit beside it, and the share that Denda promises of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

console = Console()


@dataclass
class Stopwatch:
    """Seconds that a block took."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Figure:
    """A rate beside its raw limit, both in `unit` a second; `floor` is the least share that is good enough."""

    name: str
    rate: float
    limit_name: str
    limit: float
    floor: float
    unit: str

    @property
    def share(self) -> float:
        """The rate as a part of the raw limit."""
        return self.rate / self.limit


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the block."""
    watch = Stopwatch()
    started = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


def show(figures: list[Figure]) -> None:
    """Print figures as a table."""
    table = Table("figure", "Denda", "raw limit", "", "ratio", "at least")
    for figure in figures:
        style = "green" if figure.share >= figure.floor else "red"
        table.add_row(
            figure.name,
            f"{figure.rate:,.0f} {figure.unit}/s",
            f"{figure.limit:,.0f} {figure.unit}/s",
            figure.limit_name,
            f"[{style}]{figure.share:.0%}[/]",
            f"{figure.floor:.0%}",
        )
    console.print(table)
