"""contacts behind its real door, and short ways to fill it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import event

from denda.contacts.v1 import audience_service_pb2 as audience_pb
from denda.contacts.v1 import consent_service_pb2 as consent_pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1.audience_service_pb2_grpc import AudienceServiceStub
from denda.contacts.v1.companies_service_pb2_grpc import CompaniesServiceStub
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.imports_service_pb2_grpc import ImportsServiceStub
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address, AttributeDefinition, Person
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.contacts.v1.timeline_service_pb2_grpc import TimelineServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, Channel
from services.contacts.models import database
from tests.kit.doors import Doors

TYPES = {
    "text": AttributeDefinition.TYPE_STRING,
    "number": AttributeDefinition.TYPE_NUMBER,
    "boolean": AttributeDefinition.TYPE_BOOLEAN,
    "date": AttributeDefinition.TYPE_DATE,
    "list": AttributeDefinition.TYPE_STRING_LIST,
}


@dataclass(frozen=True)
class Contacts:
    """Stubs of contacts, speaking with the role that may do most."""

    doors: Doors
    people: PeopleServiceStub
    segments: SegmentsServiceStub
    consents: ConsentServiceStub
    companies: CompaniesServiceStub
    timeline: TimelineServiceStub
    audience: AudienceServiceStub
    imports: ImportsServiceStub

    def define(self, **attributes: str) -> None:
        """`define(city="text", age="number")`."""
        for name, kind in attributes.items():
            attribute = AttributeDefinition(name=name, type=TYPES[kind])
            self.people.DefineAttribute(people_pb.DefineAttributeRequest(attribute=attribute))

    def a_person(self, *addresses: str, **fields: Any) -> Person:
        """A person with these emails and phone numbers; `attributes` is a plain dict."""
        return self.people.CreatePerson(people_pb.CreatePersonRequest(person=person(*addresses, **fields)))

    def found(self, filter_text: str) -> list[str]:
        """The given names of the people that a filter describes, sorted."""
        answer = self.people.ListPeople(people_pb.ListPeopleRequest(filter=filter_text))
        return sorted(one.given_name for one in answer.people)

    def grant(
        self, person_id: str, purpose: str = "marketing", channel: Channel.ValueType = CHANNEL_EMAIL
    ) -> consent_pb.Consent:
        return self.consents.GrantConsent(
            consent_pb.GrantConsentRequest(person_id=person_id, purpose=purpose, channel=channel)
        )

    def withdraw(
        self, person_id: str, purpose: str = "marketing", channel: Channel.ValueType = CHANNEL_EMAIL
    ) -> consent_pb.Consent:
        return self.consents.WithdrawConsent(
            consent_pb.WithdrawConsentRequest(person_id=person_id, purpose=purpose, channel=channel)
        )

    def walk(self, filter_text: str = "", *fields: str, **options: Any) -> list[audience_pb.Candidate]:
        """All candidates of a marketing email audience, now."""
        request = audience_pb.StreamAudienceRequest(
            audience=audience(filter_text, *fields), snapshot_time=_later(), **options
        )
        return [one for batch in self.audience.StreamAudience(request) for one in batch.candidates]


def person(*addresses: str, attributes: Mapping[str, Any] | None = None, **fields: Any) -> Person:
    made = Person(**fields)
    for value in addresses:
        made.addresses.add(kind=Address.KIND_EMAIL if "@" in value else Address.KIND_PHONE, value=value)
    made.attributes.update(attributes or {})
    return made


def audience(filter_text: str = "", *fields: str, channel: Channel.ValueType = CHANNEL_EMAIL) -> audience_pb.Audience:
    return audience_pb.Audience(filter=filter_text, channel=channel, purpose="marketing", merge_fields=fields)


def _later() -> Timestamp:
    time = Timestamp()
    time.GetCurrentTime()
    time.seconds += 60
    return time


@pytest.fixture
def contacts(serve: Callable[..., Doors]) -> Contacts:
    doors = serve("contacts")

    def stub(kind: Any) -> Any:
        return doors.stub(kind, "contacts", "marketer", "service")

    return Contacts(
        doors,
        stub(PeopleServiceStub),
        stub(SegmentsServiceStub),
        stub(ConsentServiceStub),
        stub(CompaniesServiceStub),
        stub(TimelineServiceStub),
        stub(AudienceServiceStub),
        stub(ImportsServiceStub),
    )


@dataclass
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode | None = None
    message: str = ""
    fields: tuple[str, ...] = ()


@contextmanager
def refused() -> Iterator[Refusal]:
    """The block ends in a refusal by the server, which is then told: code, message, fields to blame."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as raised:
        yield refusal
    error: Any = raised.value
    refusal.code, refusal.message = error.code(), error.details()
    status: Any = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            refusal.fields = tuple(violation.field for violation in bad.field_violations)


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The SQL statements that contacts sends inside the block."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
