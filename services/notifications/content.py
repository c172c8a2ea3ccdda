"""Messages that somebody wrote by hand: sent as they are, a mail in the conversation that it belongs to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import InvalidArgument
from services.notifications.states import Channel

MOST_SMS_CHARACTERS = 1600
# An id of RFC 5322, 3.6.4, that can stand in a header: nothing in it ends a line, and no program needs to decode it.
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,988}>")


@dataclass(frozen=True)
class Thread:
    """Where a mail stands in a conversation; each id with its angle brackets."""

    message_id_header: str = ""
    in_reply_to: str = ""
    references: Sequence[str] = ()


@dataclass(frozen=True)
class Content:
    """What is sent, as it is; subject, HTML and thread are a mail's."""

    subject: str
    text: str
    html: str
    thread: Thread


def check(content: Content, channel: Channel) -> None:
    """Raises InvalidArgument for what cannot be sent on the channel."""
    if channel == Channel.SMS and len(content.text) > MOST_SMS_CHARACTERS:
        raise InvalidArgument("content.text", f"an SMS has at most {MOST_SMS_CHARACTERS:,} characters")
    chosen = content.thread.message_id_header
    if chosen and not MESSAGE_ID.fullmatch(chosen):
        raise InvalidArgument("thread.message_id_header", "write it as `<id@shop.example>`, in plain ASCII")


def as_kept(content: Content) -> dict[str, Any]:
    """The content as `message.content` keeps it; PostgreSQL keeps no NUL."""
    kept = {name: getattr(content, name).replace("\0", "\ufffd") for name in ("subject", "text", "html")}
    return {**kept, "in_reply_to": content.thread.in_reply_to, "references": list(content.thread.references)}


def thread_headers(kept: dict[str, Any]) -> bytes:
    """The header lines of a mail that belongs to a conversation.

    The ids are those of mails from anywhere; one that cannot stand in a header is left out.
    """
    answered = kept["in_reply_to"] if MESSAGE_ID.fullmatch(kept["in_reply_to"]) else ""
    references = [one for one in kept["references"] if MESSAGE_ID.fullmatch(one)]
    lines = ([f"In-Reply-To: {answered}\r\n"] if answered else []) + (
        ["References: " + "\r\n ".join(references) + "\r\n"] if references else []
    )
    return "".join(lines).encode()
