"""Signed tokens: what leaves the house and must come back unchanged (links, addresses, page tokens).

A token is base64url(payload + HMAC-SHA256 truncated to 128 bits, RFC 2104 §5). The payload can be read by
everybody; only the holder of `DENDA_SECRET_KEY` can make one. A token of one purpose is worth nothing for another.

    link = sign("unsubscribe", message_id.bytes)
    message_id = UUID(bytes=verify("unsubscribe", link))
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

from chassis.errors import InvalidArgument
from chassis.settings import settings

MAC_BYTES = 16


def sign(purpose: str, payload: bytes) -> str:
    """A token that carries `payload`, safe in a URL and in the local part of an address."""
    return urlsafe_b64encode(payload + _mac(purpose, payload)).rstrip(b"=").decode()


def verify(purpose: str, token: str, field: str = "token") -> bytes:
    """The payload of a token that `sign` made for the same purpose. Raises InvalidArgument that names `field`."""
    try:
        payload = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))[:-MAC_BYTES]
    except ValueError:
        raise InvalidArgument(field, "is not a token of this installation") from None
    # The whole token is made anew and compared, since base64 has several spellings of the same bytes.
    if not hmac.compare_digest(sign(purpose, payload).encode(), token.encode()):
        raise InvalidArgument(field, "is not a token of this installation, or was changed on its way")
    return payload


def _mac(purpose: str, payload: bytes) -> bytes:
    begun = _begun(settings().secret_key.get_secret_value(), purpose).copy()
    begun.update(payload)
    return begun.digest()[:MAC_BYTES]


@lru_cache(maxsize=64)
def _begun(key: str, purpose: str) -> hmac.HMAC:
    """The key and the purpose, digested: the half of the work that all tokens of a purpose share."""
    if not key:
        raise RuntimeError("DENDA_SECRET_KEY is empty: nothing can be signed")
    return hmac.new(key.encode(), purpose.encode() + b"\0", "sha256")
