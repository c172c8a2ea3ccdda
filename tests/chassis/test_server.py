"""Every call passes the same door: who are you, may you, is the request right, and errors that say what to do."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from chassis import auth
from chassis.access import access_table
from chassis.auth import KeyRing, caller
from chassis.db import Database, new_metadata
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from chassis.server import bind, build_server, quick, validate
from chassis.service import Service
from chassis.settings import settings
from denda.contacts.v1 import audience_service_pb2 as audience_pb
from denda.contacts.v1 import audience_service_pb2_grpc as audience_grpc
from denda.contacts.v1 import companies_service_pb2 as companies_pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1 import people_service_pb2_grpc as people_grpc
from denda.contacts.v1 import person_pb2
from denda.identity.v1 import tokens_service_pb2 as tokens_pb
from denda.types.v1.channel_pb2 import Channel
from tests.kit.events import eventually

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "one"}, private=True)
STRANGERS_KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "one"}, private=True)
SOMEBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def a_token(*roles: str, key: OKPKey = KEY, **changes: Any) -> str:
    moment = datetime.now(UTC)
    claims = {
        "iss": auth.ISSUER,
        "aud": auth.AUDIENCE,
        "sub": "user:ana",
        "roles": list(roles),
        "iat": int(moment.timestamp()),
        "exp": int((moment + timedelta(minutes=5)).timestamp()),
    }
    header = {"alg": auth.ALGORITHM, "kid": "one"}
    return jwt.encode(header, claims | changes, key, algorithms=[auth.ALGORITHM])


class People(people_grpc.PeopleServiceServicer):
    released = threading.Event()

    def ListPeople(self, request: people_pb.ListPeopleRequest, context: object) -> people_pb.ListPeopleResponse:
        self.released.wait(30)
        return people_pb.ListPeopleResponse()

    @quick
    def GetPerson(self, request: people_pb.GetPersonRequest, context: object) -> person_pb2.Person:
        return person_pb2.Person(id=request.id, display_name=caller().subject)

    def DeletePerson(self, request: people_pb.DeletePersonRequest, context: object) -> people_pb.DeletePersonResponse:
        raise NotFound("person", request.id)

    def ListAttributes(self, request: object, context: object) -> people_pb.ListAttributesResponse:
        raise RuntimeError("secret of the inside")

    def DefineAttribute(self, request: object, context: object) -> person_pb2.AttributeDefinition:
        raise FailedPrecondition("It exists with another type.", reason="TYPE_DIFFERS", subject="attributes/age")


class Audience(audience_grpc.AudienceServiceServicer):
    def StreamAudience(
        self, request: audience_pb.StreamAudienceRequest, context: grpc.ServicerContext
    ) -> Iterator[audience_pb.StreamAudienceResponse]:
        yield audience_pb.StreamAudienceResponse()
        if request.after_person_id:
            left = threading.Event()
            context.add_callback(left.set)
            left.wait()
            return
        raise NotFound("segment", "x")


@pytest.fixture
def revoked() -> list[tokens_pb.Revocation]:
    return []


@pytest.fixture
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_GRPC_THREADS", "2")
    monkeypatch.setenv("DENDA_GRPC_STREAMS", "5")
    settings.cache_clear()


@pytest.fixture
def channel(revoked: list[tokens_pb.Revocation]) -> Iterator[grpc.Channel]:
    def keys() -> tokens_pb.GetKeysResponse:
        return tokens_pb.GetKeysResponse(
            jwks_json=json.dumps(KeySet([KEY]).as_dict(private=False)), revocations=revoked
        )

    service = Service(
        name="contacts",
        port=0,
        database=Database("contacts", new_metadata()),
        migrations=Path(),
        contracts=[people_pb, audience_pb],
        doors=[
            (people_grpc.add_PeopleServiceServicer_to_server, People()),  # type: ignore[abstract]  # only what is tried
            (audience_grpc.add_AudienceServiceServicer_to_server, Audience()),  # type: ignore[abstract]  # as above
        ],
    )
    server, _ = build_server(service, KeyRing(keys))
    port = bind(server, "127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None)


def refusal(call: Any, request: Any, token: str | None = None) -> Any:
    metadata = [("authorization", f"Bearer {token}")] if token else []
    try:
        list(call(request, metadata=metadata, timeout=5))
    except grpc.RpcError as error:
        return error
    pytest.fail("the call was not refused")


def details(error: Any, kind: Any) -> Any:
    status = rpc_status.from_call(error)
    found = kind()
    assert status is not None
    assert any(detail.Unpack(found) for detail in status.details)
    return found


def test_a_call_with_a_good_token_and_role_reaches_the_servicer(channel: grpc.Channel) -> None:
    get = people_grpc.PeopleServiceStub(channel).GetPerson
    metadata = (("authorization", f"Bearer {a_token('ROLE_VIEWER')}"),)
    person = get(people_pb.GetPersonRequest(id=SOMEBODY), metadata=metadata)
    assert person.display_name == "user:ana"


def test_a_call_without_a_token_is_told_how_to_get_one(channel: grpc.Channel) -> None:
    error = refusal(people_grpc.PeopleServiceStub(channel).GetPerson, people_pb.GetPersonRequest(id=SOMEBODY))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "denda token" in error.details()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (a_token("ROLE_ADMIN", key=STRANGERS_KEY), "TOKEN_INVALID"),
        (a_token("ROLE_ADMIN", exp=1), "TOKEN_EXPIRED"),
        (a_token("ROLE_ADMIN", aud="elsewhere"), "TOKEN_INVALID"),
        (a_token("ROLE_EMPEROR"), "TOKEN_INVALID"),
        ("garbage", "TOKEN_INVALID"),
        ("a.b.c", "TOKEN_INVALID"),
    ],
)
def test_a_forged_expired_or_foreign_token_is_refused(channel: grpc.Channel, token: str, reason: str) -> None:
    error = refusal(people_grpc.PeopleServiceStub(channel).GetPerson, people_pb.GetPersonRequest(id=SOMEBODY), token)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert details(error, error_details_pb2.ErrorInfo).reason == reason


def test_a_revoked_token_is_refused(channel: grpc.Channel, revoked: list[tokens_pb.Revocation]) -> None:
    revocation = tokens_pb.Revocation(subject="user:ana")
    revocation.not_before.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    revoked.append(revocation)
    request = people_pb.GetPersonRequest(id=SOMEBODY)
    error = refusal(people_grpc.PeopleServiceStub(channel).GetPerson, request, a_token("ROLE_VIEWER"))
    assert details(error, error_details_pb2.ErrorInfo).reason == "TOKEN_REVOKED"


def test_a_caller_without_the_role_is_refused_before_the_request_is_looked_at(channel: grpc.Channel) -> None:
    request = people_pb.DeletePersonRequest(id="not an id")
    error = refusal(people_grpc.PeopleServiceStub(channel).DeletePerson, request, a_token("ROLE_VIEWER"))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "needs admin or service" in error.details()


def test_a_wrong_field_is_named_with_what_would_be_right(channel: grpc.Channel) -> None:
    request = people_pb.GetPersonRequest(id="not an id")
    error = refusal(people_grpc.PeopleServiceStub(channel).GetPerson, request, a_token("ROLE_VIEWER"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    violation = details(error, error_details_pb2.BadRequest).field_violations[0]
    assert violation.field == "id"
    assert "UUID" in violation.description


def test_a_domain_error_travels_with_its_details(channel: grpc.Channel) -> None:
    stub = people_grpc.PeopleServiceStub(channel)
    error = refusal(stub.DeletePerson, people_pb.DeletePersonRequest(id=SOMEBODY), a_token("ROLE_ADMIN"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert details(error, error_details_pb2.ErrorInfo).metadata["resource"] == "person"
    attribute = person_pb2.AttributeDefinition(name="age", type=person_pb2.AttributeDefinition.Type.TYPE_NUMBER)
    error = refusal(
        stub.DefineAttribute, people_pb.DefineAttributeRequest(attribute=attribute), a_token("ROLE_MARKETER")
    )
    assert details(error, error_details_pb2.PreconditionFailure).violations[0].subject == "attributes/age"


def test_a_defect_says_nothing_of_the_inside(channel: grpc.Channel) -> None:
    request = people_pb.ListAttributesRequest()
    error = refusal(people_grpc.PeopleServiceStub(channel).ListAttributes, request, a_token("ROLE_VIEWER"))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert details(error, error_details_pb2.RequestInfo).request_id


def test_an_error_in_the_middle_of_a_stream_ends_it_with_its_status(channel: grpc.Channel) -> None:
    request = audience_pb.StreamAudienceRequest()
    request.audience.channel = Channel.CHANNEL_EMAIL
    request.audience.purpose = "marketing"
    request.snapshot_time.GetCurrentTime()
    stub = audience_grpc.AudienceServiceStub(channel)
    error = refusal(stub.StreamAudience, request, a_token("ROLE_SERVICE"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.usefixtures("few_threads")
def test_streams_are_in_nobodys_way_and_one_too_many_is_refused(request: pytest.FixtureRequest) -> None:
    channel: grpc.Channel = request.getfixturevalue("channel")
    metadata = (("authorization", f"Bearer {a_token('ROLE_SERVICE')}"),)
    stub = audience_grpc.AudienceServiceStub(channel)
    lasting = audience_pb.StreamAudienceRequest(
        audience=audience_pb.Audience(channel=Channel.CHANNEL_EMAIL, purpose="marketing"), after_person_id=SOMEBODY
    )
    lasting.snapshot_time.GetCurrentTime()
    streams = [stub.StreamAudience(lasting, metadata=metadata, timeout=30) for _ in range(5)]
    for stream in streams:
        next(stream)
    assert refusal(stub.StreamAudience, lasting, a_token("ROLE_SERVICE")).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    person = people_pb.GetPersonRequest(id=SOMEBODY)
    assert people_grpc.PeopleServiceStub(channel).GetPerson(person, metadata=metadata, timeout=5).id == SOMEBODY
    streams[0].cancel()
    eventually(lambda: _begins(stub.StreamAudience(lasting, metadata=metadata)))


@pytest.mark.usefixtures("few_threads")
def test_slow_calls_are_not_in_the_way_of_quick_ones(request: pytest.FixtureRequest) -> None:
    channel: grpc.Channel = request.getfixturevalue("channel")
    metadata = (("authorization", f"Bearer {a_token('ROLE_SERVICE')}"),)
    stub = people_grpc.PeopleServiceStub(channel)
    People.released.clear()
    slow = [stub.ListPeople.future(people_pb.ListPeopleRequest(), metadata=metadata, timeout=30) for _ in range(5)]
    person = people_pb.GetPersonRequest(id=SOMEBODY)
    assert stub.GetPerson(person, metadata=metadata, timeout=5).id == SOMEBODY
    assert not any(call.done() for call in slow)
    People.released.set()
    for call in slow:
        call.result()


def _begins(stream: Any) -> bool:
    try:
        next(stream)
    except grpc.RpcError:
        return False
    return True


def test_reflection_and_health_answer_without_a_token(channel: grpc.Channel) -> None:
    names = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "denda.contacts.v1.PeopleService" in names
    answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]  # set in its constructor
        health_pb2.HealthCheckRequest()
    )
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_taken_port_is_a_clear_error() -> None:
    server = grpc.server(SimpleNamespace(submit=None), options=[("grpc.so_reuseport", 0)])  # type: ignore[arg-type]
    port = bind(server, "127.0.0.1:0")
    other = grpc.server(SimpleNamespace(submit=None), options=[("grpc.so_reuseport", 0)])  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="DENDA_PORT_OFFSET"):
        bind(other, f"127.0.0.1:{port}")
    server.stop(None)
    other.stop(None)


def test_an_rpc_that_does_not_say_who_may_call_it_stops_the_start() -> None:
    with pytest.raises(RuntimeError, match="does not say who may call it"):
        access_table(["grpc.health.v1.Health"])


@pytest.mark.parametrize(("mask", "refused"), [(["tags"], False), (["name"], True), (["*"], True), ([], True)])
def test_a_change_is_checked_in_the_fields_that_its_mask_names(mask: list[str], refused: bool) -> None:
    company, fields = companies_pb.Company(tags=["vip"]), FieldMask(paths=mask)
    change = companies_pb.UpdateCompanyRequest(company=company, update_mask=fields)
    if not refused:
        validate(change)
        return
    with pytest.raises(InvalidArgument, match=r"company\.name"):
        validate(change)
