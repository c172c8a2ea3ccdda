"""Tracking: opens and clicks, by the signed tokens in the mails.

A person counts once, by the first time; every open and click of a person is told with EngagementsRecorded.
Machines are marked on the row and told to nobody. Of a deleted person nothing more is recorded.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import InvalidArgument, NotFound
from chassis.ids import new_id
from chassis.moments import timestamp
from chassis.outbox import record
from chassis.signing import verify
from denda.campaigns.v1.events_pb2 import Engagement, EngagementsRecorded
from services.campaigns.campaigns import campaign_by_id
from services.campaigns.machines import is_machine
from services.campaigns.models import Recipient, TrackedLink
from services.campaigns.outcomes import MACHINE_SPEED
from services.campaigns.values import channel_value

ID_BYTES = 16
NUMBER_BYTES = 2


def record_open(session: Session, token: str, user_agent: str, *, machine: bool) -> None:
    """Record that a message was opened. Raises InvalidArgument for a token that is not genuine."""
    recipient = _recipient(session, _opened(token))
    moment = now()
    if recipient is None or recipient.forgotten_time:
        return
    if machine or _looks_like_machine(recipient, user_agent, moment):
        recipient.machine_open_time = recipient.machine_open_time or moment
        return
    recipient.open_time = recipient.open_time or moment
    _tell(session, recipient, Engagement.KIND_OPEN, "", moment)


def record_click(session: Session, token: str, user_agent: str, *, machine: bool) -> str:
    """Record a click and answer where the link leads.

    Raises InvalidArgument for a token that is not genuine, NotFound for a link that was not registered at launch.
    """
    message_id, number = _clicked(token)
    recipient = _recipient(session, message_id)
    link = session.get(TrackedLink, (recipient.campaign_id, number)) if recipient else None
    if recipient is None or link is None:
        raise NotFound("link", f"{number} of message {message_id}")
    moment = now()
    if recipient.forgotten_time:
        return link.url
    if machine or _looks_like_machine(recipient, user_agent, moment):
        recipient.machine_click_time = recipient.machine_click_time or moment
        return link.url
    recipient.click_time = recipient.click_time or moment
    _tell(session, recipient, Engagement.KIND_CLICK, link.url, moment)
    return link.url


def _looks_like_machine(recipient: Recipient, user_agent: str, moment: datetime) -> bool:
    """Whether nobody can have read the mail yet, or the user agent is a program's.

    Where the report that it was sent is still on its way, outcomes.py looks again when that comes.
    """
    at_once = recipient.sent_time is not None and moment < recipient.sent_time + MACHINE_SPEED
    return at_once or is_machine(user_agent)


def _recipient(session: Session, message_id: UUID) -> Recipient | None:
    """The message's row, locked: two opens at once must not both be the first."""
    found = select(Recipient).where(Recipient.message_id == message_id).with_for_update(key_share=True)
    return session.scalars(found).one_or_none()


def _tell(session: Session, recipient: Recipient, kind: Engagement.Kind.ValueType, url: str, moment: datetime) -> None:
    campaign = campaign_by_id(session, recipient.campaign_id)
    engagement = Engagement(
        id=str(new_id()),
        kind=kind,
        person_id=str(recipient.person_id),
        campaign_id=str(campaign.id),
        campaign_name=campaign.name,
        message_id=str(recipient.message_id),
        channel=channel_value(campaign.channel),
        url=url,
        time=timestamp(moment),
    )
    record(session, EngagementsRecorded(engagements=[engagement]), str(recipient.person_id))


def _opened(token: str) -> UUID:
    payload = verify("open", token)
    if len(payload) != ID_BYTES:
        raise InvalidArgument("token", "is not a token of this installation")
    return UUID(bytes=payload)


def _clicked(token: str) -> tuple[UUID, int]:
    """The message and the number of the link."""
    payload = verify("link", token)
    if len(payload) != ID_BYTES + NUMBER_BYTES:
        raise InvalidArgument("token", "is not a token of this installation")
    return UUID(bytes=payload[:ID_BYTES]), int.from_bytes(payload[ID_BYTES:], "big")
