"""Tables: campaigns, the ledger of recipients, and the links that mails may lead to.

The numbers of the enums are those of the contract; what sends itself in a loop over a million rows is not
translated twice. A test holds them equal.
"""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Interval,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables


class CampaignState(IntEnum):
    """Where a campaign stands."""

    DRAFT = 1
    SCHEDULED = 2
    PLANNING = 3
    SENDING = 4
    PAUSED = 5
    FINISHED = 6
    CANCELLED = 7


class RecipientState(IntEnum):
    """Where one recipient stands; outcomes.py says which follows which."""

    PLANNED = 1
    SKIPPED = 2
    SENT = 3
    DELIVERED = 4
    BOUNCED = 5
    FAILED = 6
    UNKNOWN = 7


class SkipReason(IntEnum):
    """Why a recipient was left out; NONE for everybody else."""

    NONE = 0
    NO_ADDRESS = 1
    NO_CONSENT = 2
    CONSENT_WITHDRAWN = 3
    DUPLICATE_ADDRESS = 4
    SUPPRESSED = 5
    FREQUENCY_CAP = 6
    EXPIRED = 7
    CANCELLED = 8
    PERSON_DELETED = 9


class Base(DeclarativeBase):
    """Declarative base of this service."""

    metadata = new_metadata()
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        timedelta: Interval(),
        str: Text(),
        UUID: Uuid(),
    }


class Campaign(Base):
    """A campaign: what was asked for, what was frozen at launch, and how far the plan is."""

    __tablename__ = "campaign"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[int] = mapped_column(SmallInteger, default=CampaignState.DRAFT)
    channel: Mapped[int] = mapped_column(SmallInteger)
    segment_id: Mapped[UUID | None]
    template_id: Mapped[UUID | None]
    template_version: Mapped[int] = mapped_column(Integer, default=0)
    purpose: Mapped[str] = mapped_column(default="marketing")
    sender: Mapped[str] = mapped_column(default="")
    reply_to: Mapped[str] = mapped_column(default="")
    schedule_time: Mapped[datetime | None]
    expire_after: Mapped[timedelta | None]
    track: Mapped[bool] = mapped_column(default=False)
    problem: Mapped[str] = mapped_column(default="")
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    finish_time: Mapped[datetime | None]
    # Counts the changes that a caller can see; the etag. CampaignControlled carries it too.
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    # The first caller's request id (AIP-155).
    request_id: Mapped[UUID | None] = mapped_column(unique=True)

    # Frozen at launch.
    launch_time: Mapped[datetime | None]
    expire_time: Mapped[datetime | None]
    segment_filter: Mapped[str | None]
    merge_fields: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    audience_size: Mapped[int] = mapped_column(BigInteger, default=0)
    # The launching request's trace, in which the plan goes on.
    traceparent: Mapped[str] = mapped_column(default="")

    # The plan: the last person in the ledger, and who works on it until when. Each claim counts the fence up,
    # and a planner that has lost its lease can no longer move the cursor.
    plan_cursor: Mapped[UUID | None]
    plan_fence: Mapped[int] = mapped_column(BigInteger, default=0)
    plan_leased_until: Mapped[datetime | None]
    plan_claimed_at: Mapped[datetime | None]
    plan_finished_at: Mapped[datetime | None]

    __table_args__ = (
        # The jobs ask for the few campaigns that are under way among all that ever were.
        Index("campaign_active_idx", "state", "schedule_time", postgresql_where=text("state IN (2, 3, 4)")),
    )


VACUUM_OFTEN = {
    "autovacuum_vacuum_insert_scale_factor": 0,
    "autovacuum_vacuum_insert_threshold": 50_000,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 50_000,
}


class Recipient(Base):
    """One person in one campaign: the ledger's row."""

    __tablename__ = "recipient"
    # Counting reads an index only where pages are known to be visible to all, so a large ledger is vacuumed by what
    # has changed and not by the share of it.
    __table_args__ = ({"postgresql_with": VACUUM_OFTEN},)

    # No foreign key: each row is written with its campaign's row locked, and looking it up anew costs a tenth.
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    # A broadcast has one step, 0.
    step: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    # Empty where the plan left the person out.
    message_id: Mapped[UUID | None]
    # 16 bytes of SHA-256 over channel and address, where a message goes out: one message for an address.
    address_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[int] = mapped_column(SmallInteger)
    skip_reason: Mapped[int] = mapped_column(SmallInteger, default=SkipReason.NONE)
    detail: Mapped[str] = mapped_column(default="")
    # The entry of the consent ledger that allowed or forbade it.
    consent_id: Mapped[UUID | None]
    # The message's version that the state comes from.
    message_version: Mapped[int] = mapped_column(Integer, default=0)
    state_time: Mapped[datetime]
    sent_time: Mapped[datetime | None]
    open_time: Mapped[datetime | None]
    click_time: Mapped[datetime | None]
    complaint_time: Mapped[datetime | None]
    unsubscribe_time: Mapped[datetime | None]
    reply_time: Mapped[datetime | None]
    machine_open_time: Mapped[datetime | None]
    machine_click_time: Mapped[datetime | None]
    # When the person was deleted; the row stays, so that figures do not change.
    forgotten_time: Mapped[datetime | None]


_ENGAGEMENT_COLUMNS = [
    "open_time",
    "click_time",
    "complaint_time",
    "unsubscribe_time",
    "reply_time",
    "machine_open_time",
]
# People who did something: few, so results read them from an index of their own.
ENGAGED = text(f"coalesce({', '.join(_ENGAGEMENT_COLUMNS)}) IS NOT NULL")

Index(
    "recipient_message_id_key",
    Recipient.message_id,
    unique=True,
    postgresql_where=Recipient.message_id.is_not(None),
)
Index(
    "recipient_address_key",
    Recipient.campaign_id,
    Recipient.step,
    Recipient.address_digest,
    unique=True,
    postgresql_where=Recipient.address_digest.is_not(None),
)
# Counts by state and reason, and lists by state in the order of people.
Index(
    "recipient_state_idx",
    Recipient.campaign_id,
    Recipient.state,
    Recipient.person_id,
    postgresql_include=["skip_reason"],
)
Index("recipient_engaged_idx", Recipient.campaign_id, postgresql_include=_ENGAGEMENT_COLUMNS, postgresql_where=ENGAGED)
# Digests that wait for the end of their campaign's plan to be forgotten.
Index(
    "recipient_forgotten_idx",
    Recipient.campaign_id,
    postgresql_where=text("forgotten_time IS NOT NULL AND address_digest IS NOT NULL"),
)


class TrackedLink(Base):
    """A link of a campaign's template; a click token names it by its number."""

    __tablename__ = "tracked_link"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey(Campaign.id), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    url: Mapped[str]


database = Database("campaigns", Base.metadata)
outbox_tables(Base.metadata)
