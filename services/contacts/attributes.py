"""Custom attributes: which ones people may have, and values of the declared type.

Values lie in one JSONB object a person. A date is kept as text `2026-01-31`, which sorts as dates do.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import FailedPrecondition, InvalidArgument, Violation
from services.contacts.models import AttributeDefinition, AttributeType
from services.contacts.texts import plain, without_nul

MOST_ATTRIBUTES = 500
MOST_CHARACTERS = 10_000

_YES = frozenset({"true", "yes", "y", "1", "x"})
_NO = frozenset({"false", "no", "n", "0"})

Value = str | int | float | bool | list[str]
Types = Mapping[str, AttributeType]


def define(
    session: Session, name: str, kind: AttributeType, description: str, reserved: frozenset[str]
) -> AttributeDefinition:
    """Declare an attribute, or change the description of the one that is there.

    `reserved` are names that mean something else in filters and merge fields.
    Raises FailedPrecondition when it exists with another type or there are 500 already.
    """
    if name in reserved:
        raise InvalidArgument("attribute.name", f"{name!r} is a field that every person has; choose another name")
    values = {"name": name, "type": int(kind), "description": without_nul(description), "create_time": now()}
    statement = insert(AttributeDefinition).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"description": statement.excluded.description}
    )
    session.execute(statement)
    found = session.get_one(AttributeDefinition, name, populate_existing=True)
    if found.type != kind:
        raise FailedPrecondition(
            f"The attribute {name!r} exists with the type {AttributeType(found.type).name}.", subject=name
        )
    if (session.scalar(select(func.count()).select_from(AttributeDefinition)) or 0) > MOST_ATTRIBUTES:
        raise FailedPrecondition(f"There are {MOST_ATTRIBUTES} attributes already.", subject=name)
    return found


def all_definitions(session: Session) -> list[AttributeDefinition]:
    """All attributes, by name."""
    return list(session.scalars(select(AttributeDefinition).order_by(AttributeDefinition.name)))


def types(session: Session) -> dict[str, AttributeType]:
    """The type of each attribute."""
    rows = session.execute(select(AttributeDefinition.name, AttributeDefinition.type).order_by("name"))
    return {name: AttributeType(kind) for name, kind in rows}


def checked(values: Mapping[str, Any], types: Types, field: str) -> dict[str, Value | None]:
    """Values as they are stored, `None` for those to be forgotten.

    Raises InvalidArgument with each one that is not defined, and then what is, or that is of another type.
    """
    violations: list[Violation] = []
    found: dict[str, Value | None] = {}
    for name, value in values.items():
        try:
            found[name] = None if value is None else typed(known(name, types), value)
        except ValueError as error:
            violations.append(Violation(f"{field}.{name}", str(error)))
    if violations:
        first, *more = violations
        raise InvalidArgument(first.field, first.description, *more)
    return found


def known(name: str, types: Types) -> AttributeType:
    """The type of an attribute. Raises ValueError that tells which attributes exist."""
    if name not in types:
        there = ", ".join(types) or "none yet"
        raise ValueError(f"there is no attribute {name[:64]!r}; there are: {there}")
    return types[name]


def typed(kind: AttributeType, value: Any) -> Value:
    """A value as it is stored. Raises ValueError when it is not of the type."""
    match kind, value:
        case AttributeType.STRING, str():
            return _text(value)
        case AttributeType.BOOLEAN, bool():
            return value
        case AttributeType.NUMBER, int() | float() if not isinstance(value, bool):
            return _number(value)
        case AttributeType.DATE, str():
            return _date(value)
        case AttributeType.STRING_LIST, list() if all(isinstance(item, str) for item in value):
            return [_text(item) for item in value]
    raise ValueError(f"must be {_WANTED[kind]}, not {json.dumps(value, ensure_ascii=False)[:60]}")


def from_text(kind: AttributeType) -> Callable[[str], Value]:
    """What makes a cell of a file, trimmed, a value of this type; lists are separated by `;`. It raises ValueError."""
    return _FROM_TEXT[kind]


_WANTED = {
    AttributeType.STRING: "a text",
    AttributeType.NUMBER: "a number",
    AttributeType.BOOLEAN: "true or false",
    AttributeType.DATE: "a date such as `2026-01-31`",
    AttributeType.STRING_LIST: "a list of texts",
}


def _text(value: str) -> str:
    if len(value) > MOST_CHARACTERS:
        raise ValueError(f"has more than {MOST_CHARACTERS:,} characters")
    return plain(value)


def _number(value: float) -> int | float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    # Clients send every number as a double; 3 is kept as 3 and not as 3.0.
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _number_from(text: str) -> int | float:
    try:
        return int(text) if text.isdecimal() and len(text) < 16 else _number(float(text))
    except ValueError:
        raise ValueError(f"must be a number such as `12.5`, not {text[:60]!r}") from None


def _boolean_from(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError(f"must be {_WANTED[AttributeType.BOOLEAN]}, not {text[:60]!r}")
    return text.lower() in _YES


def _list_from(text: str) -> list[str]:
    return [_text(item.strip()) for item in text.split(";") if item.strip()]


def _date(value: str) -> str:
    try:
        found = date.fromisoformat(value).isoformat()
    except ValueError:
        found = ""
    # Python also reads other forms of ISO 8601, such as 20260131, which would not sort.
    if not found or found != value:
        raise ValueError(f"must be a date such as `2026-01-31`, not {value[:60]!r}")
    return found


_FROM_TEXT: dict[AttributeType, Callable[[str], Value]] = {
    AttributeType.STRING: _text,
    AttributeType.NUMBER: _number_from,
    AttributeType.BOOLEAN: _boolean_from,
    AttributeType.DATE: _date,
    AttributeType.STRING_LIST: _list_from,
}
