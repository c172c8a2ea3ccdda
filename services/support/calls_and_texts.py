"""SMS and voicemail: what somebody writes or says joins the open ticket of the same number, or opens one."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.support import conversation, tickets
from services.support.conversation import Incoming
from services.support.models import Ticket, TicketMessage
from services.support.states import Source
from services.support.tickets import SETTLED, Draft

MOST_SUBJECT_CHARACTERS = 80


@dataclass(frozen=True)
class Word:
    """What came in, as notifications tells it."""

    id: UUID
    source: Source
    from_address: str
    text: str
    person_id: UUID | None
    campaign_id: UUID | None
    # The message that it answers.
    message_id: UUID | None


def receive(session: Session, word: Word) -> None:
    """Take it in, once. Records TicketsChanged."""
    if session.scalar(select(TicketMessage.id).where(TicketMessage.inbound_id == word.id)):
        return
    ticket = _ticket_of(session, word) or tickets.open_ticket(session, _draft(word), "customer")
    said = Incoming(
        text=word.text,
        author_id=str(word.person_id or ""),
        author_name=ticket.requester_name,
        from_address=word.from_address,
        message_id=word.message_id,
        inbound_id=word.id,
    )
    conversation.receive(session, ticket, said)
    tickets.announce(session, [ticket])


def _ticket_of(session: Session, word: Word) -> Ticket | None:
    """The newest ticket of this number on this channel that is not settled; a telephone has no threads."""
    newest = (
        select(Ticket.id)
        .where(
            Ticket.requester_address == word.from_address.lower(),
            Ticket.source.in_([int(Source.SMS), int(Source.VOICE)]),
            Ticket.state.not_in([int(state) for state in SETTLED]),
        )
        .order_by(Ticket.last_message_time.desc(), Ticket.id.desc())
        .limit(1)
    )
    found = session.scalar(newest)
    return tickets.locked(session, found) if found else None


def _draft(word: Word) -> Draft:
    line = word.text.strip().partition("\n")[0]
    spoken = "Voicemail: " if word.source == Source.VOICE else ""
    return Draft(
        subject=spoken + (line if len(line) <= MOST_SUBJECT_CHARACTERS else f"{line[: MOST_SUBJECT_CHARACTERS - 1]}…"),
        source=word.source,
        requester_address=word.from_address,
        requester_id=word.person_id,
        campaign_id=word.campaign_id,
    )
