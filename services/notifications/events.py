"""The door to the bus: what campaigns, contacts and support tell notifications."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from chassis.clock import now
from denda.campaigns.v1.events_pb2 import CampaignControlled, RecipientsPlanned
from denda.contacts.v1.events_pb2 import ConsentsChanged, PersonDeleted
from denda.support.v1.events_pb2 import MailAccepted
from denda.support.v1.inbound_pb2 import INBOUND_KIND_BOUNCE, INBOUND_KIND_PERSONAL
from services.notifications.acceptance import Brief, Recipient, accept
from services.notifications.inbound import Bounce, Inbound, receive, take_bounces
from services.notifications.projections import Consent, control_campaign, forget_people, remember_consents
from services.notifications.states import Channel, Command

# How long a campaign's message may wait whose plan does not say.
EXPIRY = timedelta(hours=72)


def on_recipients_planned(session: Session, events: Sequence[RecipientsPlanned]) -> None:
    """Accept the messages of a campaign."""
    for event in events:
        begin = event.schedule_time.ToDatetime(UTC) if event.HasField("schedule_time") else now()
        expire = event.expire_time.ToDatetime(UTC) if event.HasField("expire_time") else begin + EXPIRY
        brief = Brief(
            campaign_id=UUID(event.campaign_id),
            campaign_name=event.campaign_name,
            channel=Channel(event.channel),
            purpose=event.purpose,
            template_id=UUID(event.template_id),
            template_version=event.template_version,
            sender=event.sender,
            reply_to=event.reply_to,
            track=event.track,
        )
        recipients = [
            Recipient(
                message_id=recipient.message_id,
                person_id=recipient.person_id,
                address=recipient.address,
                language=recipient.language,
                time_zone=recipient.time_zone,
                merge_fields=recipient.merge_fields_json or "{}",
            )
            for recipient in event.recipients
        ]
        accept(session, brief, recipients, begin, expire)


def on_campaign_controlled(session: Session, events: Sequence[CampaignControlled]) -> None:
    """Hold, resume or drop what is not yet in a provider's hands."""
    for event in events:
        control_campaign(session, UUID(event.campaign_id), Command(event.command), event.version)


def on_consents_changed(session: Session, events: Sequence[ConsentsChanged]) -> None:
    """Remember who may not be written to."""
    changes = [change for event in events for change in event.changes]
    remember_consents(
        session,
        [
            Consent(
                person_id=UUID(change.person_id),
                channel=Channel(change.channel),
                purpose=change.purpose,
                withdrawn=change.withdrawn,
                time=change.time.ToDatetime(UTC),
            )
            for change in changes
        ],
    )


def on_person_deleted(session: Session, events: Sequence[PersonDeleted]) -> None:
    """Forget people and stop what is planned for them."""
    forget_people(session, [UUID(event.person_id) for event in events])


def on_mail_accepted(session: Session, events: Sequence[MailAccepted]) -> None:
    """Take in what people write by mail, and what a bounce says of a message. Other machines say nothing to us."""
    receive(session, [_written(event) for event in events if event.kind == INBOUND_KIND_PERSONAL])
    take_bounces(session, [_bounce(event) for event in events if event.kind == INBOUND_KIND_BOUNCE])


def _written(event: MailAccepted) -> Inbound:
    return Inbound(
        id=UUID(event.id),
        channel=Channel.EMAIL,
        from_address=event.from_address,
        to_address=event.to_address,
        subject=event.subject,
        text=event.text,
        time=event.time.ToDatetime(UTC),
        in_reply_to=event.in_reply_to,
        person_id=UUID(event.person_id) if event.person_id else None,
    )


def _bounce(event: MailAccepted) -> Bounce:
    header, time = event.bounced_message_id_header, event.time.ToDatetime(UTC)
    return Bounce(UUID(event.id), header, event.bounce_status, event.bounce_detail, time)


HANDLERS: Mapping[type[Message], Callable[[Session, Sequence[Any]], None]] = {
    RecipientsPlanned: on_recipients_planned,
    CampaignControlled: on_campaign_controlled,
    ConsentsChanged: on_consents_changed,
    PersonDeleted: on_person_deleted,
    MailAccepted: on_mail_accepted,
}
