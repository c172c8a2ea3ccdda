"""Reports that a mail of ours did not arrive, or not yet: which mail, why, and what the other server said.

RFC 3464 says how such a report looks; flufl.bounce knows the servers that do not keep to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from flufl.bounce import all_failures

from services.support.mail.charsets import one_line, text_of
from services.support.mail.headers import Headers, parts_of

MOST_DETAIL = 500
# What a report that names no status is about (RFC 3463 §3.1): nobody says more than that it failed.
_UNNAMED_FAILURE, _UNNAMED_DELAY = "5.0.0", "4.0.0"
# Servers that gave up name what they met at the last try, which was not for good; that they gave up is.
_GIVEN_UP = "5.4.7"
# Reports are short; only their beginning is searched for what has no field of its own.
_SEARCHED = 50_000

_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_MESSAGE_ID = re.compile(r"^\s*>?\s*message-id:\s*(<[^<>\s]{1,500}>)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Bounce:
    """A report; `status` is as RFC 3463 numbers it, 5.x.x for good and 4.x.x for now."""

    message_id: str
    status: str
    detail: str
    address: str = ""


def bounce_in(message: Message, text: str) -> Bounce | None:
    """The report in a mail that a machine wrote, with the first recipient that failed; None where there is none."""
    recipients = list(_recipients(message))
    for action, fields in recipients:
        if action.startswith(("fail", "error", "delayed")):
            return _reported(message, fields, delayed=action.startswith("delayed"))
    # Of a report that names recipients, none failed: it says that the mail arrived.
    return None if recipients else _guessed(message, text)


def _recipients(message: Message) -> Iterator[tuple[str, Headers]]:
    """The blocks of the report that are about a recipient each, with what was done."""
    for part in message.walk():
        if part.get_content_type() not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        for block in parts_of(part):
            fields = Headers(block)
            if "action" in fields:
                yield fields.get("action").lower(), fields


def _reported(message: Message, fields: Headers, *, delayed: bool) -> Bounce:
    status = _STATUS.search(fields.get("status"))
    said = fields.get("diagnostic-code", MOST_DETAIL)
    if status is None or status[1] in (_UNNAMED_FAILURE, _UNNAMED_DELAY):
        status = _STATUS.search(said) or status
    named = status[1] if status else _UNNAMED_DELAY if delayed else _UNNAMED_FAILURE
    recipient = fields.get("final-recipient") or fields.get("original-recipient")
    return Bounce(
        message_id=_original_id(message),
        status=_GIVEN_UP if named.startswith("4") and not delayed else named,
        detail=said.partition(";")[2].strip() or said,
        address=recipient.partition(";")[2].strip().lower(),
    )


def _guessed(message: Message, text: str) -> Bounce | None:
    """What a report says that keeps to no standard."""
    try:
        delayed, failed = all_failures(message)
    except Exception:  # its detectors read what anybody sends, and raise what they happen to raise
        return None
    addresses = sorted(failed) or sorted(delayed)
    if not addresses:
        return None
    head = text[:_SEARCHED]
    status = _STATUS.search(head)
    line = next((line for line in head.split("\n") if status and status[1] in line), "")
    return Bounce(
        message_id=_original_id(message),
        status=status[1] if status else _UNNAMED_FAILURE if failed else _UNNAMED_DELAY,
        detail=one_line(line, MOST_DETAIL),
        address=addresses[0].decode("ascii", "replace").lower(),
    )


def _original_id(message: Message) -> str:
    """The Message-ID of the mail that did not arrive: from the copy of it, else from what the report answers."""
    for part in message.walk():
        if part is message:
            continue
        inner = parts_of(part) if part.get_content_type() == "message/rfc822" else []
        found = Headers(inner[0]).message_id() if inner else _quoted_id(part)
        if found:
            return found
    headers = Headers(message)
    named = [*headers.message_ids("in-reply-to"), *headers.message_ids("references")[-1:]]
    return named[0] if named else _quoted_id(message)


def _quoted_id(part: Message) -> str:
    """The Message-ID in the header of a mail that stands in a text."""
    if part.get_content_maintype() != "text" or part.is_multipart():
        return ""
    content = part.get_payload(decode=True)
    found = _MESSAGE_ID.search(text_of(content[:_SEARCHED])) if isinstance(content, bytes) else None
    return found[1] if found else ""
