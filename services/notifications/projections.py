"""What notifications remembers of the others' events: withdrawn consent, paused campaigns, deleted people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.notifications.arrays import plain_array
from services.notifications.ledger.record import Result, record
from services.notifications.models import (
    CampaignControl,
    DeletedPerson,
    InboundMessage,
    Outgoing,
    SandboxMessage,
    Withdrawal,
)
from services.notifications.models import Message as MessageRow
from services.notifications.states import WORDS, Channel, Command, Skip, State


@dataclass(frozen=True)
class Consent:
    """A change of a person's consent for a purpose on a channel."""

    person_id: UUID
    channel: Channel
    purpose: str
    withdrawn: bool
    time: datetime


# What providers answered often quotes the address.
_FORGET = text("""
    UPDATE message SET address = '', merge_fields = '{}', content = NULL, summary = '', time_zone = '',
        detail = CASE WHEN address = '' THEN detail ELSE replace(detail, address, '…') END
    WHERE person_id = ANY(CAST(:people AS uuid[]))""")


def remember_consents(session: Session, consents: Sequence[Consent]) -> None:
    """Keep the newest word of each; claims look at it, so it stops what no sender has claimed yet."""
    newest: dict[tuple[UUID, int, str], Consent] = {}
    for consent in sorted(consents, key=lambda each: each.time):
        newest[consent.person_id, int(consent.channel), consent.purpose] = consent
    if not newest:
        return
    rows = [
        {"person_id": person, "channel": channel, "purpose": purpose, "withdrawn": each.withdrawn, "time": each.time}
        for (person, channel, purpose), each in sorted(newest.items())
    ]
    upsert = insert(Withdrawal).values(rows)
    session.execute(
        upsert.on_conflict_do_update(
            index_elements=["person_id", "channel", "purpose"],
            set_={"withdrawn": upsert.excluded.withdrawn, "time": upsert.excluded.time},
            where=upsert.excluded.time >= Withdrawal.time,
        )
    )


def control_campaign(session: Session, campaign_id: UUID, command: Command, version: int) -> None:
    """Keep the newest command of a campaign; a cancelled one stays cancelled."""
    upsert = insert(CampaignControl).values(campaign_id=campaign_id, command=int(command), version=version)
    session.execute(
        upsert.on_conflict_do_update(
            index_elements=["campaign_id"],
            set_={"command": upsert.excluded.command, "version": upsert.excluded.version},
            where=(upsert.excluded.version > CampaignControl.version) & (CampaignControl.command != int(Command.DROP)),
        )
    )


def forget_people(session: Session, people: Sequence[UUID]) -> None:
    """Stop what is planned for people who were deleted, and forget where and what was written to them.

    Suppressed addresses stay: they belong to no person, and forgetting them would let us write there again.
    """
    values = [{"person_id": person, "time": now()} for person in sorted(set(people))]
    session.execute(insert(DeletedPerson).values(values).on_conflict_do_nothing())
    planned = session.scalars(
        select(Outgoing.message_id)
        .join(MessageRow, MessageRow.id == Outgoing.message_id)
        .where(MessageRow.person_id.in_(people), Outgoing.claim.is_(None))
        .with_for_update(of=Outgoing)
    ).all()
    reason = Skip.PERSON_DELETED
    record(session, "", [Result(message_id, State.SKIPPED, WORDS[reason], reason) for message_id in planned])
    theirs = select(MessageRow.id).where(MessageRow.person_id.in_(people))
    session.execute(delete(SandboxMessage).where(SandboxMessage.id.in_(theirs)))
    session.execute(delete(InboundMessage).where(InboundMessage.person_id.in_(people)))
    session.execute(_FORGET, {"people": plain_array(people)})
