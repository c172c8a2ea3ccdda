"""The people of contacts behind tickets: who writes becomes one, who is in the conversation is found where known."""

from collections.abc import Callable

import pytest

from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address, Person
from denda.support.v1 import inbound_service_pb2 as inbound_pb
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from denda.support.v1.ticket_pb2 import Participant, Ticket
from services.support import reading, requesters
from tests.kit.doors import Doors
from tests.kit.mails import SUPPORT
from tests.support.conftest import Support


@pytest.fixture
def doors(serve: Callable[..., Doors]) -> Doors:
    return serve("support", "contacts")


@pytest.fixture
def jon(doors: Doors) -> Person:
    """Somebody whom contacts knows."""
    person = Person(given_name="Jon", addresses=[Address(kind=Address.KIND_EMAIL, value="jon@shop.example")])
    stub = doors.stub(PeopleServiceStub, "contacts", "service")
    return stub.CreatePerson(people_pb.CreatePersonRequest(person=person))


def takes(doors: Doors, sender: str, *copies: str, subject: str = "Parcel") -> str:
    """The ticket that a mail goes into."""
    stub = doors.stub(InboundServiceStub, "support", "service")
    head = f"From: {sender}\r\nTo: {SUPPORT}\r\nCc: {', '.join(copies)}\r\nSubject: {subject}\r\n"
    raw = f"{head}\r\nIt is late, says {sender}.\r\n".encode()
    mail = stub.IngestInbound(inbound_pb.IngestInboundRequest(raw=raw, source="smtp", recipients=[SUPPORT]))
    while reading.read_waiting():
        pass
    return stub.GetInbound(inbound_pb.GetInboundRequest(id=mail.id)).ticket_id


def people_in(ticket: Ticket) -> dict[str, str]:
    return {one.address: one.person_id for one in ticket.participants}


def test_of_those_who_get_copies_the_known_are_found_and_nobody_is_created(
    doors: Doors, support: Support, jon: Person
) -> None:
    ticket_id = takes(doors, "ane@shop.example", "jon@shop.example", "nobody@shop.example")
    assert not requesters.complete()
    ticket = support.get(ticket_id)
    assert people_in(ticket) == {"jon@shop.example": jon.id, "nobody@shop.example": ""}
    people = doors.stub(PeopleServiceStub, "contacts", "service").ListPeople(people_pb.ListPeopleRequest())
    assert {person.id for person in people.people} == {jon.id, ticket.requester_id}


def test_who_gets_copies_and_writes_is_a_person_from_then_on(doors: Doors, support: Support) -> None:
    ticket_id = takes(doors, "ane@shop.example", "eva@shop.example")
    requesters.complete()
    ticket = support.get(ticket_id)
    assert people_in(ticket) == {"eva@shop.example": ""}
    assert takes(doors, "eva@shop.example", subject=f"Re: Parcel [#{ticket.number}]") == ticket_id
    requesters.complete()
    (eva,) = people_in(support.get(ticket_id)).values()
    assert eva == support.messages(ticket_id)[1].author_id


def test_participants_whom_an_agent_adds_are_found_too(support: Support, jon: Person) -> None:
    ticket = support.a_ticket(participants=[Participant(address="JON@shop.example")])
    requesters.complete()
    found = support.get(ticket.id)
    assert people_in(found) == {"jon@shop.example": jon.id}
    assert found.etag == ticket.etag
