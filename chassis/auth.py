"""Who is calling: short-lived EdDSA tokens from identity, verified here with its public keys.

Keys and revocations are fetched again every 15 seconds and when a token names a key that is not known yet.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.clock import now
from chassis.errors import Unauthenticated, Unavailable
from denda.identity.v1 import tokens_service_pb2 as pb
from denda.options.v1 import options_pb2

ISSUER = "denda-identity"
AUDIENCE = "denda"
# EdDSA over Curve25519, by the name that RFC 9864 gives it.
ALGORITHM = "Ed25519"
REFRESH = timedelta(seconds=15)
# Verifying a signature takes about 100 µs, so the last few thousand tokens are remembered.
REMEMBERED = 4096

log = structlog.get_logger()


@dataclass(frozen=True)
class Caller:
    """A verified caller: `user:<id>`, `key:<id>` or `service:denda`, with the roles of options.proto."""

    subject: str
    roles: frozenset[int]
    issued: datetime
    expires: datetime


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller() -> Caller:
    """Who called the RPC that runs in this context. Raises Unauthenticated outside of one."""
    known = _caller.get()
    if known is None:
        raise Unauthenticated("This call carries no token.")
    return known


def set_caller(known: Caller | None) -> None:
    """Say who calls in this context; only the server's interceptor does."""
    _caller.set(known)


class KeyRing:
    """The public keys of identity and what it revoked, as told by `fetch`."""

    def __init__(self, fetch: Callable[[], pb.GetKeysResponse]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._keys = KeySet([])
        self._revoked: dict[str, datetime] = {}
        self._asked = datetime.min.replace(tzinfo=UTC)
        self._seen: OrderedDict[str, Caller] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """The caller that a token speaks for. Raises Unauthenticated for a token that is forged, expired or revoked."""
        self._refresh()
        known = self._seen.get(token) or self._remember(token, self._decode(token))
        if known.expires <= now():
            raise Unauthenticated("The token has expired; ask identity for a new one.", reason="TOKEN_EXPIRED")
        revoked = self._revoked.get(known.subject)
        if revoked is not None and known.issued < revoked:
            raise Unauthenticated("The token was revoked.", reason="TOKEN_REVOKED")
        return known

    def _refresh(self, *, older_than: timedelta = REFRESH) -> None:
        if now() - self._asked < older_than:
            return
        with self._lock:
            if now() - self._asked < older_than:
                return
            try:
                answer = self._fetch()
            except Exception as error:
                if not self._keys.keys:
                    raise Unavailable("identity does not answer, so the token cannot be checked.") from error
                log.warning("keys_not_refreshed", error=str(error))
            else:
                self._take(answer)
            self._asked = now()

    def _take(self, answer: pb.GetKeysResponse) -> None:
        self._keys = KeySet.import_key_set(json.loads(answer.jwks_json))
        self._revoked = {r.subject: r.not_before.ToDatetime(UTC) for r in answer.revocations}
        self._seen.clear()

    def _decode(self, token: str) -> Caller:
        try:
            claims = self._claims(token)
            return Caller(
                claims["sub"],
                frozenset(options_pb2.Role.Value(name) for name in claims["roles"]),
                datetime.fromtimestamp(claims["iat"], UTC),
                datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (JoseError, ValueError, KeyError, TypeError):
            raise Unauthenticated("The token is not one of this installation's.", reason="TOKEN_INVALID") from None

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            # The key may be younger than our copy; forged tokens must not make us ask at each call.
            self._refresh(older_than=timedelta(seconds=1))
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
        if decoded.claims.get("iss") != ISSUER or decoded.claims.get("aud") != AUDIENCE:
            raise ValueError("issuer or audience")
        return dict(decoded.claims)

    def _remember(self, token: str, known: Caller) -> Caller:
        self._seen[token] = known
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return known
