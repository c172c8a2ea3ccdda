"""Arrays as PostgreSQL writes them, to be cast in the statement: `CAST(:ids AS uuid[])`.

psycopg looks at every element of a list to find its type, which for lists of fifty takes longer than the query.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID


def plain_array(values: Iterable[UUID | str | int | datetime | bool | None]) -> str:
    """An array of values that never need quotes beyond these: ids, numbers, moments."""
    return "{" + ",".join(["NULL" if value is None else f'"{value}"' for value in values]) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """An array of texts, JSON among them. PostgreSQL keeps no NUL characters, so they are left out."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value or "\0" in value:
        value = value.replace("\0", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
