"""The bus on RabbitMQ 3.10 or later: a durable topic exchange, and quorum queues for every subscribing service.

`<queue>` dead-letters into `<queue>.dead`; a failed event waits in `<queue>.retry.<seconds>s`, whose messages
expire back into `<queue>`. An event leaves a queue only after the broker has confirmed its copy in the next one.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from itertools import islice
from uuid import UUID

import structlog
from pika import BasicProperties, BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic

from chassis.bus import BATCH, DELIVERY_LIMIT, DeadLetter, Delivery, Envelope, Handle, pauses
from chassis.bus.rabbit_io import Incoming, Inflow, Publisher, parameters
from chassis.bus.rabbit_messages import Outgoing, alone, envelopes_in, failed_deliveries, together
from chassis.errors import Unavailable

log = structlog.get_logger(__name__)

EXCHANGE = "denda.events"
# Looking at dead letters delivers them, which must not use them up; RabbitMQ 4 limits to 20 where nothing is said.
WITHOUT_LIMIT = 1_000_000_000
# A bundle that was delivered more often than this without being acknowledged is taken apart: of its events, at most
# one kills the consumers.
WARY = 10
KILLED = f"delivered {DELIVERY_LIMIT} times and never settled: its consumer dies or hangs"
# Each with the tag by which the channel acknowledges it.
Letters = Iterator[tuple[int, DeadLetter]]


class RabbitBus:
    """See `chassis.bus.Bus`."""

    def __init__(self, url: str, retry_delays: Sequence[float]) -> None:
        self._url = url
        self._delays = retry_delays
        self._publisher = Publisher(url, _declare_exchange)

    def declare(self, queue: str, event_types: Iterable[str]) -> None:
        with self._channel() as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            _declare(channel, _dead(queue), **{"x-delivery-limit": WITHOUT_LIMIT})
            _declare(channel, queue, **_falls_to(_dead(queue)), **{"x-delivery-limit": DELIVERY_LIMIT})
            for delay in self._delays:
                _declare(channel, _retry(queue, delay), **_falls_to(queue), **{"x-message-ttl": int(delay * 1000)})
            for event_type in event_types:
                channel.queue_bind(queue, EXCHANGE, event_type)

    def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
        return self._publisher.publish(together(EXCHANGE, envelopes))

    def consume(self, queue: str, handle: Handle, stop: threading.Event) -> None:
        inflow = Inflow(self._url, queue)
        try:
            while not stop.is_set():
                batch = inflow.take(0.2)
                if batch and self._handled(queue, batch, handle, stop):
                    inflow.acknowledge(batch)
        finally:
            inflow.close()

    def dead(self, queue: str, limit: int = 100) -> list[DeadLetter]:
        with self._letters(queue, None) as (_, letters):
            return [letter for _, letter in islice(letters, limit)]

    def replay(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        replayed = 0
        with self._letters(queue, ids) as (channel, letters):
            while chunk := list(islice(letters, BATCH)):
                stored = self._publisher.publish([alone("", queue, letter.envelope) for _, letter in chunk])
                for tag, letter in chunk:
                    if letter.envelope.id in stored:
                        channel.basic_ack(tag)
                        replayed += 1
        return replayed

    def drop(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        dropped = 0
        with self._letters(queue, ids) as (channel, letters):
            for tag, _ in letters:
                channel.basic_ack(tag)
                dropped += 1
        return dropped

    def depth(self, queue: str) -> int:
        with self._channel() as channel:
            return _count(channel, queue)

    def check(self) -> None:
        try:
            with self._channel():
                pass
        except (AMQPError, OSError) as error:
            place = parameters(self._url)
            raise Unavailable(f"RabbitMQ at {place.host}:{place.port} cannot be used: {error!r}") from error

    def close(self) -> None:
        self._publisher.close()

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        connection = BlockingConnection(parameters(self._url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    @contextmanager
    def _letters(self, queue: str, ids: Collection[UUID] | None) -> Iterator[tuple[BlockingChannel, Letters]]:
        """The dead letters and the channel to acknowledge them by; the others go back into the queue."""
        with self._channel() as channel:
            yield channel, self._each_letter(channel, queue, ids)
            if channel.is_open:
                # The end of a channel gives them back as well, but a moment later, when somebody may look again.
                channel.basic_nack(multiple=True, requeue=True)

    def _each_letter(self, channel: BlockingChannel, queue: str, ids: Collection[UUID] | None) -> Letters:
        """The dead letters that are there now; none in a queue that nobody has declared yet."""
        left = None
        while left != 0 and (got := _get(channel, _dead(queue))):
            method, properties, body = got
            # The number that a declaration answers lags behind what has been given back.
            left = (method.message_count or 0) if left is None else left - 1
            tag, error = method.delivery_tag or 0, str((properties.headers or {}).get("error", KILLED))
            found = envelopes_in(properties, body)
            if len(found) > 1:
                # Each is listed by itself, behind the others.
                if self._publisher.publish([alone("", _dead(queue), one, error=error) for one in found]) == _ids(found):
                    channel.basic_ack(tag)
                    left += len(found)
            elif ids is None or found[0].id in ids:
                yield tag, DeadLetter(found[0], error)

    def _deliveries(self, message: Incoming) -> list[Delivery]:
        found = envelopes_in(message.properties, message.body)
        return [Delivery(one, message.tag, final=one.attempt > len(self._delays)) for one in found]

    def _handled(self, queue: str, batch: Sequence[Incoming], handle: Handle, stop: threading.Event) -> bool:
        """Call `handle` until it does not raise; False when the stop came first.

        The batch is held meanwhile: to give it back would count as a delivery.
        """
        sound: list[Incoming] = []
        suspect: list[Incoming] = []
        for message in batch:
            (suspect if message.events > 1 and failed_deliveries(message.properties) > WARY else sound).append(message)
        apart = [one for message in suspect for one in envelopes_in(message.properties, message.body)]
        if not self._stored([alone("", queue, one) for one in apart], stop):
            return False
        for pause in pauses():
            deliveries = [one for message in sound for one in self._deliveries(message)]
            try:
                if deliveries:
                    handle(deliveries)
                return self._stored([self._aside(queue, one) for one in deliveries if one.error], stop)
            except Exception as error:
                log.warning("bus_consumer_held", queue=queue, error=type(error).__name__, next_try_seconds=pause)
                if stop.wait(pause):
                    break
        return False

    def _stored(self, messages: Sequence[Outgoing], stop: threading.Event) -> bool:
        """Put messages, of one event each, where they wait now; False when that was not confirmed before the stop."""
        left = {message.ids[0]: message for message in messages}
        for pause in pauses():
            for stored in self._publisher.publish(list(left.values())) if left else ():
                del left[stored]
            if not left or stop.wait(pause):
                return not left
        return False

    def _aside(self, queue: str, delivery: Delivery) -> Outgoing:
        attempt = delivery.envelope.attempt
        if delivery.dead:
            return alone("", _dead(queue), delivery.envelope, error=delivery.error, attempt=attempt)
        return alone("", _retry(queue, self._delays[attempt - 1]), delivery.envelope, attempt=attempt + 1)


def _declare_exchange(channel: Channel) -> None:
    channel.exchange_declare(EXCHANGE, "topic", durable=True)


def _declare(channel: BlockingChannel, queue: str, **arguments: str | int) -> None:
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", **arguments})


def _falls_to(queue: str) -> dict[str, str | int]:
    """Arguments of a queue whose expired and refused messages go to `queue`, without loss on the way."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _dead(queue: str) -> str:
    return f"{queue}.dead"


def _retry(queue: str, delay: float) -> str:
    # The delay is in the name, since a queue's TTL cannot change once it is declared.
    return f"{queue}.retry.{delay:g}s"


def _count(channel: BlockingChannel, queue: str) -> int:
    """How many messages wait in a queue; none in one that nobody has declared yet."""
    try:
        return int(channel.queue_declare(queue, passive=True).method.message_count)
    except ChannelClosedByBroker as error:
        if error.reply_code == HTTPStatus.NOT_FOUND:
            return 0
        raise


def _ids(envelopes: Iterable[Envelope]) -> set[UUID]:
    return {envelope.id for envelope in envelopes}


def _get(channel: BlockingChannel, queue: str) -> tuple[Basic.GetOk, BasicProperties, bytes] | None:
    try:
        method, properties, body = channel.basic_get(queue)
    except ChannelClosedByBroker as error:
        if error.reply_code == HTTPStatus.NOT_FOUND:
            return None
        raise
    return None if method is None or properties is None or body is None else (method, properties, body)
