"""What support tells of mail that came in: answers, bounces, and machines that mean nothing."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1.events_pb2 import MessageReceived, MessagesChanged
from denda.notifications.v1.message_pb2 import MESSAGE_STATE_BOUNCED, MESSAGE_STATE_SENT
from denda.support.v1.events_pb2 import MailAccepted
from denda.support.v1.inbound_pb2 import (
    INBOUND_KIND_AUTO_REPLY,
    INBOUND_KIND_BOUNCE,
    INBOUND_KIND_BULK,
    INBOUND_KIND_LOOP,
    INBOUND_KIND_PERSONAL,
    InboundKind,
)
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.notifications.mime import message_id_header
from services.notifications.models import Message, Suppression, database
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, accepted, messages_stub, sent, told

OWN = "<0123.abc@inbound.shop.example>"
ADDRESS = "ane@customer.example"


def a_campaign_mail(doors: Doors) -> Message:
    plan = a_plan(a_template(doors))
    plan.recipients[0].address = ADDRESS
    accepted(plan)
    sent()
    with database.transaction() as session:
        return session.get_one(Message, UUID(plan.recipients[0].message_id))


def an_agents_answer(doors: Doors) -> str:
    request = pb.SendMessageRequest(channel=CHANNEL_EMAIL, address=ADDRESS, request_id="answer-1")
    request.content.subject, request.content.text = "Re: parcel", "Soon."
    request.thread.message_id_header = OWN
    message_id = messages_stub(doors).SendMessage(request).id
    sent()
    return message_id


def a_mail(kind: InboundKind.ValueType = INBOUND_KIND_PERSONAL, **fields: Any) -> MailAccepted:
    usual: dict[str, Any] = {
        "id": str(uuid4()),
        "from_address": ADDRESS,
        "to_address": "reply@inbound.shop.example",
        "subject": "Re: News",
        "text": "Thank\0you",
    }
    mail = MailAccepted(kind=kind, **(usual | fields))
    mail.time.GetCurrentTime()
    return mail


def a_bounce(header: str, status: str, detail: str = "") -> MailAccepted:
    return a_mail(
        INBOUND_KIND_BOUNCE,
        from_address="mailer-daemon@customer.example",
        bounced_message_id_header=header,
        bounce_status=status,
        bounce_detail=detail,
    )


def received(doors: Doors) -> list[MessageReceived]:
    return [event for event in doors.events("notifications") if isinstance(event, MessageReceived)]


def state_of(message_id: str | UUID) -> tuple[int, str]:
    with database.transaction() as session:
        message = session.get_one(Message, UUID(str(message_id)))
        return message.state, message.detail


def suppressed() -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(select(Suppression.address)))


def test_an_answer_to_a_campaign_is_told_once_under_the_mails_id(doors: Doors) -> None:
    message = a_campaign_mail(doors)
    mail = a_mail(in_reply_to=message_id_header(message.id, "denda.example"))
    told(mail)
    told(mail)
    [event] = received(doors)
    assert (event.id, event.in_reply_to_message_id) == (mail.id, str(message.id))
    assert (event.person_id, event.campaign_id) == (str(message.person_id), str(message.campaign_id))


def test_an_answer_to_an_agent_is_tied_to_what_the_agent_wrote(doors: Doors) -> None:
    message_id = an_agents_answer(doors)
    told(a_mail(in_reply_to=OWN))
    [event] = received(doors)
    assert (event.in_reply_to_message_id, event.campaign_id) == (message_id, "")


def test_who_wrote_is_whom_the_reader_found(doors: Doors) -> None:
    message, writer = a_campaign_mail(doors), str(uuid4())
    told(a_mail(in_reply_to=message_id_header(message.id, "denda.example"), person_id=writer))
    told(a_mail(person_id=writer))
    assert [event.person_id for event in received(doors)] == [writer, writer]
    assert [event.in_reply_to_message_id for event in received(doors)] == [str(message.id), ""]


@pytest.mark.parametrize("kind", [INBOUND_KIND_AUTO_REPLY, INBOUND_KIND_BULK, INBOUND_KIND_LOOP])
def test_what_a_machine_writes_is_no_answer_and_no_wish(doors: Doors, kind: InboundKind.ValueType) -> None:
    message = a_campaign_mail(doors)
    told(a_mail(kind, text="STOP", in_reply_to=message_id_header(message.id, "denda.example")))
    assert received(doors) == []
    assert suppressed() == []
    assert state_of(message.id)[0] == MESSAGE_STATE_SENT


@pytest.mark.parametrize(
    ("status", "detail", "hard"),
    [
        ("5.1.1", "550 5.1.1 no such user", True),
        ("5.1.10", "", True),
        ("5.2.1", "mailbox closed", True),
        ("5.0.0", "550 5.1.1 no such user", True),
        ("5.2.2", "mailbox full", False),
        ("5.7.1", "your mail looks like spam", False),
        ("5.1.8", "bad sender", False),
        ("5.4.7", "gave up after five days", False),
        ("", "it did not arrive", False),
    ],
)
def test_a_bounce_ends_a_message_and_blames_the_address_only_when_it_is_to_blame(
    doors: Doors, status: str, detail: str, hard: bool
) -> None:
    message = a_campaign_mail(doors)
    told(a_bounce(message_id_header(message.id, "denda.example"), status, detail))
    assert state_of(message.id) == (MESSAGE_STATE_BOUNCED, f"{status} {detail}".strip())
    assert suppressed() == ([ADDRESS] if hard else [])


def test_a_mail_that_is_delayed_may_still_arrive(doors: Doors) -> None:
    message = a_campaign_mail(doors)
    told(a_bounce(message_id_header(message.id, "denda.example"), "4.4.1", "connection timed out"))
    assert state_of(message.id)[0] == MESSAGE_STATE_SENT
    assert suppressed() == []
    history = messages_stub(doors).ListMessageEvents(pb.ListMessageEventsRequest(message_id=str(message.id))).events
    assert ("delayed", "4.4.1 connection timed out") in [(event.kind, event.detail) for event in history]


def test_an_agents_answer_that_bounces_is_told(doors: Doors) -> None:
    message_id = an_agents_answer(doors)
    told(a_bounce(OWN, "5.1.1"))
    changes = [
        one for event in doors.events("notifications") if isinstance(event, MessagesChanged) for one in event.changes
    ]
    assert (changes[-1].message_id, changes[-1].state, changes[-1].detail) == (
        message_id,
        MESSAGE_STATE_BOUNCED,
        "5.1.1",
    )


def test_a_bounce_counts_only_with_a_message_id_that_nobody_else_can_know(doors: Doors) -> None:
    message = a_campaign_mail(doors)
    for header in (f"<{message.id.hex}.0000000000000000@denda.example>", f"<{message.id.hex}@denda.example>", "", "<>"):
        told(a_bounce(header, "5.1.1"))
    assert state_of(message.id)[0] == MESSAGE_STATE_SENT
    assert suppressed() == []


def test_mail_that_is_told_twice_has_its_effect_once(doors: Doors) -> None:
    message = a_campaign_mail(doors)
    header = message_id_header(message.id, "denda.example")
    answer, bounce = a_mail(in_reply_to=header), a_bounce(header, "5.1.1")
    for mail in (answer, bounce, answer, bounce):
        told(mail)
    assert len(received(doors)) == 1
    history = messages_stub(doors).ListMessageEvents(pb.ListMessageEventsRequest(message_id=str(message.id))).events
    assert sorted(event.kind for event in history) == ["accepted", "bounced", "sent"]
