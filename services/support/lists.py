"""Pages of tickets, by the way that takes least: agents look at lists all day.

SQLAlchemy makes the SQL of a filter, which takes longer than PostgreSQL needs to find a page, so it is kept, for a
second: a text such as "-30d" means another time in the next. PostgreSQL plans each page for its values, since a plan
for any value at all would be a bad one for a tag that half of the tickets have.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, cast, func, select

from chassis.clock import now
from chassis.paging import PageRequest, after, position_in, size_of, token_of
from services.support import criteria
from services.support.criteria import ORDERS, Order
from services.support.models import URGENCY, Participant, Ticket, database
from services.support.tickets import Companion
from services.support.views import Listing

MOST_KEPT = 1_000
# Ids as texts, which is what becomes of them anyway: making objects of them takes as long as finding them.
_COLUMNS = [
    cast(column, Text).label(column.name) if isinstance(column.type, Uuid) else column
    for column in Ticket.__table__.columns
    if column.name not in ("subject_key", "words")
]
_PARTICIPANTS = (
    select(func.json_agg(func.json_build_array(Participant.address, Participant.person_id)))
    .where(Participant.ticket_id == Ticket.id)
    .correlate(Ticket)
    .scalar_subquery()
)

# The fields that a page goes by, as `criteria.ORDERS` has them.
_KEYS = {
    Order.RECENT: ("last_message_time", "id"),
    Order.CREATED: ("id",),
    Order.PRIORITY: ("urgency", "last_message_time", "id"),
}

if TYPE_CHECKING:
    Listed = Ticket
else:
    _FIELDS = [*(column.name for column in _COLUMNS), "urgency", "people"]

    class Listed(NamedTuple("_Row", [(name, Any) for name in _FIELDS])):
        """The row of a ticket in a list."""

        __slots__ = ()

        @property
        def participants(self) -> list[Companion]:
            """Who else is in the conversation, by address."""
            if not self.people:
                return []
            return sorted(Companion(address, UUID(person) if person else None) for address, person in self.people)


class _Question(NamedTuple):
    """All that a statement depends on; caller and second are in what `mine()` and "-30d" become."""

    filter: str
    order: Order
    further: bool
    who: str
    second: int


def page(wanted: Listing, request: PageRequest, who: str) -> tuple[list[Listed], str]:
    """A page of tickets as a caller sees it, rows with a ticket's fields, and the token of the next one.

    Raises FilterError, and InvalidArgument for the token of another list.
    """
    query, size = f"tickets {wanted.order.name} {wanted.filter}", size_of(request)
    position = position_in(request.page_token, query) if request.page_token else []
    asked = _Question(wanted.filter, wanted.order, bool(position), who, int(now().timestamp()))
    statement, values = _statement(asked)
    here = {f"key_{number}": value for number, value in enumerate(position)}
    rows = database.planned(statement, {**values, **here, "most": size + 1})
    found: list[Listed] = list(map(Listed._make, rows[:size]))  # type: ignore[attr-defined]  # rows
    if len(rows) <= size:
        return found, ""
    return found, token_of(query, [getattr(found[-1], name) for name in _KEYS[wanted.order]])


@lru_cache(maxsize=MOST_KEPT)
def _statement(asked: _Question) -> tuple[str, Mapping[str, Any]]:
    """The SQL of a first or a further page, with its values; `key_0` … and `most` are to be filled in."""
    keys = ORDERS[asked.order]
    statement = select(*_COLUMNS, URGENCY.label("urgency"), _PARTICIPANTS).where(criteria.condition(asked.filter))
    if asked.further:
        place = [bindparam(f"key_{number}", type_=key.type) for number, key in enumerate(keys)]
        statement = statement.where(after(keys, place))
    dialect = database.engine.dialect
    compiled = statement.order_by(*keys).limit(bindparam("most")).compile(dialect=dialect)
    values = {}
    for name, bound in compiled.binds.items():
        process = bound.type.dialect_impl(dialect).bind_processor(dialect)
        values[name] = process(bound.value) if process and bound.value is not None else bound.value
    return str(compiled), values
