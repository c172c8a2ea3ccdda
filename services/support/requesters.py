"""Who asks: the people of contacts behind tickets. Contacts may be away, so a ticket may wait to know its requester."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.errors import Unavailable
from services.support import clients, tickets
from services.support.clients import Known, Sender
from services.support.models import Ticket, database
from services.support.tickets import Draft

BATCH = 500


def requester_of(draft: Draft) -> Draft:
    """The draft with its person: looked up by id for an address, or by address for an id.

    Raises NotFound for a person whom contacts does not know. Where contacts is away, `complete` does it later.
    """
    if draft.requester_id is not None:
        if draft.requester_address:
            return draft
        return _asked_by(draft, clients.person(draft.requester_id))
    if not draft.requester_address:
        return draft
    try:
        (known,) = clients.resolve([Sender(draft.requester_address, draft.requester_name)])
    except Unavailable:
        return draft
    return _asked_by(draft, known) if known else draft


def complete() -> bool:
    """Find the people of tickets that do not know them yet; True when there may be more."""
    with database.transaction() as session:
        waiting = _unknown(session)
    if not waiting:
        return False
    senders = [Sender(ticket.requester_address, ticket.requester_name) for ticket in waiting]
    found = dict(zip((ticket.id for ticket in waiting), clients.resolve(senders), strict=True))
    with database.transaction() as session:
        _learn(session, {ticket_id: known for ticket_id, known in found.items() if known})
    return len(waiting) == BATCH


def _asked_by(draft: Draft, known: Known) -> Draft:
    return replace(
        draft,
        requester_id=known.person_id,
        requester_address=draft.requester_address or known.address,
        requester_name=draft.requester_name or known.name,
    )


def _unknown(session: Session) -> Sequence[Ticket]:
    nameless = select(Ticket).where(Ticket.requester_id.is_(None), Ticket.requester_address != "")
    return session.scalars(nameless.order_by(Ticket.id.desc()).limit(BATCH)).all()


def _learn(session: Session, known: Mapping[UUID, Known]) -> None:
    if not known:
        return
    rows = select(Ticket).where(Ticket.id.in_(known), Ticket.requester_id.is_(None)).order_by(Ticket.id)
    found = session.scalars(rows.with_for_update()).all()
    for ticket in found:
        ticket.requester_id = known[ticket.id].person_id
        ticket.requester_name = ticket.requester_name or known[ticket.id].name
    tickets.announce(session, found)
