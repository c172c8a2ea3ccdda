"""The door to the bus: SMS and voicemail become tickets, and answers learn what became of them."""

from collections.abc import Sequence
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from chassis.service import Handler
from denda.notifications.v1.events_pb2 import MessageChange, MessageReceived, MessagesChanged
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_VOICE
from services.support import answers, calls_and_texts, campaigns
from services.support.answers import Fate
from services.support.calls_and_texts import Word
from services.support.clients import DELIVERY_STATES
from services.support.states import Source


def on_messages_changed(session: Session, events: Sequence[MessagesChanged]) -> None:
    """Show agents what became of their answers. A campaign's messages are nobody's answer."""
    changes = [change for event in events for change in event.changes if not change.campaign_id]
    answers.learn(session, [_fate(change) for change in changes if change.state in DELIVERY_STATES])


def on_message_received(session: Session, events: Sequence[MessageReceived]) -> None:
    """Take what comes by SMS and telephone into tickets. Mail is in its ticket already, and its campaign is news."""
    for event in events:
        # A single word that was obeyed, such as STOP, asks for nothing more.
        if event.channel != CHANNEL_EMAIL and not event.keyword:
            calls_and_texts.receive(session, _word(event))
    mails = [event for event in events if event.channel == CHANNEL_EMAIL and event.campaign_id]
    if mails:
        campaigns.learn(session, {UUID(event.id): UUID(event.campaign_id) for event in mails})


def _fate(change: MessageChange) -> Fate:
    return Fate(UUID(change.message_id), DELIVERY_STATES[change.state], change.detail)


def _word(event: MessageReceived) -> Word:
    return Word(
        id=UUID(event.id),
        source=Source.VOICE if event.channel == CHANNEL_VOICE else Source.SMS,
        from_address=event.from_address,
        text=event.text,
        person_id=UUID(event.person_id) if event.person_id else None,
        campaign_id=UUID(event.campaign_id) if event.campaign_id else None,
        message_id=UUID(event.in_reply_to_message_id) if event.in_reply_to_message_id else None,
    )


HANDLERS: dict[type[Message], Handler] = {
    MessagesChanged: on_messages_changed,
    MessageReceived: on_message_received,
}
