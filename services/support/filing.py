"""Where a mail that was read goes: into its ticket, or into none since a machine wrote it. All of a batch at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.moments import timestamp
from chassis.outbox import record_all
from denda.support.v1.events_pb2 import MailAccepted
from services.support import answers, conversation, requesters, threads, tickets
from services.support.conversation import Incoming
from services.support.mail.bounces import Bounce
from services.support.mail.parse import Mail
from services.support.matching import Ladder, Match, clues_in
from services.support.models import InboundMail, Queue, Ticket, TicketMessage
from services.support.states import Author, InboundKind, InboundState, MatchedBy, Source
from services.support.tickets import Companion, Draft

MOST_PARTICIPANTS = 50
# The others read the words of a mail, not a book.
MOST_EVENT_TEXT = 100_000
MACHINES = (InboundKind.AUTO_REPLY, InboundKind.BOUNCE, InboundKind.LOOP)


@dataclass(frozen=True)
class Letter:
    """A mail that was read; `own` are the addresses in it that are ours, and nobody to answer to."""

    id: UUID
    mail: Mail
    # What is new in it.
    text: str
    kind: InboundKind
    bounce: Bounce | None
    author: str
    sent_to: Sequence[str]
    own: frozenset[str]
    queue_id: UUID | None
    person_id: UUID | None = None
    person_name: str = ""

    @property
    def name(self) -> str:
        """The author's name, by the mail or as contacts knows it."""
        return self.mail.from_name or self.person_name


@dataclass(frozen=True)
class Place:
    """The ticket that a mail goes into, and how it was found."""

    letter: Letter
    match: Match
    ticket: Ticket

    @property
    def is_new(self) -> bool:
        """Whether the mail opens the ticket."""
        return self.match.ticket is None


def file(session: Session, letters: Sequence[Letter]) -> list[UUID]:
    """Bring mails to their tickets; answers the ids of those that still waited.

    Records MailAccepted for each, and TicketsChanged.
    """
    rows = _waiting(session, letters)
    letters = [letter for letter in letters if letter.id in rows]
    places = _places(session, letters)
    tickets.add(session, [(place.ticket, place.letter.author or "customer") for place in places if place.is_new])
    for place in places:
        conversation.receive(session, place.ticket, _incoming(place.letter, place.match))
    for letter in letters:
        _note(rows[letter.id], letter)
    for place in places:
        row = rows[place.letter.id]
        row.ticket_id, row.matched_by = place.ticket.id, int(place.match.by)
    requesters.note_written(session, [(one.ticket.id, one.letter.author) for one in places if not one.is_new])
    tickets.announce(session, list({place.ticket.id: place.ticket for place in places}.values()))
    for letter in letters:
        _learn_of_bounce(session, letter, rows[letter.id])
    record_all(session, [(_event(letter, rows[letter.id]), str(letter.id)) for letter in letters])
    return [letter.id for letter in letters]


def _waiting(session: Session, letters: Sequence[Letter]) -> Mapping[UUID, InboundMail]:
    """The mails that nobody else has dealt with meanwhile, locked."""
    ids = [letter.id for letter in letters]
    waiting = select(InboundMail).where(InboundMail.id.in_(ids), InboundMail.state == int(InboundState.RECEIVED))
    rows = session.scalars(waiting.order_by(InboundMail.id).with_for_update())
    return {row.id: row for row in rows}


def _places(session: Session, letters: Sequence[Letter]) -> list[Place]:
    """Where the mails go that go into a ticket; later ones find those that earlier ones open."""
    queues = {row.id: row.is_default for row in session.execute(select(Queue.id, Queue.is_default))}
    default = next(queue_id for queue_id, is_default in queues.items() if is_default)
    written = [letter for letter in letters if letter.kind not in (InboundKind.BOUNCE, InboundKind.LOOP)]
    clues = [clues_in(letter.mail, letter.author, letter.person_id, letter.sent_to) for letter in written]
    ladder = Ladder(session, clues)
    places: list[Place] = []
    for letter, clue in zip(written, clues, strict=True):
        match = ladder.match(clue)
        ticket = match.ticket
        if ticket is None:
            if letter.kind != InboundKind.PERSONAL:
                continue
            queue_id = letter.queue_id if letter.queue_id in queues else default
            ticket = tickets.drafted(_draft(letter, match), queue_id or default)
        ladder.remember(ticket, letter.mail.message_id, clue)
        places.append(Place(letter, match, ticket))
    return places


def _draft(letter: Letter, match: Match) -> Draft:
    others = dict.fromkeys((*letter.mail.reply_to, *letter.mail.recipients))
    companions = [Companion(address) for address in others if address not in letter.own]
    return Draft(
        subject=letter.mail.subject,
        source=Source.EMAIL,
        requester_address=letter.author,
        requester_name=letter.name,
        requester_id=letter.person_id,
        participants=companions[:MOST_PARTICIPANTS],
        suggested_ticket_id=match.suggested_id,
    )


def _incoming(letter: Letter, match: Match) -> Incoming:
    mail = letter.mail
    return Incoming(
        text=letter.text,
        full_text=mail.text,
        html=mail.html,
        author=Author.SYSTEM if letter.kind in MACHINES else Author.CUSTOMER,
        author_id=str(letter.person_id or ""),
        author_name=letter.name,
        from_address=letter.author,
        message_id_header=mail.message_id,
        inbound_id=letter.id,
        files=mail.files,
        meant_for=match.meant_for,
    )


def _note(row: InboundMail, letter: Letter) -> None:
    row.state, row.kind = int(InboundState.ACCEPTED), int(letter.kind)
    row.from_address, row.subject = letter.author, letter.mail.subject
    row.message_id_header = letter.mail.message_id or row.message_id_header
    row.detail, row.leased_until = "", None


def _learn_of_bounce(session: Session, letter: Letter, row: InboundMail) -> None:
    """Say at an agent's answer that it did not arrive. One that is only late may still come."""
    if letter.bounce is None:
        return
    row.detail = f"{letter.bounce.status} {letter.bounce.detail}".strip()
    answer_id = threads.message_of_message_id(letter.bounce.message_id)
    answer = session.get(TicketMessage, answer_id) if answer_id else None
    if answer is None:
        return
    row.ticket_id, row.matched_by = answer.ticket_id, int(MatchedBy.MESSAGE_ID)
    if not letter.bounce.status.startswith("4."):
        answers.fail(session, answer.id, row.detail)


def _event(letter: Letter, row: InboundMail) -> MailAccepted:
    mail = letter.mail
    event = MailAccepted(
        id=str(letter.id),
        from_address=letter.author,
        to_address=next((address for address in letter.sent_to if address in letter.own), ""),
        subject=mail.subject,
        text=letter.text[:MOST_EVENT_TEXT],
        in_reply_to=mail.in_reply_to or (mail.references[-1] if mail.references else ""),
        person_id=str(letter.person_id or ""),
        time=timestamp(row.create_time),
        kind=int(letter.kind),  # type: ignore[arg-type]  # the stubs want the enum's own type
    )
    if letter.bounce:
        event.bounced_message_id_header = letter.bounce.message_id
        event.bounce_status = letter.bounce.status
        event.bounce_detail = letter.bounce.detail
    return event
