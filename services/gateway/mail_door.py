"""The edge as a mail server: SMTP for everybody, LMTP for a mail server of the house.

It takes mail only for the inbound domain and for the addresses of queues, and passes nothing on. 250 means that
support has stored the bytes; while it is away the sender is asked to come again (451).
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import grpc
import structlog
from aiosmtpd.smtp import Envelope, Session
from prometheus_client import Counter

from chassis.errors import Unavailable
from chassis.settings import settings
from services.gateway import clients
from services.gateway.mail_conversation import Conversation, House, LocalConversation, Mail
from services.gateway.mailboxes import QueueAddresses, is_ours
from services.gateway.settings import gateway_settings

# A hundred is what RFC 5321 §4.5.3.1.8 asks for; the sender brings the others in another transaction.
RECIPIENTS = 100
# Whoever guesses addresses waits longer for the answer with each miss, in seconds.
WAIT_PER_MISS = 0.05
LONGEST_WAIT = 5.0
BACKLOG = 128
# Mails that are handed to support at once.
THREADS = 8
AWAY = "451 4.3.0 We cannot take it at the moment, try again later"

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

# aiosmtpd writes down what clients say, which is nobody's business.
logging.getLogger("mail.log").disabled = True
log = structlog.get_logger()
MAILS = Counter("denda_mail_door_mails_total", "Mails that were brought to the edge whole, by its answer.", ["code"])


class Keeper:
    """Answers for the conversations what only support knows, in threads, since calls to it are synchronous."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "mail-door")
        self._queue_addresses = QueueAddresses()

    async def keep(self, mail: Mail) -> str:
        """Have support store a mail."""
        answer = await self._in_a_thread(_stored, mail)
        MAILS.labels(answer[:3]).inc()
        return answer

    async def handle_EHLO(  # noqa: N802
        self, _server: Conversation, session: Session, _envelope: Envelope, name: str, offers: list[str]
    ) -> list[str]:
        """Offer PIPELINING too (RFC 2920): commands are read one after the other whenever they come."""
        session.host_name = name
        return [*offers[:-1], "250-PIPELINING", offers[-1]]

    async def handle_RCPT(  # noqa: N802
        self, server: Conversation, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient whose mail becomes a ticket, and no other."""
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 Too many recipients, bring the others afterwards"
        try:
            known = is_ours(address) or await self._in_a_thread(self._queue_addresses.__contains__, address)
        except grpc.RpcError as error:
            log.warning("recipient_not_checked", code=error.code().name)
            return AWAY
        if known:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        server.misses += 1
        await asyncio.sleep(min(LONGEST_WAIT, server.misses * WAIT_PER_MISS))
        return "550 5.1.1 Nobody here has this address"

    async def handle_exception(self, error: Exception) -> str:
        """Answer a defect of ours without showing it."""
        log.error("mail_conversation_failed", exc_info=error)
        return AWAY

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_a_thread(self, work: Callable[[Asked], Answer], argument: Asked) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, argument)


def _stored(mail: Mail) -> str:
    try:
        return f"250 2.0.0 Kept as {clients.take_in(mail.content, mail.sender, mail.recipients)}"
    except grpc.RpcError as error:
        log.warning("mail_not_stored", code=error.code().name, size=len(mail.content))
        return AWAY


class MailDoor:
    """The SMTP and LMTP servers of this process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._house: House | None = None

    def start(self) -> None:
        """Bind the ports that are asked for, and serve. Raises Unavailable for one that is taken."""
        wanted = {Conversation: gateway_settings().smtp_in_port, LocalConversation: gateway_settings().lmtp_port}
        with ExitStack() as bound:
            sockets = {kind: bound.enter_context(_listening(port)) for kind, port in wanted.items() if port}
            bound.pop_all()
        self._loop = asyncio.new_event_loop()
        self._house = House(gateway_settings().inbound_domain, Keeper())
        serving = _serve(self._house, sockets)
        self._thread = threading.Thread(target=_run, args=(self._loop, serving), name="mail-door", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more, and let what is under way be answered within a part of the time that a stop may take."""
        if self._loop and self._house and self._thread:
            self._loop.call_soon_threadsafe(self._house.closing.set)
            self._thread.join()
        self._thread = self._loop = self._house = None


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None]) -> None:
    loop.run_until_complete(serving)
    loop.close()


async def _serve(house: House, sockets: Mapping[type[Conversation], socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(partial(kind, house), sock=listening, backlog=BACKLOG)
        for kind, listening in sockets.items()
    ]
    await house.closing.wait()
    for server in servers:
        server.close()
    await house.close(settings().shutdown_seconds / 4)


def _listening(port: int) -> socket.socket:
    place = (settings().bind, port + settings().port_offset)
    try:
        return socket.create_server(place, family=socket.AF_INET6 if ":" in place[0] else socket.AF_INET)
    except OSError as error:
        raise Unavailable(
            f"{place[0]}:{place[1]}, the port for mail, is taken by another program ({error}). Stop it, or set "
            "DENDA_PORT_OFFSET to move all ports, or DENDA_SMTP_IN_PORT and DENDA_LMTP_PORT.",
            reason="PORT_TAKEN",
        ) from error
