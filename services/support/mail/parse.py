"""A mail read from its bytes.

What can be read somehow is read: without header or charset, with broken encodings, half a mail. What would take the
machine down instead (endless parts, parts in parts without end) raises Unreadable, and goes into quarantine.
"""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.policy import Compat32
from email.utils import collapse_rfc2231_value

from services.support.mail.charsets import text_of
from services.support.mail.files import File, Folder, Limits
from services.support.mail.headers import MOST_NAME, MOST_SUBJECT, Headers, decoded, parts_of
from services.support.mail.safe import safe_html, text_of_html

# Longer text is no letter; the mail as it came is kept anyway.
MOST_TEXT = 500_000
# The parser keeps an object for each line and each part, and asks of each line whether it ends one of the parts around.
MOST_LINES = 1_000_000
MOST_PARTS = 10_000
MOST_BOUNDARIES = 100
LIMITS = Limits()
_MOST_HEADER = 100_000


class _AsItCame(Compat32):
    """The parser's oldest policy, which is by far the fastest, without what it does to bare 8-bit characters."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002  # the policy's own signature
        """The field as it stands in the mail; `decoded` makes it readable."""
        return value


_POLICY = _AsItCame()
_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"\r\n]+)\"|([^\s;\"]+))", re.IGNORECASE)
_DELIVERED_TO = ("delivered-to", "x-original-to", "x-envelope-to", "envelope-to")


class Unreadable(Exception):
    """A mail that cannot be read; the message says why, for whoever looks into the quarantine."""


@dataclass(frozen=True)
class Mail:
    """What is in a mail. Addresses are in small letters, Message-IDs in their angle brackets."""

    from_address: str
    from_name: str
    # Where it asks to be answered, if that is somewhere else.
    reply_to: tuple[str, ...]
    # To and Cc, the first hundred.
    recipients: tuple[str, ...]
    # Whatever address is in To and Cc.
    sent_to: tuple[str, ...]
    # What servers noted on its way: addresses that it was sent to, which lead here.
    delivered_to: tuple[str, ...]
    subject: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    text: str
    html: str
    files: tuple[File, ...]
    headers: Headers
    message: Message


def parse(raw: bytes, limits: Limits = LIMITS) -> Mail:
    """Read a mail. Raises Unreadable for one that is too much of anything."""
    _require_bounds(raw)
    try:
        message = email.message_from_bytes(raw, policy=_POLICY)
        text, html, files = _content(message, limits)
    except RecursionError:
        raise Unreadable("its parts are in each other without end") from None
    headers = Headers(message)
    author = next(iter(headers.addresses("from") or headers.addresses("sender")), ("", ""))
    ids = {name: headers.message_ids(name) for name in ("in-reply-to", "references")}
    return Mail(
        from_address=author[1],
        from_name=author[0][:MOST_NAME],
        reply_to=tuple(address for _, address in headers.addresses("reply-to") if address != author[1]),
        recipients=tuple(dict.fromkeys(a for name in ("to", "cc") for _, a in headers.addresses(name))),
        sent_to=tuple(headers.mentioned(("to", "cc"))),
        delivered_to=tuple(headers.mentioned(_DELIVERED_TO)),
        subject=headers.get("subject", MOST_SUBJECT),
        message_id=headers.message_id(),
        in_reply_to=ids["in-reply-to"][0] if ids["in-reply-to"] else "",
        references=tuple(dict.fromkeys((*ids["references"], *ids["in-reply-to"]))),
        text=text,
        html=html,
        files=files,
        headers=headers,
        message=message,
    )


def header_of(raw: bytes) -> Headers:
    """The header of a mail that cannot be read as a whole."""
    head, _, _ = raw[:_MOST_HEADER].replace(b"\r\n", b"\n").partition(b"\n\n")
    return Headers(email.message_from_bytes(head, policy=_POLICY))


def _require_bounds(raw: bytes) -> None:
    """Refuse what would take the parser more than some seconds or some hundred megabytes."""
    if raw.count(b"\n") > MOST_LINES:
        raise Unreadable(f"it has more than {MOST_LINES:,} lines")
    boundaries = {quoted or bare for quoted, bare in _BOUNDARY.findall(raw)}
    if len(boundaries) > MOST_BOUNDARIES:
        raise Unreadable(f"it has more than {MOST_BOUNDARIES} parts that have parts")
    if sum(raw.count(b"\n--" + boundary) for boundary in boundaries) > MOST_PARTS:
        raise Unreadable(f"it has more than {MOST_PARTS:,} parts")


def _content(message: Message, limits: Limits) -> tuple[str, str, tuple[File, ...]]:
    """The text, the safe HTML and the files of a mail; where there is no text, the one in the HTML."""
    texts: list[str] = []
    htmls: list[str] = []
    folder = Folder(limits)
    for part in _leaves(message):
        kind, name = part.get_content_type(), _file_name(part)
        disposition = str(part.get("content-disposition", "")).strip().lower()
        if kind in ("text/plain", "text/html") and not name and not disposition.startswith("attachment"):
            (texts if kind == "text/plain" else htmls).append(text_of(_bytes_of(part), _charset(part)))
        else:
            inline = disposition.startswith("inline") or "content-id" in part
            folder.add(name, kind, _bytes_of(part), inline=inline)
    html = safe_html("\n".join(htmls)) if htmls else ""
    text = "\n".join(texts).strip("\n")
    if not text.strip() and html:
        text = text_of_html(html)
    return text[:MOST_TEXT].rstrip(), html, folder.files()


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that have none themselves, in their order. A mail inside the mail is one of them."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.get_content_maintype() != "message" and part.is_multipart():
            waiting.extend(reversed(parts_of(part)))
        else:
            yield part


def _bytes_of(part: Message) -> bytes:
    """A part's content without its transfer encoding; of a mail inside the mail, that mail."""
    if part.is_multipart():
        return b"\n".join(inner.as_bytes() for inner in parts_of(part))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _charset(part: Message) -> str:
    given = part.get_param("charset", "")
    try:
        return collapse_rfc2231_value(given) if isinstance(given, tuple) else str(given)
    except (LookupError, ValueError):
        return ""


def _file_name(part: Message) -> str:
    """The name that the sender gave a file, in any of the three ways that programs write it."""
    for header, parameter in (("content-disposition", "filename"), ("content-type", "name")):
        given = part.get_param(parameter, "", header)
        if not given:
            continue
        if isinstance(given, tuple):
            charset, _, value = given
            return text_of(value.encode("latin-1", "replace"), charset or "")
        return decoded(given)
    return ""
