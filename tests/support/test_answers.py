"""Agents' answers: sent once, in the thread, to everybody in the conversation, and shown with what became of them."""

from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from uuid import UUID

import pytest

from chassis.settings import settings
from denda.notifications.v1 import message_pb2
from denda.notifications.v1 import messages_service_pb2 as messages_pb
from denda.notifications.v1 import suppressions_service_pb2 as suppressions_pb
from denda.notifications.v1.events_pb2 import MessageChange, MessagesChanged
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.notifications.v1.suppressions_service_pb2_grpc import SuppressionsServiceStub
from denda.support.v1 import ticket_pb2
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services import public_url
from services.notifications.ledger import sending
from services.notifications.states import Channel
from services.portal import person_of
from services.support import answers, threads
from services.support.events import HANDLERS
from services.support.models import TicketMessage, database
from tests.kit.doors import Doors
from tests.support.conftest import Support, refused


@pytest.fixture
def sent(serve: Callable[..., Doors]) -> Callable[[], list[messages_pb.SandboxMessage]]:
    """What customers have got, oldest first, once all that waits has been handed over."""
    doors = serve("support", "contacts", "notifications")

    def sent() -> list[messages_pb.SandboxMessage]:
        answers.send_waiting()
        for channel in (Channel.EMAIL, Channel.SMS):
            sending.send_transactional(channel)
        stub = doors.stub(MessagesServiceStub, "notifications", "service")
        return list(reversed(stub.ListSandboxMessages(messages_pb.ListSandboxMessagesRequest(page_size=100)).messages))

    return sent


def mail_of(message: messages_pb.SandboxMessage) -> Message:
    return message_from_bytes(message.raw)


def told(message_id: str, state: message_pb2.MessageState.ValueType, detail: str = "", version: int = 2) -> None:
    change = MessageChange(message_id=message_id, state=state, detail=detail, version=version, channel=CHANNEL_EMAIL)
    with database.transaction() as session:
        HANDLERS[MessagesChanged](session, [MessagesChanged(changes=[change])])


def suppress(doors: Doors, email: str) -> None:
    stub = doors.stub(SuppressionsServiceStub, "notifications", "service")
    suppression = suppressions_pb.Suppression(channel=CHANNEL_EMAIL, address=email)
    stub.SuppressAddress(suppressions_pb.SuppressAddressRequest(suppression=suppression))


def test_an_answer_arrives_in_the_thread_and_leads_back_to_its_ticket(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket()
    answer = support.answer(ticket.id, "It is on its way.\n\nYours, Jon <jon>")
    assert answer.delivery_state == ticket_pb2.DELIVERY_STATE_WAITING
    (got,) = sent()
    mail = mail_of(got)
    ticket_id = UUID(ticket.id)
    assert got.address == "ane@shop.example"
    assert mail["Subject"] == f"Re: Where is my parcel? [#{ticket.number}]"
    assert threads.ticket_of_address(mail["Reply-To"]) == ticket_id
    assert threads.ticket_of_message_id(mail["Message-ID"]) == ticket_id
    assert threads.message_of_message_id(mail["Message-ID"]) == UUID(answer.id)
    assert threads.ticket_of_body(got.text) == threads.ticket_of_body(got.html) == ticket_id
    assert "Jon &lt;jon&gt;" in got.html
    link = f"{public_url()}/t/"
    assert link in got.text
    assert person_of(got.text.partition(link)[2].split()[0]) == UUID(ticket.requester_id)
    assert support.messages(ticket.id)[-1].delivery_state == ticket_pb2.DELIVERY_STATE_ACCEPTED


def test_later_answers_name_the_earlier_ones(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket()
    for text in ("First.", "Second.", "Third."):
        support.answer(ticket.id, text)
        sent()
    mails = [mail_of(message) for message in sent()]
    assert mails[2]["In-Reply-To"] == mails[1]["Message-ID"]
    assert mails[2]["References"].split() == [mails[0]["Message-ID"], mails[1]["Message-ID"]]


def test_an_answer_that_is_handed_over_twice_is_sent_once(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket()
    support.answer(ticket.id)
    with database.transaction() as session:
        letters = answers._claimed(session)
    for message_id, copies in letters.items():
        answers._send(message_id, copies)
        answers._send(message_id, copies)
    assert len(sent()) == 1


def test_everybody_in_the_conversation_gets_the_answer(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]], doors: Doors
) -> None:
    suppress(doors, "gone@shop.example")
    copies = [ticket_pb2.Participant(address=one) for one in ("jon@shop.example", "gone@shop.example")]
    ticket = support.a_ticket(participants=copies)
    support.answer(ticket.id)
    got = sent()
    assert sorted(message.address for message in got) == ["ane@shop.example", "jon@shop.example"]
    assert len({mail_of(message)["Message-ID"] for message in got}) == 1
    # The link to the requester's own page is the requester's alone.
    assert [message.address for message in got if "/t/" in message.text] == ["ane@shop.example"]
    answer = support.messages(ticket.id)[-1]
    assert answer.delivery_state == ticket_pb2.DELIVERY_STATE_ACCEPTED
    assert "gone@shop.example" in answer.delivery_detail


def test_a_ticket_of_a_number_is_answered_by_sms_in_the_agents_words_alone(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket(requester_address="+15555550123", source=ticket_pb2.SOURCE_SMS)
    support.answer(ticket.id, "It is on its way.")
    (got,) = sent()
    assert (got.channel, got.text) == (CHANNEL_SMS, "It is on its way.")
    with refused() as refusal:
        support.answer(ticket.id, "x" * 1601)
    assert refusal.fields == ("text",)


def test_an_address_that_is_suppressed_fails_the_answer_and_says_why(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]], doors: Doors
) -> None:
    suppress(doors, "ane@shop.example")
    ticket = support.a_ticket()
    support.answer(ticket.id)
    assert sent() == []
    answer = support.messages(ticket.id)[-1]
    assert answer.delivery_state == ticket_pb2.DELIVERY_STATE_FAILED
    assert "suppression list" in answer.delivery_detail


def test_what_becomes_of_an_answer_only_moves_forward(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket()
    support.answer(ticket.id)
    sent()
    message_id = support.messages(ticket.id)[-1].message_id
    told(message_id, message_pb2.MESSAGE_STATE_DELIVERED, version=3)
    told(message_id, message_pb2.MESSAGE_STATE_SENT, version=2)
    assert support.messages(ticket.id)[-1].delivery_state == ticket_pb2.DELIVERY_STATE_DELIVERED
    told(message_id, message_pb2.MESSAGE_STATE_BOUNCED, "550 no such user", version=4)
    answer = support.messages(ticket.id)[-1]
    assert (answer.delivery_state, answer.delivery_detail) == (
        ticket_pb2.DELIVERY_STATE_FAILED,
        "550 no such user",
    )


def test_a_state_that_no_event_told_is_asked_for(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]]
) -> None:
    ticket = support.a_ticket()
    support.answer(ticket.id)
    sent()
    with database.transaction() as session:
        message = session.get_one(TicketMessage, UUID(support.messages(ticket.id)[-1].id))
        message.leased_until = None
    answers.look_up_accepted()
    assert support.messages(ticket.id)[-1].delivery_state == ticket_pb2.DELIVERY_STATE_SENT


def test_an_answer_waits_for_notifications_to_come_back(
    support: Support, sent: Callable[[], list[messages_pb.SandboxMessage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = support.a_ticket()
    support.answer(ticket.id)
    with monkeypatch.context() as away:
        away.setenv("DENDA_ADDRESS_TEMPLATE", "127.0.0.1:1")
        settings.cache_clear()
        answers.send_waiting()
    settings.cache_clear()
    answer = support.messages(ticket.id)[-1]
    assert answer.delivery_state == ticket_pb2.DELIVERY_STATE_WAITING
    with database.transaction() as session:
        session.get_one(TicketMessage, UUID(answer.id)).leased_until = None
    assert len(sent()) == 1
