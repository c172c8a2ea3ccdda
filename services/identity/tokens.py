"""Access tokens: JWT (RFC 7519) signed with Ed25519, valid for 15 minutes; chassis/auth.py verifies them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from joserfc import jwt
from sqlalchemy.orm import Session

from chassis.auth import ALGORITHM, AUDIENCE, ISSUER
from chassis.clock import now
from chassis.ids import new_id
from denda.options.v1 import options_pb2
from services.identity.signing_keys import active_key

TOKEN_LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True)
class AccessToken:
    """A signed token and the moment it expires."""

    text: str
    expires: datetime


def issue_token(session: Session, subject: str, roles: Sequence[int]) -> AccessToken:
    """A token for `user:<id>`, `key:<id>` or `service:denda` with these roles."""
    key = active_key(session)
    issued = now()
    expires = issued + TOKEN_LIFETIME
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "roles": [options_pb2.Role.Name(options_pb2.Role.ValueType(role)) for role in roles],
        # With fractions of a second, so that a token issued right after a revocation is not taken for an older one.
        "iat": issued.timestamp(),
        "exp": expires.timestamp(),
        "jti": str(new_id()),
    }
    header = {"alg": ALGORITHM, "kid": key.kid}
    return AccessToken(jwt.encode(header, claims, key, algorithms=[ALGORITHM]), expires)
