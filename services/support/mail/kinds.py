"""Who or what wrote a mail: a person, or a machine that must not be answered (RFC 3834)."""

import re
from collections.abc import Iterable

from services.support.mail.bounces import Bounce, bounce_in
from services.support.mail.headers import Headers
from services.support.mail.parse import Mail
from services.support.mail.phrases import AWAY
from services.support.states import InboundKind

NULL_SENDER = "<>"
# Names under which mail servers write.
_SERVERS = re.compile(r"(?:mailer-?daemon|postmaster|mail-?delivery|bounces?|mdaemon|mailsystem)\b", re.IGNORECASE)
_AUTO_FIELDS = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from", "x-mail-autoreply")
_SUPPRESS = re.compile(r"\b(?:all|dr|oof|autoreply)\b", re.IGNORECASE)
_LIST_FIELDS = ("list-id", "list-unsubscribe", "list-post", "list-help", "feedback-id")


def kind_of(mail: Mail, envelope_from: str, is_own: bool) -> tuple[InboundKind, Bounce | None]:
    """What sort of mail it is, and the report in it if it is a bounce.

    `envelope_from` is `<>` for the null sender and empty where nobody knows it. `is_own`: its Message-ID or its sender
    is ours, so it left this house and has come back.
    """
    headers = mail.headers
    if is_own:
        return InboundKind.LOOP, None
    null_sender = NULL_SENDER in (envelope_from.strip(), *(value.strip() for value in headers.raw("return-path")))
    if _may_be_bounce(mail, null_sender) and (bounce := bounce_in(mail.message, mail.text)):
        return InboundKind.BOUNCE, bounce
    if null_sender or _is_report(headers) or _is_automatic(headers) or _says_away(mail.subject):
        return InboundKind.AUTO_REPLY, None
    if _is_bulk(headers):
        return InboundKind.BULK, None
    return InboundKind.PERSONAL, None


def _may_be_bounce(mail: Mail, null_sender: bool) -> bool:
    """Whether it is worth looking for a report: people write about bounces too, and quote them."""
    from_server = bool(_SERVERS.match(mail.from_address.partition("@")[0]))
    return null_sender or from_server or _is_report(mail.headers)


def _is_report(headers: Headers) -> bool:
    return headers.get("content-type").lower().startswith("multipart/report")


def _is_automatic(headers: Headers) -> bool:
    submitted = headers.get("auto-submitted").lower()
    return (
        (bool(submitted) and not submitted.startswith("no"))
        or any(name in headers for name in _AUTO_FIELDS)
        or bool(_SUPPRESS.search(headers.get("x-auto-response-suppress")))
        or "auto_reply" in _precedence(headers)
    )


def _says_away(subject: str) -> bool:
    """Whether a subject begins as Exchange and others begin it for somebody who is away: with words and a colon."""
    return subject.casefold().startswith(AWAY) and subject.replace("\uff1a", ":")[:40].count(":") > 0


def _is_bulk(headers: Headers) -> bool:
    return any(name in headers for name in _LIST_FIELDS) or bool(_precedence(headers) & {"bulk", "list", "junk"})


def _precedence(headers: Headers) -> set[str]:
    values: Iterable[str] = (headers.get(name).lower() for name in ("precedence", "x-precedence"))
    return set(filter(None, values))
