"""Who asks, and who is in the conversation: the people of contacts behind tickets.

Contacts may be away, so a ticket may wait to know its people. Whoever writes becomes a person; of the others those are
found whom contacts knows, once, and again when they write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from chassis.errors import Unavailable
from services.support import clients, tickets
from services.support.clients import Known, Sender
from services.support.models import Participant, Ticket, database
from services.support.tickets import Draft

BATCH = 500

# The conditions are written out, so that the partial index serves them.
_STRANGERS = (
    select(Participant.ticket_id, Participant.address)
    .where(text("person_id IS NULL AND NOT looked_up"))
    .order_by(Participant.ticket_id.desc(), Participant.address)
    .limit(BATCH)
)
_LOOKED_UP = text("""
    UPDATE ticket_participant p SET looked_up = true, person_id = v.person_id
    FROM unnest(CAST(:tickets AS uuid[]), CAST(:addresses AS text[]), CAST(:people AS uuid[]))
        AS v (ticket_id, address, person_id)
    WHERE p.ticket_id = v.ticket_id AND p.address = v.address AND p.person_id IS NULL""")
_WRITTEN = text("""
    UPDATE ticket_participant p SET looked_up = false
    FROM unnest(CAST(:tickets AS uuid[]), CAST(:addresses AS text[])) AS v (ticket_id, address)
    WHERE p.ticket_id = v.ticket_id AND p.address = v.address AND p.person_id IS NULL""")


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
    more = _find_requesters()
    return _find_participants() or more


def note_written(session: Session, written: Sequence[tuple[UUID, str]]) -> None:
    """Have the people found again who wrote in these tickets from these addresses, and are persons by that."""
    if written:
        values = {"tickets": [ticket for ticket, _ in written], "addresses": [address for _, address in written]}
        session.execute(_WRITTEN, values)


def _find_requesters() -> bool:
    with database.transaction() as session:
        waiting = _unknown(session)
    if not waiting:
        return False
    senders = [Sender(ticket.requester_address, ticket.requester_name) for ticket in waiting]
    found = dict(zip((ticket.id for ticket in waiting), clients.resolve(senders), strict=True))
    with database.transaction() as session:
        _learn(session, {ticket_id: known for ticket_id, known in found.items() if known})
    return len(waiting) == BATCH


def _find_participants() -> bool:
    with database.transaction() as session:
        waiting = session.execute(_STRANGERS).all()
    if not waiting:
        return False
    found = clients.resolve([Sender(row.address, only_known=True) for row in waiting])
    values = {
        "tickets": [row.ticket_id for row in waiting],
        "addresses": [row.address for row in waiting],
        "people": [known and known.person_id for known in found],
    }
    with database.transaction() as session:
        session.execute(_LOOKED_UP, values)
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
