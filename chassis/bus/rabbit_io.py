"""RabbitMQ connections, each with an I/O thread of its own that runs nothing else, so heartbeats never starve.

A connection that is lost comes back by itself, with growing pauses. What was not confirmed or not
acknowledged by then is not tried here again: the outbox and the broker still have it.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from pika import BasicProperties, SelectConnection, URLParameters
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic

from chassis.bus import BATCH, BATCH_BYTES, pauses
from chassis.bus.rabbit_messages import Outgoing, events_in

log = structlog.get_logger(__name__)
# Every lost connection is logged below, once and in the product's own form.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# Most messages sent and not yet confirmed.
WINDOW = 2000
# Seconds to wait for a connection, and for the broker to confirm a window.
CONNECT_SECONDS = 2.0
CONFIRM_SECONDS = 10.0
# A connection that has lasted this long was a good one.
STEADY_SECONDS = 5.0
# Events that the broker sends ahead of their acknowledgement, and messages before their size is known.
PREFETCH = 2 * BATCH
PREFETCH_AT_FIRST = 20
# A batch waits for company as long as more keeps coming: fewer, larger transactions cost less.
LINGER_SECONDS = 0.01
LONGEST_LINGER_SECONDS = 0.05


class Connection(SelectConnection):
    """A connection that sends at once what one turn of its loop has written.

    pika makes a system call of each frame, of which an event has three; that is a third of an event's cost.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._written: list[bytes] = []
        super().__init__(*arguments, **options)

    def _adapter_emit_data(self, data: bytes) -> None:
        if not self._written:
            self.ioloop.add_callback(self._flush)
        self._written.append(data)

    def _flush(self) -> None:
        data, self._written = b"".join(self._written), []
        if not self.is_closed:
            super()._adapter_emit_data(data)  # type: ignore[misc]  # the stubs leave this hook out


class Link:
    """One connection with one channel: `opened` sets the channel up, `lost` hears that it is gone."""

    def __init__(self, url: str, opened: Callable[[Channel], None], lost: Callable[[], None]) -> None:
        self._parameters = parameters(url)
        self._opened = opened
        self._lost = lost
        self._pauses = pauses()
        self._closing = False
        self._since = time.monotonic()
        self._loop = IOLoop()
        self._connection: SelectConnection | None = None
        self.channel: Channel | None = None
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus-io", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on the I/O thread, the only one that may touch the channel."""
        self._loop.add_callback_threadsafe(work)

    def close(self) -> None:
        """Send what is submitted, close the connection and end the thread."""
        self.submit(self._close)
        self._thread.join(CONFIRM_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._connect()
                self._loop.start()
            except Exception:
                # pika promises nothing about a loop through which an exception has passed.
                log.exception("bus_io_failed")
                self._loop.close()
                self._loop = IOLoop()
                self._forget_channel()
                time.sleep(next(self._pauses))
        self._loop.close()

    def _connect(self) -> None:
        self._connection = Connection(
            self._parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=self._on_close,
            on_close_callback=self._on_close,
            custom_ioloop=self._loop,
        )

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_close)
        self._since = time.monotonic()
        self.channel = channel
        self._opened(channel)
        self.ready.set()

    def _on_channel_close(self, channel: Channel, reason: Exception) -> None:
        if not self._closing and channel.connection.is_open:
            log.warning("bus_channel_closed", reason=str(reason))
            channel.connection.close()

    def _on_close(self, _connection: object, reason: BaseException) -> None:
        self._forget_channel()
        if self._closing:
            self._loop.stop()
        else:
            if time.monotonic() - self._since > STEADY_SECONDS:
                self._pauses = pauses()
            pause = next(self._pauses)
            log.warning("bus_connection_lost", reason=repr(reason), next_try_seconds=pause)
            self._loop.call_later(pause, self._reconnect)

    def _forget_channel(self) -> None:
        self.channel = None
        self.ready.clear()
        self._lost()

    def _reconnect(self) -> None:
        if not self._closing:
            self._connect()

    def _close(self) -> None:
        self._closing = True
        if self._connection and self._connection.is_open:
            self._connection.close()
        else:
            self._loop.stop()


def parameters(url: str) -> URLParameters:
    """Connection parameters; a broker that blocks publishers for long counts as lost."""
    found = URLParameters(url)
    found.blocked_connection_timeout = found.blocked_connection_timeout or 30
    found.socket_timeout = 5
    found.client_properties = {"connection_name": "denda"}
    return found


@dataclass(slots=True)
class Window:
    """Messages sent together, and what the broker has said about them; what it returns it confirms as well."""

    messages: Sequence[Outgoing]
    settled: int = 0
    confirmed: set[UUID] = field(default_factory=set)
    returned: set[UUID] = field(default_factory=set)
    done: threading.Event = field(default_factory=threading.Event)


class Publisher:
    """Publishes with asynchronous confirms: waiting for each one alone would cost nine tenths of the speed."""

    def __init__(self, url: str, opened: Callable[[Channel], None]) -> None:
        self._prepare = opened
        self._turn = threading.Lock()
        self._window = Window(())
        self._sent: dict[int, tuple[Window, Outgoing]] = {}
        self._last_tag = 0
        self._url = url
        self._link: Link | None = None

    def publish(self, messages: Sequence[Outgoing]) -> set[UUID]:
        """Send the messages; returns the ids of the events that the broker has stored in a queue."""
        stored: set[UUID] = set()
        with self._turn:
            if self._link is None:
                self._link = Link(self._url, self._on_open, self._on_lost)
            for start in range(0, len(messages), WINDOW):
                if not self._link.ready.wait(CONNECT_SECONDS):
                    break
                self._window = Window(messages[start : start + WINDOW])
                self._link.submit(partial(self._send, self._link, self._window))
                self._window.done.wait(CONFIRM_SECONDS)
                stored |= self._window.confirmed - self._window.returned
        return stored

    def close(self) -> None:
        """Close the connection; the next message opens another one."""
        with self._turn:
            if self._link:
                self._link.close()
            self._link = None

    def _on_open(self, channel: Channel) -> None:
        self._last_tag = 0
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm)
        self._prepare(channel)

    def _on_lost(self) -> None:
        self._window.done.set()
        self._sent.clear()

    def _send(self, link: Link, window: Window) -> None:
        channel = link.channel
        if channel is None or not channel.is_open:
            window.done.set()
            return
        for message in window.messages:
            self._last_tag += 1
            self._sent[self._last_tag] = (window, message)
            channel.basic_publish(
                message.exchange, message.routing_key, message.body, message.properties, mandatory=True
            )

    def _on_return(self, _channel: Channel, _method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        # The broker returns what no queue wants before it confirms it.
        for window, message in self._sent.values():
            if message.properties.message_id == properties.message_id:
                window.returned.update(message.ids)
                break

    def _on_confirm(self, frame: "Method[Basic.Ack | Basic.Nack]") -> None:
        last = frame.method.delivery_tag
        tags = list(takewhile(lambda tag: tag <= last, self._sent)) if frame.method.multiple else [last]
        for tag in tags:
            window, message = self._sent.pop(tag)
            if isinstance(frame.method, Basic.Ack):
                window.confirmed.update(message.ids)
            window.settled += 1
            if window.settled == len(window.messages):
                window.done.set()


class Incoming(NamedTuple):
    """A message as it came; the channel is the only one on which it can be acknowledged."""

    channel: Channel
    tag: int
    properties: BasicProperties
    body: bytes
    events: int


class Inflow:
    """What the broker sends from one queue, kept here until somebody takes it."""

    def __init__(self, url: str, queue_name: str) -> None:
        self._queue = queue_name
        self._prefetch = PREFETCH_AT_FIRST
        self._size = self._events = 0.0
        self._consumer = ""
        self._waiting: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._link = Link(url, self._on_open, lambda: None)

    def take(self, seconds: float) -> list[Incoming]:
        """The next messages of one channel, with about BATCH events; empty when none has come after `seconds`."""
        try:
            batch = [self._waiting.get(timeout=seconds)]
        except queue.Empty:
            return []
        events, until = batch[0].events, time.monotonic() + LONGEST_LINGER_SECONDS
        while events < BATCH:
            try:
                batch.append(self._waiting.get(timeout=max(0.0, min(LINGER_SECONDS, until - time.monotonic()))))
            except queue.Empty:
                break
            events += batch[-1].events
        # What a lost channel has brought will be sent again.
        return [message for message in batch if message.channel is self._link.channel]

    def acknowledge(self, batch: Sequence[Incoming]) -> None:
        """Tell the broker that these messages and all before them are done."""
        largest = max(len(message.body) for message in batch), max(message.events for message in batch)
        self._link.submit(partial(self._acknowledge, batch[-1], *largest))

    def close(self) -> None:
        """Give back what nobody has taken."""
        self._link.close()

    def _on_open(self, channel: Channel) -> None:
        # The broker cancels a consumer whose queue it takes away; with a new channel it begins anew.
        channel.add_on_cancel_callback(lambda _: channel.close())
        self._subscribe(channel)

    def _subscribe(self, channel: Channel) -> None:
        channel.basic_qos(prefetch_count=self._prefetch)
        self._consumer = channel.basic_consume(self._queue, self._on_message)

    def _on_message(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._waiting.put(Incoming(channel, method.delivery_tag or 0, properties, body, events_in(properties)))

    def _acknowledge(self, last: Incoming, size: int, events: int) -> None:
        if not last.channel.is_open:
            return
        last.channel.basic_ack(last.tag, multiple=True)
        # Prefetch counts messages and memory counts bytes: the larger they are, the fewer may wait here.
        self._size, self._events = max(size, 0.9 * self._size, 1), max(events, 0.9 * self._events)
        wanted = max(PREFETCH_AT_FIRST, int(min(PREFETCH / self._events, BATCH_BYTES / self._size)))
        if wanted > 2 * self._prefetch or wanted < self._prefetch / 2:
            self._prefetch = wanted
            last.channel.basic_cancel(self._consumer)
            self._subscribe(last.channel)
