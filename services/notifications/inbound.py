"""What people answer, or write on their own: kept, tied to the message it answers, told to the others.

Mail is read by support, which tells of it; an automatic answer is neither an answer nor a wish, and a bounce is a
receipt like a provider's.

STOP as an answer to an SMS puts the number on the suppression list, START takes it off again if STOP put it there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from chassis.outbox import record_all
from denda.notifications.v1.events_pb2 import MessageReceived
from services.notifications import keywords, receipts
from services.notifications.addresses import comparable
from services.notifications.keywords import Wish
from services.notifications.messages import messages_named
from services.notifications.models import Message
from services.notifications.receipts import Kind, Notice
from services.notifications.states import Channel, State
from services.notifications.statuses import refuses_address
from services.notifications.suppressions import Reason, remove_suppression, suppress_address

MOST_TEXT = 100_000
MOST_DETAIL = 1_000


_KEEP = text("""
    INSERT INTO inbound_message (id, channel, from_address, to_address, subject, text, in_reply_to_message_id,
        person_id, time)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:channels AS smallint[]), CAST(:senders AS text[]),
        CAST(:recipients AS text[]), CAST(:subjects AS text[]), CAST(:texts AS text[]), CAST(:answered AS uuid[]),
        CAST(:people AS uuid[]), CAST(:times AS timestamptz[]))
    ON CONFLICT DO NOTHING RETURNING id""")


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


def receive(session: Session, received: Sequence[Inbound]) -> None:
    """Take messages in, each once. Records MessageReceived for each."""
    answered = _answered(session, received)
    people = [one.person_id or (of.person_id if of else None) for one, of in zip(received, answered, strict=True)]
    new = _keep(session, received, answered, people)
    events = []
    for inbound, message, person_id in zip(received, answered, people, strict=True):
        if inbound.id in new:
            new.remove(inbound.id)
            wish = keywords.wish_of(inbound.text) if inbound.channel == Channel.SMS else None
            _obey(session, inbound, wish)
            events.append((_event(inbound, person_id, message, wish), str(inbound.id)))
    record_all(session, events)


def _keep(
    session: Session,
    received: Sequence[Inbound],
    answered: Sequence[Message | None],
    people: Sequence[UUID | None],
) -> set[UUID]:
    """Keep messages with what they answer and who wrote them; answers the ids of those that are new."""
    columns = {
        "ids": [one.id for one in received],
        "channels": [int(one.channel) for one in received],
        "senders": [one.from_address for one in received],
        "recipients": [one.to_address for one in received],
        "subjects": [_storable(one.subject) for one in received],
        "texts": [_storable(one.text)[:MOST_TEXT] for one in received],
        "answered": [message and message.id for message in answered],
        "people": list(people),
        "times": [one.time for one in received],
    }
    return set(session.scalars(_KEEP, columns))


def take_bounces(session: Session, bounces: Sequence[Bounce]) -> None:
    """Learn what did not arrive, of what surely left here. Records MessagesChanged.

    Anybody can write a mail that looks like a bounce, so only a Message-ID that nobody else can know counts, and only
    a status that blames the address suppresses it. A mail that is delayed may still arrive: its message stays as it is.
    """
    notices = []
    named = messages_named(session, [bounce.message_id_header for bounce in bounces])
    for bounce in bounces:
        message = named.get(bounce.message_id_header)
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


def _answered(session: Session, received: Sequence[Inbound]) -> list[Message | None]:
    """The messages that these answer: named by a mail, or for SMS and voice the last one to the sender."""
    named = messages_named(session, [one.in_reply_to for one in received if one.channel == Channel.EMAIL])
    return [
        named.get(one.in_reply_to) if one.channel == Channel.EMAIL else _last_to(session, one.channel, one.from_address)
        for one in received
    ]


def _last_to(session: Session, channel: Channel, address: str) -> Message | None:
    return session.scalars(
        select(Message)
        .where(
            Message.channel == int(channel),
            Message.address == comparable(channel, address),
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


def _storable(words: str) -> str:
    """PostgreSQL keeps no NUL."""
    return words.replace("\0", "\ufffd")
