"""What people answer, or write on their own: kept, tied to the message it answers, told to the others.

Mail is read by support, which tells of it; an automatic answer is neither an answer nor a wish, and a bounce is a
receipt like a provider's.

STOP as an answer to an SMS puts the number on the suppression list, START takes it off again if STOP put it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.outbox import record
from denda.notifications.v1.events_pb2 import MessageReceived
from services.notifications import keywords, receipts
from services.notifications.addresses import comparable
from services.notifications.keywords import Wish
from services.notifications.messages import message_named
from services.notifications.models import InboundMessage, Message
from services.notifications.receipts import Kind, Notice
from services.notifications.states import Channel, State
from services.notifications.statuses import refuses_address
from services.notifications.suppressions import Reason, remove_suppression, suppress_address

MOST_TEXT = 100_000
MOST_DETAIL = 1_000


@dataclass(frozen=True)
class Inbound:
    """A message that came in; `id` is the same however often the provider delivers it."""

    id: UUID
    channel: Channel
    from_address: str
    to_address: str
    subject: str
    text: str
    time: datetime
    # The Message-ID that a mail answers.
    in_reply_to: str = ""
    # Who wrote it, where whoever read it knows.
    person_id: UUID | None = None


@dataclass(frozen=True)
class Bounce:
    """A mail that says that one of ours did not arrive; `status` is a code of RFC 3463, 4.x.x while it may yet."""

    id: UUID
    message_id_header: str
    status: str
    detail: str
    time: datetime


def receive(session: Session, inbound: Inbound) -> None:
    """Take a message in, once. Records MessageReceived."""
    answered = _answered(session, inbound)
    person_id = inbound.person_id or (answered.person_id if answered else None)
    new = session.scalar(
        insert(InboundMessage)
        .values(
            id=inbound.id,
            channel=int(inbound.channel),
            from_address=inbound.from_address,
            to_address=inbound.to_address,
            subject=_storable(inbound.subject),
            text=_storable(inbound.text)[:MOST_TEXT],
            in_reply_to_message_id=answered.id if answered else None,
            person_id=person_id,
            time=inbound.time,
        )
        .on_conflict_do_nothing()
        .returning(InboundMessage.id)
    )
    if new is None:
        return
    wish = keywords.wish_of(inbound.text) if inbound.channel == Channel.SMS else None
    _obey(session, inbound, wish)
    record(session, _event(inbound, person_id, answered, wish), str(inbound.id))


def take_bounces(session: Session, bounces: Sequence[Bounce]) -> None:
    """Learn what did not arrive, of what surely left here. Records MessagesChanged.

    Anybody can write a mail that looks like a bounce, so only a Message-ID that nobody else can know counts, and only
    a status that blames the address suppresses it. A mail that is delayed may still arrive: its message stays as it is.
    """
    notices = []
    for bounce in bounces:
        message = message_named(session, bounce.message_id_header)
        if message is not None and message.channel == Channel.EMAIL:
            detail = _storable(f"{bounce.status} {bounce.detail}".strip())[:MOST_DETAIL]
            notices.append(Notice(bounce.id, message.id, _kind_of(bounce), bounce.time, detail))
    receipts.receive(session, notices)


def _kind_of(bounce: Bounce) -> Kind:
    if bounce.status.startswith("4."):
        return Kind.DELAYED
    hard = refuses_address(bounce.status) or refuses_address(bounce.detail)
    return Kind.HARD_BOUNCE if hard else Kind.SOFT_BOUNCE


def _obey(session: Session, inbound: Inbound, wish: Wish | None) -> None:
    if wish == Wish.STOP:
        suppress_address(session, Channel.SMS, inbound.from_address, Reason.OPT_OUT, "answered STOP")
    elif wish == Wish.START:
        remove_suppression(session, Channel.SMS, inbound.from_address, only=Reason.OPT_OUT)


def _answered(session: Session, inbound: Inbound) -> Message | None:
    """The message that this one answers: named by it, or for SMS and voice the last one to its sender."""
    if inbound.channel == Channel.EMAIL:
        return message_named(session, inbound.in_reply_to) if inbound.in_reply_to else None
    return session.scalars(
        select(Message)
        .where(
            Message.channel == int(inbound.channel),
            Message.address == comparable(inbound.channel, inbound.from_address),
            Message.state.in_([int(State.SENT), int(State.DELIVERED), int(State.UNKNOWN)]),
        )
        .order_by(Message.create_time.desc(), Message.id.desc())
        .limit(1)
    ).first()


def _event(inbound: Inbound, person_id: UUID | None, answered: Message | None, wish: Wish | None) -> MessageReceived:
    event = MessageReceived(
        id=str(inbound.id),
        channel=int(inbound.channel),  # type: ignore[arg-type]  # the stubs want the enum's own type
        from_address=inbound.from_address,
        to_address=inbound.to_address,
        subject=inbound.subject,
        text=inbound.text[:MOST_TEXT],
        person_id=str(person_id or ""),
        keyword=wish.name if wish else "",
    )
    event.time.FromDatetime(inbound.time)
    if answered:
        event.in_reply_to_message_id = str(answered.id)
        event.campaign_id = str(answered.campaign_id or "")
    return event


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd")
