"""Server-streaming RPCs as a line of JSON for each message, or as server-sent events where the reader asks for them.

A stream holds a thread of the HTTP server, so at most half of the threads may stream. When the reader is gone the
call is cancelled: a sign of life every few seconds finds that out. An error after the first message ends the stream
with a line `{"error": PROBLEM}`, or an event `error`.
"""

import queue
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import grpc
from google.protobuf.message import Message
from werkzeug.wrappers import Response

from chassis.errors import ResourceExhausted
from services.gateway.health import stopping
from services.gateway.problems import problem_of
from services.gateway.rest.asked import Asked
from services.gateway.rest.bindings import Rpc
from services.gateway.rest.calls import stream
from services.gateway.rest.transcode import json_of
from services.gateway.settings import gateway_settings

LINES, EVENTS = "application/x-ndjson", "text/event-stream"
# Seconds between looks at whether this process stops, and looks until a sign of life.
GLANCE, GLANCES = 1.0, 10
# Messages that wait for a slow reader before the service is held up.
AHEAD = 16


class Reader:
    """A call read by a thread of its own, so that whoever waits for its messages can look up meanwhile."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._queue: queue.Queue[Message | grpc.RpcError | None] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        threading.Thread(target=self._read, name="rest-stream", daemon=True).start()

    def next(self, seconds: float) -> Message | grpc.RpcError | None:
        """The next message, the error or None at the end. Raises queue.Empty when there is none in that time."""
        return self._queue.get(timeout=seconds)

    def close(self) -> None:
        """Cancel the call."""
        self._closed.set()
        self._call.cancel()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._put(message)
        except grpc.RpcError as error:
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: Message | grpc.RpcError | None) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=GLANCE)
            except queue.Full:
                continue
            return


def streamed(asked: Asked, rpc: Rpc, message: Message) -> Response:
    """The answer to a request that streams. Raises grpc.RpcError where the call fails at once."""
    kind = asked.accept_mimetypes.best_match([LINES, EVENTS, "application/json"], LINES)
    places = _places()
    if not places.acquire(blocking=False):
        raise ResourceExhausted("Too many are streaming here; try again later.", reason="TOO_MANY_STREAMS")
    reader = None
    try:
        reader = Reader(stream(asked, rpc, message))
        first = _first(reader)
    except BaseException:
        if reader:
            reader.close()
        places.release()
        raise
    written = _events(reader, first) if kind == EVENTS else _lines(reader, first)
    answer = Response(written, mimetype=EVENTS if kind == EVENTS else LINES)
    # A proxy that collects an answer before it passes it on would make a stream of no use.
    answer.headers["X-Accel-Buffering"] = "no"
    answer.call_on_close(reader.close)
    answer.call_on_close(places.release)
    return answer


def _first(reader: Reader) -> list[Message | None]:
    """What came first, so that a refusal is a status and not a line; [] when nothing has come yet."""
    try:
        found = reader.next(GLANCE * 2)
    except queue.Empty:
        return []
    if isinstance(found, grpc.RpcError):
        raise found
    return [found]


def _lines(reader: Reader, first: list[Message | None]) -> Iterator[bytes]:
    for item in _items(reader, first):
        if item is None:
            yield b"\n"
        elif isinstance(item, Message):
            yield json_of(item) + b"\n"
        else:
            yield b'{"error":' + problem_of(item).as_bytes() + b"}\n"


def _events(reader: Reader, first: list[Message | None]) -> Iterator[bytes]:
    for item in _items(reader, first):
        if item is None:
            yield b": still here\n\n"
        elif isinstance(item, Message):
            yield b"data: " + json_of(item) + b"\n\n"
        else:
            yield b"event: error\ndata: " + problem_of(item).as_bytes() + b"\n\n"


def _items(reader: Reader, first: list[Message | None]) -> Iterator[Message | grpc.RpcError | None]:
    """Messages until the end, an error as the last, and None where a sign of life is due."""
    pending: list[Message | grpc.RpcError | None] = list(first)
    quiet = 0
    while not stopping.is_set():
        try:
            item = pending.pop() if pending else reader.next(GLANCE)
        except queue.Empty:
            quiet += 1
            if quiet % GLANCES == 0:
                yield None
            continue
        if item is None:
            return
        yield item
        if isinstance(item, grpc.RpcError):
            return
        quiet = 0


@cache
def _places() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, gateway_settings().http_threads // 2))
