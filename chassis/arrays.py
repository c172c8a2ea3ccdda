"""How lists of plain values are written for PostgreSQL: each statement that takes a batch sends some.

psycopg asks a dumper for every single value; here a list is written by one comprehension, several times as fast.
The text form is that of https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.array import ListDumper


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    UUID: lambda value: value.hex,
    int: str,
    str: _quoted,
    datetime: lambda value: f'"{value}"',
    bytes: lambda value: f'"\\\\x{value.hex()}"',
}


class ArrayDumper(ListDumper):
    """A dumper of lists that knows the commonest types; others, and lists in lists, are psycopg's as before."""

    def dump(self, obj: list[Any]) -> Any:
        kinds = set(map(type, obj))
        kinds.discard(type(None))
        write = _WRITERS.get(kinds.pop()) if len(kinds) == 1 else None
        if write is None:
            return super().dump(obj)
        written = f"{{{','.join(['NULL' if value is None else write(value) for value in obj])}}}"
        # psycopg has an error of its own for NUL, which PostgreSQL takes for the end of the text.
        return super().dump(obj) if "\0" in written else written.encode()


def write_arrays_fast(connection: Connection[Any]) -> None:
    """Let a connection write its lists in this way."""
    connection.adapters.register_dumper(list, ArrayDumper)
