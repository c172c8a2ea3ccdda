"""Acceptance: what campaigns plan and what programs send becomes messages, once each.

Everything that can be decided without a provider is decided here, for up to 500 recipients in one statement:
suppression, withdrawn consent, the frequency cap, deleted people, cancelled campaigns. Who is left out gets a
reason; for all others a row of `outgoing` says from when on a sender may take it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.telemetry import traceparent
from services.notifications.addresses import comparable
from services.notifications.arrays import plain_array, text_array
from services.notifications.changes import announce, changed_columns
from services.notifications.models import Mailing
from services.notifications.policies import policy_of
from services.notifications.quiet import QuietHours, next_allowed, zone
from services.notifications.states import WORDS, Channel, Command, Skip, State

NAMESPACE = UUID("6a1f7c52-58a5-4a0c-9a6e-7d2a4f0c9be1")


@dataclass(frozen=True)
class Brief:
    """What many messages share."""

    campaign_id: UUID | None
    campaign_name: str
    channel: Channel
    purpose: str
    # None where the messages were written by hand.
    template_id: UUID | None
    template_version: int
    sender: str
    reply_to: str
    track: bool


class Recipient(NamedTuple):
    """One message to be; ids may be as events write them, `merge_fields` is JSON."""

    message_id: UUID | str
    person_id: UUID | str | None
    address: str
    language: str
    time_zone: str
    merge_fields: str


_ACCEPT = text(f"""
    WITH planned AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:people AS uuid[]), CAST(:addresses AS text[]), CAST(:keys AS text[]),
            CAST(:languages AS text[]), CAST(:zones AS text[]), CAST(:fields AS jsonb[]), CAST(:times AS timestamptz[])
        ) AS row (id, person_id, address, key, language, time_zone, merge_fields, due_time)
    ), decided AS (
        SELECT planned.*, CASE
            WHEN CAST(:transactional AS boolean) THEN 0
            WHEN CAST(:command AS int) = {Command.DROP:d} THEN {Skip.CANCELLED:d}
            WHEN EXISTS (SELECT FROM deleted_person d WHERE d.person_id = planned.person_id)
                THEN {Skip.PERSON_DELETED:d}
            WHEN EXISTS (SELECT FROM suppression s WHERE s.channel = :channel AND s.address = planned.key)
                THEN {Skip.SUPPRESSED:d}
            WHEN EXISTS (SELECT FROM withdrawal w WHERE w.person_id = planned.person_id AND w.channel = :channel
                AND w.purpose = :purpose AND w.withdrawn) THEN {Skip.CONSENT_WITHDRAWN:d}
            WHEN due_time >= :expire_time THEN {Skip.EXPIRED:d}
            WHEN CAST(:cap AS int) > 0 AND (
                SELECT count(*) FROM message m WHERE m.person_id = planned.person_id AND m.channel = :channel
                AND m.create_time > :cap_since AND m.campaign_id IS NOT NULL
                AND m.state NOT IN ({State.SKIPPED:d}, {State.FAILED:d})) >= :cap THEN {Skip.FREQUENCY_CAP:d}
            ELSE 0 END AS skip_reason
        FROM planned
    ), accepted AS (
        INSERT INTO message AS m (id, person_id, campaign_id, mailing_id, channel, state, skip_reason, detail, address,
            language, time_zone, merge_fields, schedule_time, expire_time, create_time, state_time)
        SELECT id, person_id, :campaign_id, :mailing_id, :channel,
            CASE skip_reason WHEN 0 THEN {State.SCHEDULED:d} ELSE {State.SKIPPED:d} END, skip_reason,
            coalesce((CAST(:words AS text[]))[skip_reason], ''), address, language, time_zone, merge_fields,
            due_time, :expire_time, :now, :now
        FROM decided ON CONFLICT (id) DO NOTHING RETURNING {changed_columns("m")}, schedule_time
    ), queued AS (
        INSERT INTO outgoing (message_id, mailing_id, channel, transactional, due_time, expire_time)
        SELECT CAST(id AS uuid), :mailing_id, :channel, :transactional, schedule_time, :expire_time
        FROM accepted WHERE state = {State.SCHEDULED:d}
    )
    SELECT * FROM accepted""")  # noqa: S608  only constants are filled in


def accept(
    session: Session, brief: Brief, recipients: Sequence[Recipient], not_before: datetime, expire_time: datetime
) -> int:
    """Make messages of these recipients; answers how many are new. Records MessagesChanged for those left out.

    A message that is known already stays as it is, so an event may come as often as it likes.
    """
    mailing = _mailing(session, brief)
    hours = QuietHours(mailing.quiet_from, mailing.quiet_until)
    begin = max(now(), not_before)
    zones = {recipient.time_zone for recipient in recipients}
    due = {name: str(next_allowed(begin, zone(name, mailing.default_time_zone), hours)) for name in zones}
    rows = session.execute(
        _ACCEPT,
        {
            "ids": plain_array(recipient.message_id for recipient in recipients),
            "people": plain_array(recipient.person_id for recipient in recipients),
            "addresses": text_array(recipient.address for recipient in recipients),
            "keys": text_array(comparable(brief.channel, recipient.address) for recipient in recipients),
            "languages": text_array(recipient.language for recipient in recipients),
            "zones": text_array(recipient.time_zone for recipient in recipients),
            "fields": text_array(recipient.merge_fields for recipient in recipients),
            "times": plain_array(due[recipient.time_zone] for recipient in recipients),
            "transactional": brief.campaign_id is None,
            "mailing_id": mailing.id,
            "expire_time": expire_time,
            "now": now(),
            "words": text_array(WORDS[skip] for skip in Skip if skip),
            **_rules(session, brief),
        },
    ).all()
    announce(session, [row for row in rows if row.state == State.SKIPPED])
    return len(rows)


def message_id_of(request_id: str) -> UUID:
    """The message that a request makes, the same however often the request is repeated."""
    return uuid5(NAMESPACE, f"request:{request_id}")


def _rules(session: Session, brief: Brief) -> dict[str, Any]:
    """What decides about campaign messages: the policy's cap and whether the campaign was cancelled."""
    policy = policy_of(session, brief.channel)
    if policy.frequency_cap and brief.campaign_id:
        # Two batches that are accepted at once would each not see what the other accepts for the same person.
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x6361700 + brief.channel})
    query = text("SELECT command FROM campaign_control WHERE campaign_id = :id")
    command = session.scalar(query, {"id": brief.campaign_id}) if brief.campaign_id else None
    return {
        "command": command or int(Command.RUN),
        "channel": int(brief.channel),
        "purpose": brief.purpose,
        "campaign_id": brief.campaign_id,
        "cap": policy.frequency_cap,
        "cap_since": now() - timedelta(days=policy.cap_days),
    }


def _mailing(session: Session, brief: Brief) -> Mailing:
    """The row of what these messages share, made when it is not there. Quiet hours are those of the policy now."""
    values: dict[str, Any] = asdict(brief) | {"quiet_from": "", "quiet_until": "", "default_time_zone": ""}
    if brief.campaign_id:
        policy = policy_of(session, brief.channel)
        for name in ("quiet_from", "quiet_until", "default_time_zone"):
            values[name] = getattr(policy, name)
    values["channel"] = int(brief.channel)
    mailing_id = uuid5(NAMESPACE, json.dumps(values, default=str, sort_keys=True))
    found = session.get(Mailing, mailing_id)
    if found is None:
        session.execute(
            insert(Mailing).values(id=mailing_id, traceparent=traceparent(), **values).on_conflict_do_nothing()
        )
        found = session.scalars(select(Mailing).where(Mailing.id == mailing_id)).one()
    return found
