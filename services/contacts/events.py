"""Events from the others, and what they mean for people: the timeline, and what campaigns are called."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.service import Handler
from denda.campaigns.v1.events_pb2 import Engagement, EngagementsRecorded, RecipientsPlanned
from denda.notifications.v1.events_pb2 import MessageChange, MessageReceived, MessagesChanged
from denda.notifications.v1.message_pb2 import MessageState
from denda.support.v1.events_pb2 import TicketChange, TicketsChanged
from denda.support.v1.ticket_pb2 import SOURCE_EMAIL, SOURCE_SMS, SOURCE_VOICE, TicketState
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_UNSPECIFIED, CHANNEL_VOICE
from services.contacts import addresses, senders, timeline
from services.contacts.models import AddressKind
from services.contacts.senders import Sender
from services.contacts.timeline import Happening

_CHANNELS = {SOURCE_EMAIL: CHANNEL_EMAIL, SOURCE_SMS: CHANNEL_SMS, SOURCE_VOICE: CHANNEL_VOICE}


def on_messages_changed(session: Session, events: Sequence[MessagesChanged]) -> None:
    """Bring the messages on the timeline to where they stand."""
    timeline.merge(session, [_message(change) for event in events for change in event.changes if change.person_id])


def on_engagements_recorded(session: Session, events: Sequence[EngagementsRecorded]) -> None:
    """Put opens and clicks on the timeline."""
    engagements = [one for event in events for one in event.engagements if one.person_id]
    timeline.merge(session, [_engagement(one) for one in engagements])
    names = {one.campaign_id: one.campaign_name for one in engagements if one.campaign_id}
    timeline.learn_campaigns(session, {UUID(campaign_id): name for campaign_id, name in names.items()})


def on_recipients_planned(session: Session, events: Sequence[RecipientsPlanned]) -> None:
    """Learn what the campaign is called: changes of its messages carry only its id."""
    timeline.learn_campaigns(session, {UUID(event.campaign_id): event.campaign_name for event in events})


def on_message_received(session: Session, events: Sequence[MessageReceived]) -> None:
    """Put answers on the timeline of whom they are from.

    Who sends an SMS or calls and is unknown becomes a person; who writes a mail has become one when it was read.
    """
    callers = _callers(session, events)
    happenings = []
    for event in events:
        known = callers.get(event.from_address) or addresses.only_owner(session, event.from_address)
        if person_id := event.person_id or known:
            happenings.append(_reply(event, str(person_id)))
    timeline.merge(session, happenings)


def on_tickets_changed(session: Session, events: Sequence[TicketsChanged]) -> None:
    """Bring tickets on the timeline to where they stand, as soon as it is known who asks."""
    changes = [change for event in events for change in event.changes if change.requester_id]
    timeline.merge_tickets(session, [_ticket(change) for change in changes])


def _callers(session: Session, events: Sequence[MessageReceived]) -> dict[str, UUID | None]:
    """The people behind telephone numbers; a single word that was obeyed makes nobody a person."""
    numbers = {
        event.from_address
        for event in events
        if event.channel in (CHANNEL_SMS, CHANNEL_VOICE) and not (event.person_id or event.keyword)
    }
    asked = [Sender(AddressKind.PHONE, number, "") for number in sorted(numbers)]
    found = senders.resolve(session, asked) if asked else []
    return {sender.value: one.person_id for sender, one in zip(asked, found, strict=True)}


def _message(change: MessageChange) -> Happening:
    state = MessageState.Name(change.state).removeprefix("MESSAGE_STATE_").lower()
    return Happening(
        person_id=change.person_id,
        id=change.message_id,
        kind="message",
        channel=change.channel,
        summary=change.summary,
        time=_time(change.time),
        state="complained" if change.complained else state,
        campaign_id=change.campaign_id or None,
        message_id=change.message_id,
        version=change.version,
    )


def _engagement(one: Engagement) -> Happening:
    opened = one.kind == Engagement.KIND_OPEN
    return Happening(
        person_id=one.person_id,
        id=one.id,
        kind="open" if opened else "click",
        channel=one.channel,
        summary=one.url,
        time=_time(one.time),
        campaign_id=one.campaign_id or None,
        message_id=one.message_id or None,
    )


def _reply(event: MessageReceived, person_id: str) -> Happening:
    return Happening(
        person_id=person_id,
        id=event.id,
        kind="reply",
        channel=event.channel,
        summary=event.subject or event.text,
        time=_time(event.time),
        campaign_id=event.campaign_id or None,
        message_id=event.in_reply_to_message_id or None,
    )


def _ticket(change: TicketChange) -> Happening:
    return Happening(
        person_id=change.requester_id,
        id=change.ticket_id,
        kind="ticket",
        channel=_CHANNELS.get(change.source, CHANNEL_UNSPECIFIED),
        summary=f"#{change.number} {change.subject}",
        time=_time(change.create_time),
        state=TicketState.Name(change.state).removeprefix("TICKET_STATE_").lower(),
        version=change.version,
    )


def _time(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC) if time.seconds else now()


HANDLERS: dict[type[Message], Handler] = {
    MessagesChanged: on_messages_changed,
    EngagementsRecorded: on_engagements_recorded,
    RecipientsPlanned: on_recipients_planned,
    MessageReceived: on_message_received,
    TicketsChanged: on_tickets_changed,
}
