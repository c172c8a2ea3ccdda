"""Tables: staff users, API keys, sessions with their refresh tokens, signing keys, revocations, failed log-ins."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables


class Base(DeclarativeBase):
    """Declarative base of this service."""

    metadata = new_metadata()
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        str: Text(),
        UUID: Uuid(),
        bytes: LargeBinary(),
        list[int]: ARRAY(SmallInteger),
    }


class User(Base):
    """A member of staff."""

    # `user` is a word of SQL's own.
    __tablename__ = "staff_user"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    # Numbers of denda.options.v1.Role.
    roles: Mapped[list[int]]
    password_hash: Mapped[str]
    disabled: Mapped[bool] = mapped_column(server_default=text("false"))
    request_id: Mapped[UUID | None] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ApiKey(Base):
    """A program's key; of its secret only the digest and the first characters are kept."""

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    display_name: Mapped[str]
    roles: Mapped[list[int]]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class LoginSession(Base):
    """What began with a log-in; it lives on through refresh tokens."""

    __tablename__ = "login_session"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("staff_user.id", ondelete="CASCADE"), index=True)
    # Where the log-in came from, as a keyed digest: enough to recognise the place again.
    address_digest: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class RefreshToken(Base):
    """One link in the chain of a session's refresh tokens; each works once."""

    __tablename__ = "refresh_token"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_session.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SigningKey(Base):
    """A key pair that signs tokens; exactly one is active."""

    __tablename__ = "signing_key"
    __table_args__ = (Index("signing_key_active_idx", "active", unique=True, postgresql_where=text("active")),)

    kid: Mapped[str] = mapped_column(primary_key=True)
    active: Mapped[bool]
    # A JWK as JSON.
    public_jwk: Mapped[str]
    # The private JWK as a compact JWE under a key derived from DENDA_SECRET_KEY.
    private_jwe: Mapped[str]
    created_at: Mapped[datetime]
    # When the last token that it signed has expired; null while it is active.
    expires_at: Mapped[datetime | None]


class Revocation(Base):
    """Tokens of a subject that were issued before a moment are worth nothing."""

    __tablename__ = "revocation"

    subject: Mapped[str] = mapped_column(primary_key=True)
    not_before: Mapped[datetime]
    # When all of those tokens have expired by themselves.
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LoginFailure(Base):
    """Log-ins that failed lately, counted for a user name, an address, or both together."""

    __tablename__ = "login_failure"

    # A keyed digest of what is counted: whoever reads the table learns no names or addresses.
    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_failed_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime]


outbox_tables(Base.metadata)
database = Database("identity", Base.metadata)
