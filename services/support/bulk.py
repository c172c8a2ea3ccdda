"""The same change of many tickets: those that cannot be changed are told with the reason, and the others are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from chassis.errors import DendaError, InvalidArgument
from services.support import tickets
from services.support.models import Ticket

CHANGEABLE = ("state", "priority", "queue_id", "assignee_id")
MOST_TAGS = 50


@dataclass(frozen=True)
class Change:
    """What is to be set, and which tags to add and to take off."""

    fields: Mapping[str, Any]
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()


def update(
    session: Session, ids: Sequence[UUID], change: Change, actor: str
) -> tuple[list[Ticket], list[tuple[UUID, str]]]:
    """Change tickets; those that are there now, and the ids of those that could not be changed, with the reason.

    A ticket that is as it should be already counts as changed, but is not told of. What is wrong with the change
    itself, and so with every ticket, raises InvalidArgument.
    """
    wanted = list(dict.fromkeys(ids))
    fields = tickets.possible(session, change.fields)
    locked = tickets.locked_together(session, wanted)
    done, different = [], []
    failures: list[tuple[UUID, str]] = []
    for ticket_id in wanted:
        ticket = locked.get(ticket_id)
        if ticket is None:
            failures.append((ticket_id, f"There is no ticket {ticket_id}."))
            continue
        try:
            if tickets.change(session, ticket, {**fields, **_tags(ticket, change)}, actor):
                different.append(ticket)
        except DendaError as refusal:
            failures.append((ticket_id, refusal.message))
            continue
        done.append(ticket)
    tickets.announce(session, different)
    return done, failures


def _tags(ticket: Ticket, change: Change) -> dict[str, list[str]]:
    """The tags of one ticket, where they change. Raises InvalidArgument when it would have too many."""
    gone = set(change.remove_tags)
    tags = [tag for tag in dict.fromkeys([*ticket.tags, *change.add_tags]) if tag not in gone]
    if len(tags) > MOST_TAGS:
        raise InvalidArgument("add_tags", f"the ticket would have more than {MOST_TAGS} tags")
    return {"tags": tags} if tags != ticket.tags else {}
