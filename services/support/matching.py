"""Which ticket a mail belongs to: the first proof on the ladder that holds, and else at most a suggestion.

1. the signed address that it was sent to, 2. the signed Message-ID that it answers, 3. a mail of the ticket among its
references, 4. the signed mark in what it quotes, 5. the number in its subject. References and numbers can be copied by
anybody, so they count only from somebody who is in the conversation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from services.support import conversation, merging, subjects, threads, tickets
from services.support.mail.parse import Mail
from services.support.models import Ticket, TicketMessage
from services.support.states import MatchedBy, TicketState


@dataclass(frozen=True)
class Clues:
    """What in a mail may name its ticket."""

    author: str
    person_id: UUID | None
    signed_address: UUID | None
    signed_message_id: UUID | None
    signed_mark: UUID | None
    references: Sequence[str]
    number: int | None
    subject_key: str

    def signed(self) -> list[UUID]:
        """The tickets that are named by what only we can make."""
        return [one for one in (self.signed_address, self.signed_message_id, self.signed_mark) if one]


@dataclass(frozen=True)
class Match:
    """The ticket that a mail joins, or None and at most one to suggest; `meant_for` may be part of it by now."""

    ticket: Ticket | None
    by: MatchedBy
    meant_for: UUID | None = None
    suggested_id: UUID | None = None


def clues_in(mail: Mail, author: str, person_id: UUID | None, sent_to: Iterable[str]) -> Clues:
    """The clues in a mail; `sent_to` is every address that it went to."""
    answered = (mail.in_reply_to, *reversed(mail.references))
    return Clues(
        author=author,
        person_id=person_id,
        signed_address=_first(threads.ticket_of_address(address) for address in sent_to if "+" in address),
        signed_message_id=_first(map(threads.ticket_of_message_id, answered)),
        signed_mark=threads.ticket_of_body(mail.text) or threads.ticket_of_body(mail.html),
        references=[reference for reference in mail.references if reference],
        number=threads.number_in(mail.subject),
        subject_key=subjects.key_of(mail.subject),
    )


class Ladder:
    """Everything that the clues of a batch can lead to, locked, and read in a few statements."""

    def __init__(self, session: Session, clues: Sequence[Clues]) -> None:
        self._by_header = _by_header(session, clues)
        self._by_number = _by_number(session, clues)
        signed = {
            one for clue in clues for one in (clue.signed_address, clue.signed_message_id, clue.signed_mark) if one
        }
        referred = {ticket_id for ids in self._by_header.values() for ticket_id in ids}
        self._tickets = _with_survivors(session, signed | referred | set(self._by_number.values()))
        self._alike = _alike(session, clues)

    def match(self, clues: Clues) -> Match:
        """Go down the ladder."""
        for by, ticket_id, proven in self._rungs(clues):
            ticket = self._survivor(ticket_id)
            if ticket is None or not (proven or _takes_part(ticket, clues)):
                continue
            if conversation.takes_answers(ticket):
                return Match(ticket, by, meant_for=ticket_id)
            return Match(None, MatchedBy.NOTHING, suggested_id=ticket.id)
        return Match(None, MatchedBy.NOTHING, suggested_id=self._alike.get((clues.author, clues.subject_key)))

    def remember(self, ticket: Ticket, message_id_header: str, clues: Clues) -> None:
        """Let the next mails of the batch find what a mail of it has become."""
        self._tickets[ticket.id] = ticket
        if message_id_header:
            self._by_header.setdefault(message_id_header, []).append(ticket.id)
        if clues.subject_key:
            self._alike[clues.author, clues.subject_key] = ticket.id

    def _rungs(self, clues: Clues) -> Iterator[tuple[MatchedBy, UUID, bool]]:
        """The tickets that clues name, in the order of their worth, and whether the clue is proof by itself."""
        if clues.signed_address:
            yield MatchedBy.REPLY_ADDRESS, clues.signed_address, True
        if clues.signed_message_id:
            yield MatchedBy.MESSAGE_ID, clues.signed_message_id, True
        for reference in reversed(clues.references):
            for ticket_id in self._by_header.get(reference, ()):
                yield MatchedBy.REFERENCES, ticket_id, False
        if clues.signed_mark:
            yield MatchedBy.BODY_MARK, clues.signed_mark, True
        if clues.number is not None and clues.number in self._by_number:
            yield MatchedBy.SUBJECT, self._by_number[clues.number], False

    def _survivor(self, ticket_id: UUID) -> Ticket | None:
        ticket = self._tickets.get(ticket_id)
        while ticket is not None and ticket.merged_into_id is not None:
            ticket = self._tickets.get(ticket.merged_into_id)
        return ticket


def _takes_part(ticket: Ticket, clues: Clues) -> bool:
    """Whether the author is the requester, by address or by person, or a participant."""
    if not clues.author:
        return False
    known = {ticket.requester_address, *(one.address for one in ticket.participants)}
    return clues.author in known or (clues.person_id is not None and clues.person_id == ticket.requester_id)


def _first(found: Iterable[UUID | None]) -> UUID | None:
    return next((one for one in found if one), None)


def _by_header(session: Session, clues: Sequence[Clues]) -> dict[str, list[UUID]]:
    wanted = list({reference for clue in clues for reference in clue.references})
    found: dict[str, list[UUID]] = {}
    if wanted:
        # The index is over messages that have one, and the planner cannot know that none that is wanted is empty.
        named = TicketMessage.message_id_header.in_(wanted) & (TicketMessage.message_id_header != "")
        for header, ticket_id in session.execute(select(TicketMessage.message_id_header, merging.HOME).where(named)):
            found.setdefault(header, []).append(ticket_id)
    return found


def _by_number(session: Session, clues: Sequence[Clues]) -> dict[int, UUID]:
    wanted = {clue.number for clue in clues if clue.number is not None}
    if not wanted:
        return {}
    rows = session.execute(select(Ticket.number, Ticket.id).where(Ticket.number.in_(wanted)))
    return {row.number: row.id for row in rows}


def _with_survivors(session: Session, ids: set[UUID]) -> dict[UUID, Ticket]:
    """The tickets and those of which they are part now, locked."""
    found: dict[UUID, Ticket] = {}
    while ids:
        found |= tickets.locked_together(session, sorted(ids))
        ids = {ticket.merged_into_id for ticket in found.values() if ticket.merged_into_id} - found.keys()
    return found


def _alike(session: Session, clues: Sequence[Clues]) -> dict[tuple[str, str], UUID]:
    """The newest ticket of each author with the same subject."""
    wanted = {(clue.author, clue.subject_key) for clue in clues if clue.author and clue.subject_key}
    if not wanted:
        return {}
    key = (Ticket.requester_address, Ticket.subject_key)
    same = select(*key, Ticket.id).where(tuple_(*key).in_(wanted), Ticket.state != int(TicketState.MERGED))
    newest = (Ticket.last_message_time.desc(), Ticket.id.desc())
    rows = session.execute(same.ext(distinct_on(*key)).order_by(*key, *newest))
    return {(row.requester_address, row.subject_key): row.id for row in rows}
