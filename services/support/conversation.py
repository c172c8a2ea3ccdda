"""What is said in a ticket: by the customer, by agents to the customer, and by agents among themselves.

An answer is a row that waits here until `answers.py` has given it to notifications; nothing is sent in this room.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from chassis.clock import now
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from chassis.ids import new_id
from chassis.paging import PageRequest, paginate
from services.support import history, merging, tickets
from services.support.mail.files import File
from services.support.models import Attachment, Ticket, TicketMessage
from services.support.settings import settings
from services.support.states import Author, DeliveryState, TicketState

# What providers take in one message of several parts.
MOST_SMS_CHARACTERS = 1600
REOPENED = (TicketState.PENDING, TicketState.SOLVED, TicketState.CLOSED)


@dataclass(frozen=True)
class Incoming:
    """What a customer, or a machine, has sent."""

    text: str
    # All of it, with quotation and signature, where that is more.
    full_text: str = ""
    # Safe to show.
    html: str = ""
    author: Author = Author.CUSTOMER
    author_id: str = ""
    author_name: str = ""
    from_address: str = ""
    message_id_header: str = ""
    # The message of notifications that it answers.
    message_id: UUID | None = None
    inbound_id: UUID | None = None
    files: Sequence[File] = ()
    # The ticket that it was meant for, where that is part of another one now.
    meant_for: UUID | None = None


def takes_answers(ticket: Ticket) -> bool:
    """Whether what a customer answers belongs here, and not into a new ticket since this one is long closed."""
    if ticket.state != TicketState.CLOSED or ticket.close_time is None:
        return True
    return ticket.close_time > now() - timedelta(days=settings().reopen_days)


def receive(session: Session, ticket: Ticket, incoming: Incoming, message_id: UUID | None = None) -> TicketMessage:
    """Add what came in to a locked ticket, which a person's words open again. The caller announces the ticket."""
    original = incoming.meant_for if incoming.meant_for != ticket.id else None
    message = TicketMessage(
        id=message_id or new_id(),
        ticket_id=ticket.id,
        original_ticket_id=original,
        merge_ids=[merge.id for merge in merging.path(session, original)] if original else [],
        author=int(incoming.author),
        author_id=incoming.author_id,
        author_name=incoming.author_name,
        from_address=incoming.from_address,
        text=incoming.text,
        full_text=incoming.full_text if incoming.full_text != incoming.text else "",
        html=incoming.html,
        message_id_header=incoming.message_id_header,
        message_id=incoming.message_id,
        inbound_id=incoming.inbound_id,
        # Its place is when it came: what a message says of its own time may be anything.
        create_time=now(),
        attachments=[_attachment(file, position) for position, file in enumerate(incoming.files)],
    )
    session.add(message)
    ticket.message_count += 1
    if incoming.author == Author.CUSTOMER:
        ticket.last_message_time = message.create_time
        ticket.customer_spoke_last = True
        if ticket.state in REOPENED:
            tickets.move_to(session, ticket, TicketState.OPEN, incoming.author_id or "customer")
    return message


def answer(
    session: Session, ticket: Ticket, text: str, *, state: TicketState, actor: str, message_id: UUID
) -> TicketMessage:
    """Write an agent's answer to a locked ticket, to be sent to the customer. The caller announces the ticket.

    Raises FailedPrecondition when the ticket is merged or has no address to answer to, and InvalidArgument for a text
    that is too long for an SMS.
    """
    tickets.require_alive(ticket)
    if not ticket.requester_address:
        raise FailedPrecondition("Nobody knows where to answer: the ticket has no address.", reason="NO_ADDRESS")
    if "@" not in ticket.requester_address and len(text) > MOST_SMS_CHARACTERS:
        raise InvalidArgument("text", f"is answered by SMS, which has at most {MOST_SMS_CHARACTERS:,} characters")
    message = _written(ticket, text, actor, message_id)
    message.delivery_state = int(DeliveryState.WAITING)
    session.add(message)
    ticket.message_count += 1
    ticket.last_message_time = message.create_time
    ticket.customer_spoke_last = False
    ticket.first_answer_time = ticket.first_answer_time or message.create_time
    history.note_change(session, ticket, "answered", actor)
    tickets.move_to(session, ticket, state, actor)
    return message


def add_note(
    session: Session, ticket: Ticket, text: str, *, mentioned_ids: Sequence[str], actor: str, message_id: UUID
) -> TicketMessage:
    """Write a note that only agents see. The caller announces the ticket.

    Raises FailedPrecondition when the ticket is merged.
    """
    tickets.require_alive(ticket)
    message = _written(ticket, text, actor, message_id)
    message.internal, message.mentioned_ids = True, list(dict.fromkeys(mentioned_ids))
    session.add(message)
    ticket.message_count += 1
    history.note_change(session, ticket, "noted", actor, after=history.joined(message.mentioned_ids))
    return message


def message_by_id(session: Session, message_id: UUID) -> TicketMessage:
    """A message. Raises NotFound."""
    message = session.get(TicketMessage, message_id)
    if message is None:
        raise NotFound("message", message_id)
    return message


def page(
    session: Session, ticket_id: UUID, request: PageRequest, *, public_only: bool
) -> tuple[list[TicketMessage], str]:
    """A page of a ticket's messages, oldest first, and the token of the next one; without notes where public."""
    statement = select(TicketMessage).where(TicketMessage.ticket_id == ticket_id)
    if public_only:
        statement = statement.where(~TicketMessage.internal)
    keys = (TicketMessage.create_time, TicketMessage.id)
    fingerprint = f"messages {ticket_id} {public_only}"
    rows, token = paginate(session, statement, keys, request, fingerprint=fingerprint)
    return [message for (message,) in rows], token


def attachment(session: Session, attachment_id: UUID) -> Attachment:
    """A file with its content. Raises NotFound, also where the file was not kept."""
    found = session.get(Attachment, attachment_id, options=[undefer(Attachment.content)])
    if found is None or found.content is None:
        raise NotFound("attachment", attachment_id)
    return found


def _written(ticket: Ticket, text: str, actor: str, message_id: UUID) -> TicketMessage:
    return TicketMessage(
        id=message_id,
        ticket_id=ticket.id,
        author=int(Author.AGENT),
        author_id=actor,
        text=text,
        create_time=now(),
        attachments=[],
    )


def _attachment(file: File, position: int) -> Attachment:
    return Attachment(
        id=new_id(),
        position=position,
        name=file.name,
        content_type=file.content_type,
        content=file.content,
        size=file.size,
        inline=file.inline,
        refused_reason=file.refused_reason,
    )
