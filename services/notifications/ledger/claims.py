"""Claims: a sender takes a group of due messages for itself, and what must not be sent any more is left out here.

A group is what a provider takes at once: who vanishes with a claim leaves its messages UNKNOWN. Campaigns take turns,
so a large one does not starve a small one. Paused and cancelled campaigns are passed over; withdrawn consent,
suppression and deletion are looked at again, since they may have come after acceptance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.ids import new_id
from services.notifications.arrays import plain_array
from services.notifications.models import database
from services.notifications.providers import Provider
from services.notifications.states import Channel, Command

# A sender that is alive renews it long before; see `renew`.
LEASE = timedelta(seconds=45)
RENEWAL = timedelta(seconds=10)


@dataclass(frozen=True)
class Claim:
    """A group in a sender's hands until `lease_until`, unless renewed; the rows carry all that a message needs."""

    id: UUID
    lease_until: datetime
    rows: Sequence[Row[Any]]


# A loose index scan: one probe for each campaign that has something waiting, however much it is.
_WAITING = """
    WITH RECURSIVE waiting (mailing_id) AS (
        (SELECT mailing_id FROM outgoing WHERE channel = {channel} AND claim IS NULL AND NOT transactional
         ORDER BY mailing_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.mailing_id FROM outgoing o WHERE o.channel = {channel} AND o.claim IS NULL
                AND NOT o.transactional AND o.mailing_id > waiting.mailing_id ORDER BY o.mailing_id LIMIT 1)
        FROM waiting WHERE waiting.mailing_id IS NOT NULL
    )
    SELECT mailing.id FROM waiting JOIN mailing ON mailing.id = waiting.mailing_id
    LEFT JOIN campaign_control control ON control.campaign_id = mailing.campaign_id"""
RUNNABLE = f"""{_WAITING.format(channel="$1::smallint")}
    WHERE coalesce(control.command, {Command.RUN:d}) = {Command.RUN:d}
    AND (SELECT o.due_time FROM outgoing o WHERE o.channel = $1::smallint AND o.claim IS NULL AND NOT o.transactional
         AND o.mailing_id = mailing.id ORDER BY o.due_time LIMIT 1) <= $2::timestamptz
    ORDER BY mailing.id"""  # noqa: S608  only constants are filled in
DROPPED = text(f"{_WAITING.format(channel=':channel')} WHERE control.command = {Command.DROP:d} LIMIT 1")

# Whoever claims must not use what another sender holds, and must see pauses that came a moment ago.
CLAIM_BULK = f"""
    SELECT o.message_id FROM outgoing o
    WHERE o.channel = :channel AND o.mailing_id = :mailing_id AND o.claim IS NULL AND NOT o.transactional
    AND o.due_time <= :now
    AND NOT EXISTS (SELECT FROM mailing m JOIN campaign_control c ON c.campaign_id = m.campaign_id
                    WHERE m.id = :mailing_id AND c.command <> {Command.RUN:d})
    ORDER BY o.due_time LIMIT :most FOR UPDATE OF o SKIP LOCKED"""  # noqa: S608  as above
CLAIM_TRANSACTIONAL = """
    SELECT o.message_id FROM outgoing o
    WHERE o.channel = :channel AND o.claim IS NULL AND o.transactional AND o.due_time <= :now
    ORDER BY o.due_time LIMIT :most FOR UPDATE OF o SKIP LOCKED"""


def _claiming(picked: str) -> Any:
    return text(f"""
    WITH picked AS MATERIALIZED ({picked}), claimed AS (
        UPDATE outgoing o SET claim = :claim, lease_until = :lease_until, provider = :provider
        FROM picked WHERE o.message_id = picked.message_id RETURNING o.message_id
    )
    SELECT m.id, m.person_id, m.mailing_id, m.address, m.language, m.time_zone, m.merge_fields,
        m.expire_time, m.attempts, m.channel, m.content, m.message_id_header,
        mailing.quiet_from, mailing.quiet_until, mailing.default_time_zone, mailing.traceparent,
        d.person_id IS NOT NULL AS deleted,
        s.address IS NOT NULL AS suppressed,
        w.person_id IS NOT NULL AS withdrawn
    FROM claimed JOIN message m ON m.id = claimed.message_id JOIN mailing ON mailing.id = m.mailing_id
    LEFT JOIN deleted_person d ON d.person_id = m.person_id
    LEFT JOIN suppression s ON s.channel = m.channel AND s.address = lower(m.address)
    LEFT JOIN withdrawal w ON w.person_id = m.person_id AND w.channel = m.channel AND w.purpose = mailing.purpose
        AND w.withdrawn""")  # noqa: S608  as above


BULK = _claiming(CLAIM_BULK)
TRANSACTIONAL = _claiming(CLAIM_TRANSACTIONAL)

_RENEW = text("""
    UPDATE outgoing SET lease_until = :lease_until WHERE claim = ANY(CAST(:claims AS uuid[]))""")


def next_turn(channel: Channel, last: UUID | None) -> UUID | None:
    """The mailing whose turn comes after the `last` one; None when no campaign has anything to send now."""
    runnable = [row[0] for row in database.lookup(RUNNABLE, str(int(channel)), now().isoformat())]
    return next((mailing for mailing in runnable if last is None or mailing > last), runnable[0] if runnable else None)


def claim_bulk(session: Session, channel: Channel, provider: Provider, mailing_id: UUID) -> Claim:
    """Claim messages of a campaign that are due; none of one that was paused a moment ago."""
    return _claim(session, BULK, channel, provider, mailing_id=mailing_id)


def claim_transactional(session: Session, channel: Channel, provider: Provider) -> Claim:
    """Claim the transactional messages that are due the longest."""
    return _claim(session, TRANSACTIONAL, channel, provider)


def renew(session: Session, claims: Sequence[UUID]) -> None:
    """Prolong the leases of groups whose senders are still at work, however slow a provider is."""
    session.execute(_RENEW, {"claims": plain_array(claims), "lease_until": now() + LEASE})


def _claim(session: Session, statement: Any, channel: Channel, provider: Provider, **more: Any) -> Claim:
    claim = new_id()
    moment: datetime = now()
    rows = session.execute(
        statement,
        {
            "channel": int(channel),
            "provider": provider.name,
            "claim": claim,
            "now": moment,
            "lease_until": moment + LEASE,
            "most": provider.group,
            **more,
        },
    ).all()
    return Claim(claim, moment + LEASE, rows)
