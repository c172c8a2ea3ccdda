"""What the gateway asks of the services. Every call has a deadline and raises grpc.RpcError when it fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from denda.campaigns.v1 import tracking_service_pb2 as tracking
from denda.campaigns.v1.tracking_service_pb2_grpc import TrackingServiceStub
from denda.contacts.v1 import consent_service_pb2 as consent
from denda.contacts.v1 import people_service_pb2 as people
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Person
from denda.notifications.v1 import messages_service_pb2 as messages
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.support.v1 import conversations_service_pb2 as conversations
from denda.support.v1 import inbound_service_pb2 as inbound
from denda.support.v1 import queues_service_pb2 as queues
from denda.support.v1 import tickets_service_pb2 as tickets
from denda.support.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from denda.support.v1.queues_service_pb2_grpc import QueuesServiceStub
from denda.support.v1.ticket_pb2 import SOURCE_WEB, TICKET_STATE_CLOSED, Ticket
from denda.support.v1.tickets_service_pb2_grpc import TicketsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, Channel
from services import channel

# Somebody waits in front of a browser; a mail provider gives a one-click unsubscribe not much longer.
PATIENCE = 5.0
# A pixel and a person's language are not worth a long wait.
LITTLE_PATIENCE = 2.0
# A mail server waits ten minutes for the answer to a mail.
MAIL_PATIENCE = 60.0
PIECE_BYTES = 1024 * 1024
USER_AGENT_LENGTH = 2000


@dataclass(frozen=True)
class Visit:
    """What a request tells about who follows a link."""

    user_agent: str
    machine: bool


@dataclass(frozen=True)
class Topic:
    """What a person allows or not: messages for a purpose on a channel."""

    purpose: str
    channel: Channel.ValueType


def link_target(token: str, visit: Visit) -> str:
    """Record a click and answer where the link leads."""
    request = tracking.RecordClickRequest(
        token=token, user_agent=visit.user_agent[:USER_AGENT_LENGTH], machine=visit.machine
    )
    return TrackingServiceStub(channel("campaigns")).RecordClick(request, timeout=PATIENCE).url


def record_open(token: str, visit: Visit) -> None:
    """Record that a message was opened."""
    request = tracking.RecordOpenRequest(
        token=token, user_agent=visit.user_agent[:USER_AGENT_LENGTH], machine=visit.machine
    )
    TrackingServiceStub(channel("campaigns")).RecordOpen(request, timeout=LITTLE_PATIENCE)


def person(person_id: str) -> Person:
    """A person of contacts."""
    request = people.GetPersonRequest(id=person_id)
    return PeopleServiceStub(channel("contacts")).GetPerson(request, timeout=LITTLE_PATIENCE)


def person_at(email: str) -> Person | None:
    """Who has had a valid email address for the longest; None where nobody has it."""
    request = people.ListPeopleRequest(filter=f'email = "{email}"', page_size=1)
    return next(iter(PeopleServiceStub(channel("contacts")).ListPeople(request, timeout=PATIENCE).people), None)


def consents_of(person_id: str) -> dict[Topic, bool]:
    """What is in force for a person: granted or withdrawn, by topic."""
    found: dict[Topic, bool] = {}
    request = consent.ListConsentsRequest(person_id=person_id, in_force_only=True, page_size=1000)
    while True:
        page = ConsentServiceStub(channel("contacts")).ListConsents(request, timeout=PATIENCE)
        for entry in page.consents:
            found[Topic(entry.purpose, entry.channel)] = entry.state == consent.Consent.STATE_GRANTED
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def withdraw_consent(person_id: str, topic: Topic, evidence: consent.Evidence) -> None:
    """Record that a person allows a topic no longer."""
    request = consent.WithdrawConsentRequest(
        person_id=person_id, purpose=topic.purpose, channel=topic.channel, evidence=evidence
    )
    ConsentServiceStub(channel("contacts")).WithdrawConsent(request, timeout=PATIENCE)


def grant_consent(person_id: str, topic: Topic, evidence: consent.Evidence) -> None:
    """Record that a person allows a topic."""
    request = consent.GrantConsentRequest(
        person_id=person_id, purpose=topic.purpose, channel=topic.channel, evidence=evidence
    )
    ConsentServiceStub(channel("contacts")).GrantConsent(request, timeout=PATIENCE)


def sandbox_messages(
    *, address: str = "", page_token: str = "", message_id: str = "", page_size: int = 50
) -> messages.ListSandboxMessagesResponse:
    """What the sandbox took, newest first."""
    request = messages.ListSandboxMessagesRequest(
        address=address, page_token=page_token, id=message_id, page_size=page_size
    )
    return MessagesServiceStub(channel("notifications")).ListSandboxMessages(request, timeout=PATIENCE)


def speak_in_sandbox(spoken: Channel.ValueType, address: str, text: str, request_id: str) -> None:
    """Let a customer of the sandbox send an SMS or leave a voicemail."""
    request = messages.ReceiveSandboxMessageRequest(
        channel=spoken, from_address=address, text=text, request_id=request_id
    )
    MessagesServiceStub(channel("notifications")).ReceiveSandboxMessage(request, timeout=PATIENCE)


def queue_addresses() -> Iterator[str]:
    """The addresses of all queues."""
    request = queues.ListQueuesRequest(page_size=1000)
    while True:
        page = QueuesServiceStub(channel("support")).ListQueues(request, timeout=PATIENCE)
        for queue in page.queues:
            yield from queue.addresses
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def take_in(content: bytes, sender: str, recipients: Sequence[str]) -> str:
    """Have support store a mail as it came; answers its id there."""
    first = inbound.IngestInboundRequest(
        raw=content[:PIECE_BYTES],
        source="smtp",
        mailbox=recipients[0].rpartition("@")[2].lower(),
        recipients=recipients,
        envelope_from=sender,
    )
    stub = InboundServiceStub(channel("support"))
    if len(content) <= PIECE_BYTES:
        return stub.IngestInbound(first, timeout=MAIL_PATIENCE).id
    rest = (content[start : start + PIECE_BYTES] for start in range(PIECE_BYTES, len(content), PIECE_BYTES))
    pieces = (inbound.StreamInboundRequest(rest=piece) for piece in rest)
    return stub.StreamInbound(chain([inbound.StreamInboundRequest(mail=first)], pieces), timeout=MAIL_PATIENCE).id


def open_ticket(ticket: Ticket, text: str, request_id: str) -> Ticket:
    """Open a ticket with what somebody wrote; the same request id again answers the first."""
    request = tickets.CreateTicketRequest(ticket=ticket, text=text, request_id=request_id)
    return TicketsServiceStub(channel("support")).CreateTicket(request, timeout=PATIENCE)


def tickets_of(person_id: str, page_token: str) -> tickets.ListTicketsResponse:
    """A page of what a person has asked, the latest first."""
    mine = f'requester = "{person_id}" AND state != "MERGED"'
    request = tickets.ListTicketsRequest(filter=mine, page_token=page_token, page_size=20)
    return TicketsServiceStub(channel("support")).ListTickets(request, timeout=PATIENCE)


def ticket(ticket_id: str) -> Ticket:
    """A ticket."""
    return TicketsServiceStub(channel("support")).GetTicket(tickets.GetTicketRequest(id=ticket_id), timeout=PATIENCE)


def said_in(ticket_id: str, page_token: str) -> conversations.ListTicketMessagesResponse:
    """A page of what the customer may read of a ticket, oldest first."""
    request = conversations.ListTicketMessagesRequest(
        ticket_id=ticket_id, public_only=True, page_token=page_token, page_size=200
    )
    return ConversationsServiceStub(channel("support")).ListTicketMessages(request, timeout=PATIENCE)


def add_answer(ticket_id: str, person_id: str, text: str, request_id: str) -> None:
    """Add what a customer answers to a ticket; the same request id again changes nothing."""
    request = conversations.AddCustomerMessageRequest(
        ticket_id=ticket_id, person_id=person_id, text=text, source=SOURCE_WEB, request_id=request_id
    )
    ConversationsServiceStub(channel("support")).AddCustomerMessage(request, timeout=PATIENCE)


def close_ticket(ticket_id: str, etag: str) -> None:
    """Close a ticket as it was read."""
    request = tickets.UpdateTicketRequest(ticket=Ticket(id=ticket_id, etag=etag, state=TICKET_STATE_CLOSED))
    request.update_mask.paths.append("state")
    TicketsServiceStub(channel("support")).UpdateTicket(request, timeout=PATIENCE)


def send_mail(address: str, person_id: str, content: messages.Content, request_id: str) -> None:
    """Send a mail that somebody asked for; the same request id again sends nothing."""
    request = messages.SendMessageRequest(
        channel=CHANNEL_EMAIL, address=address, person_id=person_id, content=content, request_id=request_id
    )
    MessagesServiceStub(channel("notifications")).SendMessage(request, timeout=PATIENCE)
