"""Sessions of staff: a log-in starts one, refresh tokens carry it on, each of them once.

A refresh token that comes a second time has been copied, so its session ends. Only digests are stored.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.ids import new_id
from services.identity import revocations
from services.identity.models import LoginSession, RefreshToken, User
from services.identity.settings import identity_settings

# A place where the owner logged in so lately is known to be the owner's.
PLACE_KNOWN_FOR = timedelta(days=30)


def start_session(session: Session, user: User, address_digest: bytes) -> str:
    """Start a session for a user who has just proved who it is; returns its first refresh token."""
    moment = now()
    started = LoginSession(
        id=new_id(),
        user_id=user.id,
        address_digest=address_digest,
        created_at=moment,
        expires_at=moment + timedelta(days=identity_settings().session_days),
    )
    session.add(started)
    session.flush()
    return _next_token(session, started.id)


def continue_session(session: Session, refresh_token: str) -> tuple[User, str] | None:
    """The session's user and the next refresh token; None when the token is worth nothing.

    A token that was used before ends its session and revokes the user's access tokens: the caller must let the
    transaction commit and refuse afterwards.
    """
    token = _token_locked(session, refresh_token)
    if token is None:
        return None
    held = session.get_one(LoginSession, token.session_id)
    user = session.get_one(User, held.user_id)
    if token.used_at is not None:
        if held.ended_at is None:
            held.ended_at = now()
            revocations.revoke_tokens(session, f"user:{user.id}")
        return None
    if held.ended_at is not None or held.expires_at <= now() or user.disabled:
        return None
    token.used_at = now()
    return user, _next_token(session, held.id)


def end_session(session: Session, refresh_token: str) -> None:
    """End the session that a refresh token belongs to; nothing happens where there is none."""
    token = _token_locked(session, refresh_token)
    if token is not None:
        _end(session, LoginSession.id == token.session_id)


def end_sessions(session: Session, user_id: UUID) -> None:
    """End all sessions of a user."""
    _end(session, LoginSession.user_id == user_id)


def is_known_place(session: Session, email: str, address_digest: bytes) -> bool:
    """Whether the user with this email logged in from there lately."""
    since: datetime = now() - PLACE_KNOWN_FOR
    found = (
        select(LoginSession.id)
        .join(User, User.id == LoginSession.user_id)
        .where(User.email == email, LoginSession.address_digest == address_digest, LoginSession.created_at > since)
    )
    return bool(session.scalar(select(exists(found))))


def prune_sessions(session: Session) -> None:
    """Delete sessions, with their tokens, that are over and no longer tell a known place."""
    over = or_(LoginSession.ended_at.is_not(None), LoginSession.expires_at <= now())
    session.execute(delete(LoginSession).where(over, LoginSession.created_at <= now() - PLACE_KNOWN_FOR))


def _end(session: Session, which: ColumnElement[bool]) -> None:
    session.execute(update(LoginSession).where(which, LoginSession.ended_at.is_(None)).values(ended_at=now()))


def _token_locked(session: Session, refresh_token: str) -> RefreshToken | None:
    # The lock decides between two uses at once: the second one sees the token used.
    return session.get(RefreshToken, _digest(refresh_token), with_for_update=True)


def _next_token(session: Session, session_id: UUID) -> str:
    token = secrets.token_urlsafe(32)
    session.add(RefreshToken(digest=_digest(token), session_id=session_id, created_at=now()))
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
