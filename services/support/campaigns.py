"""Which campaign a ticket answers. notifications knows it from the mail, a moment after the mail is in its ticket."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from services.support import tickets
from services.support.models import TicketMessage


def learn(session: Session, campaigns: Mapping[UUID, UUID]) -> None:
    """Note the campaigns that mails answer, at the tickets that these mails opened. Records TicketsChanged."""
    earlier = aliased(TicketMessage)
    opened = select(TicketMessage.ticket_id, TicketMessage.inbound_id).where(
        TicketMessage.inbound_id.in_(campaigns),
        ~exists().where(earlier.ticket_id == TicketMessage.ticket_id, earlier.create_time < TicketMessage.create_time),
    )
    found = {row.ticket_id: campaigns[row.inbound_id] for row in session.execute(opened)}
    nameless = [ticket for ticket in tickets.locked_together(session, list(found)).values() if not ticket.campaign_id]
    for ticket in nameless:
        ticket.campaign_id = found[ticket.id]
    tickets.announce(session, nameless)
