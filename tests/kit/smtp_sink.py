"""An SMTP server that takes every mail, counts it and misbehaves on demand: a light process of its own.

    python -m tests.kit.smtp_sink          prints the two ports, then serves until its input ends

The second port answers questions, one JSON object a line: `{"ask": "count"}`, `{"ask": "mails"}`,
`{"ask": "configure", "defer": 0.1}`, `{"ask": "clear"}`.
"""

import asyncio
import base64
import json
import random
import ssl
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

END = b"\r\n.\r\n"


@dataclass
class Behaviour:
    """How the sink treats what comes; the numbers from 0 to 1 are shares of the mails."""

    # Seconds that pass before a mail is answered.
    stall: float = 0.0
    # The connection ends before the mail is taken, or after it is taken and before the answer.
    drop_before: float = 0.0
    drop_after: float = 0.0
    # The recipient, or the finished mail, is refused for now (4xx) or for good (5xx).
    defer: float = 0.0
    refuse: float = 0.0
    defer_data: float = 0.0
    refuse_data: float = 0.0
    # How often at most the same recipient is refused for now; each time the sender rests longer.
    most_deferrals: int = 2
    # Answers for certain recipients, "550 5.1.1 no such user", and for every new connection, "421 4.3.2 busy".
    recipients: dict[str, str] = field(default_factory=dict)
    greeting: str = ""
    starttls: bool = False
    # "user:password" that must be shown first.
    login: str = ""
    # Keep the whole mails, and not only their recipients and Message-IDs.
    keep: bool = False


@dataclass
class Ledger:
    """What was taken since the last `clear`."""

    mails: list[tuple[str, str, str]] = field(default_factory=list)
    deferrals: Counter[str] = field(default_factory=Counter)
    connections: int = 0

    def take(self, recipients: list[str], mail: bytes, *, keep: bool) -> None:
        """Count a mail once for each recipient."""
        text = mail.decode("utf-8", "replace") if keep else ""
        self.mails.extend((recipient, _message_id(mail), text) for recipient in recipients)


class Connection(asyncio.Protocol):
    """One client's conversation (RFC 5321), with PIPELINING, STARTTLS and AUTH PLAIN and LOGIN."""

    def __init__(self, behaviour: Behaviour, ledger: Ledger, tls: ssl.SSLContext) -> None:
        self._behaviour, self._ledger, self._tls = behaviour, ledger, tls
        self._waiting = bytearray()
        self._recipients: list[str] = []
        self._in_data = self._stalled = self._secure = self._known = False
        self._login: list[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        if self._secure:
            return
        self._ledger.connections += 1
        self._say(self._behaviour.greeting or "220 sink.example ESMTP")
        if self._behaviour.greeting:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while self._waiting and not self._stalled:
            if self._in_data:
                if not self._take_mail():
                    return
            else:
                line, found, rest = self._waiting.partition(b"\r\n")
                if not found:
                    return
                self._waiting = rest
                self._obey(line.decode("utf-8", "replace"))

    def _take_mail(self) -> bool:
        end = self._waiting.find(END)
        if end < 0:
            return False
        mail = bytes(self._waiting[:end])
        del self._waiting[: end + len(END)]
        self._in_data = False
        recipients, self._recipients = self._recipients, []
        self._judge(recipients, mail)
        return True

    def _judge(self, recipients: list[str], mail: bytes) -> None:
        behaviour = self._behaviour
        if _by_chance(behaviour.drop_before):
            self._transport.abort()
        elif self._defers(recipients, behaviour.defer_data):
            self._answer("451 4.3.0 try again later")
        elif _by_chance(behaviour.refuse_data):
            self._answer("554 5.7.1 not wanted")
        else:
            self._ledger.take(recipients, mail, keep=behaviour.keep)
            if _by_chance(behaviour.drop_after):
                self._transport.abort()
            else:
                self._answer("250 2.0.0 taken")

    def _defers(self, recipients: list[str], share: float) -> bool:
        deferrals = self._ledger.deferrals
        deferred = _by_chance(share) and all(deferrals[r] < self._behaviour.most_deferrals for r in recipients)
        deferrals.update(recipients if deferred else ())
        return deferred

    def _obey(self, line: str) -> None:
        if self._login is not None:
            self._log_in(line)
            return
        verb, _, rest = line.partition(" ")
        command = getattr(self, f"_do_{verb.lower()}", None)
        if command is None:
            self._say("502 5.5.1 not known here")
        else:
            command(rest)

    def _do_ehlo(self, _name: str) -> None:
        offers = ["sink.example", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 52428800"]
        offers += ["STARTTLS"] if self._behaviour.starttls and not self._secure else []
        offers += ["AUTH PLAIN LOGIN"] if self._behaviour.login else []
        self._say("\r\n".join([f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]))

    def _do_helo(self, _name: str) -> None:
        self._say("250 sink.example")

    def _do_starttls(self, _rest: str) -> None:
        self._say("220 2.0.0 go ahead")
        self._stalled = True
        self._task = asyncio.ensure_future(self._secured())

    async def _secured(self) -> None:
        loop = asyncio.get_running_loop()
        self._secure = True
        self._transport = await loop.start_tls(self._transport, self, self._tls, server_side=True)
        self._stalled = False
        # The client may have spoken while the handshake was being finished here.
        self.data_received(b"")

    def _do_auth(self, rest: str) -> None:
        kind, _, first = rest.partition(" ")
        if kind.upper() == "PLAIN" and first:
            _, user, password = base64.b64decode(first).decode().split("\0")
            self._admit(f"{user}:{password}")
        else:
            self._login = [base64.b64decode(first).decode()] if first else []
            self._say("334 " + base64.b64encode(b"Password:" if first else b"Username:").decode())

    def _log_in(self, line: str) -> None:
        given = self._login or []
        given.append(base64.b64decode(line).decode())
        if "\0" in given[0]:
            given = given[0].split("\0")[1:]
        if len(given) < 2:
            self._login = given
            self._say("334 " + base64.b64encode(b"Password:").decode())
        else:
            self._login = None
            self._admit(":".join(given))

    def _admit(self, login: str) -> None:
        self._known = login == self._behaviour.login
        self._say("235 2.7.0 welcome" if self._known else "535 5.7.8 wrong user or password")

    def _do_mail(self, _rest: str) -> None:
        self._recipients = []
        self._say("530 5.7.0 log in first" if self._behaviour.login and not self._known else "250 2.1.0 fine")

    def _do_rcpt(self, rest: str) -> None:
        address = rest[rest.find("<") + 1 : rest.find(">")]
        if answer := self._behaviour.recipients.get(address):
            self._say(answer)
        elif self._defers([address], self._behaviour.defer):
            self._say("450 4.2.1 mailbox busy")
        elif _by_chance(self._behaviour.refuse):
            self._say("550 5.1.1 no such user")
        else:
            self._recipients.append(address)
            self._say("250 2.1.5 fine")

    def _do_data(self, _rest: str) -> None:
        self._in_data = bool(self._recipients)
        self._say("354 end with a dot" if self._in_data else "503 5.5.1 no recipients")

    def _do_rset(self, _rest: str) -> None:
        self._recipients = []
        self._say("250 2.0.0 fine")

    def _do_noop(self, _rest: str) -> None:
        self._say("250 2.0.0 fine")

    def _do_quit(self, _rest: str) -> None:
        self._say("221 2.0.0 bye")
        self._transport.close()

    def _say(self, answer: str) -> None:
        self._transport.write(answer.encode() + b"\r\n")

    def _answer(self, answer: str) -> None:
        if not self._behaviour.stall:
            self._say(answer)
            return
        self._stalled = True
        asyncio.get_running_loop().call_later(self._behaviour.stall, self._resume, answer)

    def _resume(self, answer: str) -> None:
        self._stalled = False
        if not self._transport.is_closing():
            self._say(answer)
            self.data_received(b"")


class Questions(asyncio.Protocol):
    """The port that tests ask."""

    def __init__(self, behaviour: Behaviour, ledger: Ledger) -> None:
        self._behaviour, self._ledger = behaviour, ledger
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        for line in lines:
            self._transport.write(json.dumps(self._reply(json.loads(line))).encode() + b"\n")

    def _reply(self, question: dict[str, Any]) -> object:
        match question.pop("ask"):
            case "count":
                return {"mails": len(self._ledger.mails), "connections": self._ledger.connections}
            case "mails":
                return self._ledger.mails[question.get("start", 0) :]
            case "clear":
                self._ledger.mails.clear()
                self._ledger.deferrals.clear()
                self._ledger.connections = 0
                self._set(asdict(Behaviour()))
            case "configure":
                self._set(question)
        return {}

    def _set(self, changes: dict[str, Any]) -> None:
        known = {name.name for name in fields(Behaviour)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(name)
            setattr(self._behaviour, name, value)


def _by_chance(share: float) -> bool:
    return share > 0 and random.random() < share


def _message_id(mail: bytes) -> str:
    head = mail[: mail.find(b"\r\n\r\n")]
    at = head.lower().find(b"message-id:")
    return head[at + 11 :].split(b"\r\n", 1)[0].strip().decode("utf-8", "replace") if at >= 0 else ""


def _certificate(folder: Path) -> ssl.SSLContext:
    """A self-signed certificate for 127.0.0.1 and localhost, left in the folder for clients that check it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def serve(port: int) -> None:
    """Listen, print both ports, and serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    behaviour, ledger = Behaviour(), Ledger()
    with tempfile.TemporaryDirectory() as folder:
        tls = _certificate(Path(folder))
        mail = await loop.create_server(lambda: Connection(behaviour, ledger, tls), "127.0.0.1", port)
        questions = await loop.create_server(lambda: Questions(behaviour, ledger), "127.0.0.1", 0)
        ports = [server.sockets[0].getsockname()[1] for server in (mail, questions)]
        sys.stdout.write(f"{ports[0]} {ports[1]} {folder}/certificate.pem\n")
        sys.stdout.flush()
        # The parent's end closes the pipe, so no sink outlives its test.
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
