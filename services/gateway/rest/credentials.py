"""Whom a REST request speaks for: a token is passed on as it is, an API key is exchanged for one at identity.

The gateway trusts neither; the service that is called checks the token.
"""

import threading
from collections import OrderedDict

from werkzeug.datastructures import Headers

from chassis.client import ServiceToken
from chassis.errors import Unauthenticated
from services import address

# Keys whose tokens are kept; a token lives for minutes and is renewed shortly before it ends.
REMEMBERED = 1024
LONGEST = 8192

_lock = threading.Lock()
_tokens: OrderedDict[tuple[str, str], ServiceToken] = OrderedDict()


def authorization(headers: Headers) -> str:
    """The metadata `authorization` of the call; "" for a request without any credential, which public calls need not.

    Raises Unauthenticated for a credential that cannot be one, and grpc.RpcError where identity refuses a key.
    """
    said = headers.get("Authorization", "").strip()
    scheme, _, rest = said.partition(" ")
    secret = rest.strip() if scheme.lower() == "apikey" else headers.get("X-Api-Key", "").strip()
    if (said and scheme.lower() not in {"bearer", "apikey"}) or not _is_plain(rest.strip()) or not _is_plain(secret):
        raise Unauthenticated("Send `Authorization: Bearer TOKEN`, `Authorization: ApiKey SECRET` or `X-Api-Key`.")
    if scheme.lower() == "bearer":
        return f"Bearer {rest.strip()}"
    return f"Bearer {_token_for(secret)}" if secret else ""


def _is_plain(text: str) -> bool:
    """Whether it can travel as metadata: visible ASCII without spaces."""
    return len(text) <= LONGEST and text.isascii() and text.isprintable() and " " not in text


def _token_for(secret: str) -> str:
    identity = address("identity")
    with _lock:
        token = _tokens.pop((identity, secret), None) or ServiceToken(identity, secret)
    text = token()
    # Only now, so that guesses leave nothing behind.
    with _lock:
        _tokens[identity, secret] = token
        while len(_tokens) > REMEMBERED:
            _tokens.popitem(last=False)
    return text
