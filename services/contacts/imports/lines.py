"""A CSV file that arrives in pieces, as rows of cells.

A row that cannot be read is a row with a problem, and the next one begins on the line after it begins: a quote that
is never closed costs one row and not the rest of the file. Nothing longer than a mebibyte is kept.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from typing import NamedTuple

from chassis.errors import InvalidArgument

MOST_ROW_BYTES = 1024 * 1024
BOM = b"\xef\xbb\xbf"
REMEDY = "save the file as UTF-8 (in Excel: “CSV UTF-8”) and send it again"


class Row(NamedTuple):
    """A row, the line on which it begins, and what is wrong with it as a whole."""

    line: int
    cells: list[str]
    problem: str = ""


class Rows:
    """The rows of a file; blank lines are left out."""

    def __init__(self, pieces: Iterable[bytes], delimiter: str) -> None:
        self._feed = _Feed(_lines(pieces))
        self._reader = csv.reader(self._feed, delimiter=delimiter, strict=True)
        self._digest = sha256()

    def __iter__(self) -> Iterator[Row]:
        while True:
            line = self._feed.begin()
            try:
                cells, problem = next(self._reader), ""
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError, _UnfitError) as error:
                cells, problem = [], _in_words(error)
            for raw in self._feed.end(whole=not problem):
                self._digest.update(raw[:MOST_ROW_BYTES])
            if cells or problem:
                yield Row(line, cells, problem)

    def digest(self) -> bytes:
        """SHA-256 of the lines up to the last row that was read."""
        return self._digest.digest()


class _UnfitError(Exception):
    """A line that cannot be part of a row; the message says why."""


class _Feed:
    """Hands the csv module its lines and remembers those of the row at hand."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._back: deque[bytes] = deque()
        self._row: list[bytes] = []
        self._size = 0
        self._next_line = 1

    def begin(self) -> int:
        """A row begins; the answer is its line."""
        self._row, self._size = [], 0
        return self._next_line

    def end(self, *, whole: bool) -> list[bytes]:
        """The row is read: the lines that it was made of. Of one that failed, all but the first come again."""
        if not whole and len(self._row) > 1:
            self._back.extendleft(reversed(self._row[1:]))
            self._row = self._row[:1]
        self._next_line += len(self._row)
        return self._row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self._row.append(line)
        self._size += len(line)
        if self._size > MOST_ROW_BYTES:
            raise _UnfitError(f"the row is longer than {MOST_ROW_BYTES:,} bytes, or a quote in it is not closed")
        if b"\0" in line:
            raise _UnfitError("contains a NUL byte")
        return line.decode()


def header(rows: Iterator[Row], *, expected: str = "the header") -> list[str]:
    """The names of the columns. Raises InvalidArgument that says how to repair a file which is no CSV in UTF-8."""
    first = next(rows, None)
    if first is None:
        raise InvalidArgument("file", f"is empty: {expected} is missing")
    if first.problem:
        raise InvalidArgument("file", f"line {first.line}, {expected}, cannot be read: {first.problem}")
    names = [name.strip() for name in first.cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InvalidArgument("file", f"several columns are called {', '.join(map(repr, twice))}; rename all but one")
    return names


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file with their ends; one that is too long is cut, for its row is lost anyway."""
    rest = b""
    for piece in _unmarked(pieces):
        lines = BytesIO(rest + piece).readlines()
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        yield from lines
        rest = rest[: MOST_ROW_BYTES + 1]
    if rest:
        yield rest


def _unmarked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces without a byte order mark. Raises InvalidArgument for UTF-16 and UTF-32."""
    head, rest = b"", iter(pieces)
    while len(head) < len(BOM) and (piece := next(rest, None)) is not None:
        head += piece
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:2]:
        raise InvalidArgument("file", f"is in UTF-16 or UTF-32; {REMEDY}")
    yield head.removeprefix(BOM)
    yield from rest


def _in_words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"is not UTF-8 (byte 0x{byte:02X}), which looks like Latin-1 or Windows-1252; {REMEDY}"
    message = str(error)
    if "field limit" in message:
        return f"a cell has more than {csv.field_size_limit():,} characters, or a quote is not closed"
    if "unexpected end" in message:
        return "a quote is not closed before the end of the file"
    if "expected after" in message:
        return "a quote inside a quoted cell is not written twice"
    if "new-line" in message:
        return "has a carriage return inside; lines end with LF or CR LF"
    return message
