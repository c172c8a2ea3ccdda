"""Tables of support.

Everything about a ticket hangs on the ticket's row. Whoever changes what hangs on a ticket locks that row first, so
that two changes of the same ticket come one after the other.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables
from chassis.requests import request_table


class Base(DeclarativeBase):
    """The metadata of this service's tables."""

    metadata = new_metadata()
    type_annotation_map: ClassVar = {
        str: Text,
        UUID: Uuid,
        datetime: DateTime(timezone=True),
        bytes: LargeBinary,
        list[str]: ARRAY(Text),
        list[UUID]: ARRAY(Uuid),
        dict[str, Any]: JSONB,
    }


class Queue(Base):
    """Where tickets wait; the default one takes what the addresses of no other match."""

    __tablename__ = "queue"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(server_default="1")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())
    addresses: Mapped[list["QueueAddress"]] = relationship(
        cascade="all, delete-orphan", lazy="selectin", order_by="QueueAddress.position"
    )


Index("queue_default_idx", Queue.is_default, unique=True, postgresql_where=text("is_default"))


class QueueAddress(Base):
    """An address of the company, in lower case, and the queue of its mail."""

    __tablename__ = "queue_address"

    address: Mapped[str] = mapped_column(primary_key=True)
    queue_id: Mapped[UUID] = mapped_column(ForeignKey("queue.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(SmallInteger)


class Ticket(Base):
    """Something that a customer wants; `version` is the etag."""

    __tablename__ = "ticket"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    subject: Mapped[str] = mapped_column(server_default="")
    # The subject in small letters, without "Re:" and the like and without our number: what a suggestion goes by.
    subject_key: Mapped[str] = mapped_column(server_default="")
    state: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="2")
    source: Mapped[int] = mapped_column(SmallInteger)
    queue_id: Mapped[UUID] = mapped_column(ForeignKey("queue.id"))
    # A user of identity; empty while nobody has it.
    assignee_id: Mapped[str] = mapped_column(server_default="")
    tags: Mapped[list[str]] = mapped_column(server_default="{}")
    # NULL until contacts has told who it is.
    requester_id: Mapped[UUID | None]
    requester_address: Mapped[str] = mapped_column(server_default="")
    requester_name: Mapped[str] = mapped_column(server_default="")
    campaign_id: Mapped[UUID | None]
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("ticket.id"), index=True)
    suggested_ticket_id: Mapped[UUID | None]
    message_count: Mapped[int] = mapped_column(server_default="0")
    # There is or was a participant; lists do not look for those of the others.
    accompanied: Mapped[bool] = mapped_column(server_default=text("false"))
    last_message_time: Mapped[datetime] = mapped_column(server_default=func.now())
    customer_spoke_last: Mapped[bool] = mapped_column(server_default=text("true"))
    first_answer_time: Mapped[datetime | None]
    solve_time: Mapped[datetime | None]
    close_time: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="0")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())
    words: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('simple', subject)", persisted=True), deferred=True
    )
    participants: Mapped[list["Participant"]] = relationship(
        cascade="all, delete-orphan", lazy="selectin", order_by="Participant.address"
    )


@event.listens_for(Ticket.participants, "append")
def _accompany(ticket: Ticket, *_: object) -> None:
    ticket.accompanied = True


# The most urgent first and, among these, the one that waits longest: all counted upwards, as a page needs it.
URGENCY = literal_column("(4 - priority)", SmallInteger)

# A list is a queue or an assignee, states, and the newest first; each of these serves it at any depth.
Index("ticket_recent_idx", Ticket.last_message_time, Ticket.id)
Index("ticket_queue_idx", Ticket.queue_id, Ticket.state, Ticket.assignee_id, Ticket.last_message_time, Ticket.id)
Index("ticket_assignee_idx", Ticket.assignee_id, Ticket.state, Ticket.last_message_time, Ticket.id)
Index("ticket_requester_idx", Ticket.requester_id, Ticket.last_message_time, Ticket.id)
Index("ticket_address_idx", Ticket.requester_address, Ticket.last_message_time, Ticket.id)
Index("ticket_unknown_idx", Ticket.id, postgresql_where=Ticket.requester_id.is_(None))
Index("ticket_urgency_idx", URGENCY, Ticket.last_message_time, Ticket.id)
Index("ticket_queue_urgency_idx", Ticket.queue_id, Ticket.state, URGENCY, Ticket.last_message_time, Ticket.id)
Index("ticket_tags_idx", Ticket.tags, postgresql_using="gin")
Index("ticket_words_idx", Ticket.words, postgresql_using="gin")


class Participant(Base):
    """Somebody beside the requester who is in the conversation; the address is in lower case."""

    __tablename__ = "ticket_participant"

    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[UUID | None]
    # Contacts was asked whose address it is.
    looked_up: Mapped[bool] = mapped_column(server_default=text("false"))


Index(
    "ticket_participant_unknown_idx",
    Participant.ticket_id,
    postgresql_where=text("person_id IS NULL AND NOT looked_up"),
)


class TicketMessage(Base):
    """One message of a ticket, or a note that only agents see."""

    __tablename__ = "ticket_message"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    # Where it was written, if it came from another ticket by a merge or a split.
    original_ticket_id: Mapped[UUID | None]
    # The merges that brought it here, one after the other: undoing one takes it back.
    merge_ids: Mapped[list[UUID]] = mapped_column(server_default="{}")
    author: Mapped[int] = mapped_column(SmallInteger)
    internal: Mapped[bool] = mapped_column(server_default=text("false"))
    author_id: Mapped[str] = mapped_column(server_default="")
    author_name: Mapped[str] = mapped_column(server_default="")
    from_address: Mapped[str] = mapped_column(server_default="")
    text: Mapped[str] = mapped_column(server_default="")
    # Empty where it is the same as `text`.
    full_text: Mapped[str] = mapped_column(server_default="")
    html: Mapped[str] = mapped_column(server_default="")
    mentioned_ids: Mapped[list[str]] = mapped_column(server_default="{}")
    # The Message-ID of the mail, with angle brackets.
    message_id_header: Mapped[str] = mapped_column(server_default="")
    delivery_state: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    delivery_detail: Mapped[str] = mapped_column(server_default="")
    # A worker has it until then, or has failed and shall wait until then.
    leased_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    # The message of notifications that carried it, or that it answers.
    message_id: Mapped[UUID | None]
    # The mail, or the message of notifications, that it came in: it comes once.
    inbound_id: Mapped[UUID | None] = mapped_column(unique=True)
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    words: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('simple', left(text, 50000))", persisted=True), deferred=True
    )
    attachments: Mapped[list["Attachment"]] = relationship(lazy="selectin", order_by="Attachment.position")


Index("ticket_message_ticket_idx", TicketMessage.ticket_id, TicketMessage.create_time, TicketMessage.id)
Index("ticket_message_carried_idx", TicketMessage.message_id, postgresql_where=TicketMessage.message_id.is_not(None))
Index(
    "ticket_message_header_idx", TicketMessage.message_id_header, postgresql_where=TicketMessage.message_id_header != ""
)
# Answers that are on their way: WAITING and ACCEPTED.
Index(
    "ticket_message_due_idx",
    TicketMessage.delivery_state,
    TicketMessage.id,
    postgresql_where=TicketMessage.delivery_state.in_([1, 2]),
)
Index("ticket_message_words_idx", TicketMessage.words, postgresql_using="gin")
Index("ticket_message_mentioned_idx", TicketMessage.mentioned_ids, postgresql_using="gin")


class Attachment(Base):
    """A file of a message; `content` is NULL where it was not kept."""

    __tablename__ = "attachment"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    ticket_message_id: Mapped[UUID] = mapped_column(ForeignKey("ticket_message.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    inline: Mapped[bool] = mapped_column(server_default=text("false"))
    refused_reason: Mapped[str] = mapped_column(server_default="")
    content: Mapped[bytes | None] = mapped_column(deferred=True)


class HistoryEntry(Base):
    """One change of a ticket; it never changes itself."""

    __tablename__ = "ticket_history"

    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    field: Mapped[str] = mapped_column(server_default="")
    before: Mapped[str] = mapped_column(server_default="")
    after: Mapped[str] = mapped_column(server_default="")
    actor: Mapped[str] = mapped_column(server_default="")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())


class TicketLink(Base):
    """Two tickets that have to do with each other, the lower id first."""

    __tablename__ = "ticket_link"

    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True)
    other_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True, index=True)


class Merge(Base):
    """A merge, with what is needed to undo it: what the ticket was, and what of it went over."""

    __tablename__ = "ticket_merge"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    target_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    # The ticket's state and how many messages it had; tags and participants that the other got by it.
    before: Mapped[dict[str, Any]]
    actor: Mapped[str] = mapped_column(server_default="")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    undo_time: Mapped[datetime | None]


class TicketChange(Base):
    """That a ticket changed, for those who watch; kept for a day.

    `transaction` is PostgreSQL's id of the change's transaction: a reader takes the rows of those that have all ended,
    since numbers of a sequence become visible out of order.
    """

    __tablename__ = "ticket_change"

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(
        BigInteger, server_default=text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
    )
    ticket_id: Mapped[UUID]
    create_time: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


Index("ticket_change_transaction_idx", TicketChange.transaction, TicketChange.seq)


class Presence(Base):
    """Who has a ticket before them; a row not renewed for a minute counts as gone."""

    __tablename__ = "presence"

    ticket_id: Mapped[UUID] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    activity: Mapped[int] = mapped_column(SmallInteger)
    since: Mapped[datetime] = mapped_column(server_default=func.now())
    seen: Mapped[datetime] = mapped_column(server_default=func.now())


class View(Base):
    """A filter over tickets that is kept under a name."""

    __tablename__ = "view"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    filter: Mapped[str] = mapped_column(server_default="")
    order: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    shared: Mapped[bool] = mapped_column(server_default=text("false"))
    owner: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())


Index("view_name_idx", View.owner, View.name, unique=True)


class InboundMail(Base):
    """A mail as it came, and what became of it."""

    __tablename__ = "inbound_mail"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    kind: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    matched_by: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    detail: Mapped[str] = mapped_column(server_default="")
    ticket_id: Mapped[UUID | None] = mapped_column(index=True)
    source: Mapped[str] = mapped_column(server_default="")
    mailbox: Mapped[str] = mapped_column(server_default="")
    mailbox_key: Mapped[str] = mapped_column(server_default="")
    recipients: Mapped[list[str]] = mapped_column(server_default="{}")
    envelope_from: Mapped[str] = mapped_column(server_default="")
    from_address: Mapped[str] = mapped_column(server_default="")
    subject: Mapped[str] = mapped_column(server_default="")
    message_id_header: Mapped[str] = mapped_column(server_default="")
    # SHA-256 of the mail without what servers on its way have added.
    digest: Mapped[bytes | None]
    size: Mapped[int] = mapped_column(BigInteger)
    duplicate_of_id: Mapped[UUID | None]
    # A reader has it until then.
    leased_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    raw: Mapped[bytes] = mapped_column(deferred=True)


Index(
    "inbound_mail_key_idx",
    InboundMail.mailbox,
    InboundMail.mailbox_key,
    unique=True,
    postgresql_where=InboundMail.mailbox_key != "",
)
# One original for each digest; its duplicates have the same.
Index(
    "inbound_mail_digest_idx",
    InboundMail.digest,
    unique=True,
    postgresql_where=InboundMail.duplicate_of_id.is_(None),
)
Index("inbound_mail_state_idx", InboundMail.state, InboundMail.id)
Index("inbound_mail_waiting_idx", InboundMail.id, postgresql_where=InboundMail.state == 1)
Index("inbound_mail_sender_idx", InboundMail.from_address, InboundMail.create_time)


database = Database("support", Base.metadata)
outbox_tables(Base.metadata)
request_table(Base.metadata)
