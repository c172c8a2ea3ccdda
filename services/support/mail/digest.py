"""By what the same mail is known when it comes again: its Message-ID, and a digest of what its author made."""

import re
from hashlib import sha256

from services.support.mail.charsets import one_line, text_of

# What servers on the way add or change is in none of these.
_FIELD = re.compile(
    rb"^(from|to|cc|subject|date|message-id|in-reply-to|references)[ \t]*:(.*(?:\r?\n[ \t].*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:\s*(<[^<>\s]{1,500}>)", re.IGNORECASE | re.MULTILINE)


def message_id_in(raw: bytes) -> str:
    """The Message-ID with angle brackets, found without reading the mail; empty where it is not written well."""
    found = _MESSAGE_ID.search(_halves(raw)[0])
    return one_line(text_of(found[1]), 502) if found else ""


def digest_of(raw: bytes) -> bytes | None:
    """SHA-256 of a mail without what servers on its way have added.

    None for one that has neither Message-ID nor date: two people may write the same few words.
    """
    head, body = _halves(raw)
    fields = sorted((name.lower(), b" ".join(value.split())) for name, value in _FIELD.findall(head))
    if not any(name in (b"message-id", b"date") for name, _ in fields):
        return None
    digest = sha256(b"\n".join(b":".join(field) for field in fields))
    digest.update(b"\n\n" + body.replace(b"\r\n", b"\n").rstrip())
    return digest.digest()


def _halves(raw: bytes) -> tuple[bytes, bytes]:
    """The header and the body."""
    end = _BLANK_LINE.search(raw)
    return (raw[: end.start()], raw[end.end() :]) if end else (raw, b"")
