"""Runs services in this process, in the roles asked for, until it is told to stop.

Start: migrated database, bus, loops and consumers, relay, then the gRPC doors open and health says SERVING.
Stop (SIGTERM, Ctrl-C): health says NOT_SERVING, doors close, work in hand is finished or released, the relay
empties the outbox last; all within `shutdown_seconds`.
"""

import contextvars
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Literal, Protocol

import structlog
from grpc_health.v1 import health_pb2

from chassis.auth import KeyRing
from chassis.bus import Bus, pauses
from chassis.inbox import Consumer, prune_inbox
from chassis.migrations import require_current
from chassis.relay import BATCH, relay_once
from chassis.server import bind, build_server
from chassis.service import Loop, Service
from chassis.settings import settings

Role = Literal["api", "worker", "relay"]
ROLES: tuple[Role, ...] = ("api", "worker", "relay")

# Events wait so long for company: a round costs the relay and every consumer as much as some hundred events.
RELAY_IDLE = timedelta(milliseconds=100)
INBOX_KEPT = timedelta(days=7)

log = structlog.get_logger()


_stop_of_this_worker: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)


def is_stopping() -> bool:
    """Whether the worker that asks was told to stop; a long step then ends at the next good place."""
    stop = _stop_of_this_worker.get()
    return stop is not None and stop.is_set()


class Edge(Protocol):
    """A server that is not a gRPC service, such as the gateway."""

    name: str

    def start(self) -> None:
        """Bind the port, raising where it is taken, and serve in threads of its own."""

    def stop(self) -> None:
        """Finish what is under way and close."""


def forever(name: str, step: Callable[[], bool | None], stop: threading.Event, idle: timedelta) -> None:
    """Repeat `step` until `stop` is set: at once while it says True, else after `idle`.

    A step that fails is logged and repeated after a growing pause: databases and brokers come back.
    """
    troubled = pauses()
    while not stop.is_set():
        try:
            more = step()
        except Exception:
            log.exception("loop_failed", loop=name)
            stop.wait(next(troubled))
            continue
        troubled = pauses()
        if not more:
            stop.wait(idle.total_seconds())


class Workers:
    """Threads that run until they are stopped together."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, name: str, work: Callable[[threading.Event], None]) -> None:
        """Start `work(stop)` in a thread of its own."""
        # A fresh context, so that nothing of the starting thread's request or trace clings to it.
        thread = threading.Thread(target=contextvars.Context().run, args=(self._begin, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _begin(self, work: Callable[[threading.Event], None]) -> None:
        _stop_of_this_worker.set(self._stop)
        work(self._stop)

    def loop(self, loop: Loop) -> None:
        """Start a loop in as many threads as it asks for."""
        for copy in range(loop.copies):
            name = f"{loop.name}-{copy}" if loop.copies > 1 else loop.name
            self.add(name, lambda stop, name=name: forever(name, loop.step, stop, loop.idle))  # type: ignore[misc]

    def stop(self, seconds: float) -> None:
        """Ask all to stop and wait for them, together for at most `seconds`."""
        self._stop.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("worker_abandoned", worker=thread.name)


@contextmanager
def running(
    services: Sequence[Service],
    bus: Bus,
    keys: KeyRing,
    roles: Sequence[Role] = ROLES,
    edges: Sequence[Edge] = (),
) -> Iterator[None]:
    """Services that run inside the block and are stopped in order when it ends."""
    with ExitStack() as stack:
        # The last one in is the first to stop.
        stack.callback(bus.close)
        for service in services:
            stack.callback(service.database.close)
            require_current(service)
        deadline = _Deadline()
        relays = stack.enter_context(_workers(deadline))
        workers = stack.enter_context(_workers(deadline))
        if "relay" in roles:
            for service in services:
                relays.add(f"{service.name}-relay", partial(_relay, service, bus))
        if "worker" in roles:
            for service in services:
                _start_work(service, bus, workers)
        if "api" in roles:
            stack.enter_context(_doors(services, keys, deadline))
        for edge in edges:
            edge.start()
            stack.callback(edge.stop)
        stack.callback(deadline.set)
        yield


def _settle_memory() -> None:
    """Leave what was loaded at the start out of every later garbage collection, and collect less often.

    A batch of events makes thousands of objects that reference counts free; collections among them would look through
    the more than a hundred thousand of the libraries again and again, which takes a quarter of a consumer's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def wait_for_signal() -> None:
    """Return when SIGTERM or SIGINT arrives; a second one ends the process at once. All that it serves has started."""
    _settle_memory()
    told = threading.Event()

    def stop(number: int, _frame: object) -> None:
        told.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    told.wait()


class _Deadline:
    """When a stop must be over, in monotonic seconds; set when the stop begins."""

    def __init__(self) -> None:
        self._at = 0.0

    def set(self) -> None:
        self._at = time.monotonic() + settings().shutdown_seconds

    def left(self) -> float:
        """Seconds that remain, less what the steps that follow need."""
        if not self._at:
            # A start that fails is a stop that nobody announced.
            self.set()
        return max(0.0, self._at - time.monotonic() - 1)


@contextmanager
def _workers(deadline: _Deadline) -> Iterator[Workers]:
    workers = Workers()
    try:
        yield workers
    finally:
        workers.stop(deadline.left())


@contextmanager
def _doors(services: Sequence[Service], keys: KeyRing, deadline: _Deadline) -> Iterator[None]:
    """GRPC servers that are open inside the block."""
    built = [build_server(service, keys) for service in services]
    for service, (server, _) in zip(services, built, strict=True):
        bind(server, f"{settings().bind}:{service.port + settings().port_offset}")
    for server, healthy in built:
        server.start()
        healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield
    finally:
        for _, healthy in built:
            healthy.enter_graceful_shutdown()
        for closed in [server.stop(grace=min(5.0, deadline.left())) for server, _ in built]:
            closed.wait(deadline.left())


def _relay(service: Service, bus: Bus, stop: threading.Event) -> None:
    """Carry events to the bus, and at the stop what the others wrote last."""
    forever(f"{service.name}-relay", lambda: relay_once(service.database, bus) == BATCH, stop, RELAY_IDLE)
    try:
        # Large events make rounds that are over before they are full.
        while relay_once(service.database, bus):
            pass
    except Exception as error:
        log.warning("events_wait_for_the_next_start", service=service.name, error=type(error).__name__)


def _start_work(service: Service, bus: Bus, workers: Workers) -> None:
    if service.handlers:
        consumer = Consumer(service, bus)
        workers.add(f"{service.name}-consumer", consumer.run)
        workers.loop(Loop(f"{service.name}-inbox", lambda: _prune(service), timedelta(hours=1)))
    for loop in service.loops:
        workers.loop(replace(loop, step=partial(asked, service, loop)) if loop.when else loop)


def asked(service: Service, loop: Loop) -> bool | None:
    """Make a step of the loop if there is anything to do."""
    return bool(service.database.lookup(loop.when)) and loop.step()


def _prune(service: Service) -> None:
    with service.database.transaction() as session:
        prune_inbox(session, INBOX_KEPT)
