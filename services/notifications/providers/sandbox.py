"""The sandbox: takes email, SMS and voice, keeps every message, and nothing leaves the machine.

Taking a message is idempotent, and it knows what it took. `customers.py` plays the people who get them.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from chassis.clock import now
from services.notifications.models import SandboxMessage, database
from services.notifications.providers import Answer, Outcome, Parcel
from services.notifications.settings import settings


class Sandbox:
    """The provider `sandbox`."""

    name = "sandbox"
    group = 50
    whole = True

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Keep the messages; a message that is there already is not kept twice."""
        with database.transaction() as session:
            rows = [_row(parcel) for parcel in parcels]
            session.execute(insert(SandboxMessage).values(rows).on_conflict_do_nothing())
        return [Outcome(Answer.TAKEN, "kept in the sandbox", parcel.reference) for parcel in parcels]

    def look_up(self, message_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """The sandbox always knows."""
        with database.transaction() as session:
            kept = set(session.scalars(select(SandboxMessage.id).where(SandboxMessage.id.in_(message_ids))))
        return {message_id: message_id in kept for message_id in message_ids}

    def check(self) -> None:
        """It is there whenever the database is."""


def _row(parcel: Parcel) -> dict[str, Any]:
    moment = now()
    delay = timedelta(seconds=settings().sandbox_delay)
    return {
        "id": parcel.message_id,
        "channel": int(parcel.channel),
        "address": parcel.address,
        "sender": parcel.sender,
        "subject": parcel.subject,
        "text": parcel.text,
        "html": parcel.html,
        "raw": parcel.raw,
        "create_time": moment,
        "act_time": moment + delay if settings().sandbox_behaviour else None,
    }
