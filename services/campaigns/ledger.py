"""The ledger: a batch of the audience becomes rows and events, in the transaction that moves the plan's cursor.

The database decides who is in: a row is inserted unless the person, the message or the address is there already,
and only what was inserted gets a message. A second person with the same address is skipped as DUPLICATE_ADDRESS.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

from sqlalchemy import Select, select, text, update
from sqlalchemy.orm import Session

from chassis.outbox import record_all
from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from denda.contacts.v1.audience_service_pb2 import (
    INELIGIBILITY_CONSENT_WITHDRAWN,
    INELIGIBILITY_NO_ADDRESS,
    INELIGIBILITY_NO_CONSENT,
    INELIGIBILITY_UNSPECIFIED,
    Candidate,
)
from services.campaigns.models import Campaign, Recipient, RecipientState, SkipReason
from services.campaigns.values import channel_value, timestamp

# A broadcast has one step.
STEP = 0
EVENT_SIZE = 500
DIGEST_BYTES = 16
REASONS = {
    INELIGIBILITY_NO_ADDRESS: SkipReason.NO_ADDRESS,
    INELIGIBILITY_NO_CONSENT: SkipReason.NO_CONSENT,
    INELIGIBILITY_CONSENT_WITHDRAWN: SkipReason.CONSENT_WITHDRAWN,
}

# Person, message, digest of the address, entry of the consent ledger, reason.
Row = tuple[str, UUID | None, bytes | None, str | None, SkipReason]

_INSERT = text("""
    INSERT INTO recipient (campaign_id, step, person_id, message_id, address_digest, consent_id,
                           state, skip_reason, detail, message_version, state_time)
    SELECT :campaign_id, :step, row.person_id, row.message_id, row.address_digest, row.consent_id,
           CASE WHEN row.message_id IS NULL THEN :skipped ELSE :planned END, row.skip_reason, :detail, 0, :moment
    FROM unnest(CAST(:person_ids AS uuid[]), CAST(:message_ids AS uuid[]), CAST(:digests AS bytea[]),
                CAST(:consent_ids AS uuid[]), CAST(:reasons AS smallint[])) WITH ORDINALITY
         AS row (person_id, message_id, address_digest, consent_id, skip_reason, position)
    ORDER BY row.position
    ON CONFLICT DO NOTHING
    RETURNING person_id""")


def message_id_for(campaign_id: UUID, person_id: str) -> UUID:
    """The id of the one message that a person can get from a campaign, the same however often it is planned."""
    return uuid5(campaign_id, f"{STEP}:{person_id}")


def recipients_of(campaign_id: UUID, state: int | None) -> Select[Recipient]:
    """The rows of a campaign, all or those in one state."""
    rows = select(Recipient).where(Recipient.campaign_id == campaign_id, Recipient.step == STEP)
    return rows if state is None else rows.where(Recipient.state == state)


def write_batch(session: Session, campaign: Campaign, candidates: Sequence[Candidate], moment: datetime) -> None:
    """Write candidates into the ledger, and one RecipientsPlanned for each 500 of those who get a message."""
    written = _insert(session, campaign, [_row(campaign, candidate) for candidate in candidates], moment)
    eligible = [one for one in candidates if one.ineligibility == INELIGIBILITY_UNSPECIFIED]
    planned = [one for one in eligible if UUID(one.person_id) in written]
    if len(planned) < len(eligible):
        # Who is in the ledger already stays as he is there; the others share an address with somebody who is.
        left = [_duplicate(one) for one in eligible if UUID(one.person_id) not in written]
        _insert(session, campaign, left, moment, "Somebody else in the campaign has the same address.")
    record_all(session, ((event, str(campaign.id)) for event in planned_events(campaign, planned)))


def planned_events(campaign: Campaign, planned: Sequence[Candidate]) -> Iterator[RecipientsPlanned]:
    """The events that hand recipients over to notifications, with all that their messages need."""
    for start in range(0, len(planned), EVENT_SIZE):
        event = _envelope(campaign)
        for candidate in planned[start : start + EVENT_SIZE]:
            recipient = event.recipients.add(
                message_id=str(message_id_for(campaign.id, candidate.person_id)),
                person_id=candidate.person_id,
                address=candidate.address,
                language=candidate.language,
                time_zone=candidate.time_zone,
            )
            recipient.merge_fields.CopyFrom(candidate.merge_fields)
        yield event


def address_digest(channel: int, address: str) -> bytes:
    """What an address is recognised by within a campaign, without keeping the address."""
    return sha256(f"{channel}:{address.lower()}".encode()).digest()[:DIGEST_BYTES]


def forget_digests(session: Session, campaign_id: UUID) -> None:
    """Forget the addresses of people who were deleted while they were still needed to tell duplicates."""
    forgotten = Recipient.forgotten_time.is_not(None), Recipient.address_digest.is_not(None)
    session.execute(
        update(Recipient).where(Recipient.campaign_id == campaign_id, *forgotten).values(address_digest=None)
    )


def _row(campaign: Campaign, candidate: Candidate) -> Row:
    consent_id = candidate.consent_id or None
    if candidate.ineligibility != INELIGIBILITY_UNSPECIFIED:
        reason = REASONS.get(candidate.ineligibility, SkipReason.NONE)
        return candidate.person_id, None, None, consent_id, reason
    message_id = message_id_for(campaign.id, candidate.person_id)
    digest = address_digest(campaign.channel, candidate.address)
    return candidate.person_id, message_id, digest, consent_id, SkipReason.NONE


def _duplicate(candidate: Candidate) -> Row:
    return candidate.person_id, None, None, candidate.consent_id or None, SkipReason.DUPLICATE_ADDRESS


def _insert(session: Session, campaign: Campaign, rows: Sequence[Row], moment: datetime, detail: str = "") -> set[UUID]:
    """Insert rows; answers who is new in the ledger."""
    columns = zip(*rows, strict=True)
    names = ("person_ids", "message_ids", "digests", "consent_ids", "reasons")
    values: dict[str, object] = {name: list(column) for name, column in zip(names, columns, strict=True)}
    values |= {
        "campaign_id": campaign.id,
        "step": STEP,
        "planned": RecipientState.PLANNED,
        "skipped": RecipientState.SKIPPED,
        "detail": detail,
        "moment": moment,
    }
    return set(session.scalars(_INSERT, values))


def _envelope(campaign: Campaign) -> RecipientsPlanned:
    """An event without recipients: what all messages of the campaign have in common."""
    if campaign.template_id is None or campaign.launch_time is None or campaign.expire_time is None:
        raise AssertionError("a campaign that is planned was launched")
    return RecipientsPlanned(
        campaign_id=str(campaign.id),
        campaign_name=campaign.name,
        channel=channel_value(campaign.channel),
        purpose=campaign.purpose,
        template_id=str(campaign.template_id),
        template_version=campaign.template_version,
        sender=campaign.sender,
        reply_to=campaign.reply_to,
        track=campaign.track,
        schedule_time=timestamp(campaign.launch_time),
        expire_time=timestamp(campaign.expire_time),
    )
