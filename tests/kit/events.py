"""Events for tests of the bus: made up, sent, consumed in a thread, waited for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from chassis.bus import Bus, Delivery, Envelope
from chassis.ids import new_id


def an_envelope(event_type: str = "contacts.person.deleted.v1", **changes: Any) -> Envelope:
    """An event on its way, with every field filled."""
    envelope = Envelope(
        id=new_id(),
        type=event_type,
        source="contacts",
        time=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        body=b"\x0a\x05Maite",
        subject=str(uuid4()),
        correlation_id="request-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return replace(envelope, **changes)


@contextmanager
def consuming(bus: Bus, queue: str, handle: Callable[[list[Delivery]], None]) -> Iterator[threading.Event]:
    """A thread that consumes inside the block; yields the event that stops it."""
    stop = threading.Event()
    thread = threading.Thread(target=bus.consume, args=(queue, handle, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def eventually(true: Callable[[], Any], seconds: float = 60) -> None:
    """Return as soon as the condition holds; the limit is far beyond what any machine needs."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.02)
