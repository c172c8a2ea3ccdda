"""The sandbox's customers: some open, click, bounce, complain, unsubscribe or answer, always the same ones.

What a customer does is decided by the message's id, or in a conversation by how it goes on. Opening, clicking and
unsubscribing are real requests to the public addresses found in the mail, and only to this machine; who answers a
mail hands a real one to support; the rest comes as receipts and inbound messages.
"""

import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Unavailable
from chassis.ids import new_id
from services import public_url
from services.notifications import clients, inbound, receipts, replies
from services.notifications.acceptance import NAMESPACE
from services.notifications.letters import default_sender
from services.notifications.models import SandboxMessage, database
from services.notifications.receipts import Kind, Notice
from services.notifications.settings import settings
from services.notifications.states import Channel

BATCH = 100
LEASE = timedelta(minutes=1)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
UNSUBSCRIBE = re.compile(rb"^List-Unsubscribe: <([^>\r\n]+)>", re.MULTILINE)

log = structlog.get_logger()


@dataclass(frozen=True)
class Chances:
    """How many of a hundred thousand customers do it."""

    hard_bounce: int
    soft_bounce: int
    open: int
    click: int
    complaint: int
    unsubscribe: int
    reply: int
    stop: int


CHANCES = {
    Channel.EMAIL: Chances(1_800, 900, 45_000, 25_000, 300, 900, 1_500, 0),
    Channel.SMS: Chances(1_500, 1_500, 0, 9_000, 0, 0, 3_000, 2_000),
    Channel.VOICE: Chances(0, 3_000, 0, 0, 0, 0, 0, 0),
}


def acts_of(message: SandboxMessage) -> list[str]:
    """What the customer does with a message, in order."""
    if message.channel == Channel.EMAIL and replies.is_from_a_person(message):
        return ["delivered", "open", "reply"] if replies.has_more_to_say(message) else ["delivered", "open"]
    chances = CHANCES[Channel(message.channel)]
    digest = sha256(message.id.bytes).digest()

    def happens(place: int, chance: int) -> bool:
        return int.from_bytes(digest[3 * place : 3 * place + 3], "big") % 100_000 < chance

    if happens(0, chances.hard_bounce):
        return ["hard_bounce"]
    if happens(1, chances.soft_bounce):
        return ["soft_bounce"]
    acts = ["delivered"]
    if happens(2, chances.open):
        acts.append("open")
    if (acts[-1] == "open" or not chances.open) and happens(3, chances.click):
        acts.append("click")
    acts += [
        act
        for place, act in enumerate(("complaint", "unsubscribe", "reply", "stop"), 4)
        if happens(place, getattr(chances, act))
    ]
    return acts


def act() -> bool:
    """Let the customers do what is due; True when there may be more."""
    if not settings().sandbox_behaviour:
        return False
    with database.transaction() as session:
        due = session.scalars(
            select(SandboxMessage)
            .where(SandboxMessage.act_time <= now())
            .order_by(SandboxMessage.act_time)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        ids = [message.id for message in due]
        session.execute(update(SandboxMessage).where(SandboxMessage.id.in_(ids)).values(act_time=now() + LEASE))
    acts = [(message, acts_of(message)[message.acts_done]) for message in due]
    _browse(acts)
    unsent = _write(acts)
    acts = [(message, deed) for message, deed in acts if message.id not in unsent]
    with database.transaction() as session:
        _report(session, acts)
        for message, _ in acts:
            last = message.acts_done + 1 >= len(acts_of(message))
            session.execute(
                update(SandboxMessage)
                .where(SandboxMessage.id == message.id)
                .values(
                    acts_done=message.acts_done + 1,
                    act_time=None if last else now() + timedelta(seconds=settings().sandbox_delay),
                )
            )
    return len(due) == BATCH


def speak(session: Session, channel: Channel, from_address: str, words: str, request_id: str = "") -> UUID:
    """A customer sends an SMS or leaves a voicemail; the id of what came in, the same for a repeated request_id.

    Records MessageReceived.
    """
    spoken = inbound.Inbound(
        id=uuid5(NAMESPACE, f"spoken:{request_id}") if request_id else new_id(),
        channel=channel,
        from_address=from_address,
        to_address=default_sender(channel),
        subject="",
        text=words,
        time=now(),
    )
    inbound.receive(session, [spoken])
    return spoken.id


def _report(session: Session, acts: Sequence[tuple[SandboxMessage, str]]) -> None:
    kinds = {kind.value for kind in Kind}
    receipts.receive(session, [_notice(message, Kind(deed)) for message, deed in acts if deed in kinds])
    for message, deed in acts:
        if deed in ("reply", "stop") and message.channel != Channel.EMAIL:
            inbound.receive(session, [_answer(message, stop=deed == "stop")])


def _notice(message: SandboxMessage, kind: Kind) -> Notice:
    words = {
        Kind.HARD_BOUNCE: "550 5.1.1 no such user (sandbox)",
        Kind.SOFT_BOUNCE: "552 5.2.2 the mailbox is full (sandbox)",
    }
    return Notice(uuid5(message.id, kind.value), message.id, kind, now(), words.get(kind, "told by the sandbox"))


def _answer(message: SandboxMessage, *, stop: bool) -> inbound.Inbound:
    return inbound.Inbound(
        id=uuid5(NAMESPACE, f"reply:{message.id}"),
        channel=Channel(message.channel),
        from_address=message.address,
        to_address=message.sender,
        subject="",
        text="STOP" if stop else replies.FIRST_WORDS[message.id.int % len(replies.FIRST_WORDS)],
        time=now(),
    )


def _write(acts: Sequence[tuple[SandboxMessage, str]]) -> set[UUID]:
    """Hand in the mails of those who answer one; the messages whose answer must wait, since nobody takes it now."""
    waiting = set()
    for message, deed in acts:
        if deed == "reply" and message.channel == Channel.EMAIL:
            try:
                clients.hand_in(replies.reply_to(message))
            except Unavailable:
                log.info("sandbox_customer_found_no_support")
                waiting.add(message.id)
    return waiting


def _browse(acts: Sequence[tuple[SandboxMessage, str]]) -> None:
    """Make the requests of those who open, click and unsubscribe; without a gateway nobody does."""
    edge = urlsplit(public_url())
    if edge.hostname not in LOOPBACK or edge.scheme != "http":
        return
    wanted = [(method, url) for message, deed in acts if (found := _request(message, deed)) for method, url in [found]]
    if not wanted:
        return
    connection = http.client.HTTPConnection(edge.hostname or "", edge.port or 80, timeout=5)
    try:
        for method, url in wanted:
            _request_once(connection, method, url)
    except (OSError, http.client.HTTPException) as error:
        log.info("sandbox_customers_found_no_gateway", error=type(error).__name__)
    finally:
        connection.close()


def _request(message: SandboxMessage, deed: str) -> tuple[str, str] | None:
    """The request that a deed makes: method and address, where the message has one."""
    public = re.escape(public_url())
    content = message.html or message.text
    if deed == "open":
        found = re.search(public + r"/o/[\w-]+\.gif", content)
        return ("GET", found[0]) if found else None
    if deed == "click":
        links = re.findall(public + r"/l/[\w-]+", content)
        return ("GET", links[message.id.int % len(links)]) if links else None
    if deed == "unsubscribe":
        header = UNSUBSCRIBE.search(message.raw)
        url = header[1].decode() if header else ""
        return ("POST", url) if url.startswith(public_url()) else None
    return None


def _request_once(connection: http.client.HTTPConnection, method: str, url: str) -> None:
    body = "List-Unsubscribe=One-Click" if method == "POST" else None
    headers = {"User-Agent": BROWSER, "Accept": "text/html,image/*"}
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, urlsplit(url).path, body, headers)
    # A redirect is not followed: the shop's own site is not this machine's business.
    connection.getresponse().read()
