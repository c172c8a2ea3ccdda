"""Tickets: opened, found, changed, told of.

Whoever changes a ticket locks its row first and calls `announce` once at the end, which raises the version (the
etag), tells those who watch, and records TicketsChanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from chassis.ids import new_id
from chassis.outbox import record_all
from services.support import history, subjects
from services.support.changes import tickets_changed
from services.support.models import Participant, Queue, Ticket, TicketChange
from services.support.states import Priority, Source, TicketState

CHANGEABLE = ("subject", "state", "priority", "queue_id", "assignee_id", "tags", "requester_id", "participants")
# States in which nobody is to do anything any more.
SETTLED = (TicketState.SOLVED, TicketState.CLOSED, TicketState.MERGED)


@dataclass(frozen=True, order=True)
class Companion:
    """Somebody beside the requester."""

    address: str
    person_id: UUID | None = None


@dataclass(frozen=True)
class Draft:
    """A ticket that is to be; without a queue it comes to the default one."""

    subject: str
    source: Source
    requester_address: str = ""
    requester_name: str = ""
    requester_id: UUID | None = None
    queue_id: UUID | None = None
    assignee_id: str = ""
    priority: Priority = Priority.NORMAL
    tags: Sequence[str] = ()
    participants: Sequence[Companion] = field(default=())
    campaign_id: UUID | None = None
    suggested_ticket_id: UUID | None = None


def open_ticket(session: Session, draft: Draft, actor: str, ticket_id: UUID | None = None) -> Ticket:
    """Open a ticket; the caller adds its first message and announces it.

    Raises InvalidArgument for an unknown queue.
    """
    ticket = drafted(draft, _queue(session, draft.queue_id), ticket_id)
    add(session, [(ticket, actor)])
    return ticket


def add(session: Session, opened: Sequence[tuple[Ticket, str]]) -> None:
    """Open tickets that were drafted, each with who opens it, in as many statements as one takes."""
    session.add_all(ticket for ticket, _ in opened)
    session.flush()
    for ticket, actor in opened:
        history.note_change(session, ticket, "created", actor)


def drafted(draft: Draft, queue_id: UUID, ticket_id: UUID | None = None) -> Ticket:
    """A new ticket in a queue, which `add` opens."""
    moment = now()
    ticket = Ticket(
        id=ticket_id or new_id(),
        subject=subjects.tidy(draft.subject),
        subject_key=subjects.key_of(draft.subject),
        state=int(TicketState.NEW),
        priority=int(draft.priority),
        source=int(draft.source),
        queue_id=queue_id,
        assignee_id=draft.assignee_id,
        tags=list(draft.tags),
        requester_id=draft.requester_id,
        requester_address=draft.requester_address.lower(),
        requester_name=draft.requester_name,
        campaign_id=draft.campaign_id,
        suggested_ticket_id=draft.suggested_ticket_id,
        message_count=0,
        customer_spoke_last=True,
        version=0,
        create_time=moment,
        update_time=moment,
        last_message_time=moment,
    )
    ticket.participants = _participants(draft.participants, ticket.requester_address)
    return ticket


def get(session: Session, ticket_id: UUID) -> Ticket:
    """A ticket. Raises NotFound."""
    ticket = session.get(Ticket, ticket_id)
    if ticket is None:
        raise NotFound("ticket", ticket_id)
    return ticket


def locked(session: Session, ticket_id: UUID, etag: str = "") -> Ticket:
    """A ticket, locked for a change. Raises NotFound, and Aborted for a stale etag."""
    ticket = session.get(Ticket, ticket_id, with_for_update=True, populate_existing=True)
    if ticket is None:
        raise NotFound("ticket", ticket_id)
    require_fresh(ticket, etag)
    return ticket


def locked_together(session: Session, ids: Sequence[UUID]) -> dict[UUID, Ticket]:
    """Those of the tickets that there are, locked in the order of their ids: two changes never wait for each other."""
    rows = select(Ticket).where(Ticket.id.in_(ids)).order_by(Ticket.id).with_for_update()
    found = session.scalars(rows, execution_options={"populate_existing": True})
    return {ticket.id: ticket for ticket in found}


def survivor(session: Session, ticket_id: UUID) -> Ticket:
    """The ticket of which this one is part now, itself if it was never merged, locked. Raises NotFound."""
    ticket = locked(session, ticket_id)
    while ticket.merged_into_id is not None:
        ticket = locked(session, ticket.merged_into_id)
    return ticket


def require_fresh(ticket: Ticket, etag: str) -> None:
    """Raises Aborted when somebody else has changed the ticket since it was read."""
    if etag and etag != str(ticket.version):
        raise Aborted("Somebody else has changed this ticket; read it again and repeat the change.")


def require_alive(ticket: Ticket) -> None:
    """Raises FailedPrecondition for a ticket that is part of another one."""
    if ticket.state == TicketState.MERGED:
        raise FailedPrecondition(
            f"The ticket is part of ticket {ticket.merged_into_id}; do it there, or undo the merge.",
            reason="TICKET_MERGED",
            merged_into_id=str(ticket.merged_into_id),
        )


def update(session: Session, ticket_id: UUID, changes: Mapping[str, Any], actor: str, etag: str = "") -> Ticket:
    """Change the fields that are named. Raises NotFound, Aborted, InvalidArgument and FailedPrecondition."""
    ticket = locked(session, ticket_id, etag)
    if change(session, ticket, possible(session, changes), actor):
        announce(session, [ticket])
    return ticket


def possible(session: Session, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes with what stands for an unset value. Raises InvalidArgument for what no ticket can be."""
    settled = dict(changes)
    if "state" in settled:
        settled["state"] = _wanted_state(settled["state"])
    if "queue_id" in settled:
        settled["queue_id"] = _queue(session, settled["queue_id"])
    if "priority" in settled:
        settled["priority"] = Priority(settled["priority"] or Priority.NORMAL)
    return settled


def change(session: Session, ticket: Ticket, changes: Mapping[str, Any], actor: str) -> bool:
    """Change a locked ticket as is `possible`; answers whether anything is different. The caller announces it."""
    require_alive(ticket)
    different = False
    for name, value in changes.items():
        if name == "state":
            different |= move_to(session, ticket, value, actor)
            continue
        before = _shown(ticket, name)
        _set(ticket, name, value)
        after = _shown(ticket, name)
        if before != after:
            different = True
            history.note_change(session, ticket, _KINDS.get(name, name), actor, field=name, before=before, after=after)
    return different


def move_to(session: Session, ticket: Ticket, state: TicketState, actor: str) -> bool:
    """Put a locked ticket into a state, with its entry in the history; answers whether it was in another one."""
    if ticket.state == state:
        return False
    before = TicketState(ticket.state).name
    ticket.state = int(state)
    moment = now()
    ticket.solve_time = (ticket.solve_time or moment) if state in (TicketState.SOLVED, TicketState.CLOSED) else None
    ticket.close_time = moment if state == TicketState.CLOSED else None
    history.note_change(session, ticket, "state", actor, field="state", before=before, after=state.name)
    return True


def announce(session: Session, tickets: Sequence[Ticket]) -> None:
    """Raise the versions of changed tickets and tell of them. Records TicketsChanged for up to 500 each."""
    moment = now()
    for ticket in tickets:
        ticket.version += 1
        ticket.update_time = moment
    session.add_all(TicketChange(ticket_id=ticket.id, create_time=moment) for ticket in tickets)
    session.flush()
    record_all(session, tickets_changed(tickets))


def _wanted_state(value: int) -> TicketState:
    if value in (0, TicketState.MERGED):
        raise InvalidArgument("ticket.state", "must be NEW, OPEN, PENDING, SOLVED or CLOSED; MergeTickets merges")
    return TicketState(value)


def _set(ticket: Ticket, name: str, value: Any) -> None:
    match name:
        case "priority":
            ticket.priority = int(value)
        case "subject":
            ticket.subject, ticket.subject_key = subjects.tidy(value), subjects.key_of(value)
        case "participants":
            ticket.participants = _participants(value, ticket.requester_address)
        case _:
            setattr(ticket, name, value)


# What a change is called in the history where that is not the field's own name.
_KINDS = {"assignee_id": "assigned", "tags": "tagged", "queue_id": "queued"}


def _shown(ticket: Ticket, name: str) -> str:
    match name:
        case "priority":
            return Priority(ticket.priority).name
        case "tags":
            return history.joined(ticket.tags)
        case "participants":
            return history.joined(sorted(one.address for one in ticket.participants))
        case _:
            return str(getattr(ticket, name) or "")


def _queue(session: Session, queue_id: UUID | None) -> UUID:
    wanted = Queue.id == queue_id if queue_id else Queue.is_default
    found = session.scalar(select(Queue.id).where(wanted))
    if found is None:
        raise InvalidArgument("ticket.queue_id", f"there is no queue {queue_id}")
    return found


def _participants(companions: Sequence[Companion], requester: str) -> list[Participant]:
    known = {one.address.lower(): one for one in companions if one.address.lower() != requester}
    return [Participant(address=address, person_id=one.person_id) for address, one in known.items()]
