"""What a filter may speak of: fields and functions with their types, declared by each service for each list."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import SQLColumnExpression


class Type(Enum):
    """The types of fields, arguments and results; the value is what people call it."""

    STRING = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    DATE = "a date"
    TIMESTAMP = "a moment"
    DURATION = "a duration"
    LIST = "a list of texts"
    ENUM = "one of a few names"
    ID = "a UUID"


@dataclass(frozen=True)
class Field:
    """A field: its type and its column. In Python it is read from a record at its dotted name.

    `key` names a value inside the JSONB object that `column` then is. There, and in the record, a date is text like
    `2026-01-31` and a timestamp is what `stored_time` returns; a value of another type counts as missing.
    `values` are the names of an enum, stored as such. `normalise` is what stored texts have gone through, such as
    `str.casefold` for addresses: texts in the filter go through it too.
    """

    type: Type
    column: SQLColumnExpression[Any] | None = None
    key: str = ""
    values: Collection[str] = ()
    normalise: Callable[[str], str] = str


@dataclass(frozen=True)
class Function:
    """A function: argument types, of which the last `optional` may be left out, and what computes the result.

    `sql(*arguments)` returns an expression over the statement's rows, `python(record, *arguments)` a value.
    Texts arrive as str, numbers as Decimal, durations as timedelta, IDs as lower-case str.
    """

    arguments: tuple[Type, ...]
    result: Type
    sql: Callable[..., SQLColumnExpression[Any]] | None = None
    python: Callable[..., object] | None = None
    optional: int = 0


@dataclass(frozen=True)
class Schema:
    """All that a filter may name. `open_fields` is asked, once a check, only when a name is not in `fields`."""

    fields: Mapping[str, Field]
    functions: Mapping[str, Function] = field(default_factory=dict)
    open_fields: Callable[[], Mapping[str, Field]] | None = None
