"""What support tells the others of its tickets."""

from collections.abc import Iterator, Sequence

from chassis.moments import timestamp
from denda.support.v1.events_pb2 import TicketChange, TicketsChanged
from services.support.models import Ticket

MOST_IN_ONE_EVENT = 500


def tickets_changed(tickets: Sequence[Ticket]) -> Iterator[tuple[TicketsChanged, str]]:
    """Events of at most 500 tickets as they are now, each with its subject: the first ticket's id."""
    for start in range(0, len(tickets), MOST_IN_ONE_EVENT):
        some = tickets[start : start + MOST_IN_ONE_EVENT]
        yield TicketsChanged(changes=map(_change, some)), str(some[0].id)


def _change(ticket: Ticket) -> TicketChange:
    return TicketChange(
        ticket_id=str(ticket.id),
        number=ticket.number,
        requester_id=str(ticket.requester_id or ""),
        subject=ticket.subject,
        state=ticket.state,  # type: ignore[arg-type]  # the stubs want the enums' own types
        priority=ticket.priority,  # type: ignore[arg-type]
        source=ticket.source,  # type: ignore[arg-type]
        queue_id=str(ticket.queue_id),
        assignee_id=ticket.assignee_id,
        version=ticket.version,
        create_time=timestamp(ticket.create_time),
        time=timestamp(ticket.update_time),
    )
