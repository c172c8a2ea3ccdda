"""Queues: where tickets wait for the people who can help. Exactly one is the default, which takes what no other does.

An address of the company belongs to one queue, in lower case, since nobody tells two spellings of it apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy import update as update_rows
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from chassis.paging import PageRequest, paginate
from services.support import history, tickets
from services.support.models import Queue, QueueAddress, Ticket

CHANGEABLE = ("name", "description", "addresses", "is_default")


def create(session: Session, queue_id: UUID, changes: Mapping[str, Any]) -> Queue:
    """Create a queue. Raises InvalidArgument, and AlreadyExists when the name or an address is taken."""
    moment = now()
    queue = Queue(id=queue_id, description="", is_default=False, version=1, create_time=moment, update_time=moment)
    _set(session, queue, changes)
    session.add(queue)
    _flush(session, queue)
    return queue


def get(session: Session, queue_id: UUID) -> Queue:
    """A queue. Raises NotFound."""
    queue = session.get(Queue, queue_id)
    if queue is None:
        raise NotFound("queue", queue_id)
    return queue


def page(session: Session, request: PageRequest) -> tuple[list[Queue], str]:
    """A page of the queues, by name, and the token of the next one."""
    rows, token = paginate(session, select(Queue), (Queue.name, Queue.id), request, fingerprint="queues")
    return [queue for (queue,) in rows], token


def update(session: Session, queue_id: UUID, changes: Mapping[str, Any], etag: str = "") -> Queue:
    """Change the fields that are named. Raises NotFound, Aborted, InvalidArgument and AlreadyExists."""
    queue = _locked(session, queue_id, etag)
    _set(session, queue, changes)
    queue.version += 1
    queue.update_time = now()
    _flush(session, queue)
    return queue


def remove(session: Session, queue_id: UUID, actor: str, etag: str = "") -> None:
    """Delete a queue; its tickets go to the default one. Raises NotFound, Aborted and FailedPrecondition."""
    queue = _locked(session, queue_id, etag)
    if queue.is_default:
        raise FailedPrecondition("This is the default queue; make another one that first.", reason="DEFAULT_QUEUE")
    _move_tickets(session, queue, session.scalars(select(Queue).where(Queue.is_default)).one(), actor)
    session.delete(queue)
    session.flush()


def _move_tickets(session: Session, queue: Queue, to: Queue, actor: str) -> None:
    inside = select(Ticket).where(Ticket.queue_id == queue.id).order_by(Ticket.id).with_for_update()
    moved = session.scalars(inside).all()
    for ticket in moved:
        ticket.queue_id = to.id
        before, after = str(queue.id), str(to.id)
        history.note_change(session, ticket, "queued", actor, field="queue_id", before=before, after=after)
    tickets.announce(session, moved)


def _locked(session: Session, queue_id: UUID, etag: str) -> Queue:
    queue = session.get(Queue, queue_id, with_for_update=True, populate_existing=True)
    if queue is None:
        raise NotFound("queue", queue_id)
    if etag and etag != str(queue.version):
        raise Aborted("Somebody else has changed this queue; read it again and repeat the change.")
    return queue


def _set(session: Session, queue: Queue, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        match name:
            case "name":
                queue.name = " ".join(value.split())
            case "description":
                queue.description = value
            case "addresses":
                _set_addresses(session, queue, value)
            case "is_default":
                _set_default(session, queue, value)
    if not queue.name:
        raise InvalidArgument("queue.name", "is empty")


def _set_addresses(session: Session, queue: Queue, addresses: Sequence[str]) -> None:
    wanted = list(dict.fromkeys(_normalised(address) for address in addresses))
    with session.no_autoflush:
        taken = select(QueueAddress.address, Queue.name).join(Queue, Queue.id == QueueAddress.queue_id)
        other = taken.where(QueueAddress.address.in_(wanted), QueueAddress.queue_id != queue.id)
        if found := session.execute(other.limit(1)).first():
            raise AlreadyExists(f"Mail to {found.address} goes to the queue {found.name!r} already.")
    known = {one.address: one for one in queue.addresses}
    queue.addresses = [known.get(address) or QueueAddress(address=address) for address in wanted]
    for position, one in enumerate(queue.addresses):
        one.position = position


def _normalised(address: str) -> str:
    try:
        valid = validate_email(address.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidArgument("queue.addresses", f"{address[:64]!r} cannot be an email address: {error}") from None
    return valid.normalized.lower()


def _set_default(session: Session, queue: Queue, wanted: bool) -> None:
    if queue.is_default and not wanted:
        raise InvalidArgument("queue.is_default", "one queue must be it; make another one the default instead")
    if wanted and not queue.is_default:
        with session.no_autoflush:
            session.execute(update_rows(Queue).where(Queue.is_default).values(is_default=False))
        queue.is_default = True


def _flush(session: Session, queue: Queue) -> None:
    name = queue.name
    try:
        session.flush()
    except IntegrityError as error:
        broken = str(error.orig)
        if "queue_name_key" in broken:
            raise AlreadyExists(f"There is a queue {name!r} already.") from None
        # Two at once: of an address, and of being the default one.
        raise Aborted("Somebody else has changed the queues at the same time; try again.") from None
