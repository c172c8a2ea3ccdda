"""Suppressed addresses: not written to, whatever a campaign says. Hard bounces, complaints and STOP put them here."""

from collections.abc import Sequence
from enum import IntEnum
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.notifications.addresses import comparable
from services.notifications.arrays import plain_array
from services.notifications.models import Suppression
from services.notifications.states import Channel


class Reason(IntEnum):
    """How an address came to be here."""

    HARD_BOUNCE = 1
    COMPLAINT = 2
    MANUAL = 3
    OPT_OUT = 4


_SUPPRESS_RECIPIENTS = text("""
    INSERT INTO suppression (channel, address, reason, detail, create_time)
    SELECT DISTINCT ON (channel, lower(address)) channel, lower(address), :reason, detail, :now
    FROM message WHERE id = ANY(CAST(:ids AS uuid[])) AND address <> ''
    ON CONFLICT DO NOTHING""")


def suppress_address(session: Session, channel: Channel, address: str, reason: Reason, detail: str = "") -> Suppression:
    """Put an address on the list; one that is there already stays as it was put."""
    key = comparable(channel, address)
    values = {"channel": int(channel), "address": key, "reason": int(reason), "detail": detail, "create_time": now()}
    session.execute(insert(Suppression).values(values).on_conflict_do_nothing())
    return session.get_one(Suppression, (int(channel), key))


def suppress_recipients(session: Session, message_ids: Sequence[UUID], reason: Reason) -> None:
    """Put the addresses of these messages on the list."""
    session.execute(_SUPPRESS_RECIPIENTS, {"ids": plain_array(message_ids), "reason": int(reason), "now": now()})


def remove_suppression(session: Session, channel: Channel, address: str, only: Reason | None = None) -> None:
    """Take an address off the list; with `only`, when it is there for that reason."""
    gone = delete(Suppression).where(
        Suppression.channel == int(channel), Suppression.address == comparable(channel, address)
    )
    session.execute(gone.where(Suppression.reason == int(only)) if only else gone)


def is_suppressed(session: Session, channel: Channel, address: str) -> bool:
    """Whether an address is on the list."""
    return session.get(Suppression, (int(channel), comparable(channel, address))) is not None
