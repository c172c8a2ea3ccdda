"""The outbox: an event is a row written in the same transaction as the change that it tells of.

The relay publishes the rows later, so an event leaves exactly when its change is committed.
"""

from collections.abc import Iterable

from google.protobuf.message import Message
from opentelemetry import baggage
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Session

from chassis.db import new_metadata
from chassis.events import event_type
from chassis.ids import new_id
from chassis.telemetry import traceparent

# The key under which the OpenTelemetry baggage carries the id of the request that began it all.
CORRELATION_ID = "correlation_id"
# Brokers and receivers refuse larger messages, and would do so again and again.
LARGEST_EVENT = 4 * 1024 * 1024

_metadata = new_metadata()
outbox = Table(
    "outbox",
    _metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("correlation_id", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    # A relay has the row until then, or has failed to publish it and shall wait until then.
    Column("leased_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
)
inbox = Table(
    "inbox",
    _metadata,
    Column("id", Uuid, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Rows come in the order of time and leave in it: a summary of the pages is all that pruning needs.
    Index("inbox_received_at_idx", "received_at", postgresql_using="brin"),
)

_RECORD = text("""
    INSERT INTO outbox (id, type, subject, body, correlation_id, traceparent)
    SELECT event.id, event.type, event.subject, event.body, :correlation_id, :traceparent
    FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:subjects AS text[]), CAST(:bodies AS bytea[]))
         WITH ORDINALITY AS event (id, type, subject, body, position)
    ORDER BY event.position""")


def outbox_tables(metadata: MetaData) -> None:
    """Add the tables `outbox` and `inbox` to a service's metadata."""
    outbox.to_metadata(metadata)
    inbox.to_metadata(metadata)


def record(session: Session, event: Message, subject: str = "") -> None:
    """Publish this event when the session's transaction commits; `subject` is the id of what it is about."""
    record_all(session, [(event, subject)])


def record_all(session: Session, events: Iterable[tuple[Message, str]]) -> None:
    """Publish events, each with its subject, when the session's transaction commits.

    They carry the trace and the correlation id of the current OpenTelemetry context.
    Raises ValueError for an event over 4 MiB, which is to be split by its maker.
    """
    pairs = list(events)
    if not pairs:
        return
    columns = {
        "ids": [new_id() for _ in pairs],
        "types": [event_type(event) for event, _ in pairs],
        "subjects": [subject for _, subject in pairs],
        "bodies": [_body(event) for event, _ in pairs],
        # AMQP has room for 255 bytes.
        "correlation_id": str(baggage.get_baggage(CORRELATION_ID) or "")[:60],
        "traceparent": traceparent(),
    }
    session.execute(_RECORD, columns)


def _body(event: Message) -> bytes:
    body = event.SerializeToString()
    if len(body) > LARGEST_EVENT:
        raise ValueError(f"an event {event_type(event)} of {len(body)} bytes is too large for the bus; split it")
    return body
