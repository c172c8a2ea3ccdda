"""Who has a ticket before them. It is said again every 20 seconds; who is silent for a minute counts as gone."""

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from uuid import UUID

from sqlalchemy import case, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.support import tickets
from services.support.models import Presence

SILENCE = timedelta(seconds=60)


class Activity(IntEnum):
    """What somebody does with a ticket."""

    VIEWING = 1
    ANSWERING = 2
    LEFT = 3


def note(session: Session, ticket_id: UUID, user_id: str, activity: Activity) -> Sequence[Presence]:
    """Note what a user does with a ticket, and tell who else has it before them. Raises NotFound."""
    tickets.get(session, ticket_id)
    moment = now()
    if activity == Activity.LEFT:
        session.execute(delete(Presence).where(Presence.ticket_id == ticket_id, Presence.user_id == user_id))
    else:
        here = insert(Presence).values(
            ticket_id=ticket_id, user_id=user_id, activity=activity, since=moment, seen=moment
        )
        # Who comes back after a silence is there since then.
        again = Presence.seen > moment - SILENCE
        since = {"since": case((again, Presence.since), else_=moment)}
        changed = {"activity": activity, "seen": moment, **since}
        session.execute(here.on_conflict_do_update(index_elements=["ticket_id", "user_id"], set_=changed))
    others = select(Presence).where(
        Presence.ticket_id == ticket_id, Presence.user_id != user_id, Presence.seen > moment - SILENCE
    )
    return session.scalars(others.order_by(Presence.since, Presence.user_id)).all()


def forget(session: Session) -> None:
    """Forget who has been gone for a while."""
    session.execute(delete(Presence).where(Presence.seen < now() - SILENCE))
