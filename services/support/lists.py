"""Pages of tickets, by the way that takes least: agents look at lists all day.

SQLAlchemy makes the SQL of a filter, which takes longer than PostgreSQL needs to find a page, so it is kept, for a
second: a text such as "-30d" means another time in the next. The filter's values stand in the SQL: a plan for any value
at all would be a bad one for a tag that half of the tickets have, and PostgreSQL keeps one for these values as long as
the text is the same. Only the place of a page is a parameter.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from psycopg import sql
from sqlalchemy import BindParameter, ColumnElement, Text, Uuid, bindparam, cast, select

from chassis.clock import now
from chassis.paging import PageRequest, after, column_of, position_in, size_of, token_of
from denda.support.v1 import ticket_pb2
from services.support import criteria
from services.support.criteria import ORDERS, Order
from services.support.models import Ticket, database
from services.support.views import Listing

MOST_KEPT = 1_000
# What a row of a list begins with: all that a message of a ticket has, and whether there are participants to look for.
FIELDS = tuple(field.name for field in ticket_pb2.Ticket.DESCRIPTOR.fields)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Ids as texts, which is what becomes of them anyway: making objects of them takes as long as finding them."""
    return cast(column, Text) if isinstance(column.type, Uuid) else column


_MADE: dict[str, ColumnElement[Any]] = {
    "participants": Ticket.__table__.c.accompanied,
    "etag": cast(Ticket.version, Text),
}
_COLUMNS = [_MADE[name] if name in _MADE else _as_text(Ticket.__table__.columns[name]) for name in FIELDS]

_PARTICIPANTS = """
    SELECT ticket_id::text, address, person_id::text FROM ticket_participant WHERE ticket_id = ANY($1::uuid[])
    ORDER BY ticket_id, address"""


class _Question(NamedTuple):
    """All that a statement depends on; caller and second are in what `mine()` and "-30d" become."""

    filter: str
    order: Order
    further: bool
    most: int
    who: str
    second: int


class _Statement(NamedTuple):
    """The SQL of a first or a further page, and which of the place's keys `$1`, `$2` … are."""

    text: str
    places: Sequence[int]


def page(wanted: Listing, request: PageRequest, who: str) -> tuple[list[dict[str, Any]], str]:
    """A page of tickets as a caller sees it, each as the fields of its message, and the token of the next one.

    Raises FilterError, and InvalidArgument for the token of another list.
    """
    query, size = f"tickets {wanted.order.name} {wanted.filter}", size_of(request)
    position = position_in(request.page_token, query) if request.page_token else []
    asked = _Question(wanted.filter, wanted.order, bool(position), size + 1, who, int(now().timestamp()))
    statement = _statement(asked)
    rows = database.planned(statement.text, [position[place] for place in statement.places])
    found = [dict(zip(FIELDS, row, strict=False)) for row in rows[:size]]
    _set_participants(found)
    return found, token_of(query, rows[size - 1][len(FIELDS) :]) if len(rows) > size else ""


def _set_participants(found: Sequence[dict[str, Any]]) -> None:
    """Who else is in the conversations; most pages have nobody, and ask for nobody."""
    accompanied = {ticket["id"]: ticket for ticket in found if ticket["participants"]}
    for ticket in found:
        ticket["participants"] = []
    if accompanied:
        for ticket_id, address, person_id in database.lookup(_PARTICIPANTS, "{" + ",".join(accompanied) + "}"):
            accompanied[ticket_id]["participants"].append({"address": address, "person_id": person_id})


@lru_cache(maxsize=MOST_KEPT)
def _statement(asked: _Question) -> _Statement:
    keys = ORDERS[asked.order]
    names = [f"key_{number}" for number in range(len(keys))]
    rows = select(*_COLUMNS, *(_as_text(column_of(key)) for key in keys)).where(criteria.condition(asked.filter))
    if asked.further:
        rows = rows.where(after(keys, [bindparam(name, type_=key.type) for name, key in zip(names, keys, strict=True)]))
    compiled = rows.order_by(*keys).limit(asked.most).compile(dialect=database.engine.dialect)
    written: dict[str, str] = {}
    places: list[int] = []
    for name, bound in compiled.binds.items():
        if bound.key in names:
            places.append(names.index(bound.key))
            written[name] = f"${len(places)}"
        else:
            written[name] = sql.quote(_value(bound))
    return _Statement(str(compiled) % written, places)


def _value(bound: BindParameter[Any]) -> Any:
    """A value as SQLAlchemy would send it."""
    dialect = database.engine.dialect
    process = bound.type.dialect_impl(dialect).bind_processor(dialect)
    return process(bound.value) if process and bound.value is not None else bound.value
