"""Messages that somebody wrote by hand, and the conversation that a mail belongs to."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import grpc
import pytest
from sqlalchemy import func, select

from denda.contacts.v1.events_pb2 import PersonDeleted
from denda.notifications.v1 import message_pb2
from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1.events_pb2 import MessagesChanged
from denda.notifications.v1.message_pb2 import MESSAGE_STATE_SENT
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE, Channel
from services.notifications.acceptance import message_id_of
from services.notifications.models import Message, SandboxMessage, database
from services.notifications.states import Channel as OurChannel
from tests.kit.doors import Doors
from tests.notifications.things import a_template, a_variant, fields_of, messages_stub, sent, told

OWN = "<0123.abc@inbound.shop.example>"
ANSWERED = "<question.1@customer.example>"


def send(
    doors: Doors,
    content: pb.Content,
    thread: pb.Thread | None = None,
    channel: Channel.ValueType = CHANNEL_EMAIL,
    **changes: str,
) -> message_pb2.Message:
    fields: dict[str, Any] = {"address": "ane@customer.example", "request_id": "answer-1"} | changes
    request = pb.SendMessageRequest(channel=channel, content=content, thread=thread, **fields)
    return messages_stub(doors).SendMessage(request)


def kept(message: message_pb2.Message) -> SandboxMessage:
    with database.transaction() as session:
        return session.get_one(SandboxMessage, UUID(message.id))


def mail_of(message: message_pb2.Message) -> EmailMessage:
    found = message_from_bytes(kept(message).raw, policy=default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_mail_goes_out_as_it_was_written(doors: Doors) -> None:
    text = "Kaixo Ane,\n\nyour {{ code }} is {% raw %}: 5 % off ñ\n.\n"
    html = "<p>Your {{ code }} &amp; {% if %} ñ</p>"
    message = send(
        doors,
        pb.Content(subject="Re: {{ parcel }} ñ", text=text, html=html),
        sender="Shop <help@shop.example>",
        reply_to="reply+abc@inbound.shop.example",
    )
    sent()
    mail = mail_of(message)
    assert (mail["subject"], body(mail, "plain"), body(mail, "html").strip()) == ("Re: {{ parcel }} ñ", text, html)
    assert (mail["from"], mail["reply-to"]) == ("Shop <help@shop.example>", "reply+abc@inbound.shop.example")
    assert (kept(message).text, kept(message).html) == (text, html)


def test_an_answer_is_not_marked_as_automatic_and_a_template_is(doors: Doors) -> None:
    answer = send(doors, pb.Content(subject="Re: parcel", text="It is on its way."))
    template = a_template(doors, a_variant(html="<p>Thanks {{ given_name }}</p>"))
    receipt = messages_stub(doors).SendMessage(
        pb.SendMessageRequest(
            channel=CHANNEL_EMAIL,
            address="ane@customer.example",
            template_id=template.id,
            merge_fields=fields_of(given_name="Ane"),
            request_id="order-1",
        )
    )
    sent()
    assert mail_of(answer)["auto-submitted"] is None
    assert mail_of(receipt)["auto-submitted"] == "auto-generated"


def test_an_answer_stands_in_its_thread(doors: Doors) -> None:
    references = [f"<{number}.{'x' * 900}@customer.example>" for number in range(20)]
    thread = pb.Thread(message_id_header=OWN, in_reply_to=ANSWERED, references=[*references, ANSWERED])
    message = send(doors, pb.Content(subject="Re: parcel", text="Soon."), thread)
    sent()
    mail = mail_of(message)
    assert (mail["message-id"], mail["in-reply-to"]) == (OWN, ANSWERED)
    assert mail["references"].split() == [*references, ANSWERED]
    assert max(map(len, kept(message).raw.splitlines())) <= 998


def test_an_answer_without_a_thread_has_a_message_id_of_ours(doors: Doors) -> None:
    message = send(doors, pb.Content(subject="Parcel", text="Soon."))
    sent()
    mail = mail_of(message)
    assert mail["message-id"].startswith(f"<{UUID(message.id).hex}.")
    assert mail["in-reply-to"] is None
    assert mail["references"] is None


@pytest.mark.parametrize(
    "evil",
    [
        "<a@b.example>\r\nBcc: victim@b.example",
        "<a@b.example\r\nBcc:victim@b.example>",
        "<a@b.example\nBcc:victim@b.example>",
        "<a\x0bb@b.example>",
        "<a\x85b@b.example>",
        "<a\u2028b@b.example>",
        "<ñ@b.example>",
        "<a b@b.example>",
        "a@b.example",
    ],
)
def test_nothing_from_outside_adds_a_header(doors: Doors, evil: str) -> None:
    content = pb.Content(subject=f"Re: {evil}", text="Soon.")
    message = send(doors, content, pb.Thread(in_reply_to=evil, references=[evil, ANSWERED]))
    sent()
    mail = mail_of(message)
    assert (mail["in-reply-to"], mail["references"], mail["bcc"]) == (None, ANSWERED, None)
    with pytest.raises(grpc.RpcError) as refusal:
        send(doors, content, pb.Thread(message_id_header=evil), request_id="answer-2")
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "message_id_header" in str(refusal.value.details())


@pytest.mark.parametrize("channel", [CHANNEL_SMS, CHANNEL_VOICE])
def test_sms_and_voice_say_the_text_as_it_is(doors: Doors, channel: Channel.ValueType) -> None:
    message = send(doors, pb.Content(text="Your {{ code }}: 5 % off"), channel=channel, address="+34 944 000 000")
    sent(OurChannel(channel))
    assert (kept(message).address, kept(message).text) == ("+34944000000", "Your {{ code }}: 5 % off")


def test_an_sms_that_no_provider_takes_is_refused(doors: Doors) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        send(doors, pb.Content(text="x" * 1601), channel=CHANNEL_SMS, address="+34944000000")
    assert (refusal.value.code(), "content.text" in str(refusal.value.details())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    )


def test_an_answer_is_sent_once_as_it_was_first_asked_for(doors: Doors) -> None:
    first = send(doors, pb.Content(subject="Re: parcel", text="Soon."))
    again = send(doors, pb.Content(subject="Re: parcel", text="Never."))
    sent()
    assert first.id == again.id == str(message_id_of("answer-1"))
    assert body(mail_of(first), "plain").strip() == "Soon."
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 1


def test_what_became_of_an_answer_is_told(doors: Doors) -> None:
    person = "018f2c6e-0000-7000-8000-000000000001"
    message = send(doors, pb.Content(subject="Re: parcel", text="Soon."), person_id=person)
    sent()
    events = doors.events("notifications")
    [change] = [change for event in events if isinstance(event, MessagesChanged) for change in event.changes]
    assert (change.message_id, change.person_id, change.campaign_id) == (message.id, person, "")
    assert (change.state, change.summary) == (MESSAGE_STATE_SENT, "Re: parcel")


def test_a_message_has_either_a_template_or_content(doors: Doors) -> None:
    template = a_template(doors).id
    for request in (
        pb.SendMessageRequest(template_id=template, content=pb.Content(text="Soon.")),
        pb.SendMessageRequest(),
    ):
        request.channel, request.address, request.request_id = CHANNEL_EMAIL, "ane@customer.example", "answer-1"
        with pytest.raises(grpc.RpcError) as refusal:
            messages_stub(doors).SendMessage(request)
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "template_id" in str(refusal.value.details())


def test_a_nul_does_not_stop_an_answer(doors: Doors) -> None:
    message = send(doors, pb.Content(subject="Re: a\0b", text="So\0on."))
    sent()
    assert "So\ufffdon." in body(mail_of(message), "plain")


def test_what_was_written_to_deleted_people_is_forgotten(doors: Doors) -> None:
    person = "018f2c6e-0000-7000-8000-000000000001"
    message = send(doors, pb.Content(subject="Re: parcel", text="Soon, Ane."), person_id=person)
    sent()
    told(PersonDeleted(person_id=person))
    with database.transaction() as session:
        row = session.get_one(Message, UUID(message.id))
        assert (row.address, row.summary, row.content) == ("", "", None)
        assert session.get(SandboxMessage, UUID(message.id)) is None
