"""The one source of time. Code asks `now()`; tests set the clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_source: Callable[[], datetime] | None = None


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _source() if _source else datetime.now(UTC)


@contextmanager
def time_from(source: Callable[[], datetime]) -> Iterator[None]:
    """Let `now()` come from `source` inside the block, in every thread."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
