"""Literals to values: what a text, number, date or duration in a filter means for a field of a given type."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from chassis import clock
from chassis.filters.errors import FilterError
from chassis.filters.schema import Field, Type
from chassis.filters.tree import Literal

Value: TypeAlias = str | Decimal | bool | date | datetime | timedelta

# PostgreSQL's numeric has more digits than any of these, and less exponent than Python's Decimal.
_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"(?P<count>\d{1,6}(\.\d{1,6})?)(?P<unit>[smhdw])", re.ASCII)
_SIGNS = {"-": -1, "+": 1}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_EXAMPLES = {
    Type.STRING: 'text in quotes, such as "Bilbo"',
    Type.NUMBER: "a number without quotes, such as 30 or -2.5",
    Type.BOOLEAN: "true or false without quotes",
    Type.DATE: 'a date such as "2026-01-31", or a time from now such as "-30d"',
    Type.TIMESTAMP: 'a moment such as "2026-01-31T12:00:00Z", a date, or a time from now such as "-30d"',
    Type.DURATION: 'a duration such as "30d" (s, m, h, d, w)',
    Type.LIST: 'text in quotes, such as "vip"',
    Type.ID: "a UUID in quotes",
}


def value_of(literal: Literal, field: Field, name: str) -> Value:
    """What the literal means for the field. Raises FilterError that shows how to write it."""
    if literal.pieces == ("null",) and not literal.quoted:
        raise FilterError(literal.position, f"there is no null; `NOT {name}:*` asks for a missing value")
    try:
        text = _fit(literal.pieces[0], len(literal.pieces) == 1)
        return _CONVERT[field.type](text, literal.quoted, field)
    except (ValueError, OverflowError):
        expected = f"one of {', '.join(field.values)}" if field.values else _EXAMPLES[field.type]
        raise FilterError(literal.position, f"{name} needs {expected}; this is {str(literal)[:64]}") from None


def stored_time(moment: datetime) -> str:
    """How JSON keeps a timestamp so that the order of texts is the order of time: in UTC, to the microsecond."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _fit(text: str, fits: object) -> str:
    if not fits:
        raise ValueError(text)
    return text


def _duration(text: str) -> timedelta:
    if not (found := _DURATION.fullmatch(text)):
        raise ValueError(text)
    return timedelta(**{_UNITS[found["unit"]]: float(found["count"])})


def _from_now(text: str) -> datetime:
    return clock.now() + _duration(text[1:]) * _SIGNS[text[0]]


def _moment(text: str) -> datetime:
    if text[:1] in _SIGNS:
        return _from_now(text)
    if _DATE.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    return datetime.fromisoformat(_fit(text, _MOMENT.fullmatch(text)).upper()).astimezone(UTC)


def _date(text: str) -> date:
    return _from_now(text).date() if text[:1] in _SIGNS else date.fromisoformat(_fit(text, _DATE.fullmatch(text)))


def _text(text: str, quoted: bool, field: Field) -> str:
    return field.normalise(_fit(text, quoted or text[0] not in "-0123456789"))


_CONVERT: dict[Type, Callable[[str, bool, Field], Value]] = {
    Type.STRING: _text,
    Type.LIST: _text,
    Type.ENUM: lambda text, _, field: _fit(text, text in field.values),
    Type.NUMBER: lambda text, quoted, _: Decimal(_fit(text, not quoted and _NUMBER.fullmatch(text))),
    Type.BOOLEAN: lambda text, quoted, _: _fit(text, not quoted and text in {"true", "false"}) == "true",
    Type.DATE: lambda text, *_: _date(text),
    Type.TIMESTAMP: lambda text, *_: _moment(text),
    Type.DURATION: lambda text, *_: _duration(text),
    Type.ID: lambda text, *_: str(UUID(text)),
}
