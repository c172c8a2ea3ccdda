"""The tables of notifications.

`message` is the record of every message. `outgoing` is the work: a narrow row for each message that is still
to be sent or is in a sender's hands, gone when the outcome is recorded. So claims stay fast however many
messages there are, and a message's own row is written twice in the common case.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables

TIME = DateTime(timezone=True)


class Base(DeclarativeBase):
    """The tables of this service."""

    metadata = new_metadata()
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy's own way to declare it
        datetime: TIME,
        str: Text,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[str]: JSONB,
    }


class Template(Base):
    """A template; its content is in versions that never change."""

    __tablename__ = "template"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    channel: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[int]
    request_id: Mapped[str | None] = mapped_column(unique=True)
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]


class TemplateVersion(Base):
    """What all the languages of a version share; `optional` and `required` are its merge fields."""

    __tablename__ = "template_version"

    template_id: Mapped[UUID] = mapped_column(ForeignKey("template.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    required: Mapped[list[str]]
    optional: Mapped[list[str]]
    links: Mapped[list[str]]
    create_time: Mapped[datetime]


class TemplateVariant(Base):
    """A version's content in one language: as written, and compiled to what is rendered."""

    __tablename__ = "template_variant"
    __table_args__ = (
        ForeignKeyConstraint(
            ["template_id", "version"],
            ["template_version.template_id", "template_version.version"],
            ondelete="CASCADE",
        ),
    )

    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    language: Mapped[str]
    subject: Mapped[str]
    mjml: Mapped[str]
    html: Mapped[str]
    text: Mapped[str]
    compiled_html: Mapped[str]
    compiled_text: Mapped[str]


class Mailing(Base):
    """What many messages share; its id is made of all the other columns but the trace that it belongs to."""

    __tablename__ = "mailing"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID | None]
    campaign_name: Mapped[str]
    channel: Mapped[int] = mapped_column(SmallInteger)
    purpose: Mapped[str]
    # Not there for messages that were written by hand.
    template_id: Mapped[UUID | None]
    template_version: Mapped[int]
    sender: Mapped[str]
    reply_to: Mapped[str]
    track: Mapped[bool] = mapped_column(Boolean)
    quiet_from: Mapped[str]
    quiet_until: Mapped[str]
    default_time_zone: Mapped[str]
    traceparent: Mapped[str]


class CampaignControl(Base):
    """Whether a campaign's messages may go out; a campaign without a row runs."""

    __tablename__ = "campaign_control"

    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    command: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class Message(Base):
    """A message to one person. SENDING is not stored here: it is a claimed row of `outgoing`."""

    __tablename__ = "message"
    __table_args__ = (
        Index("message_person_id_idx", "person_id", "create_time", "id"),
        Index("message_campaign_id_idx", "campaign_id", "create_time", "id"),
        Index("message_create_time_idx", "create_time", "id"),
        Index(
            "message_message_id_header_idx", "message_id_header", postgresql_where=text("message_id_header IS NOT NULL")
        ),
        # Room on each page for the outcome, so that no index is touched when it is recorded.
        {"postgresql_with": {"fillfactor": "65"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID | None]
    campaign_id: Mapped[UUID | None]
    mailing_id: Mapped[UUID]
    channel: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[int] = mapped_column(SmallInteger)
    skip_reason: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    version: Mapped[int] = mapped_column(server_default="1")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    address: Mapped[str]
    language: Mapped[str]
    time_zone: Mapped[str]
    merge_fields: Mapped[dict[str, Any]]
    detail: Mapped[str] = mapped_column(server_default="")
    summary: Mapped[str] = mapped_column(server_default="")
    provider: Mapped[str] = mapped_column(server_default="")
    provider_reference: Mapped[str] = mapped_column(server_default="")
    schedule_time: Mapped[datetime]
    expire_time: Mapped[datetime]
    create_time: Mapped[datetime]
    state_time: Mapped[datetime]
    sent_time: Mapped[datetime | None]
    complaint_time: Mapped[datetime | None]
    # What was written by hand, and the Message-ID that its writer chose. Lists have no use for so much text.
    content: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    message_id_header: Mapped[str | None]


class Outgoing(Base):
    """A message on its way out. `claim` names the sender's group, which the provider may have."""

    __tablename__ = "outgoing"
    __table_args__ = (
        Index(
            "outgoing_bulk_idx",
            "channel",
            "mailing_id",
            "due_time",
            postgresql_where=text("claim IS NULL AND NOT transactional"),
        ),
        Index(
            "outgoing_transactional_idx",
            "channel",
            "due_time",
            postgresql_where=text("claim IS NULL AND transactional"),
        ),
        Index("outgoing_claim_idx", "claim", postgresql_where=text("claim IS NOT NULL")),
        Index("outgoing_expire_time_idx", "expire_time", postgresql_where=text("claim IS NULL")),
        {"postgresql_with": {"fillfactor": "60"}},
    )

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    mailing_id: Mapped[UUID]
    channel: Mapped[int] = mapped_column(SmallInteger)
    transactional: Mapped[bool]
    due_time: Mapped[datetime]
    expire_time: Mapped[datetime]
    claim: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    provider: Mapped[str] = mapped_column(server_default="")


class UnknownOutcome(Base):
    """A message of which nobody can say whether the provider took it, until somebody can."""

    __tablename__ = "unknown_outcome"

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str]
    transactional: Mapped[bool]
    expire_time: Mapped[datetime]
    next_check: Mapped[datetime]


class MessageEvent(Base):
    """What happened to a message beside its acceptance and its handing over, which its own row tells."""

    __tablename__ = "message_event"
    __table_args__ = (Index("message_event_message_id_idx", "message_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    message_id: Mapped[UUID]
    kind: Mapped[str]
    detail: Mapped[str]
    time: Mapped[datetime]


class Suppression(Base):
    """An address that is not written to; `address` is in the form in which addresses are compared."""

    __tablename__ = "suppression"
    __table_args__ = (Index("suppression_create_time_idx", "create_time", "channel", "address"),)

    channel: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[int] = mapped_column(SmallInteger)
    detail: Mapped[str]
    create_time: Mapped[datetime]


class Policy(Base):
    """How often and when campaigns may write on a channel."""

    __tablename__ = "policy"

    channel: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    frequency_cap: Mapped[int]
    cap_days: Mapped[int]
    quiet_from: Mapped[str]
    quiet_until: Mapped[str]
    default_time_zone: Mapped[str]


class Withdrawal(Base):
    """The newest word of a person's consent for a purpose, as told by contacts; only changes are told."""

    __tablename__ = "withdrawal"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    withdrawn: Mapped[bool]
    time: Mapped[datetime]


class DeletedPerson(Base):
    """A person who was deleted; plans that were under way may still name them."""

    __tablename__ = "deleted_person"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    time: Mapped[datetime]


class Receipt(Base):
    """A provider's word on a message. It waits here until the message is known and is then applied once."""

    __tablename__ = "receipt"
    __table_args__ = (
        Index("receipt_waiting_idx", "receive_time", postgresql_where=text("NOT applied")),
        Index("receipt_receive_time_idx", "receive_time"),
    )

    # The provider's id of the receipt, so that a repeated one has no effect.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID]
    kind: Mapped[str]
    detail: Mapped[str]
    time: Mapped[datetime]
    receive_time: Mapped[datetime]
    applied: Mapped[bool]


class InboundMessage(Base):
    """What somebody answered, or wrote on their own."""

    __tablename__ = "inbound_message"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(SmallInteger)
    from_address: Mapped[str]
    to_address: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    in_reply_to_message_id: Mapped[UUID | None]
    person_id: Mapped[UUID | None] = mapped_column(index=True)
    time: Mapped[datetime]


class SandboxMessage(Base):
    """A message as the sandbox took it, and what its customer does next."""

    __tablename__ = "sandbox_message"
    __table_args__ = (
        Index("sandbox_message_create_time_idx", "create_time", "id"),
        Index("sandbox_message_address_idx", "address", "create_time", "id"),
        Index("sandbox_message_act_time_idx", "act_time", postgresql_where=text("act_time IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(SmallInteger)
    address: Mapped[str]
    sender: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str]
    raw: Mapped[bytes]
    create_time: Mapped[datetime]
    acts_done: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    act_time: Mapped[datetime | None]


outbox_tables(Base.metadata)
database = Database("notifications", Base.metadata)
