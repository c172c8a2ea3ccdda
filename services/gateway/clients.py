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
from denda.notifications.v1 import messages_service_pb2 as messages
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.support.v1 import inbound_service_pb2 as inbound
from denda.support.v1 import queues_service_pb2 as queues
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from denda.support.v1.queues_service_pb2_grpc import QueuesServiceStub
from denda.types.v1.channel_pb2 import Channel
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


def language_of(person_id: str) -> str:
    """A person's language, "" where it is not known."""
    request = people.GetPersonRequest(id=person_id)
    return PeopleServiceStub(channel("contacts")).GetPerson(request, timeout=LITTLE_PATIENCE).language


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
    pieces = (inbound.IngestInboundRequest(raw=piece) for piece in rest)
    return stub.StreamInbound(chain([first], pieces), timeout=MAIL_PATIENCE).id
