"""Tree against schema: names are looked up, types are compared, and each literal becomes a value of its type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar

from chassis.filters.errors import FilterError, unknown
from chassis.filters.schema import Field, Function, Schema, Type
from chassis.filters.tree import STAR, And, Call, Expr, Literal, Not, Or, Path, Restriction, Tree
from chassis.filters.values import stored_time, value_of

Part = TypeVar("Part")

_EQUAL = {"=", "!="}
_ORDERED = _EQUAL | {"<", "<=", ">", ">="}
_OPERATORS = {
    Type.STRING: _ORDERED | {":"},
    Type.NUMBER: _ORDERED,
    Type.DATE: _ORDERED,
    Type.TIMESTAMP: _ORDERED,
    Type.DURATION: _ORDERED,
    Type.BOOLEAN: _EQUAL,
    Type.ENUM: _EQUAL,
    Type.ID: _EQUAL,
    Type.LIST: {":"},
}


@dataclass(frozen=True)
class Operand:
    """What is compared: its type, how SQL computes it, how Python reads it from a record."""

    type: Type
    sql: Callable[[], Any]
    read: Callable[[Mapping[str, Any]], object]
    key: str = ""


@dataclass(frozen=True)
class Test:
    """A checked comparison. Operators: = < <= > >= like (value: the texts between stars), has, present (no value)."""

    operand: Operand
    operator: str
    value: Any = None


Checked: TypeAlias = Tree[Test]


def check(expr: Expr, schema: Schema) -> Checked:
    """The same tree with tests for leaves. Raises FilterError for unknown names and for types that do not fit."""
    return _tree(expr, replace(schema, open_fields=cache(schema.open_fields or dict)))


def _tree(expr: Expr, schema: Schema) -> Checked:
    match expr:
        case And(terms):
            return And(tuple(_tree(term, schema) for term in terms))
        case Or(terms):
            return Or(tuple(_tree(term, schema) for term in terms))
        case Not(term):
            return Not(_tree(term, schema))
        case Restriction():
            return _checked(expr, schema)


def _checked(restriction: Restriction, schema: Schema) -> Checked:
    path = restriction.operand.function if isinstance(restriction.operand, Call) else restriction.operand
    field, operand = _resolved(restriction.operand, schema)
    operator, literal = restriction.operator, restriction.value
    if not operator:
        if field.type is not Type.BOOLEAN:
            raise FilterError(path.position, f"{path} is {field.type.value}; it must be compared with something")
        return Test(operand, "=", True)
    if literal == STAR:
        return Test(operand, "present")
    if operator not in _OPERATORS[field.type]:
        allowed = " ".join(sorted(_OPERATORS[field.type]))
        raise FilterError(path.position, f"{path} is {field.type.value}; it is compared with {allowed} or :*")
    test = _test(operand, operator, literal, field, str(path))
    return Not(test) if operator == "!=" else test


def _test(operand: Operand, operator: str, literal: Literal, field: Field, name: str) -> Test:
    if field.type is Type.STRING and operator == ":":
        literal = replace(literal, pieces=("", *literal.pieces, ""))
    if field.type is Type.STRING and operator in {"=", "!=", ":"} and len(literal.pieces) > 1:
        return Test(operand, "like", tuple(map(field.normalise, literal.pieces)))
    value = value_of(literal, field, name)
    if field.key and isinstance(value, date):
        value = stored_time(value) if isinstance(value, datetime) else value.isoformat()
    return Test(operand, {"!=": "=", ":": "has"}.get(operator, operator), value)


def _resolved(operand: Path | Call, schema: Schema) -> tuple[Field, Operand]:
    if isinstance(operand, Call):
        return _invocation(operand, schema.functions)
    field = _field(operand, schema)
    # In JSON a date is text, whose order is the order of time.
    kind = Type.STRING if field.key and field.type in {Type.DATE, Type.TIMESTAMP} else field.type
    return field, Operand(kind, partial(_given, field.column, operand.dotted), _reader(operand.names, field), field.key)


def _field(path: Path, schema: Schema) -> Field:
    if path.dotted in schema.fields:
        return schema.fields[path.dotted]
    known = {**schema.fields, **(schema.open_fields() if schema.open_fields else {})}
    if path.dotted not in known:
        raise unknown(path.position, "field", path.dotted, known)
    return known[path.dotted]


def _reader(names: tuple[str, ...], field: Field) -> Callable[[Mapping[str, Any]], object]:
    def read(record: Mapping[str, Any]) -> object:
        found: object = record
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return field.normalise(found) if isinstance(found, str) else found

    return read


def _invocation(call: Call, functions: Mapping[str, Function]) -> tuple[Field, Operand]:
    name, position = call.function.dotted, call.function.position
    if name not in functions:
        raise unknown(position, "function", name, functions)
    function = functions[name]
    most, given = len(function.arguments), len(call.arguments)
    if not most - function.optional <= given <= most:
        takes = ", ".join(kind.value for kind in function.arguments) or "nothing"
        optional = f", of which the last {function.optional} may be left out" if function.optional else ""
        raise FilterError(position, f"{name}() got {given} arguments; it takes {takes}{optional}")
    values = [
        value_of(argument, Field(kind), f"argument {number} of {name}()")
        for number, (argument, kind) in enumerate(zip(call.arguments, function.arguments, strict=False), start=1)
    ]

    def sql() -> Any:
        return _given(function.sql, name)(*values)

    def read(record: Mapping[str, Any]) -> object:
        return _given(function.python, name)(record, *values)

    return Field(function.result), Operand(function.result, sql, read)


def _given(part: Part | None, name: str) -> Part:
    """What the schema says about `name` for one back end; a schema made only for the other one has nothing."""
    if part is None:
        raise TypeError(f"the schema does not say how this back end computes {name}")
    return part
