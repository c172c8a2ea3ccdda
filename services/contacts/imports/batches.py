"""A file as batches of staged rows, from where an earlier try stopped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from chassis.errors import FailedPrecondition, InvalidArgument
from services.contacts.imports.lines import Row, Rows
from services.contacts.imports.rows import FaultError, Staged

MOST_ROWS = 5000
MOST_CHARACTERS = 8 * 1024 * 1024


@dataclass
class Batch:
    """Rows that are written together, with the place in the file that is reached by them."""

    rows: list[Staged] = field(default_factory=list)
    faults: list[FaultError] = field(default_factory=list)
    rows_read: int = 0
    digest: bytes = b""


def skip_done(rows: Rows, found: Iterator[Row], rows_read: int, digest: bytes) -> None:
    """Read past the rows that are done. Raises FailedPrecondition when they are not those of the first try."""
    done = sum(1 for _ in islice(found, rows_read))
    if done < rows_read or (rows_read and rows.digest() != digest):
        raise FailedPrecondition(
            "This import was begun with another file; send the same file, or choose another import_id.",
            reason="OTHER_FILE",
        )


def batches(rows: Rows, found: Iterator[Row], read: Callable[[Row], Staged], *, fresh: bool) -> Iterator[Batch]:
    """The rest of the file. `fresh` says that nothing is written yet.

    Then a file whose first rows are not UTF-8 is refused as a whole: raises InvalidArgument.
    """
    while True:
        batch = _next_batch(found, read)
        if not batch.rows_read:
            return
        unreadable = next((fault for fault in batch.faults if fault.reason.startswith("is not UTF-8")), None)
        if fresh and unreadable:
            raise InvalidArgument("file", f"line {unreadable.line} {unreadable.reason}")
        fresh = False
        batch.digest = rows.digest()
        yield batch


def _next_batch(found: Iterator[Row], read: Callable[[Row], Staged]) -> Batch:
    batch, characters = Batch(), 0
    for row in found:
        batch.rows_read += 1
        try:
            staged = read(row)
            batch.rows.append(staged)
            characters += len(staged.text)
        except FaultError as fault:
            batch.faults.append(fault)
        if batch.rows_read == MOST_ROWS or characters > MOST_CHARACTERS:
            break
    return batch
