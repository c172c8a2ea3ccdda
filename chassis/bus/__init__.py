"""The bus: events travel between services in envelopes, over RabbitMQ or over PostgreSQL tables.

The promise is at-least-once delivery without order. A delivery that fails is tried again after each of
RETRY_DELAYS and then rests in the queue's dead letters, from where it can be replayed or dropped.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

# Seconds between the attempts to handle one event: six attempts in about 13 minutes.
RETRY_DELAYS = (1.0, 5.0, 30.0, 120.0, 600.0)
# Seconds between attempts while a broker or a database is away.
RECONNECT_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# An event whose consumer dies this often without a word is taken for what kills it.
DELIVERY_LIMIT = 50
# Most deliveries handed over at once, and about how many bytes: large events come in smaller batches.
BATCH = 1000
BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event on its way, with the meanings of CloudEvents; the body is the binary protobuf message."""

    id: UUID
    type: str
    source: str
    time: datetime
    body: bytes
    subject: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    attempt: int = 1


@dataclass(slots=True)
class Delivery:
    """An event handed to a consumer: done when the batch returns, unless the consumer says otherwise."""

    envelope: Envelope
    token: int
    final: bool = False
    error: str = ""
    dead: bool = False

    def retry(self, error: str) -> None:
        """Try this event again later; when this was the last attempt it is dead."""
        self.error, self.dead = error, self.final

    def bury(self, error: str) -> None:
        """Put this event among the dead letters at once, since no retry can help."""
        self.error, self.dead = error, True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that no attempt could handle, and the last error."""

    envelope: Envelope
    error: str


# Takes a batch; marks the deliveries that failed and returns, or raises when nothing was the events' fault.
Handle = Callable[[list[Delivery]], None]


class Bus(Protocol):
    """What both transports do. A bus may be used from several threads."""

    def declare(self, queue: str, event_types: Iterable[str]) -> None:
        """Make the queue, its retries and its dead letters, and route these event types to it."""

    def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
        """Send events; returns the ids that are stored safely in at least one queue. Never raises for a lost broker."""

    def consume(self, queue: str, handle: Handle, stop: threading.Event) -> None:
        """Hand over batches until `stop` is set; the batch in hand is finished, what else was fetched goes back.

        When `handle` raises, nothing was the events' fault: the batch is handed over again after a growing
        pause, which does not count as an attempt.
        """

    def dead(self, queue: str, limit: int = 100) -> list[DeadLetter]:
        """The oldest dead letters of a queue."""

    def replay(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        """Put dead letters (None: all) back as a first attempt; returns how many."""

    def drop(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        """Forget dead letters (None: all); returns how many."""

    def depth(self, queue: str) -> int:
        """How much waits in the queue now, retries and events in hand apart.

        RabbitMQ counts messages, in which many events may travel together.
        """

    def check(self) -> None:
        """Do nothing when the bus is there. Raises Unavailable that says what is wrong."""

    def close(self) -> None:
        """Let go of every connection."""


def connect(url: str, retry_delays: Sequence[float] = RETRY_DELAYS) -> Bus:
    """The bus at `url`: `amqp://…` and `amqps://…` for RabbitMQ, `postgresql://…` for tables in that database."""
    if url.startswith(("amqp://", "amqps://")):
        from chassis.bus.rabbit import RabbitBus  # noqa: PLC0415  the transports import this module

        return RabbitBus(url, retry_delays)
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        from chassis.bus.postgres import PostgresBus  # noqa: PLC0415  as above

        return PostgresBus(url, retry_delays)
    raise ValueError(f"a bus has an amqp:// or a postgresql:// URL, not {url.partition(':')[0]!r}")


def pauses() -> Iterator[float]:
    """Growing pauses, in seconds, for as long as something is away."""
    yield from RECONNECT_DELAYS
    while True:
        yield RECONNECT_DELAYS[-1]
