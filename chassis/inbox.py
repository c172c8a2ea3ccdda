"""The inbox: every event has its effect once, however often the bus delivers it.

The ids of a batch are inserted in the transaction of its effects, so they commit together or not at all;
the bus is told only afterwards. An event that fails is tried alone, then again later, then is dead.
"""

import threading
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import structlog
from google.protobuf.message import DecodeError, Message
from opentelemetry import baggage, context, trace
from prometheus_client import Counter
from sqlalchemy import delete, func, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from chassis.bus import Bus, Delivery, Envelope, pauses
from chassis.events import event_type
from chassis.outbox import CORRELATION_ID, inbox
from chassis.service import Service
from chassis.telemetry import context_from, tracer

log = structlog.get_logger(__name__)

CONSUMED = Counter("denda_events_consumed", "Events whose effect is committed.", ["service", "type"])
FAILED = Counter("denda_events_failed", "Attempts to handle an event that failed.", ["service", "type"])
DEAD = Counter("denda_events_dead", "Events given to the dead letters.", ["service", "type"])

# SQLSTATE classes that say the database is away, full, overloaded or at odds with another transaction.
_DATABASE_TROUBLE = ("08", "40", "53", "57P", "58")

_REMEMBER = text("""
    WITH fresh AS (INSERT INTO inbox (id) SELECT unnest(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING RETURNING id)
    SELECT unnest(CAST(:ids AS uuid[])) EXCEPT SELECT id FROM fresh""")


class Received(NamedTuple):
    """A delivery and the message in it."""

    envelope: Envelope
    delivery: Delivery
    message: Message


class Consumer:
    """Handles the events of one service's queue, batch by batch."""

    def __init__(self, service: Service, bus: Bus) -> None:
        self.queue = f"{service.name}.events"
        self._service = service
        self._bus = bus
        self._classes = {event_type(kind): kind for kind in service.handlers}

    def run(self, stop: threading.Event) -> None:
        """Declare the queue and handle what comes until `stop` is set; the batch in hand is finished."""
        if self._declared(stop):
            self._bus.consume(self.queue, self.handle, stop)

    def _declared(self, stop: threading.Event) -> bool:
        """Declare the queue as soon as the bus is there; False when the stop came first."""
        for pause in pauses():
            try:
                self._bus.declare(self.queue, self._classes)
                return True
            except Exception as error:
                log.warning("bus_away", queue=self.queue, error=type(error).__name__, next_try_seconds=pause)
                if stop.wait(pause):
                    break
        return False

    def handle(self, deliveries: list[Delivery]) -> None:
        """Bring about the effects of a batch and mark what failed.

        Raises only for trouble with the database, which is no event's fault and counts against none.
        """
        received = [one for delivery in deliveries if (one := self._decoded(delivery))]
        if received and (error := self._failure(received)):
            for one in received:
                # What failed alone has had its attempt; of several, each gets one of its own.
                alone = self._failure([one]) if len(received) > 1 else error
                if alone:
                    self._fail(one.delivery, alone)
        self._count(CONSUMED, [delivery for delivery in deliveries if not delivery.error])
        self._count(DEAD, [delivery for delivery in deliveries if delivery.dead])

    def _count(self, counter: Counter, deliveries: Sequence[Delivery]) -> None:
        for name, number in Counts(delivery.envelope.type for delivery in deliveries).items():
            counter.labels(self._service.name, name).inc(number)

    def _decoded(self, delivery: Delivery) -> Received | None:
        envelope = delivery.envelope
        kind = self._classes.get(envelope.type)
        if kind is None:
            delivery.bury(f"{self._service.name} handles no events of type {envelope.type!r}")
            return None
        try:
            return Received(envelope, delivery, kind.FromString(envelope.body))
        except DecodeError as error:
            delivery.bury(f"the body is no {kind.DESCRIPTOR.full_name}: {error}")
            return None

    def _failure(self, received: Sequence[Received]) -> Exception | None:
        """Bring about the effects in one transaction; the error when that failed, and then nothing is changed."""
        try:
            with self._service.database.transaction() as session:
                self._apply(session, received)
        except Exception as error:
            if _is_database_trouble(error):
                raise
            return error
        return None

    def _apply(self, session: Session, received: Sequence[Received]) -> None:
        by_id = {one.envelope.id: one for one in received}
        seen_before = set(session.scalars(_REMEMBER, {"ids": sorted(by_id)}))
        by_type: dict[type[Message], list[Received]] = {}
        for name, one in by_id.items():
            if name not in seen_before:
                by_type.setdefault(type(one.message), []).append(one)
        for kind, group in by_type.items():
            with _context_of([one.envelope for one in group]):
                self._service.handlers[kind](session, [one.message for one in group])

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        delivery.retry(_in_short(error))
        envelope = delivery.envelope
        FAILED.labels(self._service.name, envelope.type).inc()
        log.warning(
            "event_failed",
            service=self._service.name,
            type=envelope.type,
            id=str(envelope.id),
            attempt=envelope.attempt,
            dead=delivery.dead,
            error=type(error).__name__,
        )


def prune_inbox(session: Session, older_than: timedelta) -> None:
    """Forget events received longer ago than any redelivery can come."""
    session.execute(delete(inbox).where(inbox.c.received_at < func.now() - older_than))


@contextmanager
def _context_of(envelopes: Sequence[Envelope]) -> Iterator[None]:
    """A span in the trace of the first event, linked to the others', with its correlation id in the baggage."""
    first = envelopes[0]
    parent = context_from(first.traceparent)
    if first.correlation_id:
        parent = baggage.set_baggage(CORRELATION_ID, first.correlation_id, parent)
    others = {envelope.traceparent for envelope in envelopes} - {first.traceparent, ""}
    links = [trace.Link(trace.get_current_span(context_from(other)).get_span_context()) for other in others]
    token = context.attach(parent)
    try:
        with tracer.start_as_current_span(
            f"consume {first.type}", links=links, attributes={"messaging.batch.message_count": len(envelopes)}
        ):
            yield
    finally:
        context.detach(token)


def _is_database_trouble(error: Exception) -> bool:
    if isinstance(error, PoolExhausted):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError) and (state is None or state.startswith(_DATABASE_TROUBLE))


def _in_short(error: Exception) -> str:
    """What went wrong, without the statement and its values, which may be personal."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"{type(cause).__name__}: {cause}"[:500]
