"""Logs, traces and metrics. Personal data never goes into any of them: log ids, counts and reasons.

Logs are structlog events; traces are OpenTelemetry and follow a request through the bus; metrics are Prometheus.
"""

import logging
import re
import sys
import threading
import traceback
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagate import extract, inject
from prometheus_client import Histogram, start_http_server
from structlog.typing import ExcInfo

from chassis.settings import settings

tracer = trace.get_tracer("denda")
_collecting = threading.Event()
# The values may have lines of their own, so it ends where SQLAlchemy's or the traceback's own words begin again.
_QUOTED_ROW = re.compile(
    r"^DETAIL: .*?(?=^(?:CONTEXT: |\[SQL: |\n|The above |During handling )|\Z)", re.MULTILINE | re.DOTALL
)

RPC_SECONDS = Histogram(
    "denda_rpc_seconds",
    "Time that RPCs took, by method and status.",
    ["method", "code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


@cache
def rpc_seconds(method: str, code: str) -> Histogram:
    """Where the time of a call is observed; to find it by its labels takes longer than to observe."""
    return RPC_SECONDS.labels(method, code)


def configure(process: str) -> None:
    """Set up logs, traces and the metrics port for this process, as the settings say."""
    _configure_logs()
    if settings().otlp_endpoint:
        _export_traces(process)
    if settings().metrics_port:
        start_http_server(settings().metrics_port, settings().bind)


def _export_traces(process: str) -> None:
    # The exporter takes a while to import, which only installations with a collector should wait for.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"denda-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings().otlp_endpoint)))
    collect(provider)


def collect(provider: trace.TracerProvider) -> None:
    """Give every span of this process to a provider, from now on and for good."""
    trace.set_tracer_provider(provider)
    _collecting.set()


def _configure_logs() -> None:
    level = getattr(logging, settings().log_level.upper())
    as_json = settings().log_format == "json"
    # Plain tracebacks: the pretty ones print local variables, and with them personal data.
    console = structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else console
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        shared.append(structlog.processors.ExceptionRenderer(traceback_of))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; their warnings matter, their chatter does not.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def traceback_of(exc_info: ExcInfo) -> str:
    """A traceback for the logs, without the details in which PostgreSQL quotes the row that it refused."""
    return _QUOTED_ROW.sub("DETAIL: left out", "".join(traceback.format_exception(*exc_info)).rstrip())


def _write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    out.write("\n" + traceback_of(exc_info))


def traceparent() -> str:
    """The current trace in W3C form, to travel with an event or a call; empty where nothing is traced."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent", "")


class _Attached:
    """The context of a call that nobody traces here, so that what it calls and records still carries the trace on."""

    def __init__(self, parent: Context) -> None:
        self._parent = parent

    def __enter__(self) -> None:
        self._token = attach(self._parent)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


def server_span(name: str, parent: Context) -> AbstractContextManager[Any]:
    """A span for a call from outside in its caller's trace.

    Where no spans are collected there is none: OpenTelemetry takes as long for one as the checks of a call together.
    """
    if _collecting.is_set():
        return tracer.start_as_current_span(name, parent, kind=trace.SpanKind.SERVER)
    return _Attached(parent)


def context_from(parent: str) -> Context:
    """The OpenTelemetry context that a W3C `traceparent` names."""
    return extract({"traceparent": parent}) if parent else Context()
