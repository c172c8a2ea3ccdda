"""What filters over tickets may say, and in what order tickets are listed."""

from enum import IntEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    SmallInteger,
    Text,
    TypeDecorator,
    func,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased

from chassis.auth import caller
from chassis.errors import InvalidArgument
from chassis.filters import Field, Function, Schema, Type, parse, to_sql
from services.support.models import URGENCY, Queue, Ticket, TicketMessage
from services.support.states import Priority, Source, TicketState

# PostgreSQL's own limit for a word of a search is 2,046 bytes.
MOST_CHARACTERS_OF_A_WORD = 200


class _Named(TypeDecorator[str]):
    """A number of an enumeration that a filter calls by its name; the column and its indexes stay as they are."""

    impl = SmallInteger
    cache_ok = True

    def __init__(self, names: type[IntEnum]) -> None:
        super().__init__()
        self.names = names

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002  # SQLAlchemy's signature
        """The number of a name."""
        return None if value is None else int(self.names[value])


class _QueueName(TypeDecorator[str]):
    """A queue's name. It is looked up once a statement, so that the index on queue_id finds the tickets."""

    impl = Text
    cache_ok = True

    class comparator_factory(TypeDecorator.Comparator[str]):  # noqa: N801  # SQLAlchemy's name
        __hash__ = TypeDecorator.Comparator.__hash__

        def __eq__(self, other: object) -> ColumnElement[bool]:  # type: ignore[override]  # SQLAlchemy's way
            return Ticket.queue_id == select(Queue.id).where(Queue.name == other).scalar_subquery()


def condition(filter_text: str) -> ColumnElement[bool]:
    """The tickets that a filter describes; an empty one describes all. Raises FilterError."""
    return to_sql(parse(filter_text), SCHEMA)


def _enum(column: Any, names: type[IntEnum]) -> Field:
    return Field(Type.ENUM, type_coerce(column, _Named(names)), values=tuple(name.name for name in names))


def _says(words: str) -> ColumnElement[bool]:
    """Tickets whose subject or messages contain all the words; the last one may be a beginning."""
    query = func.to_tsquery("simple", _prefixed(words))
    named = aliased(Ticket)
    # Two searches, each by its index; an OR of them would look at every ticket.
    titles = select(named.id).where(named.words.op("@@")(query))
    return Ticket.id.in_(titles.union(select(TicketMessage.ticket_id).where(TicketMessage.words.op("@@")(query))))


def _prefixed(words: str) -> str:
    """Words as PostgreSQL's query of all of them, each in quotes, so that nothing in them has a meaning."""
    found = words.replace("\\", " ").split()
    if not found or max(map(len, found)) > MOST_CHARACTERS_OF_A_WORD:
        raise InvalidArgument("filter", f"text() needs words of at most {MOST_CHARACTERS_OF_A_WORD} characters")
    return " & ".join("'" + word.replace("'", "''") + "'" for word in found) + ":*"


def _mentions(user_id: str) -> ColumnElement[bool]:
    noted = select(TicketMessage.ticket_id).where(TicketMessage.mentioned_ids.contains([user_id]))
    return Ticket.id.in_(noted)


def _is_mine() -> ColumnElement[bool]:
    return Ticket.assignee_id == caller().subject.removeprefix("user:")


_queue_name = select(Queue.name).where(Queue.id == Ticket.queue_id).correlate(Ticket).scalar_subquery()

SCHEMA = Schema(
    fields={
        "id": Field(Type.ID, Ticket.id),
        "number": Field(Type.NUMBER, Ticket.number),
        "subject": Field(Type.STRING, Ticket.subject),
        "state": _enum(Ticket.state, TicketState),
        "priority": _enum(Ticket.priority, Priority),
        "source": _enum(Ticket.source, Source),
        "queue": Field(Type.STRING, type_coerce(_queue_name, _QueueName())),
        "queue_id": Field(Type.ID, Ticket.queue_id),
        "assignee": Field(Type.STRING, Ticket.assignee_id),
        "tags": Field(Type.LIST, Ticket.tags),
        "requester": Field(Type.ID, Ticket.requester_id),
        "requester_address": Field(Type.STRING, Ticket.requester_address, normalise=str.lower),
        "requester_name": Field(Type.STRING, Ticket.requester_name),
        "campaign": Field(Type.ID, Ticket.campaign_id),
        "customer_spoke_last": Field(Type.BOOLEAN, Ticket.customer_spoke_last),
        "create_time": Field(Type.TIMESTAMP, Ticket.create_time),
        "update_time": Field(Type.TIMESTAMP, Ticket.update_time),
        "last_message_time": Field(Type.TIMESTAMP, Ticket.last_message_time),
    },
    functions={
        "text": Function((Type.STRING,), Type.BOOLEAN, _says),
        "mentions": Function((Type.STRING,), Type.BOOLEAN, _mentions),
        "mine": Function((), Type.BOOLEAN, _is_mine),
    },
)


class Order(IntEnum):
    """What a list is ordered by."""

    RECENT = 0
    CREATED = 1
    PRIORITY = 2


ORDERS: dict[Order, tuple[Any, ...]] = {
    Order.RECENT: (Ticket.last_message_time.desc(), Ticket.id.desc()),
    Order.CREATED: (Ticket.id.desc(),),
    Order.PRIORITY: (URGENCY, Ticket.last_message_time, Ticket.id),
}
