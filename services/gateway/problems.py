"""gRPC statuses as problem details for HTTP (RFC 9457), by the mapping of google/rpc/code.proto."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from chassis.errors import DendaError

MEDIA_TYPE = "application/problem+json"
# When nobody says how long a trouble lasts, in seconds.
RETRY_AFTER = 30

HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
}
TEMPORARY = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

log = structlog.get_logger()


@dataclass(frozen=True)
class Problem:
    """What went wrong, as RFC 9457 §3.1 writes it."""

    status: HTTPStatus
    detail: str
    # UPPER_SNAKE_CASE, for programs to compare.
    reason: str = ""
    # The fields that were wrong, each with what would be right.
    errors: tuple[dict[str, str], ...] = ()
    retry_after: int | None = field(default=None)
    # The methods that would be right.
    allow: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The body of an `application/problem+json` answer."""
        body = {"type": "about:blank", "title": self.status.phrase, "status": int(self.status), "detail": self.detail}
        extensions = {"reason": self.reason, "errors": list(self.errors), "retry_after": self.retry_after}
        return body | {name: value for name, value in extensions.items() if value}

    def as_bytes(self) -> bytes:
        """The same as it is sent."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":")).encode()

    def headers(self) -> dict[str, str]:
        """Headers that go with it."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status is HTTPStatus.UNAUTHORIZED:
            found["WWW-Authenticate"] = 'Bearer realm="denda"'
        if self.allow:
            found["Allow"] = ", ".join(self.allow)
        return found


def problem_in(error: Exception) -> Problem:
    """The problem that anything is that was raised while a request was answered."""
    if isinstance(error, HTTPException):
        allow = tuple(error.valid_methods or ()) if isinstance(error, MethodNotAllowed) else ()
        return Problem(HTTPStatus(error.code or 500), error.description or "", allow=allow)
    if isinstance(error, DendaError):
        return problem_of_our_own(error)
    if isinstance(error, grpc.RpcError):
        return problem_of(error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the log has it.")


def log_failure(error: Exception, problem: Problem, endpoint: str) -> None:
    """Log what is not the request's own fault: a defect here, or what a service answered."""
    if isinstance(error, grpc.RpcError):
        tell = log.warning if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
        tell("service_call_failed", endpoint=endpoint, code=error.code().name, reason=problem.reason)
    elif not isinstance(error, HTTPException | DendaError):
        log.error("request_failed", endpoint=endpoint, exc_info=error)


def problem_of(error: Any) -> Problem:
    """The problem that a failed call is (grpc.RpcError), with the details that its service gave."""
    status = rpc_status.from_call(error)
    return _problem(error.code(), status or status_pb2.Status(message=error.details() or ""))


def problem_of_our_own(error: DendaError) -> Problem:
    """The problem that an error raised in this process is."""
    return _problem(error.code, error.status())


def _problem(code: grpc.StatusCode, status: status_pb2.Status) -> Problem:
    http = HTTP_STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    _unpack(status, info, bad, retry)
    wait = retry.retry_delay.seconds or RETRY_AFTER
    return Problem(
        status=http,
        detail=status.message,
        reason=info.reason,
        errors=tuple({"field": each.field, "detail": each.description} for each in bad.field_violations),
        retry_after=wait if http in TEMPORARY else None,
    )


def _unpack(status: status_pb2.Status, *kinds: Message) -> None:
    for detail in status.details:
        for kind in kinds:
            detail.Unpack(kind)
