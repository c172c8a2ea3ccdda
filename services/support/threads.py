"""How an answer finds back to its ticket: addresses, Message-IDs and marks that only we can make.

Each is a ticket's id under a keyed HMAC, so guessing one or changing it on its way gives nothing. The forms survive
what mail programs do: the address is in lower case only (base 32), since some change the case of local parts.
"""

import hmac
import re
from base64 import b32decode, b32encode
from uuid import UUID

from chassis.settings import settings as chassis_settings
from services.support.settings import settings

MAC_BYTES = 10
# 16 bytes of the id and 10 of the MAC make 42 characters in base 32 without padding.
_SIGNED = r"[a-z2-7]{42}"
_ADDRESS = re.compile(rf"reply\+({_SIGNED})@", re.IGNORECASE)
_MESSAGE_ID = re.compile(rf"<[0-9a-f]{{32}}\.({_SIGNED})@", re.IGNORECASE)
_MARK = re.compile(rf"\[ref:({_SIGNED})\]", re.IGNORECASE)
_NUMBER = re.compile(r"\[#(\d{1,18})\]")


def reply_address(ticket_id: UUID) -> str:
    """The address whose mail belongs to a ticket."""
    return f"reply+{_token('address', ticket_id)}@{settings().inbound_domain}"


def ticket_of_address(address: str) -> UUID | None:
    """The ticket of a signed address; None for any other."""
    return _ticket_in(_ADDRESS, "address", address)


def message_id_header(message_id: UUID, ticket_id: UUID) -> str:
    """The Message-ID of an agent's answer, always the same for the same message."""
    return f"<{message_id.hex}.{_token('message-id', ticket_id)}@{settings().inbound_domain}>"


def ticket_of_message_id(header: str) -> UUID | None:
    """The ticket of a Message-ID that is ours; None for any other."""
    return _ticket_in(_MESSAGE_ID, "message-id", header)


def message_of_message_id(header: str) -> UUID | None:
    """The answer that a Message-ID of ours names; None for any other."""
    if ticket_of_message_id(header) is None:
        return None
    return UUID(hex=header.strip().lstrip("<").partition(".")[0])


def body_mark(ticket_id: UUID) -> str:
    """What stands below an answer, for programs that keep nothing but the quotation."""
    return f"[ref:{_token('mark', ticket_id)}]"


def ticket_of_body(text: str) -> UUID | None:
    """The ticket of the first mark in a text that is ours."""
    return next((found for mark in _MARK.findall(text) if (found := _verified("mark", mark))), None)


def subject_tag(number: int) -> str:
    """What an answer's subject ends with, `[#4711]`; it proves nothing."""
    return f"[#{number}]"


def number_in(subject: str) -> int | None:
    """The ticket's number that a subject speaks of."""
    found = _NUMBER.search(subject)
    return int(found[1]) if found else None


def _ticket_in(pattern: re.Pattern[str], purpose: str, value: str) -> UUID | None:
    found = pattern.search(value)
    return _verified(purpose, found[1]) if found else None


def _token(purpose: str, ticket_id: UUID) -> str:
    return b32encode(ticket_id.bytes + _mac(purpose, ticket_id)).rstrip(b"=").decode().lower()


def _verified(purpose: str, token: str) -> UUID | None:
    ticket_id = UUID(bytes=b32decode(f"{token.upper()}======")[:16])
    return ticket_id if hmac.compare_digest(_token(purpose, ticket_id), token.lower()) else None


def _mac(purpose: str, ticket_id: UUID) -> bytes:
    key = chassis_settings().secret_key.get_secret_value().encode()
    return hmac.digest(key, f"ticket-{purpose}\0".encode() + ticket_id.bytes, "sha256")[:MAC_BYTES]
