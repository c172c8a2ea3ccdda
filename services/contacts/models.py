"""Tables of contacts.

Everything about a person hangs on the person's row and goes with it. Whoever changes what hangs on a person locks
that row first, so that two changes of the same person come one after the other.
"""

from datetime import datetime
from enum import IntEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, SmallInteger, Text, Uuid, func, literal_column, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables
from chassis.requests import request_table


class Channel(IntEnum):
    """A way to reach a person; the numbers are those of denda.types.v1.Channel."""

    EMAIL = 1
    SMS = 2
    VOICE = 3


class AddressKind(IntEnum):
    """What sort of address it is; the numbers are those of the contract, as in all enumerations here."""

    EMAIL = 1
    PHONE = 2


class AttributeType(IntEnum):
    """What values an attribute takes."""

    STRING = 1
    NUMBER = 2
    BOOLEAN = 3
    DATE = 4
    STRING_LIST = 5


class ConsentState(IntEnum):
    """What an entry of the ledger says."""

    GRANTED = 1
    WITHDRAWN = 2


class ImportState(IntEnum):
    """Where an import stands."""

    RUNNING = 1
    FINISHED = 2
    FAILED = 3


ADDRESS_OF_CHANNEL = {
    Channel.EMAIL: AddressKind.EMAIL,
    Channel.SMS: AddressKind.PHONE,
    Channel.VOICE: AddressKind.PHONE,
}


class Base(DeclarativeBase):
    """The metadata of this service's tables."""

    metadata = new_metadata()
    type_annotation_map: ClassVar = {
        str: Text,
        UUID: Uuid,
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text),
        dict[str, Any]: JSONB,
    }


class Person(Base):
    """Somebody the company has a relationship with; `version` is the etag."""

    __tablename__ = "person"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str | None] = mapped_column(unique=True)
    given_name: Mapped[str] = mapped_column(server_default="")
    family_name: Mapped[str] = mapped_column(server_default="")
    # Empty where it is made from the names.
    display_name: Mapped[str] = mapped_column(server_default="")
    language: Mapped[str] = mapped_column(server_default="")
    time_zone: Mapped[str] = mapped_column(server_default="")
    lifecycle_stage: Mapped[str] = mapped_column(server_default="")
    tags: Mapped[list[str]] = mapped_column(server_default="{}")
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    version: Mapped[int] = mapped_column(server_default="1")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())


class Address(Base):
    """A place where a person can be reached. Of a kind, the one with the lowest position is used."""

    __tablename__ = "address"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    label: Mapped[str] = mapped_column(server_default="")


# Capital letters tell no two mail boxes apart in practice, so addresses are looked up without regard to them.
Index("address_lower_value_idx", func.lower(Address.value))


class AttributeDefinition(Base):
    """A custom attribute that people may have."""

    __tablename__ = "attribute_definition"

    name: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[int] = mapped_column(SmallInteger)
    description: Mapped[str] = mapped_column(server_default="")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())


class Company(Base):
    """An organisation that people belong to."""

    __tablename__ = "company"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    domain: Mapped[str | None] = mapped_column(unique=True)
    external_id: Mapped[str | None] = mapped_column(unique=True)
    tags: Mapped[list[str]] = mapped_column(server_default="{}")
    version: Mapped[int] = mapped_column(server_default="1")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())


Index("company_lower_name_idx", func.lower(Company.name))


class Membership(Base):
    """A person's place in a company."""

    __tablename__ = "membership"

    company_id: Mapped[UUID] = mapped_column(ForeignKey("company.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(server_default="")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())


class Consent(Base):
    """An entry of the ledger. It never changes, but for `in_force`, which says that no newer one has replaced it."""

    __tablename__ = "consent"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    channel: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[int] = mapped_column(SmallInteger)
    basis: Mapped[str]
    source: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[str] = mapped_column(server_default="")
    message_id: Mapped[str] = mapped_column(server_default="")
    in_force: Mapped[bool] = mapped_column(server_default=text("true"))
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())


Index(
    "consent_in_force_idx",
    Consent.person_id,
    Consent.purpose,
    Consent.channel,
    unique=True,
    postgresql_where=text("in_force"),
)


class Segment(Base):
    """A description of people in the filter language."""

    __tablename__ = "segment"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    filter: Mapped[str] = mapped_column(server_default="")
    version: Mapped[int] = mapped_column(server_default="1")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())


class Activity(Base):
    """One thing that happened with a person. A message is one row, brought to its newest version."""

    __tablename__ = "activity"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    # The message's id for a message, the event's own id for what was done with it.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    channel: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    summary: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="")
    campaign_id: Mapped[UUID | None]
    message_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(server_default="")
    version: Mapped[int] = mapped_column(server_default="0")
    time: Mapped[datetime]


Index("activity_time_idx", Activity.person_id, Activity.time, Activity.id)
Index("activity_ticket_idx", Activity.id, postgresql_where=Activity.kind == literal_column("'ticket'"))
Index(
    "activity_campaign_idx",
    Activity.campaign_id,
    Activity.kind,
    Activity.person_id,
    postgresql_where=Activity.campaign_id.is_not(None),
)


class Campaign(Base):
    """What a campaign is called, learned from its events, so that filters may name it."""

    __tablename__ = "campaign"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class Import(Base):
    """A file on its way in, or the report of one."""

    __tablename__ = "import"
    __table_args__ = (Index("import_newest_idx", "create_time", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    file_name: Mapped[str]
    state: Mapped[int] = mapped_column(SmallInteger)
    dry_run: Mapped[bool]
    # What was asked for; the same id with another plan is another import and refused.
    plan_digest: Mapped[bytes]
    # SHA-256 of the lines that are done, so that another file under the same id is found out.
    lines_digest: Mapped[bytes]
    rows_read: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unchanged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # People whose withdrawal stands against the consent that came with the file.
    withdrawn_kept: Mapped[int] = mapped_column(BigInteger, server_default="0")
    ignored_columns: Mapped[list[str]] = mapped_column(server_default="{}")
    error: Mapped[str] = mapped_column(server_default="")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(server_default=func.now())


class RowError(Base):
    """A row of a file that was not taken."""

    __tablename__ = "import_error"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    column: Mapped[str]
    reason: Mapped[str]


class ImportKey(Base):
    """A person that a dry run would have created, kept until it ends."""

    __tablename__ = "import_key"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)


database = Database("contacts", Base.metadata)
outbox_tables(Base.metadata)
request_table(Base.metadata)
