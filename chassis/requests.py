"""Creates that may be repeated (AIP-155): the first call with a request id makes the resource, the others find it."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.db import new_metadata
from chassis.errors import InvalidArgument
from chassis.ids import new_id

# Nobody repeats a call after that; clients give up within minutes.
REMEMBERED = timedelta(days=7)

request = Table(
    "request",
    new_metadata(),
    Column("kind", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("resource_id", Uuid, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
)


def request_table(metadata: MetaData) -> None:
    """Add the table `request` to a service's metadata."""
    request.to_metadata(metadata)


def id_for(session: Session, kind: str, request_id: str) -> tuple[UUID, bool]:
    """The id to create a resource under, and whether an earlier call with this request id has made it already.

    A call that is under way with the same request id is waited for.
    """
    fresh = new_id()
    if not request_id:
        return fresh, False
    if "\0" in request_id:
        raise InvalidArgument("request_id", "contains a NUL character")
    statement = insert(request).values(kind=kind, request_id=request_id, resource_id=fresh, create_time=now())
    if session.scalar(statement.on_conflict_do_nothing().returning(request.c.resource_id)):
        return fresh, False
    known = select(request.c.resource_id).where(request.c.kind == kind, request.c.request_id == request_id)
    return session.scalars(known).one(), True


def forget(session: Session) -> None:
    """Forget request ids that are too old to come again."""
    session.execute(delete(request).where(request.c.create_time < now() - REMEMBERED))
