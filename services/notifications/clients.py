"""What notifications asks of others. Never called inside a transaction."""

from dataclasses import dataclass
from typing import Any

import grpc

from chassis.errors import NotFound, Unavailable
from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address
from denda.support.v1 import inbound_service_pb2 as inbound_pb
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from services import channel
from services.notifications.replies import Reply
from services.notifications.translate import plain


@dataclass(frozen=True)
class KnownPerson:
    """What a template may use of a person."""

    language: str
    merge_fields: dict[str, Any]


def person(person_id: str) -> KnownPerson:
    """A person of contacts, with the merge fields that an audience offers. Raises NotFound or Unavailable."""
    try:
        found = PeopleServiceStub(channel("contacts")).GetPerson(pb.GetPersonRequest(id=person_id))
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFound("person", person_id) from None
        raise Unavailable("contacts does not answer; try again in a moment.") from error
    fields = {
        "given_name": found.given_name,
        "family_name": found.family_name,
        "display_name": found.display_name,
        "language": found.language,
        "lifecycle_stage": found.lifecycle_stage,
        "external_id": found.external_id,
        "email": _first(found.addresses, Address.KIND_EMAIL),
        "phone": _first(found.addresses, Address.KIND_PHONE),
    }
    known = {name: value for name, value in fields.items() if value}
    return KnownPerson(found.language, plain(found.attributes) | known)


def hand_in(reply: Reply) -> None:
    """Give support a mail as if a mail server had delivered it. Raises Unavailable when support does not take it."""
    request = inbound_pb.IngestInboundRequest(
        raw=reply.raw,
        source="sandbox",
        mailbox=reply.to_address.rpartition("@")[2],
        mailbox_key=reply.key,
        recipients=[reply.to_address],
        envelope_from=reply.from_address,
    )
    try:
        InboundServiceStub(channel("support")).IngestInbound(request)
    except grpc.RpcError as error:
        raise Unavailable("support does not answer; try again in a moment.") from error


def _first(addresses: Any, kind: int) -> str:
    return next((str(address.value) for address in addresses if address.kind == kind), "")
