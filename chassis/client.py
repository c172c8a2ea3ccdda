"""Channels to other services: one a target, with the service's token, a deadline, the request id and the trace.

Calls that fail as UNAVAILABLE are repeated by gRPC itself, up to four times; every RPC is safe to repeat.
"""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import grpc
import structlog

from chassis.clock import now
from chassis.ids import new_id
from chassis.server import MESSAGE_BYTES
from chassis.settings import settings
from chassis.telemetry import traceparent
from denda.identity.v1 import tokens_service_pb2 as pb
from denda.identity.v1.tokens_service_pb2_grpc import TokensServiceStub

# A unary call that was given no deadline ends after this many seconds.
DEADLINE = 10.0
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)
OPTIONS = [
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
]


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class ServiceToken:
    """The token that identity gives for a key (empty: the services' own), renewed a minute before it expires."""

    def __init__(self, identity: str, key: str = "") -> None:
        self._identity = identity
        self._key = key
        self._lock = threading.Lock()
        self._token = ""
        self._expires = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> str:
        with self._lock:
            if now() + timedelta(minutes=1) > self._expires:
                key = self._key or settings().service_key.get_secret_value()
                request = pb.ExchangeApiKeyRequest(secret=key)
                answer = TokensServiceStub(plain_channel(self._identity)).ExchangeApiKey(request, timeout=DEADLINE)
                self._token = answer.access_token
                self._expires = answer.expire_time.ToDatetime(UTC)
            return self._token


class _Outgoing(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def _details(self, details: Any, timeout: float | None) -> _CallDetails:
        request_id = structlog.contextvars.get_contextvars().get("request_id") or str(new_id())
        metadata = [
            *(details.metadata or ()),
            ("authorization", f"Bearer {self._token()}"),
            ("x-request-id", request_id),
        ]
        if trace := traceparent():
            metadata.append(("traceparent", trace))
        chosen = timeout if details.timeout is None else details.timeout
        ready, compression = details.wait_for_ready, details.compression
        return _CallDetails(details.method, chosen, metadata, details.credentials, ready, compression)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._details(details, DEADLINE), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._details(details, None), request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(self._details(details, None), requests)


@cache
def plain_channel(address: str) -> grpc.Channel:
    """A channel that adds nothing to its calls."""
    return grpc.insecure_channel(address, options=OPTIONS)


@cache
def channel(address: str, identity: str) -> grpc.Channel:
    """The channel to another service; `identity` is where tokens come from."""
    return speaking_with(plain_channel(address), ServiceToken(identity))


def speaking_with(plain: grpc.Channel, token: Callable[[], str]) -> grpc.Channel:
    """A channel whose calls carry the token that `token()` gives, a deadline, a request id and the trace."""
    return grpc.intercept_channel(plain, _Outgoing(token))


def public_keys(identity: str) -> pb.GetKeysResponse:
    """Identity's public keys and revocations."""
    return TokensServiceStub(plain_channel(identity)).GetKeys(pb.GetKeysRequest(), timeout=DEADLINE)


def forget_channels() -> None:
    """Close every channel; the next use opens new ones."""
    channel.cache_clear()
    plain_channel.cache_clear()
