"""Events as messages of AMQP and back: several of one type in a bundle, or one alone.

Of a message, broker and client have to decode every property, whatever it carries: in bundles of a hundred an event
costs them a tenth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from google.protobuf.message import DecodeError
from pika import BasicProperties

from chassis.bus import Envelope
from denda.events.v1.bundle_pb2 import Bundle, Event

ALONE, TOGETHER = "application/protobuf", "application/vnd.denda.bundle+protobuf"
# Most events in a bundle, and about how many bytes.
MOST_EVENTS = 100
MOST_BYTES = 64 * 1024
# The header that says how many events a bundle holds, and that in which a quorum queue counts failed deliveries.
COUNT, DELIVERIES = "events", "x-delivery-count"


class Outgoing(NamedTuple):
    """A message to publish, and the events in it."""

    ids: tuple[UUID, ...]
    exchange: str
    routing_key: str
    properties: BasicProperties
    body: bytes


def together(exchange: str, envelopes: Sequence[Envelope]) -> list[Outgoing]:
    """Messages with first attempts, routed by their types."""
    by_kind: dict[tuple[str, str], list[Envelope]] = {}
    for envelope in envelopes:
        by_kind.setdefault((envelope.type, envelope.source), []).append(envelope)
    return [
        _bundle(exchange, group) if len(group) > 1 else alone(exchange, group[0].type, group[0])
        for kind in by_kind.values()
        for group in _groups(kind)
    ]


def alone(exchange: str, key: str, envelope: Envelope, *, attempt: int = 1, error: str = "") -> Outgoing:
    """A message with one event."""
    extras = {"subject": envelope.subject, "traceparent": envelope.traceparent, "error": error}
    headers: dict[str, str | int] = {name: text for name, text in extras.items() if text}
    if attempt > 1:
        headers["attempt"] = attempt
    properties = BasicProperties(
        content_type=ALONE,
        delivery_mode=2,
        message_id=str(envelope.id),
        type=envelope.type,
        app_id=envelope.source,
        timestamp=int(envelope.time.timestamp()),
        correlation_id=envelope.correlation_id or None,
        headers=headers or None,
    )
    return Outgoing((envelope.id,), exchange, key, properties, envelope.body)


def events_in(properties: BasicProperties) -> int:
    """How many events a message says that it holds."""
    count = (properties.headers or {}).get(COUNT)
    return count if isinstance(count, int) and properties.content_type == TOGETHER else 1


def failed_deliveries(properties: BasicProperties) -> int:
    """How often a message was delivered and not acknowledged."""
    count = (properties.headers or {}).get(DELIVERIES)
    return count if isinstance(count, int) else 0


def envelopes_in(properties: BasicProperties, body: bytes) -> list[Envelope]:
    """The events of a message; one for whatever is no bundle, so that it can be listed and dropped."""
    if properties.content_type != TOGETHER:
        return [_of_message(properties, body)]
    try:
        if found := [_of_bundle(properties, event) for event in Bundle.FromString(body).events]:
            return found
    except (DecodeError, ValueError):
        pass
    # Nobody may take it for an event of its type.
    return [replace(_of_message(properties, body), type=TOGETHER)]


def _groups(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    group: list[Envelope] = []
    size = 0
    for envelope in envelopes:
        if group and (len(group) == MOST_EVENTS or size + len(envelope.body) > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(envelope)
        size += len(envelope.body)
    yield group


def _bundle(exchange: str, envelopes: Sequence[Envelope]) -> Outgoing:
    first = envelopes[0]
    properties = BasicProperties(
        content_type=TOGETHER,
        delivery_mode=2,
        message_id=str(first.id),
        type=first.type,
        app_id=first.source,
        headers={COUNT: len(envelopes)},
    )
    body = Bundle(events=map(_event, envelopes)).SerializeToString()
    return Outgoing(tuple(envelope.id for envelope in envelopes), exchange, first.type, properties, body)


def _event(envelope: Envelope) -> Event:
    event = Event(
        id=str(envelope.id),
        subject=envelope.subject,
        correlation_id=envelope.correlation_id,
        traceparent=envelope.traceparent,
        body=envelope.body,
    )
    event.time.seconds = int(envelope.time.timestamp())
    return event


def _of_bundle(properties: BasicProperties, event: Event) -> Envelope:
    return Envelope(
        id=UUID(event.id),
        type=properties.type or "",
        source=properties.app_id or "",
        time=datetime.fromtimestamp(event.time.seconds, UTC),
        body=event.body,
        subject=event.subject,
        correlation_id=event.correlation_id,
        traceparent=event.traceparent,
    )


def _of_message(properties: BasicProperties, body: bytes) -> Envelope:
    headers = properties.headers or {}
    attempt = headers.get("attempt")
    return Envelope(
        id=_event_id(properties.message_id or ""),
        type=properties.type or "",
        source=properties.app_id or "",
        time=datetime.fromtimestamp(properties.timestamp or 0, UTC),
        body=body,
        subject=str(headers.get("subject", "")),
        correlation_id=properties.correlation_id or "",
        traceparent=str(headers.get("traceparent", "")),
        attempt=attempt if isinstance(attempt, int) else 1,
    )


def _event_id(name: str) -> UUID:
    """The message's id; what others have put into the queue gets a stable one, so that it can be listed and dropped."""
    try:
        return UUID(name)
    except ValueError:
        return uuid5(NAMESPACE_URL, name)
