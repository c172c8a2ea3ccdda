"""Links: tickets that have to do with each other. A ticket that consists of others has the links of all of them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import CTE, Select, and_, case, delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from chassis.errors import InvalidArgument, NotFound
from services.support import history, tickets
from services.support.models import Ticket, TicketLink


def link(session: Session, ticket_id: UUID, other_id: UUID, actor: str) -> None:
    """Note that two tickets have to do with each other; again changes nothing. Records TicketsChanged.

    Raises NotFound, InvalidArgument for a ticket and itself, and FailedPrecondition for one that is part of another.
    """
    both = _both(session, ticket_id, other_id)
    for ticket in both:
        tickets.require_alive(ticket)
    if other_id in linked_ids(session, [ticket_id]):
        return
    connect(session, ticket_id, other_id)
    _note(session, both, "linked", actor)


def connect(session: Session, ticket_id: UUID, other_id: UUID) -> None:
    """Link two locked tickets, as part of a change that says so itself."""
    lower, higher = sorted((ticket_id, other_id))
    session.execute(insert(TicketLink).values(ticket_id=lower, other_id=higher).on_conflict_do_nothing())


def unlink(session: Session, ticket_id: UUID, other_id: UUID, actor: str) -> None:
    """Forget that two tickets have to do with each other. Records TicketsChanged. Raises NotFound."""
    both = _both(session, ticket_id, other_id)
    here, there = (select(_parts([ticket.id]).c.id) for ticket in both)
    between = or_(
        and_(TicketLink.ticket_id.in_(here), TicketLink.other_id.in_(there)),
        and_(TicketLink.ticket_id.in_(there), TicketLink.other_id.in_(here)),
    )
    forgotten = session.execute(delete(TicketLink).where(between).returning(TicketLink.ticket_id)).all()
    if forgotten:
        _note(session, both, "unlinked", actor)


def linked(session: Session, ticket_id: UUID) -> Sequence[Ticket]:
    """The tickets that one is linked to, oldest first; for one that is merged, what it is part of now."""
    return session.scalars(select(Ticket).where(Ticket.id.in_(_linked([ticket_id]))).order_by(Ticket.id)).all()


def linked_ids(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """The tickets outside of these to which any of them is linked."""
    return set(session.scalars(_linked(ids)))


def _linked(ids: Sequence[UUID]) -> Select[tuple[UUID]]:
    parts = _parts(ids)
    inside = select(parts.c.id)
    ends = select(case((TicketLink.ticket_id.in_(inside), TicketLink.other_id), else_=TicketLink.ticket_id)).where(
        or_(TicketLink.ticket_id.in_(inside), TicketLink.other_id.in_(inside))
    )
    columns = (Ticket.id, Ticket.merged_into_id)
    upwards = select(*columns).where(Ticket.id.in_(ends)).cte("upwards", recursive=True)
    above = aliased(Ticket)
    upwards = upwards.union(select(above.id, above.merged_into_id).where(above.id == upwards.c.merged_into_id))
    whole = select(upwards.c.id).where(upwards.c.merged_into_id.is_(None), upwards.c.id.not_in(ids))
    return whole.distinct()


def _parts(ids: Sequence[UUID]) -> CTE:
    """The tickets themselves, and those that are part of them."""
    parts = select(Ticket.id).where(Ticket.id.in_(ids)).cte(recursive=True)
    part = aliased(Ticket)
    return parts.union(select(part.id).where(part.merged_into_id == parts.c.id))


def _both(session: Session, ticket_id: UUID, other_id: UUID) -> list[Ticket]:
    if ticket_id == other_id:
        raise InvalidArgument("other_id", "is the ticket itself")
    found = tickets.locked_together(session, [ticket_id, other_id])
    for wanted in (ticket_id, other_id):
        if wanted not in found:
            raise NotFound("ticket", wanted)
    return [found[ticket_id], found[other_id]]


def _note(session: Session, both: Sequence[Ticket], kind: str, actor: str) -> None:
    for ticket, other in (both, reversed(both)):
        names = {"after" if kind == "linked" else "before": str(other.id)}
        history.note_change(session, ticket, kind, actor, field="links", **names)
    tickets.announce(session, both)
