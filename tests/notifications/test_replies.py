"""The sandbox's customers answer mails with mails, which support gets."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from sqlalchemy import select

from denda.notifications.v1 import messages_service_pb2 as pb
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.notifications import customers
from services.notifications.mime import message_id_header
from services.notifications.models import SandboxMessage, database
from tests.conftest import FrozenClock
from tests.gateway.support_stub import SupportStub
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, accepted, messages_stub, sent

REPLY_ADDRESS = "reply+abc@inbound.shop.example"
# Longer than a line of a mail should be, as a reply address's tokens make it.
OWN = f"<{'0' * 32}.{'a' * 42}@inbound.shop.example>"


def act(clock: FrozenClock, times: int = 6) -> None:
    for _ in range(times):
        clock.advance(seconds=5)
        while customers.act():
            pass


def parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def answer(doors: Doors, to: EmailMessage, number: int = 1, address: str = "") -> None:
    """An agent answers a mail by hand."""
    header = OWN.replace("0", str(number), 1)
    request = pb.SendMessageRequest(
        channel=CHANNEL_EMAIL,
        address=address or to["from"],
        reply_to=f"Shop <{REPLY_ADDRESS}>",
        content=pb.Content(subject="Re: News [#1]", text="At ten.\nUntil six."),
        thread=pb.Thread(
            message_id_header=header,
            in_reply_to=to["message-id"],
            references=[*to["references"].split(), to["message-id"]],
        ),
        request_id=f"answer-{number}",
    )
    messages_stub(doors).SendMessage(request)
    sent()


def a_first_reply(doors: Doors, support: SupportStub, clock: FrozenClock) -> EmailMessage:
    accepted(a_plan(a_template(doors), people=300, sender="Shop <news@shop.example>"))
    sent()
    act(clock)
    return parsed(support.mails[0].raw)


def test_who_answers_a_campaign_writes_a_mail(doors: Doors, support: SupportStub, frozen_clock: FrozenClock) -> None:
    accepted(a_plan(a_template(doors), people=300, sender="Shop <news@shop.example>"))
    sent()
    with database.transaction() as session:
        kept = {message.address: message for message in session.scalars(select(SandboxMessage))}
    answering = {message.address for message in kept.values() if "reply" in customers.acts_of(message)}
    assert answering
    act(frozen_clock)
    assert {mail.envelope_from for mail in support.mails} == answering
    for given in support.mails:
        mail, message = parsed(given.raw), kept[given.envelope_from]
        assert (mail["from"], mail["to"], list(given.recipients)) == (
            message.address,
            "news@shop.example",
            [mail["to"]],
        )
        assert mail["subject"] == f"Re: {message.subject}"
        assert mail["in-reply-to"] == mail["references"] == message_id_header(message.id, "shop.example")
        assert [f"> {line}" for line in message.text.splitlines()] == text_of(mail).splitlines()[3:]
        assert given.mailbox_key


def test_an_answer_waits_until_support_is_there(doors: Doors, support: SupportStub, frozen_clock: FrozenClock) -> None:
    support.away = True
    accepted(a_plan(a_template(doors), people=300))
    sent()
    act(frozen_clock)
    assert support.mails == []
    with database.transaction() as session:
        waiting = session.scalars(select(SandboxMessage).where(SandboxMessage.act_time.is_not(None))).all()
    assert waiting
    assert all("reply" in customers.acts_of(message) for message in waiting)
    support.away = False
    frozen_clock.advance(minutes=1)
    act(frozen_clock)
    assert {mail.envelope_from for mail in support.mails} == {message.address for message in waiting}


def test_a_conversation_goes_on_and_comes_to_its_end(
    doors: Doors, support: SupportStub, frozen_clock: FrozenClock
) -> None:
    first = a_first_reply(doors, support, frozen_clock)
    support.mails.clear()
    answer(doors, first)
    act(frozen_clock)
    [given] = support.mails
    second = parsed(given.raw)
    assert (second["from"], second["to"], list(given.recipients)) == (first["from"], REPLY_ADDRESS, [REPLY_ADDRESS])
    answered = OWN.replace("0", "1", 1)
    assert second["in-reply-to"] == answered
    assert second["references"].split() == [*first["references"].split(), first["message-id"], answered]
    assert second["subject"] == "Re: News [#1]"
    assert text_of(second).endswith("> At ten.\n> Until six.\n")
    assert second["message-id"] != first["message-id"]
    assert b"=?" not in given.raw
    answer(doors, second, 2)
    act(frozen_clock)
    assert len(support.mails) == 1


def test_an_address_beyond_ascii_answers_too(doors: Doors, support: SupportStub, frozen_clock: FrozenClock) -> None:
    first = a_first_reply(doors, support, frozen_clock)
    support.mails.clear()
    answer(doors, first, address="ñandú@customer.example")
    act(frozen_clock)
    [given] = support.mails
    assert given.envelope_from == "ñandú@customer.example"
    assert parsed(given.raw)["from"] == "ñandú@customer.example"
