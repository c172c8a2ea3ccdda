"""Telling the others that messages moved on: `MessagesChanged`, at most 500 changes an event."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from chassis.moments import timestamp
from chassis.outbox import record_all
from denda.notifications.v1.events_pb2 import MessageChange, MessagesChanged

MOST_CHANGES = 500
# What a statement must return of each changed message, so that `announce` can tell of it.
CHANGED = (
    "id, person_id, campaign_id, channel, state, skip_reason, detail, version, state_time, summary, complaint_time"
)
# Ids come as text, as the event has them.
IDS = frozenset({"id", "person_id", "campaign_id"})


def changed_columns(alias: str) -> str:
    """The columns of CHANGED, each of the table `alias`."""
    return ", ".join(f"{alias}.{name}{'::text' if name in IDS else ''}" for name in CHANGED.split(", "))


def announce(session: Session, rows: Sequence[Row[Any]]) -> None:
    """Record MessagesChanged for these rows of messages."""
    batches = [rows[start : start + MOST_CHANGES] for start in range(0, len(rows), MOST_CHANGES)]
    record_all(session, [(MessagesChanged(changes=[_change(row) for row in batch]), "") for batch in batches])


def _change(row: Row[Any]) -> MessageChange:
    return MessageChange(
        message_id=row.id,
        person_id=row.person_id or "",
        campaign_id=row.campaign_id or "",
        channel=row.channel,
        state=row.state,
        skip_reason=row.skip_reason,
        detail=row.detail,
        version=row.version,
        summary=row.summary,
        complained=row.complaint_time is not None,
        time=timestamp(row.state_time),
    )
