"""The link to a customer's own page, where they see what they asked and what was answered.

Whoever has the link is the person, so it is signed, ends after a while, and is only ever sent to the person's own
address. The gateway opens the page; others make links.
"""

from datetime import datetime, timedelta
from uuid import UUID

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.signing import sign, verify
from services import public_url

PURPOSE = "portal"
VALID = timedelta(days=30)
ID_BYTES = 16
TIME_BYTES = 8


def portal_url(person_id: UUID) -> str:
    """The address of a person's page, good for 30 days."""
    return f"{public_url()}/t/{token_of(person_id, now() + VALID)}"


def token_of(person_id: UUID, expire_time: datetime) -> str:
    """The signed part of the link: the person and the last second, in Unix time."""
    return sign(PURPOSE, person_id.bytes + int(expire_time.timestamp()).to_bytes(TIME_BYTES, "big"))


def person_of(token: str) -> UUID:
    """Whose page a token opens. Raises InvalidArgument when it is forged or too old."""
    payload = verify(PURPOSE, token)
    if len(payload) != ID_BYTES + TIME_BYTES or int.from_bytes(payload[ID_BYTES:], "big") < now().timestamp():
        raise InvalidArgument("token", "has expired")
    return UUID(bytes=payload[:ID_BYTES])
