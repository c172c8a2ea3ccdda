"""Calls to the services on behalf of a REST request: its credential, its id, its deadline."""

import re
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.message import Message

from chassis.client import plain_channel
from chassis.errors import InvalidArgument
from chassis.telemetry import traceparent
from services import address
from services.gateway.rest.asked import Asked
from services.gateway.rest.bindings import Rpc
from services.gateway.rest.credentials import authorization

# A call that was given no deadline ends after this many seconds, and no call may hold a thread for longer than LONGEST.
DEADLINE = 30.0
LONGEST = 300.0
TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def unary(asked: Asked, rpc: Rpc, message: Message) -> Message:
    """The answer of an RPC. Raises grpc.RpcError."""
    call = _unary(plain_channel(address(rpc.service)), rpc)
    answer: Message = call(message, timeout=timeout(asked) or DEADLINE, metadata=_metadata(asked))
    return answer


def stream(asked: Asked, rpc: Rpc, message: Message) -> Any:
    """The answers of an RPC, a call that can be iterated and cancelled; without `Grpc-Timeout` it has no end."""
    call = plain_channel(address(rpc.service)).unary_stream(
        rpc.path,
        request_serializer=rpc.request.SerializeToString,
        response_deserializer=rpc.response.FromString,
    )
    return call(message, timeout=timeout(asked), metadata=_metadata(asked))


def timeout(asked: Asked) -> float | None:
    """The seconds that the header `Grpc-Timeout` gives, `500m` or `10S`. Raises InvalidArgument."""
    said = asked.environ.get("HTTP_GRPC_TIMEOUT", "").strip()
    if not said:
        return None
    found = TIMEOUT.fullmatch(said)
    if not found:
        raise InvalidArgument("Grpc-Timeout", "is a number and a unit: 10S, 500m, 1M.")
    return min(int(found[1]) * UNITS[found[2]], LONGEST)


@lru_cache(1024)
def _unary(channel: grpc.Channel, rpc: Rpc) -> Any:
    return channel.unary_unary(
        rpc.path,
        request_serializer=rpc.request.SerializeToString,
        response_deserializer=rpc.response.FromString,
        # As generated stubs do: gRPC then knows the method's name and need not read it anew at each call.
        _registered_method=True,  # type: ignore[call-arg]  # the stubs leave it out
    )


def _metadata(asked: Asked) -> tuple[tuple[str, str], ...]:
    found = [("x-request-id", asked.request_id)]
    if credential := authorization(asked.headers):
        found.append(("authorization", credential))
    if trace := traceparent():
        found.append(("traceparent", trace))
    return tuple(found)
