"""A filter over a record in Python, with the answers that PostgreSQL gives for the same data."""

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from chassis.filters.checker import Checked, Test, check
from chassis.filters.schema import Schema, Type
from chassis.filters.tree import And, Expr, Not, Or

_PLAIN: dict[Type, type] = {
    Type.STRING: str,
    Type.ENUM: str,
    Type.BOOLEAN: bool,
    Type.DATE: date,
    Type.TIMESTAMP: datetime,
    Type.DURATION: timedelta,
}


def matches(expr: Expr, schema: Schema, record: Mapping[str, Any]) -> bool:
    """Whether the record fits the filter. Raises FilterError."""
    return predicate(expr, schema)(record)


def predicate(expr: Expr, schema: Schema) -> Callable[[Mapping[str, Any]], bool]:
    """The filter as a function, for many records; times relative to now stay as they are. Raises FilterError."""
    checked = check(expr, schema)
    return lambda record: _holds(checked, record)


def _holds(node: Checked, record: Mapping[str, Any]) -> bool:
    match node:
        case And(terms):
            return all(_holds(term, record) for term in terms)
        case Or(terms):
            return any(_holds(term, record) for term in terms)
        case Not(term):
            return not _holds(term, record)
        case Test(operand, comparison, value):
            found = _typed(operand.read(record), operand.type)
            return found is not None and _COMPARE[comparison](found, value)


def _typed(found: object, kind: Type) -> object:
    """The value as its type compares, or None when it is missing or of another type."""
    match kind, found:
        case Type.NUMBER, int() | float() | Decimal() if not isinstance(found, bool):
            # A float means the shortest decimal that reads back as it, as in JSON and in PostgreSQL.
            number = Decimal(str(found))
            return number if number.is_finite() else None
        case Type.LIST, list() | tuple() | set() | frozenset():
            return tuple(found)
        case Type.ID, UUID() | str():
            return str(found)
        case Type.TIMESTAMP, datetime() if found.tzinfo is None:
            return None
        case Type.DATE, datetime():
            return None
    return found if isinstance(found, _PLAIN.get(kind, ())) else None


def _fits(text: str, pieces: tuple[str, ...]) -> bool:
    """Whether the text begins with the first piece, ends with the last, and has the others between them in order."""
    first, *middle, last = pieces
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    start, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, start, end)
        if found < 0:
            return False
        start = found + len(piece)
    return True


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "like": _fits,
    "has": lambda found, value: value in found,
    "present": lambda found, _: found not in ("", ()),
}
