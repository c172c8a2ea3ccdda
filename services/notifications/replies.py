"""The mails with which the sandbox's customers answer, as a mail program writes them.

They go the way of all mail: to support, which reads them. Whom a person wrote to answers twice in a conversation and
then has no more to say, so that an agent can see a conversation go on and come to its end.
"""

import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import uuid5

from chassis.clock import now
from services.notifications.models import SandboxMessage

FIRST_WORDS = ("Thank you! When do you open on Saturday?", "Eskerrik asko!", "¿Lo tienen también en azul?")
LAST_WORDS = ("Perfect, thank you!", "Primeran, eskerrik asko!", "¡Muchas gracias, todo claro!")
MOST_ANSWERS = 2
ANSWERS = re.compile(rb"^In-Reply-To:", re.MULTILINE | re.IGNORECASE)
AUTOMATIC = re.compile(rb"^Auto-Submitted:", re.MULTILINE | re.IGNORECASE)
# What the Message-ID of a customer's mail looks like.
OWN = re.compile(rb"<[0-9a-f]{32}\.customer@[^<>\s]+>")
# Ids are long, and a line must not be broken within one: RFC 5322, 2.1.1, allows 998 characters.
POLICY = SMTP.clone(max_line_length=990)


@dataclass(frozen=True)
class Reply:
    """A mail from a customer; `key` is the same however often it is handed in."""

    key: str
    raw: bytes
    from_address: str
    to_address: str


def is_from_a_person(message: SandboxMessage) -> bool:
    """Whether the customer got an answer that somebody wrote."""
    head = _head(message)
    return bool(ANSWERS.search(head)) and not AUTOMATIC.search(head)


def has_more_to_say(message: SandboxMessage) -> bool:
    """Whether the customer goes on with the conversation."""
    return len(set(OWN.findall(_head(message)))) < MOST_ANSWERS


def reply_to(message: SandboxMessage) -> Reply:
    """The mail that answers a mail."""
    answered = BytesHeaderParser(policy=POLICY).parsebytes(message.raw)
    answered_id = str(answered["message-id"])
    to_address = parseaddr(str(answered["reply-to"] or answered["from"]))[1]
    domain = message.address.rpartition("@")[2]
    mail = EmailMessage(policy=POLICY.clone(utf8=not (message.address + to_address).isascii()))
    mail["From"] = message.address
    mail["To"] = to_address
    mail["Subject"] = message.subject if message.subject[:3].lower() == "re:" else f"Re: {message.subject}"
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = f"<{uuid5(message.id, 'reply').hex}.customer@{domain}>"
    mail["In-Reply-To"] = answered_id
    mail["References"] = " ".join([*str(answered["references"] or "").split(), answered_id])
    mail.set_content(f"{_words(message)}\n\n{_quoted(message)}", cte="quoted-printable")
    return Reply(f"sandbox {message.id}", mail.as_bytes(), message.address, to_address)


def _words(message: SandboxMessage) -> str:
    choice = LAST_WORDS if is_from_a_person(message) else FIRST_WORDS
    return choice[message.id.int % len(choice)]


def _quoted(message: SandboxMessage) -> str:
    lines = "".join(f"> {line}\n" for line in message.text.splitlines())
    return f"On {message.create_time:%Y-%m-%d %H:%M}, {message.sender} wrote:\n{lines}"


def _head(message: SandboxMessage) -> bytes:
    return (message.raw or b"").partition(b"\r\n\r\n")[0]
