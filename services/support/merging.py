"""Merges: tickets made part of another one, and taken apart again.

The messages move and remember by which merges they came, so that undoing a merge takes exactly these back, and what
came for the ticket since. Tags and participants are added to the other ticket; the merge keeps which were new there.
Links stay where they are: a ticket's links are those of all its parts. Everything is counted before and after.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, FailedPrecondition, Internal, InvalidArgument, NotFound
from chassis.ids import new_id
from services.support import history, links, tickets
from services.support.models import Merge, Participant, Ticket, TicketMessage
from services.support.states import Author, DeliveryState, TicketState

# The ticket of which a message is: where it would be if every merge were undone.
HOME = func.coalesce(
    select(Merge.ticket_id).where(Merge.id == TicketMessage.merge_ids[1]).correlate(TicketMessage).scalar_subquery(),
    TicketMessage.ticket_id,
)
UNSETTLED = (TicketState.NEW, TicketState.OPEN)
REOPENED = (TicketState.PENDING, TicketState.SOLVED, TicketState.CLOSED)


def merge(session: Session, target_id: UUID, ids: Sequence[UUID], actor: str, etag: str = "") -> Ticket:
    """Make tickets part of another one, which opens if it was settled and one of them was not. Records TicketsChanged.

    Those that are part of it already are passed over, so the call may be repeated. Raises NotFound, Aborted for a
    stale etag, InvalidArgument for a ticket into itself, FailedPrecondition when one is part of another ticket, or has
    an answer on its way to somebody else than the other's requester; Internal when something would be lost.
    """
    if target_id in ids:
        raise InvalidArgument("ids", "a ticket cannot become part of itself")
    found = tickets.locked_together(session, [target_id, *ids])
    if missing := [ticket_id for ticket_id in (target_id, *ids) if ticket_id not in found]:
        raise NotFound("ticket", missing[0])
    target = found.pop(target_id)
    tickets.require_fresh(target, etag)
    tickets.require_alive(target)
    parts = [ticket for ticket in found.values() if ticket.merged_into_id != target_id]
    if not parts:
        return target
    for part in parts:
        tickets.require_alive(part)
        _require_no_answer_for_somebody_else(session, part, target)
    before = _counted(session, [target, *parts])
    for part in parts:
        _join(session, part, target, actor)
    recount(session, target)
    session.flush()
    if (after := _counted(session, [target])) != before:
        raise Internal(f"The merge would lose something: {before} before, {after} after. Nothing was changed.")
    tickets.announce(session, [*parts, target])
    return target


def unmerge(session: Session, ticket_id: UUID, actor: str) -> Ticket:
    """Take a ticket out of the one that it is part of, with what came for it since. Records TicketsChanged.

    Raises NotFound, and FailedPrecondition when it is part of none.
    """
    way = path(session, ticket_id)
    found = tickets.locked_together(session, [ticket_id, *(merge.target_id for merge in way)])
    if ticket_id not in found:
        raise NotFound("ticket", ticket_id)
    if not way:
        raise FailedPrecondition("The ticket is not part of another one.", reason="NOT_MERGED")
    if way != path(session, ticket_id):
        raise Aborted("Somebody else is merging these tickets at the same time; try again.")
    undone, part, whole = way[0], found[ticket_id], found[way[-1].target_id]
    both = [part.id, whole.id]
    before = _messages(session, both)
    _take_back(session, undone, part, whole)
    _withdraw(session, undone, found, {name: set(undone.before[name]) for name in ("tags", "participants")})
    undone.undo_time = now()
    _stand_alone(session, part, undone, actor)
    recount(session, whole)
    session.flush()
    if (after := _messages(session, both)) != before:
        raise Internal(f"Undoing the merge would lose messages: {before} before, {after} after. Nothing was changed.")
    tickets.announce(session, list(found.values()))
    return part


def path(session: Session, ticket_id: UUID) -> list[Merge]:
    """The merges by which a ticket is part of others, from its own upwards; none where it stands alone."""
    way: list[Merge] = []
    here = ticket_id
    while found := session.scalar(select(Merge).where(Merge.ticket_id == here, Merge.undo_time.is_(None))):
        way.append(found)
        here = found.target_id
    return way


def recount(session: Session, ticket: Ticket) -> None:
    """Set what a locked ticket says of its messages, after they moved."""
    session.flush()
    spoken = ~TicketMessage.internal & (TicketMessage.author != int(Author.SYSTEM))
    newest = aggregate_order_by(TicketMessage.author, TicketMessage.create_time.desc(), TicketMessage.id.desc())
    statement = select(
        func.count(),
        func.coalesce(func.max(TicketMessage.create_time).filter(spoken), ticket.create_time),
        func.min(TicketMessage.create_time).filter(spoken, TicketMessage.author == int(Author.AGENT)),
        func.array_agg(newest).filter(spoken),
    ).where(TicketMessage.ticket_id == ticket.id)
    ticket.message_count, ticket.last_message_time, ticket.first_answer_time, authors = session.execute(statement).one()
    ticket.customer_spoke_last = not authors or authors[0] == Author.CUSTOMER


def _join(session: Session, part: Ticket, target: Ticket, actor: str) -> None:
    had = set(target.tags)
    known = {one.address for one in target.participants} | {target.requester_address}
    new_tags = [tag for tag in part.tags if tag not in had]
    new_people = {address: person for address, person in _people(part).items() if address not in known}
    record = Merge(
        id=new_id(),
        ticket_id=part.id,
        target_id=target.id,
        before={
            "state": part.state,
            "messages": part.message_count,
            "tags": new_tags,
            "participants": list(new_people),
        },
        actor=actor,
        create_time=now(),
    )
    session.add(record)
    target.tags = [*target.tags, *new_tags]
    target.participants.extend(Participant(address=address, person_id=it) for address, it in new_people.items())
    session.execute(
        update(TicketMessage)
        .where(TicketMessage.ticket_id == part.id)
        .values(
            ticket_id=target.id,
            original_ticket_id=func.coalesce(TicketMessage.original_ticket_id, part.id),
            merge_ids=func.array_append(TicketMessage.merge_ids, record.id),
        ),
        execution_options={"synchronize_session": False},
    )
    if part.state in UNSETTLED and target.state in REOPENED:
        tickets.move_to(session, target, TicketState.OPEN, actor)
    part.merged_into_id, part.message_count = target.id, 0
    _set_state(session, part, TicketState.MERGED, actor)
    history.note_change(session, part, "merged", actor, field="merged_into_id", after=str(target.id))
    history.note_change(session, target, "merged", actor, field="parts", after=str(part.id))


def _take_back(session: Session, undone: Merge, part: Ticket, whole: Ticket) -> None:
    """Give a ticket the messages back that the merge, or a way over it, has brought to where they are."""
    here = func.array_position(TicketMessage.merge_ids, undone.id)
    session.execute(
        update(TicketMessage)
        .where(TicketMessage.ticket_id == whole.id, here.is_not(None))
        .values(
            ticket_id=part.id,
            original_ticket_id=case(
                (TicketMessage.original_ticket_id == part.id, None), else_=TicketMessage.original_ticket_id
            ),
            merge_ids=func.trim_array(TicketMessage.merge_ids, func.cardinality(TicketMessage.merge_ids) - here + 1),
        ),
        execution_options={"synchronize_session": False},
    )


def _withdraw(session: Session, undone: Merge, found: Mapping[UUID, Ticket], names: Mapping[str, set[str]]) -> None:
    """Take what a merge had added off its target, and off what that is part of; what other parts have too stays."""
    target = found[undone.target_id]
    for sibling, part in _other_parts(session, undone):
        shared = {"tags": names["tags"] & set(part.tags), "participants": names["participants"] & set(_people(part))}
        sibling.before = {**sibling.before, **{name: [*sibling.before[name], *shared[name]] for name in shared}}
        names = {name: names[name] - shared[name] for name in names}
    target.tags = [tag for tag in target.tags if tag not in names["tags"]]
    target.participants = [one for one in target.participants if one.address not in names["participants"]]
    for upper in path(session, target.id)[:1]:
        further = {name: names[name] & set(upper.before[name]) for name in names}
        rest = {name: [it for it in upper.before[name] if it not in further[name]] for name in further}
        upper.before = {**upper.before, **rest}
        _withdraw(session, upper, found, further)


def _other_parts(session: Session, undone: Merge) -> Iterable[tuple[Merge, Ticket]]:
    others = select(Merge, Ticket).join(Ticket, Ticket.id == Merge.ticket_id)
    active = others.where(Merge.target_id == undone.target_id, Merge.undo_time.is_(None), Merge.id != undone.id)
    return [(sibling, part) for sibling, part in session.execute(active.order_by(Merge.id))]


def _stand_alone(session: Session, part: Ticket, undone: Merge, actor: str) -> None:
    """Give a ticket its state back, open if its customer has written meanwhile."""
    recount(session, part)
    state = TicketState(undone.before["state"])
    written = part.message_count > undone.before["messages"] and part.customer_spoke_last
    part.merged_into_id = None
    _set_state(session, part, state, actor)
    if written and state in REOPENED:
        tickets.move_to(session, part, TicketState.OPEN, actor)
    target = tickets.get(session, undone.target_id)
    history.note_change(session, part, "unmerged", actor, field="merged_into_id", before=str(target.id))
    history.note_change(session, target, "unmerged", actor, field="parts", before=str(part.id))


def _set_state(session: Session, ticket: Ticket, state: TicketState, actor: str) -> None:
    """Into MERGED and out of it, while the times of solving and closing stay as they are."""
    before, ticket.state = TicketState(ticket.state), int(state)
    history.note_change(session, ticket, "state", actor, field="state", before=before.name, after=state.name)


def _people(ticket: Ticket) -> dict[str, UUID | None]:
    """Who is in a ticket's conversation: participants and requester, by address."""
    people = {one.address: one.person_id for one in ticket.participants}
    return people | ({ticket.requester_address: ticket.requester_id} if ticket.requester_address else {})


def _require_no_answer_for_somebody_else(session: Session, part: Ticket, target: Ticket) -> None:
    """An answer that waits goes to the requester of the ticket that it is in, so it must not change hands."""
    if part.requester_address == target.requester_address:
        return
    waiting = select(TicketMessage.id).where(
        TicketMessage.ticket_id == part.id, TicketMessage.delivery_state == int(DeliveryState.WAITING)
    )
    if session.scalar(waiting.limit(1)):
        raise FailedPrecondition(
            f"An answer of ticket {part.number} is on its way; try again in a moment.", reason="ANSWER_WAITING"
        )


def _counted(session: Session, some: Sequence[Ticket]) -> dict[str, Any]:
    """How many messages, tags, people and linked tickets these have together."""
    ids = [ticket.id for ticket in some]
    return {
        "messages": _messages(session, ids),
        "tags": len({tag for ticket in some for tag in ticket.tags}),
        "people": len({address for ticket in some for address in _people(ticket)}),
        "links": len(links.linked_ids(session, ids)),
    }


def _messages(session: Session, ids: Sequence[UUID]) -> int:
    return session.scalar(select(func.count()).where(TicketMessage.ticket_id.in_(ids))) or 0
