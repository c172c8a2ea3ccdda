"""Keyset pages (AIP-158): as fast at any depth as on the first page, and stable while rows come and go.

The order needs keys that are never NULL and end in a unique one, all ascending or all descending; an index over them
serves every page, since the next one begins with a row-value comparison `(a, b) > (…)` and nothing is skipped.

    rows, token = paginate(session, select(Person).where(…), (Person.created_at.desc(), Person.id.desc()), request,
                           fingerprint=request.filter)
    return pb.ListPeopleResponse(people=[person_to_proto(person) for (person,) in rows], next_page_token=token)
"""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Protocol, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, UnaryExpression, literal, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.sql.operators import desc_op

from chassis.errors import InvalidArgument
from chassis.signing import sign, verify

Columns = TypeVarTuple("Columns")

_PURPOSE = "page"
_READ: dict[type, Callable[[Any], Any]] = {
    UUID: UUID,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
}


class PageRequest(Protocol):
    """Any List request."""

    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...


def paginate(
    session: Session,
    statement: Select[*Columns],
    keys: Sequence[Any],
    request: PageRequest,
    *,
    fingerprint: str,
    default: int = 50,
    most: int = 1000,
) -> tuple[list[Row[*Columns]], str]:
    """One page of the statement in the order of `keys`, and the token of the next one, "" after the last.

    `fingerprint` is whatever else decides which rows there are (parent, filter): a token from another fingerprint or
    order raises InvalidArgument on page_token. A size of 0 means `default`; more than `most` means `most`.
    """
    size = size_of(request, default, most)
    query = sha256(json.dumps([fingerprint, *map(str, keys)]).encode()).hexdigest()[:16]
    page = statement.order_by(None).order_by(*keys).limit(size + 1)
    if request.page_token:
        page = page.where(after(keys, _values(keys, position_in(request.page_token, query))))
    found = session.execute(page.add_columns(*map(column_of, keys))).freeze()
    rows = found().columns(*range(len(statement.column_descriptions))).all()
    if len(rows) <= size:
        return list(rows), ""
    last = found().all()[size - 1][-len(keys) :]
    return list(rows[:size]), token_of(query, last)


def size_of(request: PageRequest, default: int = 50, most: int = 1000) -> int:
    """How many rows a page has. Raises InvalidArgument for a negative number."""
    if request.page_size < 0:
        raise InvalidArgument("page_size", "must not be negative")
    return min(request.page_size or default, most)


def after(keys: Sequence[Any], position: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """The rows behind a position, as a row-value comparison, which one index scan answers."""
    descending = {_is_descending(key) for key in keys}
    if len(descending) > 1:
        raise TypeError("the keys of a page are all ascending or all descending")
    columns = tuple_(*map(column_of, keys))
    return columns < tuple_(*position) if descending == {True} else columns > tuple_(*position)


def token_of(query: str, position: Sequence[Any]) -> str:
    """The token of the page behind a position."""
    return sign(_PURPOSE, json.dumps([query, *position], default=str).encode())


def position_in(token: str, query: str) -> list[Any]:
    """The keys of the last row of the page before. Raises InvalidArgument for the token of another query."""
    position: list[Any] = json.loads(verify(_PURPOSE, token, "page_token"))
    if position.pop(0) != query:
        raise InvalidArgument("page_token", "belongs to another list, filter or order; begin without a token")
    return position


def _values(keys: Sequence[Any], position: Sequence[Any]) -> list[ColumnElement[Any]]:
    columns = map(column_of, keys)
    return [literal(_read(value, column), column.type) for value, column in zip(position, columns, strict=True)]


def _read(value: Any, column: Any) -> Any:
    return _READ.get(column.type.python_type, lambda plain: plain)(value)


def column_of(key: Any) -> Any:
    """What a key is ordered by, without its direction."""
    return key.element if isinstance(key, UnaryExpression) else key


def _is_descending(key: Any) -> bool:
    return isinstance(key, UnaryExpression) and key.modifier is desc_op
