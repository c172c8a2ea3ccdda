"""Mails as RFC 5322 and RFC 2045 want them, filled in from a form that is made once for many recipients.

`email.message` builds some hundred mails a second; a form fills in thousands. Every value that comes from
outside is encoded or checked, so that none can add a header.
"""

import hmac
import re
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from chassis.settings import settings

# What an address in a header may look like; quoted local parts and comments are legal and nobody's.
ADDRESS = re.compile(r"[^\s\x00-\x20\x7f<>,;:\"()\[\]\\@]+@[^\s\x00-\x20\x7f<>,;:\"()\[\]\\@]+")
NAMED = re.compile(r"(.*?)<([^<>]*)>", re.DOTALL)
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# RFC 2047 §2: an encoded word has at most 75 characters; 42 bytes make 56 and the frame 12.
WORD_BYTES = 42
PLAIN_SUBJECT = 66


class UnusableAddress(Exception):
    """An address that cannot stand in a header."""


@dataclass(frozen=True)
class Form:
    """What all mails of a mailing in one language share."""

    sender: str
    domain: str
    head: bytes
    boundary: bytes

    def fill(self, letter: "Letter") -> bytes:
        """The mail, with lines that end in CRLF. Raises UnusableAddress."""
        headers = [
            self.head,
            b"To: ",
            _address(letter.address),
            b"\r\nSubject: ",
            subject(letter.subject),
            b"\r\nMessage-ID: ",
            letter.reference.encode(),
            b"\r\nDate: ",
            letter.date.encode(),
            b"\r\n",
            letter.more,
        ]
        return b"".join([*headers, *self._body(letter)])

    def _body(self, letter: "Letter") -> list[bytes]:
        text = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        if letter.html is None:
            return [text, letter.text]
        html = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        line = b"--" + self.boundary
        return [
            b'Content-Type: multipart/alternative; boundary="' + self.boundary + b'"\r\n\r\n',
            line + b"\r\n" + text,
            letter.text,
            b"\r\n" + line + b"\r\n" + html,
            letter.html,
            b"\r\n" + line + b"--\r\n",
        ]


class Letter(NamedTuple):
    """What differs from recipient to recipient; `text` and `html` are in quoted-printable."""

    address: str
    subject: str
    text: bytes
    html: bytes | None
    reference: str
    date: str
    # Whole header lines.
    more: bytes


def form(sender: str, reply_to: str, fixed: Mapping[str, str]) -> Form:
    """A form for mails from `Shop <news@shop.example>`. Raises UnusableAddress for a sender that cannot be."""
    _, address = name_and_address(sender)
    headers = {"From": mailbox(sender)}
    if reply_to:
        headers["Reply-To"] = mailbox(reply_to)
    headers |= fixed
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = "".join([*lines, "MIME-Version: 1.0\r\n"]).encode()
    # `=_` cannot occur in quoted-printable (RFC 2045 §6.7), so no content can end a part.
    boundary = f"=_{sha256(head).hexdigest()[:24]}"
    return Form(address, address.rpartition("@")[2], head, boundary.encode())


def name_and_address(value: str) -> tuple[str, str]:
    """The parts of `Shop, the old one <news@shop.example>`, whose name needs no quotes as a header's would."""
    found = NAMED.fullmatch(value.strip())
    if not found:
        return "", value.strip()
    return found[1].strip().removeprefix('"').removesuffix('"').replace('\\"', '"'), found[2].strip()


def mailbox(value: str) -> str:
    """A mailbox for a header, its name encoded. Raises UnusableAddress."""
    name, address = name_and_address(value)
    plain = _address(address).decode()
    name = one_line(name)
    if not name:
        return plain
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{plain}>'
    return f"{Header(name, 'utf-8').encode(linesep=chr(13) + chr(10))} <{plain}>"


def phrase(words: str) -> str:
    """Words as a phrase of RFC 5322, for the human part of List-Id."""
    words = one_line(words)
    if words.isascii():
        return '"' + words.replace("\\", "").replace('"', "'")[:120] + '"'
    return subject(words).decode()


def subject(words: str) -> bytes:
    """An unstructured header's value; where it is not short and plain, in encoded words (RFC 2047)."""
    line = one_line(words)
    if len(line) <= PLAIN_SUBJECT and line.isascii() and "=?" not in line:
        return line.encode()
    return b"\r\n ".join(b"=?utf-8?b?" + b2a_base64(piece, newline=False) + b"?=" for piece in _pieces(line))


def one_line(words: str) -> str:
    """The words without line ends and other controls, so that they cannot leave their header."""
    return words if words.isprintable() else CONTROLS.sub(" ", words).strip()


def message_id_header(message_id: UUID, domain: str) -> str:
    """The Message-ID of a message, always the same, and with a key in it that nobody else can make."""
    return f"<{message_id.hex}.{_mark(message_id)}@{domain}>"


def message_of(header: str) -> UUID | None:
    """The message that a Message-ID of ours names; None for one that is not ours."""
    local = header.strip().strip("<>").partition("@")[0]
    name, _, mark = local.partition(".")
    try:
        message_id = UUID(hex=name)
    except ValueError:
        return None
    return message_id if hmac.compare_digest(_mark(message_id), mark) else None


@lru_cache(maxsize=64)
def date_header(moment: datetime) -> str:
    """A moment as RFC 5322 writes it."""
    return format_datetime(moment)


def _address(address: str) -> bytes:
    if not ADDRESS.fullmatch(address) or len(address) > 254:
        raise UnusableAddress("the address cannot stand in a mail's header")
    if address.isascii():
        return address.encode()
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}".encode()
    except UnicodeError:
        raise UnusableAddress("the address has an impossible domain") from None


def ascii_domain(address: str) -> str:
    """The address with its domain as DNS knows it. Raises UnusableAddress."""
    return _address(address).decode()


def _mark(message_id: UUID) -> str:
    key = settings().secret_key.get_secret_value().encode()
    return hmac.digest(key, b"message-id\0" + message_id.bytes, "sha256")[:8].hex()


def _pieces(words: str) -> list[bytes]:
    """UTF-8 in pieces that fit an encoded word, none of which cuts a character in two."""
    pieces, piece = [], b""
    for character in words:
        encoded = character.encode("utf-8", "replace")
        if len(piece) + len(encoded) > WORD_BYTES:
            pieces.append(piece)
            piece = b""
        piece += encoded
    return [*pieces, piece]
