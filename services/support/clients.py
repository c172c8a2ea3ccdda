"""What support asks of contacts and notifications. Never called inside a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import grpc

from chassis.errors import NotFound, Unavailable
from denda.contacts.v1 import people_service_pb2 as people
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address
from denda.notifications.v1 import message_pb2
from denda.notifications.v1 import messages_service_pb2 as messages
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services import channel
from services.support.states import DeliveryState

# What the states of a message mean for an answer; in the others it is still on its way.
DELIVERY_STATES = {
    message_pb2.MESSAGE_STATE_SENT: DeliveryState.SENT,
    message_pb2.MESSAGE_STATE_DELIVERED: DeliveryState.DELIVERED,
    message_pb2.MESSAGE_STATE_BOUNCED: DeliveryState.FAILED,
    message_pb2.MESSAGE_STATE_FAILED: DeliveryState.FAILED,
    message_pb2.MESSAGE_STATE_SKIPPED: DeliveryState.FAILED,
}


@dataclass(frozen=True)
class Sender:
    """Who wrote, as far as the message tells, or who is to be found where somebody knows them."""

    address: str
    name: str = ""
    only_known: bool = False


@dataclass(frozen=True)
class Known:
    """A person of contacts; `address` is where to answer."""

    person_id: UUID
    name: str
    address: str
    language: str = ""


@dataclass(frozen=True)
class Letter:
    """An agent's answer as notifications gets it; `request_id` makes it be sent once."""

    request_id: str
    address: str
    person_id: UUID | None
    subject: str
    text: str
    html: str
    sender: str
    reply_to: str
    message_id_header: str
    in_reply_to: str
    references: Sequence[str]

    @property
    def is_mail(self) -> bool:
        """It goes by mail where the address is one, else as an SMS."""
        return "@" in self.address


def resolve(senders: Sequence[Sender]) -> list[Known | None]:
    """The people behind addresses, created where nobody knows those who wrote; None where there is none.

    At most 500. Raises Unavailable when contacts does not answer.
    """
    request = people.ResolvePeopleRequest()
    for sender in senders:
        kind = Address.KIND_EMAIL if "@" in sender.address else Address.KIND_PHONE
        request.senders.add(kind=kind, value=sender.address, display_name=sender.name, only_known=sender.only_known)
    try:
        answer = PeopleServiceStub(channel("contacts")).ResolvePeople(request)
    except grpc.RpcError as error:
        raise Unavailable("contacts does not answer; try again in a moment.") from error
    return [
        Known(UUID(found.person_id), found.display_name, sender.address, found.language) if found.person_id else None
        for sender, found in zip(senders, answer.people, strict=True)
    ]


def person(person_id: UUID) -> Known:
    """A person and the first address, an email where there is one. Raises NotFound or Unavailable."""
    try:
        found = PeopleServiceStub(channel("contacts")).GetPerson(people.GetPersonRequest(id=str(person_id)))
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFound("person", person_id) from None
        raise Unavailable("contacts does not answer; try again in a moment.") from error
    addresses = sorted(found.addresses, key=lambda address: address.kind != Address.KIND_EMAIL)
    return Known(person_id, found.display_name, addresses[0].value if addresses else "", found.language)


def send(letter: Letter) -> UUID:
    """Give an answer to notifications; the id of its message there. Raises grpc.RpcError."""
    request = messages.SendMessageRequest(
        channel=CHANNEL_EMAIL if letter.is_mail else CHANNEL_SMS,
        address=letter.address,
        person_id=str(letter.person_id or ""),
        request_id=letter.request_id,
        content=messages.Content(text=letter.text, html=letter.html),
    )
    if letter.is_mail:
        request.content.subject = letter.subject
        request.sender, request.reply_to = letter.sender, letter.reply_to
        request.thread.message_id_header = letter.message_id_header
        request.thread.in_reply_to = letter.in_reply_to
        request.thread.references.extend(letter.references)
    return UUID(MessagesServiceStub(channel("notifications")).SendMessage(request).id)


def delivery_of(message_id: UUID) -> tuple[DeliveryState, str]:
    """Where a message of notifications stands, and why. Raises grpc.RpcError."""
    request = messages.GetMessageRequest(id=str(message_id))
    found = MessagesServiceStub(channel("notifications")).GetMessage(request)
    return DELIVERY_STATES.get(found.state, DeliveryState.ACCEPTED), found.detail
