"""Agents' answers on their way: given to notifications once, in the ticket's thread, and what became of them.

The answer's id is the request id, so an answer that is given twice is sent once. A refusal for good (a suppressed
address) fails the answer and shows why; everything else is tried again, ever more seldom, for a day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from html import escape
from uuid import UUID

import grpc
import structlog
from sqlalchemy import literal_column, or_, select
from sqlalchemy.orm import Session

from chassis.clock import now
from services.portal import portal_url
from services.support import clients, subjects, threads, tickets
from services.support.clients import Letter
from services.support.models import Ticket, TicketMessage, database
from services.support.settings import settings
from services.support.states import DeliveryState

BATCH = 20
LEASE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)
# An event about a message can overtake the answer to the call that made it; then the state is asked for.
OVERTAKEN = timedelta(seconds=30)
MOST_ATTEMPTS = 100
MOST_REFERENCES = 20
REFUSALS = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)

log = structlog.get_logger()


@dataclass(frozen=True)
class Fate:
    """What notifications tells of an answer's message."""

    message_id: UUID
    state: DeliveryState
    detail: str


@dataclass(frozen=True)
class Foot:
    """What stands below an answer, in no language: the mark, and where the requester sees the ticket."""

    mark: str
    number: int
    portal_url: str = ""


def send_waiting() -> bool:
    """Give waiting answers to notifications; True when there may be more."""
    with database.transaction() as session:
        letters = _claimed(session)
    for message_id, copies in letters.items():
        _send(message_id, copies)
    return len(letters) == BATCH


def look_up_accepted() -> bool:
    """Ask where answers stand of which nothing was heard for a while; True when there may be more."""
    with database.transaction() as session:
        silent = _due(session, DeliveryState.ACCEPTED)
        for message in silent:
            message.attempts += 1
            message.leased_until = now() + min(LONGEST_PAUSE, OVERTAKEN * message.attempts)
    fates = []
    for message in silent:
        assert message.message_id is not None
        try:
            fates.append(Fate(message.message_id, *clients.delivery_of(message.message_id)))
        except grpc.RpcError as error:
            log.info("answer_not_looked_up", code=error.code().name)
    with database.transaction() as session:
        learn(session, fates)
    return len(silent) == BATCH


def learn(session: Session, fates: Sequence[Fate]) -> None:
    """Bring answers to where their messages stand; a state only moves forward."""
    by_message: dict[UUID | None, Fate] = {fate.message_id: fate for fate in fates}
    carried = select(TicketMessage).where(TicketMessage.message_id.in_(by_message), TicketMessage.delivery_state > 0)
    changed = [message for message in session.scalars(carried) if _advance(message, by_message)]
    _announce(session, changed)


def fail(session: Session, message_id: UUID, detail: str) -> None:
    """Note that an answer did not arrive, as a bounce tells."""
    message = session.get(TicketMessage, message_id)
    if message is not None and message.delivery_state:
        message.delivery_state, message.delivery_detail = int(DeliveryState.FAILED), detail
        _announce(session, [message])


def _claimed(session: Session) -> dict[UUID, list[Letter]]:
    """Letters of answers that wait, oldest first; nobody else gets them for a while."""
    messages = _due(session, DeliveryState.WAITING)
    for message in messages:
        message.attempts += 1
        message.leased_until = now() + LEASE
    return {message.id: _letters(session, message) for message in messages}


def _due(session: Session, state: DeliveryState) -> Sequence[TicketMessage]:
    """Answers in a state whose time has come, locked. The state is written out, so that the partial index serves it."""
    due = or_(TicketMessage.leased_until.is_(None), TicketMessage.leased_until <= now())
    waiting = select(TicketMessage).where(TicketMessage.delivery_state == literal_column(str(int(state))), due)
    return session.scalars(waiting.order_by(TicketMessage.id).limit(BATCH).with_for_update(skip_locked=True)).all()


def _letters(session: Session, message: TicketMessage) -> list[Letter]:
    """An answer to the requester first, and to everybody else who is in the conversation."""
    ticket = session.get_one(Ticket, message.ticket_id)
    before = _headers_before(session, message)
    foot = Foot(threads.body_mark(ticket.id), ticket.number)
    # The link opens the requester's own page, so it is in no copy.
    own = replace(foot, portal_url=portal_url(ticket.requester_id)) if ticket.requester_id else foot
    mail = Letter(
        request_id=f"ticket-answer-{message.id}",
        address=ticket.requester_address,
        person_id=ticket.requester_id,
        subject=subjects.answering(ticket.subject, ticket.number),
        text="",
        html="",
        sender=settings().support_sender,
        reply_to=threads.reply_address(ticket.id),
        message_id_header=threads.message_id_header(message.id, ticket.id),
        in_reply_to=before[-1] if before else "",
        references=before[-MOST_REFERENCES:],
    )
    copies = [
        replace(mail, request_id=_copy_id(message.id, one.address), address=one.address, person_id=one.person_id)
        for one in ticket.participants
    ]
    return [_worded(mail, message.text, own), *(_worded(copy, message.text, foot) for copy in copies)]


def _copy_id(message_id: UUID, address: str) -> str:
    """The request id of a copy: of the same answer to the same address always the same."""
    return f"ticket-copy-{message_id}-{sha256(address.encode()).hexdigest()[:12]}"


def _worded(letter: Letter, text: str, foot: Foot) -> Letter:
    """The letter with its text; an SMS has no room for a foot."""
    if not letter.is_mail:
        return replace(letter, text=text)
    return replace(letter, text=_text(text, foot), html=_html(text, foot))


def _headers_before(session: Session, message: TicketMessage) -> list[str]:
    """The Message-IDs of the conversation so far, oldest first."""
    earlier = select(TicketMessage.id, TicketMessage.delivery_state, TicketMessage.message_id_header).where(
        TicketMessage.ticket_id == message.ticket_id,
        TicketMessage.create_time < message.create_time,
        ~TicketMessage.internal,
    )
    rows = session.execute(earlier.order_by(TicketMessage.create_time, TicketMessage.id))
    headers = [
        threads.message_id_header(row.id, message.ticket_id) if row.delivery_state else row.message_id_header
        for row in rows
    ]
    return [header for header in headers if header]


def _text(text: str, foot: Foot) -> str:
    link = f"#{foot.number}: {foot.portal_url}\n" if foot.portal_url else ""
    return f"{text}\n\n-- \n{link}{foot.mark}\n"


def _html(text: str, foot: Foot) -> str:
    paragraphs = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in text.split("\n\n"))
    link = f'<a href="{foot.portal_url}">#{foot.number}</a> ' if foot.portal_url else ""
    return f'<html><body>{paragraphs}<p style="color:#767676;font-size:11px">{link}{foot.mark}</p></body></html>'


def _send(message_id: UUID, letters: Sequence[Letter]) -> None:
    to_requester, *copies = letters
    try:
        # First the copies, so that a requester who cannot be reached keeps nobody else from reading the answer.
        problems = [problem for copy in copies if (problem := _refusal(copy))]
        sent = clients.send(to_requester)
    except grpc.RpcError as error:
        _postpone(message_id, error)
        return
    with database.transaction() as session:
        message = session.get_one(TicketMessage, message_id, with_for_update=True)
        message.message_id = sent
        if message.delivery_state == DeliveryState.WAITING:
            message.delivery_state, message.delivery_detail = int(DeliveryState.ACCEPTED), "; ".join(problems)
        message.leased_until, message.attempts = now() + OVERTAKEN, 0
        _announce(session, [message])


def _refusal(copy: Letter) -> str:
    """Why a copy was refused for good, or nothing. Raises grpc.RpcError for what may go well later."""
    try:
        clients.send(copy)
    except grpc.RpcError as error:
        if error.code() not in REFUSALS:
            raise
        return f"{copy.address}: {error.details()}"
    return ""


def _postpone(message_id: UUID, error: grpc.RpcError) -> None:
    log.info("answer_not_accepted", code=error.code().name)
    with database.transaction() as session:
        message = session.get_one(TicketMessage, message_id, with_for_update=True)
        if error.code() in REFUSALS or message.attempts >= MOST_ATTEMPTS:
            message.delivery_state, message.delivery_detail = int(DeliveryState.FAILED), str(error.details())
            _announce(session, [message])
        else:
            message.leased_until = now() + min(LONGEST_PAUSE, timedelta(seconds=2.0 ** min(message.attempts, 12)))


def _advance(message: TicketMessage, fates: Mapping[UUID | None, Fate]) -> bool:
    fate = fates[message.message_id]
    if fate.state <= message.delivery_state:
        return False
    message.delivery_state, message.delivery_detail = int(fate.state), fate.detail
    return True


def _announce(session: Session, messages: Sequence[TicketMessage]) -> None:
    """Tell of the tickets of changed messages, locked in the order of their ids."""
    ids = sorted({message.ticket_id for message in messages})
    tickets.announce(session, [tickets.locked(session, ticket_id) for ticket_id in ids])
