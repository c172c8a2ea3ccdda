"""The keys that sign tokens: one active, older ones published until the last token they signed has expired.

Private keys are stored encrypted (JWE, RFC 7516: `dir` with A256GCM) under a key derived from DENDA_SECRET_KEY.
"""

import hmac
import json
from datetime import timedelta
from functools import lru_cache
from typing import Any

import structlog
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey
from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.auth import ALGORITHM
from chassis.clock import now
from chassis.ids import new_id
from chassis.settings import settings
from services.identity.models import SigningKey

# Longer than a token lives, with room for clocks that disagree.
KEPT_AFTER_RETIREMENT = timedelta(minutes=20)

log = structlog.get_logger()


def active_key(session: Session) -> OKPKey:
    """The key that signs now; made at first use, and made anew where DENDA_SECRET_KEY was changed."""
    row = session.scalar(select(SigningKey).where(SigningKey.active))
    if row is None:
        row = _add_key(session)
    try:
        return _opened(row.private_jwe, settings().secret_key.get_secret_value())
    except (JoseError, ValueError):
        log.warning("signing_key_unreadable", kid=row.kid, remedy="DENDA_SECRET_KEY was changed; a new key is made")
        return _opened(rotate_keys(session).private_jwe, settings().secret_key.get_secret_value())


def rotate_keys(session: Session) -> SigningKey:
    """Make a new active key; the one before stays published until its last token has expired."""
    # The row's lock makes simultaneous rotations wait for each other.
    session.scalars(select(SigningKey.kid).where(SigningKey.active).with_for_update()).all()
    retired = {"active": False, "expires_at": now() + KEPT_AFTER_RETIREMENT}
    session.execute(update(SigningKey).where(SigningKey.active).values(retired))
    return _add_key(session)


def rotate_keys_older_than(session: Session, age: timedelta) -> None:
    """Rotate when the active key is older than `age`."""
    old = select(SigningKey.kid).where(SigningKey.active, SigningKey.created_at <= now() - age)
    if session.scalars(old.with_for_update()).all():
        rotate_keys(session)


def published_keys(session: Session) -> str:
    """A JWK Set (RFC 7517 §5) as JSON: every key of which a living token may be signed."""
    active_key(session)
    living = or_(SigningKey.active, SigningKey.expires_at > now())
    rows = session.scalars(select(SigningKey).where(living).order_by(SigningKey.created_at))
    return json.dumps({"keys": [json.loads(row.public_jwk) for row in rows]})


def prune_keys(session: Session) -> None:
    """Delete retired keys of which no token lives."""
    session.execute(delete(SigningKey).where(~SigningKey.active, SigningKey.expires_at <= now()))


def _add_key(session: Session) -> SigningKey:
    key = OKPKey.generate_key("Ed25519", {"kid": str(new_id()), "use": "sig", "alg": ALGORITHM})
    values = {
        "kid": key.kid,
        "active": True,
        "public_jwk": json.dumps(key.as_dict(private=False)),
        "private_jwe": _sealed(key.as_dict(private=True)),
        "created_at": now(),
    }
    # Where another replica was faster, its key is the one.
    session.execute(insert(SigningKey).values(values).on_conflict_do_nothing())
    return session.scalars(select(SigningKey).where(SigningKey.active)).one()


def _sealed(private_jwk: dict[str, Any]) -> str:
    header = {"alg": "dir", "enc": "A256GCM"}
    return jwe.encrypt_compact(
        header, json.dumps(private_jwk).encode(), _key_of(settings().secret_key.get_secret_value())
    )


@lru_cache(maxsize=8)
def _opened(private_jwe: str, secret: str) -> OKPKey:
    opened = jwe.decrypt_compact(private_jwe, _key_of(secret)).plaintext
    return OKPKey.import_key(json.loads(opened or b""))


def _key_of(secret: str) -> OctKey:
    if not secret:
        raise RuntimeError("DENDA_SECRET_KEY is empty: signing keys cannot be stored")
    return OctKey.import_key(hmac.digest(secret.encode(), b"identity signing keys", "sha256"))
