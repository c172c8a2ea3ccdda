"""One conversation with a program that brings mail: SMTP (RFC 5321) or LMTP (RFC 2033).

aiosmtpd speaks the protocol. Here is what it leaves open: lines of any length, where a mail ends, limits, an answer
for each recipient in LMTP, and an end for those who are slow to speak or to listen.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Protocol

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP

MAIL_BYTES = 50 * 1024 * 1024
# What all mails that are under way may take of the memory; the others wait at their senders.
HELD_BYTES = 256 * 1024 * 1024
LINE_BYTES = 64 * 1024
# What RFC 5321 §4.5.3.2.7 gives a client for its next command, and what we give it for a whole mail.
COMMAND_SECONDS = 300.0
MAIL_SECONDS = 600.0
CONNECTIONS = 200
CONNECTIONS_OF_ONE = 50
# How often a command may come in one conversation; aiosmtpd ends it then.
COMMANDS = {"*": 100, "MAIL": 10_000, "RCPT": 100_000, "DATA": 10_000, "RSET": 10_000}

TOO_LARGE = f"552 5.3.4 A mail may have {MAIL_BYTES} bytes"
FULL = "452 4.3.1 There is no room for it at the moment, try again later"


@dataclass(frozen=True)
class Mail:
    """A mail as it came, with its envelope; `sender` is empty for a bounce."""

    content: bytes
    sender: str
    recipients: list[str]


class Keeper(Protocol):
    """Who takes the mails; aiosmtpd also calls the `handle_` methods that it has."""

    async def keep(self, mail: Mail) -> str:
        """Store a mail; the answer begins with 250 only when that is done."""

    def close(self) -> None:
        """Take no more."""


@dataclass
class House:
    """What the conversations of a door have in common."""

    name: str
    keeper: Keeper
    conversations: set["Conversation"] = field(default_factory=set)
    # Bytes of mails that are being read or stored.
    held: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self, seconds: float) -> None:
        """End the conversations, after their answers to mails that are under way, yet within some seconds."""
        for conversation in tuple(self.conversations):
            conversation.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.conversations:
                    await asyncio.sleep(0.02)
        for conversation in tuple(self.conversations):
            conversation.abort()
        self.keeper.close()


class Conversation(SMTP):
    """The server's side of SMTP."""

    # The reader holds at most twice as much before the client has to wait.
    line_length_limit = LINE_BYTES

    def __init__(self, house: House) -> None:
        super().__init__(
            house.keeper,
            data_size_limit=MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname=house.name,
            ident="Denda",
            timeout=COMMAND_SECONDS,
            command_call_limit=COMMANDS,
            loop=asyncio.get_running_loop(),
        )
        # Recipients that nobody is.
        self.misses = 0
        self._house = house
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and be counted."""
        self._house.conversations.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End, for whatever reason."""
        self._house.conversations.discard(self)
        super().connection_lost(error)

    def finish(self) -> None:
        """End now, or as soon as the mail that is under way is answered."""
        if not self._busy and self.transport is not None:
            self._writer.write(b"421 4.3.2 Closing for now, come again later\r\n")
            self._hang_up()

    def abort(self) -> None:
        """End whatever is under way. Closing would wait for a client that does not read what it is told."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Take a mail, and answer when it is stored or why it is not."""
        if await self.check_helo_needed():
            return
        if arg or self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("501 5.5.4 DATA has no argument" if arg else "503 5.5.1 Say RCPT first")
            return
        self._busy = True
        try:
            await self.push("354 End the mail with <CR><LF>.<CR><LF>")
            self._reset_timeout(MAIL_SECONDS)
            sender, recipients = self.envelope.mail_from or "", self.envelope.rcpt_tos
            await self._take("" if sender == "<>" else sender, recipients)
        finally:
            self._busy = False
        self.envelope = self._create_envelope()
        if self._house.closing.is_set():
            self.finish()

    async def _take(self, sender: str, recipients: list[str]) -> None:
        content = bytearray()
        try:
            answer = await self._read(content)
            self._reset_timeout()
            if not answer:
                answer = await self._house.keeper.keep(Mail(bytes(content), sender, recipients))
            await self.push(self._for_all(answer, recipients))
        finally:
            self._house.held -= len(content)

    async def _read(self, content: bytearray) -> str:
        """Read to the lone dot, and take the dots of transparency away (RFC 5321 §4.5.2); answers a refusal, or ""."""
        refusal, size, at_line_start = "", 0, True
        while (piece := await self._piece()) != b".\r\n" or not at_line_start:
            size += len(piece)
            if size > 2 * MAIL_BYTES:
                await self.push(TOO_LARGE)
                self._hang_up()
            refusal = refusal or self._refusal(size)
            if not refusal:
                text = piece[1:] if at_line_start and piece.startswith(b".") else piece
                content += text
                self._house.held += len(text)
            elif content:
                self._house.held -= len(content)
                content.clear()
            at_line_start = piece.endswith(b"\r\n")
        return refusal

    async def _piece(self) -> bytes:
        """The next line with its end, or a part of one that is very long."""
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as overrun:
            return await self._reader.read(overrun.consumed)

    def _refusal(self, size: int) -> str:
        if size > MAIL_BYTES:
            return TOO_LARGE
        return FULL if self._house.held > HELD_BYTES else ""

    def _for_all(self, answer: str, _recipients: list[str]) -> str:
        return answer

    def _hang_up(self) -> None:
        """Let nothing that has come already be read as a command."""
        if self._handler_coroutine is not None and self.transport is not None:
            self._handler_coroutine.cancel()
            self.transport.close()

    def _timeout_cb(self) -> None:
        self.abort()

    async def _handle_client(self) -> None:
        everybody = self._house.conversations
        of_one = sum(other.client == self.client for other in everybody)
        if len(everybody) > CONNECTIONS or of_one > CONNECTIONS_OF_ONE:
            await self.push("421 4.7.0 Too many connections, try again later")
            self._writer.close()
            return
        await super()._handle_client()

    @property
    def client(self) -> str:
        """Where the client is on the network."""
        return str(self.session.peer[0]) if self.session and self.session.peer else ""

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        try:
            address, rest = super()._getaddr(arg)
        except (IndexError, ValueError, AttributeError, TypeError):
            # The standard library's parser stumbles over some nonsense.
            return None, None
        # Control characters, and bytes that are not UTF-8, cannot be kept.
        return (None, None) if address and not address.isprintable() else (address, rest)


class LocalConversation(Conversation, LMTP):
    """The server's side of LMTP: LHLO instead of EHLO, and an answer for each recipient (RFC 2033 §4.2)."""

    def _for_all(self, answer: str, recipients: list[str]) -> str:
        return "\r\n".join(answer for _ in recipients)
