"""The gRPC server of a service: every call passes one door.

The door knows the request's id and trace, authenticates the caller, checks the role that the contract declares,
validates the request by its contract (protovalidate), turns errors into statuses with details, and measures.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import protovalidate
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from opentelemetry import baggage
from opentelemetry import context as trace_context
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from chassis.access import Access, access_table
from chassis.auth import KeyRing, set_caller
from chassis.errors import (
    DendaError,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)
from chassis.ids import new_id
from chassis.outbox import CORRELATION_ID
from chassis.service import Service
from chassis.settings import settings
from chassis.telemetry import context_from, rpc_seconds, server_span

Call = grpc.ServicerContext
Function = TypeVar("Function", bound=Callable[..., Any])

# A batch of 1,000 recipients with long merge fields fits; anything larger is refused as RESOURCE_EXHAUSTED.
MESSAGE_BYTES = 16 * 1024 * 1024

# Threads beyond those of the streams, so that one too many is told so instead of waiting.
THREADS_TO_REFUSE = 4
# Of quick calls together: only one of them runs at a time, and each more that is under way makes the others slower.
QUICK_THREADS = 3

log = structlog.get_logger()


def quick(function: Function) -> Function:
    """Mark a servicer's function that answers from a row or two, without a transaction.

    Such calls have a few threads of their own, where no slow call is in their way.
    """
    function.quick = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class _Method:
    """An RPC behind the door: its path, who may call it and the servicer's function."""

    path: str
    access: Access
    function: Callable[[Any, Call], Any]


class Door:
    """What every call passes before it reaches a servicer.

    It stands in for the server when servicers are added to one, and gives the server their methods behind itself:
    an interceptor would have to make a handler anew for each call, which takes longer than the checks.
    """

    def __init__(self, server: grpc.Server, access: dict[str, Access], keys: KeyRing, streams: int) -> None:
        self._server = server
        self._access = access
        self._keys = keys
        self._places = threading.BoundedSemaphore(streams)
        self._quick = ThreadPoolExecutor(QUICK_THREADS, thread_name_prefix="quick")
        # A stream stays as long as it likes: it has a thread that no other call waits for, made when it is needed.
        self._streams = ThreadPoolExecutor(streams + THREADS_TO_REFUSE, thread_name_prefix="stream")

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take no notice: generated code gives the same methods by name right after."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Add the methods of a service, each behind the door."""
        guarded = {name: self._guarded(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        self._server.add_registered_method_handlers(service, guarded)

    def _guarded(self, path: str, handler: Any) -> Any:
        function = handler.stream_stream or handler.stream_unary or handler.unary_stream or handler.unary_unary
        method = _Method(path, self._access[path], function)
        guard = self._streaming if handler.response_streaming else self._unary

        def behaviour(request: Any, context: Call) -> Any:
            metadata: dict[str, Any] = dict(context.invocation_metadata())
            if "x-request-id" not in metadata:
                metadata["x-request-id"] = str(new_id())
            checked = _validated_each(request) if handler.request_streaming else request
            return guard(method, metadata, checked, context)

        # grpcio's own way; the others are run by the server's threads.
        if handler.response_streaming:
            behaviour.experimental_thread_pool = self._streams  # type: ignore[attr-defined]
        elif hasattr(function, "quick"):
            behaviour.experimental_thread_pool = self._quick  # type: ignore[attr-defined]
        return _handler_like(handler, behaviour)

    def _unary(self, method: _Method, metadata: dict[str, Any], request: Any, context: Call) -> Any:
        with server_span(method.path, _context_of(metadata)):
            started, code = time.perf_counter(), "OK"
            try:
                self._admit(method.access, metadata, request)
                return method.function(request, context)
            except Exception as error:
                refusal = _verdict(context, method.path, error)
                code = refusal.code.name
                return _end(context, refusal, metadata["x-request-id"])
            finally:
                rpc_seconds(method.path, code).observe(time.perf_counter() - started)

    def _streaming(self, method: _Method, metadata: dict[str, Any], request: Any, context: Call) -> Iterator[Any]:
        started, code = time.perf_counter(), "OK"
        try:
            trace_context.attach(_context_of(metadata))
            self._admit(method.access, metadata, request)
            with self._place():
                yield from method.function(request, context)
        except Exception as error:
            refusal = _verdict(context, method.path, error)
            code = refusal.code.name
            _end(context, refusal, metadata["x-request-id"])
        finally:
            rpc_seconds(method.path, code).observe(time.perf_counter() - started)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise ResourceExhausted("Too many streams are open here; try again later.", reason="TOO_MANY_STREAMS")
        try:
            yield
        finally:
            self._places.release()

    def _admit(self, access: Access, metadata: dict[str, Any], request: Any) -> None:
        structlog.contextvars.bind_contextvars(request_id=metadata["x-request-id"])
        self._authorise(access, metadata)
        if hasattr(request, "DESCRIPTOR"):
            validate(request)

    def _authorise(self, access: Access, metadata: dict[str, Any]) -> None:
        set_caller(None)
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if access.public:
            return
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a token as metadata `authorization: Bearer …`; `denda token` prints one.")
        known = self._keys.verify(token.strip())
        if not access.roles & known.roles:
            raise PermissionDenied(f"Your roles do not allow this call; it needs {access}.")
        set_caller(known)


def validate(message: Any) -> None:
    """Check a message by the rules of its contract. Raises InvalidArgument with every violation.

    A change that names its fields in `update_mask` is checked in these alone: what it leaves out stays as it is.
    """
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        found = [Violation(_path(violation), violation.proto.message) for violation in error.violations]
        if broken := [violation for violation in found if _is_changed(message, violation.field)]:
            first, *more = broken
            raise InvalidArgument(first.field, first.description, *more) from None


def _is_changed(message: Any, field: str) -> bool:
    """Whether a field is among what the message's `update_mask` names, where it has one (AIP-134)."""
    resource, _, within = field.partition(".")
    named = set(message.update_mask.paths) if "update_mask" in message.DESCRIPTOR.fields_by_name else set()
    if not named or not within or "*" in named or resource == "update_mask":
        return True
    return within.partition(".")[0] in {path.partition(".")[0] for path in named}


def build_server(service: Service, keys: KeyRing) -> tuple[grpc.Server, health.HealthServicer]:
    """A server with all doors of a service, reflection and health, not started and not bound to a port."""
    names = service.rpc_services()
    server = grpc.server(
        ThreadPoolExecutor(settings().grpc_threads, thread_name_prefix=f"{service.name}-rpc"),
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
            ("grpc.max_connection_age_ms", 300_000),
            ("grpc.max_connection_age_grace_ms", 30_000),
        ],
    )
    door = Door(server, access_table(names), keys, settings().grpc_streams)
    for add, servicer in service.doors:
        add(servicer, door)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server, healthy


def bind(server: grpc.Server, address: str) -> int:
    """Bind a server to `host:port` and answer the port. Raises Unavailable when the port is taken."""
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise Unavailable(
            f"{address} is taken by another program. Stop it, or set DENDA_PORT_OFFSET to move all ports.",
            reason="PORT_TAKEN",
        )
    return port


def _handler_like(handler: Any, behaviour: Callable[[Any, Call], Any]) -> Any:
    kind = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


def _validated_each(requests: Iterator[Any]) -> Iterator[Any]:
    for request in requests:
        validate(request)
        yield request


def _context_of(metadata: dict[str, Any]) -> trace_context.Context:
    """The caller's trace, with the request's id in the baggage so that events carry it on."""
    return baggage.set_baggage(
        CORRELATION_ID, metadata["x-request-id"], context_from(str(metadata.get("traceparent", "")))
    )


def _path(violation: Any) -> str:
    return ".".join(element.field_name for element in violation.proto.field.elements) or "request"


def _verdict(context: Call, method: str, error: Exception) -> DendaError:
    """The error to end a call with, logged; raises again what the servicer ended by itself with `context.abort`."""
    if context.code() is not None:  # type: ignore[attr-defined]  # the stubs lack it
        raise error
    known = _as_known(error)
    if known is None:
        log.error("rpc_failed", method=method, exc_info=error)
        known = Internal("Something went wrong here; the log has it under this request's id.")
    else:
        log.info("rpc_refused", method=method, code=known.code.name, reason=known.reason)
    return known


def _end(context: Call, refusal: DendaError, request_id: str) -> Any:
    """End the call with a refusal; the details also hold the request's id, to ask about it."""
    status = refusal.status()
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return context.abort_with_status(rpc_status.to_status(status))


def _as_known(error: Exception) -> DendaError | None:
    if isinstance(error, DendaError):
        return error
    if isinstance(error, NoConnectionFree):
        return Unavailable("The database is busy; try again in a moment.")
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable("The database does not answer; try again in a moment.")
    return None
