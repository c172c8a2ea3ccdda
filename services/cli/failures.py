"""The failures that are to be expected, in words: what happened and what to do.

All others are defects and keep their traceback.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pika.exceptions
import psycopg
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, DBAPIError

from chassis.errors import DendaError

URL_FORM = "postgresql://user:secret@host/{service}"
# Parts of what PostgreSQL and libpq say, and the remedy.
DATABASE_REMEDIES = {
    "password authentication failed": "Check user and password in DENDA_DATABASE_URL.",
    "does not exist": "`denda migrate` creates the databases where the account may; else create them by hand.",
    "could not translate host name": "Check the host in DENDA_DATABASE_URL.",
    "failed to resolve host": "Check the host in DENDA_DATABASE_URL.",
    "Connection refused": "Is PostgreSQL running there? Check host and port in DENDA_DATABASE_URL.",
    "timeout": "Is PostgreSQL running there, and reachable through the firewall? Check DENDA_DATABASE_URL.",
    "too many": "Raise max_connections of PostgreSQL, or lower DENDA_DATABASE_POOL.",
    "No space left": "The disk of the database is full; free some space.",
}

CALL_REMEDIES = {
    grpc.StatusCode.UNAVAILABLE: "Is Denda running? Start it with `denda up`; for an installation elsewhere set "
    "DENDA_ADDRESS_TEMPLATE and DENDA_PORT_OFFSET as it has them.",
    grpc.StatusCode.UNAUTHENTICATED: "Check DENDA_API_KEY, or DENDA_DATA_DIR, where the service key is.",
    grpc.StatusCode.PERMISSION_DENIED: "Use a key or a user with that role.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "`denda doctor` looks for the reason.",
    grpc.StatusCode.INTERNAL: "This is a defect; the log of the service says more.",
}


def explained(error: BaseException) -> str | None:
    """What to tell about an expected failure; None where the error is not one of them."""
    for kind, told in TOLD.items():
        if isinstance(error, kind):
            return told(error)
    return None


def _call_failed(error: Any) -> str:
    """A gRPC error, which is a `grpc.RpcError` and, where a call was made, a `grpc.Call` too."""
    said = error.details() or error.code().name
    if remedy := CALL_REMEDIES.get(error.code()):
        return f"{said}\n{remedy}"
    return "\n".join([said, *_violations(error)])


def _violations(error: grpc.Call) -> list[str]:
    """Each field that was wrong, where there are several: the message itself tells only the first."""
    status = rpc_status.from_call(error)
    found: list[str] = []
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad):
            found += [f"  {violation.field}: {violation.description}" for violation in bad.field_violations]
    return found if len(found) > 1 else []


def _database_failed(error: Any) -> str:
    said = " ".join(str(getattr(error, "orig", error)).split())
    remedies = [remedy for part, remedy in DATABASE_REMEDIES.items() if part in said]
    return "\n".join([f"The database failed: {said}", *remedies[:1]])


def _broker_failed(error: Any) -> str:
    match error:
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.AuthenticationError():
            remedy = "RabbitMQ refuses user or password; check them in DENDA_BUS_URL."
        case pika.exceptions.ProbableAccessDeniedError():
            remedy = "RabbitMQ knows no such virtual host; check the part after the last / in DENDA_BUS_URL."
        case _:
            remedy = "Is RabbitMQ running there? Check host and port in DENDA_BUS_URL."
    return f"The message broker cannot be reached ({str(error) or type(error).__name__}).\n{remedy}"


def wrong_settings(error: ValidationError) -> list[str]:
    """Each setting that has no possible value, and what would be one."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        shown = name if name.isupper() else f"DENDA_{name.upper()}"
        lines.append(f"{shown}: {problem['msg'].removeprefix('Value error, ')}")
    return lines


def _settings_wrong(error: ValidationError) -> str:
    lines = [f"  {line}" for line in wrong_settings(error)]
    return "\n".join(["The settings are wrong:", *lines, "docs/operations.md lists them all."])


def _system_failed(error: Any) -> str | None:
    match error.errno:
        case errno.EADDRINUSE:
            return f"A port is taken: {error}. Stop the other program, or set DENDA_PORT_OFFSET to move all ports."
        case errno.ENOSPC:
            return f"The disk is full: {error}. Free some space and try again."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"Not permitted: {error}. Check owner and rights, or choose another DENDA_DATA_DIR."
    return None


TOLD: Mapping[type[BaseException], Callable[[Any], str | None]] = {
    DendaError: lambda error: error.message,
    grpc.RpcError: _call_failed,
    ArgumentError: lambda error: f"DENDA_DATABASE_URL is not one: {error}. It looks like {URL_FORM}",
    DBAPIError: _database_failed,
    psycopg.Error: _database_failed,
    pika.exceptions.AMQPError: _broker_failed,
    ValidationError: _settings_wrong,
    OSError: _system_failed,
}
