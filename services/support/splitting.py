"""Splits: messages of a ticket that are about something else go into a ticket of their own, linked to the first."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.errors import FailedPrecondition, InvalidArgument
from services.support import history, links, merging, tickets
from services.support.models import Ticket, TicketMessage
from services.support.states import Author, DeliveryState, Priority, Source, TicketState
from services.support.tickets import Companion, Draft


def split(
    session: Session, ticket_id: UUID, message_ids: Sequence[UUID], *, subject: str, actor: str, new_id: UUID
) -> Ticket:
    """Move messages into a new ticket of whoever wrote the first of them. Records TicketsChanged.

    Raises NotFound, FailedPrecondition when the ticket is part of another one or an answer among them is on its way,
    and InvalidArgument for messages that are not the ticket's, or all of them.
    """
    ticket = tickets.locked(session, ticket_id)
    tickets.require_alive(ticket)
    moving = _moving(session, ticket, message_ids)
    made = tickets.open_ticket(session, _draft(ticket, moving, subject), actor, new_id)
    for message in moving:
        message.ticket_id, message.merge_ids = made.id, []
        message.original_ticket_id = message.original_ticket_id or ticket.id
    for changed in (ticket, made):
        merging.recount(session, changed)
    made.state = int(TicketState.OPEN if made.customer_spoke_last else TicketState.PENDING)
    history.note_change(session, ticket, "split", actor, field="ticket_id", after=str(made.id))
    history.note_change(session, made, "split", actor, field="ticket_id", before=str(ticket.id))
    links.connect(session, ticket.id, made.id)
    tickets.announce(session, [ticket, made])
    return made


def _moving(session: Session, ticket: Ticket, message_ids: Sequence[UUID]) -> Sequence[TicketMessage]:
    ours = select(TicketMessage).where(TicketMessage.id.in_(message_ids), TicketMessage.ticket_id == ticket.id)
    moving = session.scalars(ours.order_by(TicketMessage.create_time, TicketMessage.id)).all()
    if strange := set(message_ids) - {message.id for message in moving}:
        raise InvalidArgument("message_ids", f"{min(strange)} is no message of the ticket")
    if len(moving) == ticket.message_count:
        raise InvalidArgument("message_ids", "are all of the ticket's messages; one stays at least")
    if any(message.delivery_state == DeliveryState.WAITING for message in moving):
        raise FailedPrecondition("An answer is on its way; try again in a moment.", reason="ANSWER_WAITING")
    return moving


def _draft(ticket: Ticket, moving: Sequence[TicketMessage], subject: str) -> Draft:
    """The new ticket: the old one's, or of the participant who wrote the first of a customer's messages."""
    address = next((it.from_address.lower() for it in moving if it.author == Author.CUSTOMER and it.from_address), "")
    companion = next((one for one in ticket.participants if one.address == address), None)
    others = {one.address: one.person_id for one in ticket.participants}
    return Draft(
        subject=subject.strip() or ticket.subject,
        source=Source(ticket.source),
        requester_address=companion.address if companion else ticket.requester_address,
        requester_id=companion.person_id if companion else ticket.requester_id,
        requester_name="" if companion else ticket.requester_name,
        queue_id=ticket.queue_id,
        assignee_id=ticket.assignee_id,
        priority=Priority(ticket.priority),
        tags=ticket.tags,
        participants=[Companion(*one) for one in (others | _requester(ticket)).items()],
        campaign_id=ticket.campaign_id,
    )


def _requester(ticket: Ticket) -> dict[str, UUID | None]:
    return {ticket.requester_address: ticket.requester_id} if ticket.requester_address else {}
