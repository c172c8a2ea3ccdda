"""A filter as a WHERE condition for PostgreSQL; every value in it is a bound parameter.

SQL's third truth value never shows: AND and OR of conditions are true exactly when they would be with every NULL
read as false, so only NOT needs care (`IS NOT TRUE`), and comparisons stay bare enough for indexes. Texts compare
by code point, as in Python (collation "C").
"""

import operator
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Exists,
    Numeric,
    Text,
    and_,
    case,
    cast,
    collate,
    func,
    literal,
    or_,
    true,
)

from chassis.filters.checker import Checked, Test, check
from chassis.filters.schema import Schema, Type
from chassis.filters.tree import And, Expr, Not, Or

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LIKE_ESCAPES = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_MOST_BIGINT = 2**63 - 1


def to_sql(expr: Expr, schema: Schema) -> ColumnElement[bool]:
    """The filter for `select(…).where(…)`; elsewhere NULL in it means false. Raises FilterError."""
    return _condition(check(expr, schema))


def _condition(node: Checked) -> ColumnElement[bool]:
    match node:
        case And(terms):
            return and_(true(), *map(_condition, terms))
        case Or(terms):
            return or_(*map(_condition, terms))
        case Not(term):
            inner = _condition(term)
            # EXISTS is never NULL, and PostgreSQL plans an anti-join only for a plain NOT EXISTS.
            return ~inner if isinstance(inner, Exists) else inner.is_not(true())
        case Test():
            return _in_json(node) if node.operand.key else _in_column(node)


def _in_column(test: Test) -> ColumnElement[bool]:
    column: ColumnElement[Any] = test.operand.sql()
    kind, value = test.operand.type, test.value
    if test.operator == "present" and kind is Type.LIST:
        return func.cardinality(column) > 0
    if test.operator == "has":
        return column.op("@>", is_comparison=True)(literal([value], column.type))
    if kind is Type.BOOLEAN and value is True:
        return column
    if kind in {Type.ENUM, Type.ID} and test.operator == "=":
        return column == literal(value, column.type)
    return _compared(column, test)


def _in_json(test: Test) -> ColumnElement[bool]:
    """A test of a value in a JSONB object; equality is containment, which a GIN index answers."""
    container: ColumnElement[Any] = test.operand.sql()
    key, value = test.operand.key, test.value
    if test.operator in {"=", "has"}:
        stored = func.jsonb_build_array(_bound(value)) if test.operator == "has" else _bound(value)
        return container.op("@>", is_comparison=True)(func.jsonb_build_object(literal(key, Text), stored))
    element = container[key]
    name, as_type = {
        Type.NUMBER: ("number", cast(element, Numeric)),
        Type.BOOLEAN: ("boolean", cast(element, Boolean)),
        Type.LIST: ("array", func.nullif(element.astext, "[]")),
    }.get(test.operand.type, ("string", element.astext))
    # CASE keeps the cast away from values of another type, which must count as missing.
    return _compared(case((func.jsonb_typeof(element) == name, as_type)), test)


def _compared(column: ColumnElement[Any], test: Test) -> ColumnElement[bool]:
    text = test.operand.type is Type.STRING
    if test.operator == "present":
        return column != literal("", Text) if text else column.is_not(None)
    if test.operator == "like":
        return column.like(literal("%".join(piece.translate(_LIKE_ESCAPES) for piece in test.value), Text))
    if text and test.operator != "=":
        column = collate(column, "C")
    condition: ColumnElement[bool] = _COMPARE[test.operator](column, _bound(test.value))
    return condition


def _bound(value: Any) -> ColumnElement[Any]:
    """A bound parameter whose type lets PostgreSQL use the index of a column of a similar type."""
    match value:
        case str():
            return literal(value, Text)
        case datetime():
            return literal(value, DateTime(timezone=True))
        case Decimal() if value == int(value) and abs(value) <= _MOST_BIGINT:
            return literal(int(value), BigInteger)
        case Decimal():
            return literal(value, Numeric)
        case _:
            return literal(value)
