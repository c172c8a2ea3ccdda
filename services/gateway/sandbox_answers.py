"""What a made-up customer answers to a message in the sandbox, written by whoever looks at it.

A mail goes the way of all mails that come in; an SMS and a voicemail come as if a provider had delivered them.
"""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from denda.notifications.v1.messages_service_pb2 import SandboxMessage
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.gateway import clients
from services.gateway.public.forms import one_line

# Message-IDs are long, and folding lines at 78 characters would encode them; RFC 5322, 2.1.1, allows 998.
POLICY = SMTP.clone(max_line_length=990)


def answer(message: SandboxMessage, text: str, request_id: str) -> None:
    """Let the message's reader answer it; the same request again changes nothing. Raises grpc.RpcError."""
    if message.channel == CHANNEL_EMAIL:
        mail = _mail(message, text, request_id)
        clients.take_in(mail.as_bytes(policy=POLICY), message.address, [mail["To"]])
    else:
        clients.speak_in_sandbox(message.channel, message.address, text, request_id)


def _mail(message: SandboxMessage, text: str, request_id: str) -> EmailMessage:
    """The answer as mail programs write it: in the thread, with what it answers quoted below."""
    original = message_from_bytes(message.raw)
    mail = EmailMessage()
    mail["From"] = message.address
    mail["To"] = parseaddr(original["Reply-To"] or original["From"] or "")[1]
    mail["Subject"] = f"Re: {one_line(message.subject).removeprefix('Re: ')}"
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{request_id}@sandbox.example>"
    if named := original["Message-ID"]:
        mail["In-Reply-To"] = named
        mail["References"] = f"{one_line(original['References'] or '')} {named}".strip()
    when = message.create_time.ToJsonString().partition("T")[0]
    quoted = "\n".join(f"> {line}" for line in message.text.strip().splitlines())
    mail.set_content(f"{text}\n\nOn {when}, {mail['To']} wrote:\n{quoted}\n")
    return mail
