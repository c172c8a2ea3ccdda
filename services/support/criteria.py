"""What filters over tickets may say, and in what order tickets are listed."""

from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Select,
    SmallInteger,
    Text,
    TypeDecorator,
    cast,
    func,
    or_,
    select,
    type_coerce,
)

from chassis.auth import caller
from chassis.errors import InvalidArgument
from chassis.filters import Field, Function, Schema, Type, parse, to_sql
from services.support.models import Queue, Ticket, TicketMessage
from services.support.states import Priority, Source, TicketState


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
    heard = select(TicketMessage.ticket_id).where(TicketMessage.words.op("@@")(query))
    return or_(Ticket.words.op("@@")(query), Ticket.id.in_(heard))


def _prefixed(words: str) -> str:
    """Words as PostgreSQL's query of all of them, each in quotes, so that nothing in them has a meaning."""
    found = ["'" + word.replace("\\", "").replace("'", "''") + "'" for word in words.split()]
    if not found:
        raise InvalidArgument("filter", "text() needs at least one word")
    return " & ".join(found) + ":*"


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


# Of equal priority the one that waits longest comes first, so its time counts downwards too.
_WAITING = cast(-func.extract("epoch", Ticket.last_message_time) * 1000000, BigInteger)
ORDERS: dict[Order, tuple[Any, ...]] = {
    Order.RECENT: (Ticket.last_message_time.desc(), Ticket.id.desc()),
    Order.CREATED: (Ticket.id.desc(),),
    Order.PRIORITY: (Ticket.priority.desc(), _WAITING.desc(), Ticket.id.desc()),
}


def listed(filter_text: str) -> Select[Any]:
    """The tickets of a list."""
    return select(Ticket).where(condition(filter_text))
