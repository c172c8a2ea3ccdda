"""What can go wrong, in the terms of gRPC (https://google.aip.dev/193).

Capabilities raise these; the server's interceptor turns them into a status with
`google.rpc` details: which field, what was wrong, what would be right.
"""

from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Violation:
    """One thing wrong with a request: the field's path and what would be right."""

    field: str
    description: str


class DendaError(Exception):
    """An error with a gRPC code and a reason in UPPER_SNAKE_CASE that programs can compare."""

    code = grpc.StatusCode.UNKNOWN
    reason = "UNKNOWN"

    def __init__(self, message: str, *, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = metadata

    def details(self) -> list[any_pb2.Any]:
        """The `google.rpc` messages that travel with the status."""
        return [_packed(error_details_pb2.ErrorInfo(reason=self.reason, domain="denda", metadata=self.metadata))]

    def status(self) -> status_pb2.Status:
        """This error as a `google.rpc.Status`."""
        return status_pb2.Status(code=self.code.value[0], message=self.message, details=self.details())


class InvalidArgument(DendaError):
    """The request is wrong whatever the state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, description: str, *more: Violation, reason: str | None = None) -> None:
        super().__init__(f"{field}: {description}", reason=reason)
        self.violations = (Violation(field, description), *more)

    def details(self) -> list[any_pb2.Any]:
        bad = error_details_pb2.BadRequest()
        for violation in self.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        return [*super().details(), _packed(bad)]


class NotFound(DendaError):
    """What the request names is not there: `NotFound("person", id)`."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"

    def __init__(self, resource: str, name: object) -> None:
        super().__init__(f"There is no {resource} {name}.", resource=resource, name=str(name))


class AlreadyExists(DendaError):
    """What the request would create is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(DendaError):
    """The system is not in the state that the request needs; the message says what to do first."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"

    def details(self) -> list[any_pb2.Any]:
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type=self.reason, subject=self.metadata.get("subject", ""), description=self.message)
        return [*super().details(), _packed(failure)]


class Aborted(DendaError):
    """Somebody else changed it first; read it again and repeat (AIP-154)."""

    code = grpc.StatusCode.ABORTED
    reason = "ETAG_MISMATCH"


class Unauthenticated(DendaError):
    """Nobody knows who is calling."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(DendaError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class ResourceExhausted(DendaError):
    """A limit is reached; the message says when or how to try again, and `retry_after` travels in the details."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"

    def __init__(
        self, message: str, *, reason: str | None = None, retry_after: timedelta | None = None, **metadata: str
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after = retry_after

    def details(self) -> list[any_pb2.Any]:
        if self.retry_after is None:
            return super().details()
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(self.retry_after)
        return [*super().details(), _packed(retry)]


class Unavailable(DendaError):
    """Something that this service needs is away for the moment; trying again is right."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"


class Internal(DendaError):
    """A defect of ours; what happened is in the log and not in the answer."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
