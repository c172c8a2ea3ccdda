"""PeopleService: people and the attributes that they may have."""

from chassis.ids import parse_id
from chassis.server import Call, quick
from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1 import people_service_pb2_grpc as grpc_pb
from denda.contacts.v1.person_pb2 import AttributeDefinition, Person
from services.contacts import attributes, criteria, people, senders
from services.contacts.models import AddressKind, AttributeType, database
from services.contacts.senders import Sender
from services.contacts.translate import (
    PERSON_FIELDS,
    definition_to_proto,
    fields_of,
    person_to_proto,
    resolved_to_proto,
)


class PeopleServicer(grpc_pb.PeopleServiceServicer):
    """People, one by one and in lists."""

    def CreatePerson(self, request: pb.CreatePersonRequest, context: Call) -> Person:
        with database.transaction() as session:
            fields = fields_of(request.person, PERSON_FIELDS)
            return person_to_proto(people.create(session, fields, request.request_id))

    @quick
    def GetPerson(self, request: pb.GetPersonRequest, context: Call) -> Person:
        return person_to_proto(people.read(database, parse_id(request.id)))

    def BatchGetPeople(self, request: pb.BatchGetPeopleRequest, context: Call) -> pb.BatchGetPeopleResponse:
        ids = [parse_id(value, "ids") for value in request.ids]
        with database.transaction() as session:
            return pb.BatchGetPeopleResponse(people=map(person_to_proto, people.batch(session, ids)))

    def ListPeople(self, request: pb.ListPeopleRequest, context: Call) -> pb.ListPeopleResponse:
        with database.transaction() as session:
            found, token = people.page(session, request.filter, request)
            return pb.ListPeopleResponse(people=map(person_to_proto, found), next_page_token=token)

    def UpdatePerson(self, request: pb.UpdatePersonRequest, context: Call) -> Person:
        person_id = parse_id(request.person.id, "person.id")
        fields = fields_of(request.person, PERSON_FIELDS, request.update_mask)
        with database.transaction() as session:
            return person_to_proto(people.update(session, person_id, fields, request.person.etag))

    def DeletePerson(self, request: pb.DeletePersonRequest, context: Call) -> pb.DeletePersonResponse:
        with database.transaction() as session:
            people.remove(session, parse_id(request.id), request.etag)
            return pb.DeletePersonResponse()

    def DefineAttribute(self, request: pb.DefineAttributeRequest, context: Call) -> AttributeDefinition:
        wanted = request.attribute
        kind = AttributeType(wanted.type)
        with database.transaction() as session:
            defined = attributes.define(session, wanted.name, kind, wanted.description, criteria.RESERVED)
            return definition_to_proto(defined)

    def ListAttributes(self, request: pb.ListAttributesRequest, context: Call) -> pb.ListAttributesResponse:
        with database.transaction() as session:
            found = attributes.all_definitions(session)
            return pb.ListAttributesResponse(attributes=map(definition_to_proto, found))

    def ResolvePeople(self, request: pb.ResolvePeopleRequest, context: Call) -> pb.ResolvePeopleResponse:
        asked = [Sender(AddressKind(one.kind), one.value, one.display_name, one.only_known) for one in request.senders]
        with database.transaction() as session:
            found = senders.resolve(session, asked)
            return pb.ResolvePeopleResponse(people=map(resolved_to_proto, found))
