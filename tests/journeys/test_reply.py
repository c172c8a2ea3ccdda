"""The story of a reply: customers write and speak, agents answer, and all of it is on the timeline, over real wires."""

import email
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default as modern
from uuid import uuid4

import pytest

from denda.contacts.v1 import people_service_pb2 as people
from denda.contacts.v1 import timeline_service_pb2 as timeline
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.timeline_service_pb2_grpc import TimelineServiceStub
from denda.notifications.v1 import messages_service_pb2 as messages
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.support.v1 import conversations_service_pb2 as conversations
from denda.support.v1 import inbound_service_pb2 as inbound
from denda.support.v1 import tickets_service_pb2 as tickets
from denda.support.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from denda.support.v1.ticket_pb2 import (
    AUTHOR_AGENT,
    AUTHOR_CUSTOMER,
    SOURCE_EMAIL,
    SOURCE_SMS,
    SOURCE_VOICE,
    Ticket,
    TicketMessage,
)
from denda.support.v1.tickets_service_pb2_grpc import TicketsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_SMS, CHANNEL_VOICE, Channel
from services.notifications import customers
from services.notifications.customers import Chances
from services.notifications.states import Channel as OurChannel
from tests.journeys.conftest import Shop
from tests.journeys.test_campaign import Marketer, import_customers
from tests.kit.events import eventually

CUSTOMER = "customer0@shop.example"
ANSWER = "It is on its way."


@dataclass(frozen=True)
class Agent:
    """Somebody who answers customers, and looks at what the sandbox and the timelines have."""

    shop: Shop

    def tickets(self) -> list[Ticket]:
        stub = self.shop.stub(TicketsServiceStub, "support", "agent")
        return list(stub.ListTickets(tickets.ListTicketsRequest()).tickets)

    def conversation(self, ticket: Ticket) -> list[TicketMessage]:
        stub = self.shop.stub(ConversationsServiceStub, "support", "agent")
        return list(stub.ListTicketMessages(conversations.ListTicketMessagesRequest(ticket_id=ticket.id)).messages)

    def answer(self, ticket: Ticket, text: str = ANSWER) -> None:
        request = conversations.ReplyToTicketRequest(
            ticket_id=ticket.id, text=text, etag=ticket.etag, request_id=str(uuid4())
        )
        self.shop.stub(ConversationsServiceStub, "support", "agent").ReplyToTicket(request)

    def hear(self, channel: Channel.ValueType, number: str, text: str) -> None:
        """A customer sends an SMS or leaves a voicemail."""
        request = messages.ReceiveSandboxMessageRequest(channel=channel, from_address=number, text=text)
        self.shop.stub(MessagesServiceStub, "notifications", "agent").ReceiveSandboxMessage(request)

    def inbox(self, address: str) -> list[messages.SandboxMessage]:
        """What an address got, newest first."""
        stub = self.shop.stub(MessagesServiceStub, "notifications", "agent")
        return list(stub.ListSandboxMessages(messages.ListSandboxMessagesRequest(address=address)).messages)

    def person_with(self, filter_text: str) -> str:
        stub = self.shop.stub(PeopleServiceStub, "contacts", "agent")
        (person,) = stub.ListPeople(people.ListPeopleRequest(filter=filter_text)).people
        return person.id

    def timeline(self, person_id: str) -> Counter[str]:
        """What happened with a person, by kind."""
        stub = self.shop.stub(TimelineServiceStub, "contacts", "agent")
        found = stub.ListActivities(timeline.ListActivitiesRequest(person_id=person_id)).activities
        return Counter(one.kind for one in found)


@pytest.fixture
def agent(sandbox_shop: Shop) -> Agent:
    return Agent(sandbox_shop)


def one_ticket(agent: Agent, source: int) -> Ticket:
    """The only ticket that came this way, as soon as it is there and its requester is known."""

    def found() -> Sequence[Ticket]:
        return [ticket for ticket in agent.tickets() if ticket.source == source and ticket.requester_id]

    eventually(found)
    (ticket,) = found()
    return ticket


def authors(found: Sequence[TicketMessage]) -> list[int]:
    return [message.author for message in found]


def mail_of(message: messages.SandboxMessage) -> EmailMessage:
    parsed = email.message_from_bytes(message.raw, policy=modern)
    assert isinstance(parsed, EmailMessage)
    return parsed


def mail_id_of(agent: Agent, message: TicketMessage) -> str:
    """The Message-ID of the mail that a message of a ticket came in."""
    stub = agent.shop.stub(InboundServiceStub, "support", "agent")
    return stub.GetInbound(inbound.GetInboundRequest(id=message.inbound_id)).message_id_header


def test_sms_and_voicemails_of_strangers_become_tickets_and_are_answered(agent: Agent) -> None:
    agent.hear(CHANNEL_SMS, "+34944000001", "Where is my parcel?")
    agent.hear(CHANNEL_SMS, "+34944000002", "STOP")
    agent.hear(CHANNEL_VOICE, "+34944000003", "Please call me back.")
    by_sms, by_voice = one_ticket(agent, SOURCE_SMS), one_ticket(agent, SOURCE_VOICE)
    agent.answer(by_sms)
    eventually(lambda: [message.text for message in agent.inbox("+34944000001")] == [ANSWER])
    agent.hear(CHANNEL_SMS, "+34944000001", "Thank you!")
    eventually(lambda: authors(agent.conversation(by_sms)) == [AUTHOR_CUSTOMER, AUTHOR_AGENT, AUTHOR_CUSTOMER])
    assert {ticket.id for ticket in agent.tickets()} == {by_sms.id, by_voice.id}
    stranger = agent.person_with('phone = "+34944000001"')
    assert stranger == by_sms.requester_id
    eventually(lambda: agent.timeline(stranger) == {"reply": 2, "ticket": 1, "message": 1})
    caller = agent.person_with('phone = "+34944000003"')
    eventually(lambda: agent.timeline(caller) == {"reply": 1, "ticket": 1})


def test_a_reply_to_a_campaign_becomes_a_ticket_and_the_conversation_stays_in_it(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody_answers = Chances(0, 0, 0, 0, 0, 0, 100_000, 0)
    monkeypatch.setitem(customers.CHANCES, OurChannel.EMAIL, everybody_answers)
    import_customers(agent.shop, 1)
    marketer = Marketer(agent.shop)
    campaign = marketer.launch("Cheese")
    eventually(lambda: one_ticket(agent, SOURCE_EMAIL).campaign_id == campaign.id)
    ticket, person = one_ticket(agent, SOURCE_EMAIL), agent.person_with(f'email = "{CUSTOMER}"')
    assert ticket.requester_id == person
    agent.answer(ticket)
    eventually(lambda: authors(agent.conversation(ticket)) == [AUTHOR_CUSTOMER, AUTHOR_AGENT, AUTHOR_CUSTOMER])
    answer, news = map(mail_of, agent.inbox(CUSTOMER))
    assert answer["subject"].startswith(f"Re: {news['subject']}")
    assert ANSWER in str(answer)
    # The customer's mail answers the news, and the agent's answer that mail: one thread in every mail program.
    first, _, last = agent.conversation(ticket)
    assert (answer["in-reply-to"], answer["auto-submitted"]) == (mail_id_of(agent, first), None)
    assert "> " not in last.text
    assert [one.id for one in agent.tickets()] == [ticket.id]
    eventually(lambda: marketer.results(campaign).replied == 1)
    eventually(lambda: {("message", 2), ("reply", 2), ("ticket", 1)} <= set(agent.timeline(person).items()))


def test_a_strangers_mail_becomes_a_ticket_of_a_person(agent: Agent) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Jon Lasa <jon@elsewhere.example>", "support@inbound.denda.example"
    mail["Subject"], mail["Message-ID"] = "Do you deliver?", "<1@elsewhere.example>"
    mail.set_content("To Baiona, I mean.")
    stub = agent.shop.stub(InboundServiceStub, "support", "service")
    for _ in range(2):
        stub.IngestInbound(inbound.IngestInboundRequest(raw=mail.as_bytes(), source="api"))
    ticket = one_ticket(agent, SOURCE_EMAIL)
    assert (ticket.subject, ticket.requester_name) == ("Do you deliver?", "Jon Lasa")
    person = agent.person_with('email = "jon@elsewhere.example"')
    assert ticket.requester_id == person
    eventually(lambda: agent.timeline(person) == {"reply": 1, "ticket": 1})
    assert len(agent.tickets()) == 1
