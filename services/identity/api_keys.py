"""Keys of programs. A secret is shown once and stored as its SHA-256: with 256 random bits it needs no salt."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import InvalidArgument, NotFound
from chassis.ids import new_id
from chassis.settings import settings
from services.identity import revocations
from services.identity.models import ApiKey

# So that people, and programs that scan for leaked secrets, recognise one.
PREFIX = "denda_"
SHOWN = len(PREFIX) + 6
# How exact last_used_at is; a busy key is not to be written at each use.
USE_RECORDED_EVERY = timedelta(minutes=1)


def create_api_key(
    session: Session, *, display_name: str, roles: Sequence[int], expires: datetime | None
) -> tuple[ApiKey, str]:
    """Create a key; returns it and its secret. Raises InvalidArgument when it would be expired from the start."""
    if expires is not None and expires <= now():
        raise InvalidArgument("api_key.expire_time", "lies in the past")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id(),
        display_name=display_name,
        roles=sorted(roles),
        prefix=secret[:SHOWN],
        digest=_digest(secret),
        created_at=now(),
        expires_at=expires,
    )
    session.add(key)
    return key, secret


def revoke_api_key(session: Session, key_id: UUID) -> ApiKey:
    """Revoke a key and the tokens issued from it; a revoked key stays as it is. Raises NotFound."""
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None:
        raise NotFound("API key", key_id)
    if key.revoked_at is None:
        key.revoked_at = now()
        revocations.revoke_tokens(session, f"key:{key.id}")
    return key


def use_api_key(session: Session, secret: str) -> ApiKey | None:
    """The key with this secret, its use recorded to the minute; None when it is unknown, expired or revoked."""
    moment = now()
    in_force = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > moment)
    key = session.scalar(select(ApiKey).where(ApiKey.digest == _digest(secret), ApiKey.revoked_at.is_(None), in_force))
    if key is not None and (key.last_used_at is None or key.last_used_at < moment - USE_RECORDED_EVERY):
        key.last_used_at = moment
    return key


def is_service_key(secret: str) -> bool:
    """Whether it is the key that the services of this installation share."""
    shared = settings().service_key.get_secret_value()
    return bool(shared) and hmac.compare_digest(secret.encode(), shared.encode())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
