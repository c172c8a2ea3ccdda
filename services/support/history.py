"""The history of a ticket: every change, who made it, what was before. Entries are only ever added."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.ids import new_id
from chassis.paging import PageRequest, paginate
from services.support.models import HistoryEntry, Ticket


def note_change(
    session: Session, ticket: Ticket, kind: str, actor: str, *, field: str = "", before: str = "", after: str = ""
) -> None:
    """Add an entry."""
    session.add(
        HistoryEntry(
            ticket_id=ticket.id,
            id=new_id(),
            kind=kind,
            field=field,
            before=before,
            after=after,
            actor=actor,
            create_time=now(),
        )
    )


def page(session: Session, ticket_id: UUID, request: PageRequest) -> tuple[list[HistoryEntry], str]:
    """A page of a ticket's history, oldest first, and the token of the next one."""
    statement = select(HistoryEntry).where(HistoryEntry.ticket_id == ticket_id)
    rows, token = paginate(session, statement, (HistoryEntry.id,), request, fingerprint=f"history {ticket_id}")
    return [entry for (entry,) in rows], token


def joined(values: Iterable[str]) -> str:
    """Several values in one entry."""
    return ", ".join(values)
