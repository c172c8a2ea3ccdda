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
from services.contacts import addresses, timeline
from services.contacts.timeline import Happening


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
    """Put answers on the timeline of whom they are from: an unknown sender is looked up by the address."""
    happenings = []
    for event in events:
        person_id = event.person_id or addresses.only_owner(session, event.from_address)
        if person_id:
            happenings.append(_reply(event, str(person_id)))
    timeline.merge(session, happenings)


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


def _time(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC) if time.seconds else now()


HANDLERS: dict[type[Message], Handler] = {
    MessagesChanged: on_messages_changed,
    EngagementsRecorded: on_engagements_recorded,
    RecipientsPlanned: on_recipients_planned,
    MessageReceived: on_message_received,
}
