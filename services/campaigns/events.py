"""What campaigns hears: what became of messages, who withdrew consent or answered, and who was deleted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from chassis.service import Handler
from denda.contacts.v1.events_pb2 import ConsentsChanged, PersonDeleted
from denda.notifications.v1 import message_pb2 as message
from denda.notifications.v1.events_pb2 import MessageChange, MessageReceived, MessagesChanged
from services.campaigns import outcomes
from services.campaigns.models import RecipientState, SkipReason
from services.campaigns.outcomes import Outcome

STATES: Mapping[int, RecipientState] = {
    message.MESSAGE_STATE_SCHEDULED: RecipientState.PLANNED,
    message.MESSAGE_STATE_SENDING: RecipientState.PLANNED,
    message.MESSAGE_STATE_SENT: RecipientState.SENT,
    message.MESSAGE_STATE_DELIVERED: RecipientState.DELIVERED,
    message.MESSAGE_STATE_BOUNCED: RecipientState.BOUNCED,
    message.MESSAGE_STATE_FAILED: RecipientState.FAILED,
    message.MESSAGE_STATE_SKIPPED: RecipientState.SKIPPED,
    message.MESSAGE_STATE_UNKNOWN: RecipientState.UNKNOWN,
}
REASONS: Mapping[int, SkipReason] = {
    message.SKIP_REASON_SUPPRESSED: SkipReason.SUPPRESSED,
    message.SKIP_REASON_CONSENT_WITHDRAWN: SkipReason.CONSENT_WITHDRAWN,
    message.SKIP_REASON_FREQUENCY_CAP: SkipReason.FREQUENCY_CAP,
    message.SKIP_REASON_EXPIRED: SkipReason.EXPIRED,
    message.SKIP_REASON_CANCELLED: SkipReason.CANCELLED,
    message.SKIP_REASON_PERSON_DELETED: SkipReason.PERSON_DELETED,
}


def on_messages_changed(session: Session, events: Sequence[MessagesChanged]) -> None:
    """Move the recipients of campaigns to where their messages are."""
    changes = (change for event in events for change in event.changes if change.campaign_id)
    outcomes.advance(session, _outcomes(changes))


def on_consents_changed(session: Session, events: Sequence[ConsentsChanged]) -> None:
    """Count who unsubscribed from a message."""
    withdrawn = (
        (change.message_id, change.time.ToMicroseconds())
        for event in events
        for change in event.changes
        if change.withdrawn and change.message_id
    )
    outcomes.record_unsubscribes(session, _first_times(withdrawn))


def on_message_received(session: Session, events: Sequence[MessageReceived]) -> None:
    """Count who answered a message."""
    answers = (
        (event.in_reply_to_message_id, event.time.ToMicroseconds()) for event in events if event.in_reply_to_message_id
    )
    outcomes.record_replies(session, _first_times(answers))


def on_person_deleted(session: Session, events: Sequence[PersonDeleted]) -> None:
    """Forget what is known of the addresses of deleted people."""
    outcomes.forget_people(session, [UUID(event.person_id) for event in events])


HANDLERS: dict[type[Message], Handler] = {
    MessagesChanged: on_messages_changed,
    ConsentsChanged: on_consents_changed,
    MessageReceived: on_message_received,
    PersonDeleted: on_person_deleted,
}


def _outcomes(changes: Iterable[MessageChange]) -> Iterator[Outcome]:
    for change in changes:
        state = STATES.get(change.state)
        if state is None or (state == RecipientState.PLANNED and not change.detail):
            # A newer notifications may know states that this release does not, and the next known one brings the
            # row on. That a message waits or is being sent is news only where it says why.
            continue
        moment = change.time.ToMicroseconds()
        yield Outcome(
            change.message_id,
            state,
            REASONS.get(change.skip_reason, SkipReason.NONE),
            change.detail,
            change.version,
            moment,
            moment if change.state == message.MESSAGE_STATE_SENT else None,
            moment if change.complained else None,
        )


def _first_times(told: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The earliest time for each message."""
    first: dict[str, int] = {}
    for message_id, moment in told:
        first[message_id] = min(moment, first.get(message_id, moment))
    return first
