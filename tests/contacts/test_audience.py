"""Audiences through the door: everybody is there, with a reason where they may not be written to."""

import json
from datetime import UTC, datetime
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from denda.contacts.v1 import audience_service_pb2 as pb
from denda.contacts.v1.audience_service_pb2_grpc import AudienceServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_SMS
from services.contacts.audience import Audience, candidates
from services.contacts.models import Channel, Person, database
from tests.contacts.conftest import Contacts, audience, counted_statements, refused


def test_a_candidate_carries_what_a_message_needs(contacts: Contacts) -> None:
    contacts.define(city="text", visits="number", likes="list", member="boolean")
    made = contacts.a_person(
        "ane@shop.example",
        "second@shop.example",
        given_name="Ane",
        language="eu",
        time_zone="Europe/Madrid",
        attributes={"city": "Bilbo", "visits": 3, "likes": ["tea"], "member": True},
    )
    consent = contacts.grant(made.id)
    fields = ("given_name", "family_name", "display_name", "email", "phone", "city", "visits", "likes", "member")
    (candidate,) = contacts.walk("", *fields)
    assert candidate.person_id == made.id
    assert (candidate.address, candidate.language) == ("ane@shop.example", "eu")
    assert (candidate.time_zone, candidate.consent_id) == ("Europe/Madrid", consent.id)
    assert json.loads(candidate.merge_fields_json) == {
        "given_name": "Ane",
        "display_name": "Ane",
        "email": "ane@shop.example",
        "city": "Bilbo",
        "visits": 3,
        "likes": ["tea"],
        "member": True,
    }


def test_who_may_not_be_written_to_comes_with_the_reason(contacts: Contacts) -> None:
    eligible, no_address, never, withdrawn = (
        contacts.a_person(*addresses).id for addresses in (["a@shop.example"], ["+34944000000"], ["c@x.test"], [])
    )
    contacts.grant(eligible)
    contacts.grant(no_address)
    contacts.grant(withdrawn)
    contacts.withdraw(withdrawn)
    reasons = {one.person_id: one.ineligibility for one in contacts.walk()}
    assert reasons == {
        eligible: pb.INELIGIBILITY_UNSPECIFIED,
        no_address: pb.INELIGIBILITY_NO_ADDRESS,
        never: pb.INELIGIBILITY_NO_CONSENT,
        withdrawn: pb.INELIGIBILITY_CONSENT_WITHDRAWN,
    }
    assert [one.address for one in contacts.walk() if one.ineligibility] == ["", "", ""]


def test_the_walk_is_by_id_in_batches_and_goes_on_behind_a_person(contacts: Contacts) -> None:
    made = [contacts.a_person(f"p{number}@shop.example").id for number in range(5)]
    assert [one.person_id for one in contacts.walk(batch_size=2)] == made
    assert [one.person_id for one in contacts.walk(after_person_id=made[2])] == made[3:]


def test_people_who_came_after_the_snapshot_are_not_in_it(contacts: Contacts) -> None:
    contacts.a_person("a@shop.example")
    snapshot = Timestamp()
    snapshot.FromDatetime(datetime.now(UTC))
    contacts.a_person("b@shop.example")
    request = pb.StreamAudienceRequest(audience=audience(), snapshot_time=snapshot)
    (batch,) = contacts.audience.StreamAudience(request)
    assert len(batch.candidates) == 1


def test_a_snapshot_at_no_moment_is_refused(contacts: Contacts) -> None:
    for time in (Timestamp(seconds=2**62), Timestamp(nanos=-1)):
        with refused() as refusal:
            list(contacts.audience.StreamAudience(pb.StreamAudienceRequest(audience=audience(), snapshot_time=time)))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("snapshot_time",))


def test_an_audience_is_checked_before_anything_is_sent(contacts: Contacts) -> None:
    contacts.define(city="text")
    for number, city in enumerate(["Bilbo", "", None]):
        fields = {} if city is None else {"attributes": {"city": city}}
        contacts.grant(contacts.a_person(f"p{number}@shop.example", given_name="x", **fields).id)
    contacts.a_person("never@shop.example")
    check = contacts.audience.CheckAudience(pb.CheckAudienceRequest(audience=audience("", "given_name", "city")))
    assert (check.candidates, check.eligible, dict(check.missing)) == (4, 3, {"city": 2})


def test_a_merge_field_that_does_not_exist_is_refused_with_those_that_do(contacts: Contacts) -> None:
    contacts.define(city="text")
    with refused() as refusal:
        contacts.audience.CheckAudience(pb.CheckAudienceRequest(audience=audience("", "town")))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("audience.merge_fields",))
    assert "city" in refusal.message
    with refused() as refusal:
        contacts.walk("", "town")
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT


def test_one_candidate_is_explained(contacts: Contacts) -> None:
    made = contacts.a_person("a@shop.example", language="eu")
    request = pb.ExplainCandidateRequest(audience=audience('language = "es"'), person_id=made.id)
    answer = contacts.audience.ExplainCandidate(request)
    assert not answer.in_segment
    assert answer.candidate.ineligibility == pb.INELIGIBILITY_NO_CONSENT
    contacts.grant(made.id)
    request.audience.filter = 'language = "eu"'
    answer = contacts.audience.ExplainCandidate(request)
    assert answer.in_segment
    assert answer.candidate.address == "a@shop.example"


def test_sms_audiences_use_phone_numbers(contacts: Contacts) -> None:
    made = contacts.a_person("a@shop.example", "+34944000000")
    contacts.grant(made.id, channel=CHANNEL_SMS)
    request = pb.ExplainCandidateRequest(audience=audience(channel=CHANNEL_SMS), person_id=made.id)
    assert contacts.audience.ExplainCandidate(request).candidate.address == "+34944000000"


def test_only_services_may_walk_an_audience(contacts: Contacts) -> None:
    marketer = contacts.doors.stub(AudienceServiceStub, "contacts", "marketer")
    with refused() as refusal:
        list(marketer.StreamAudience(pb.StreamAudienceRequest(audience=audience(), snapshot_time=Timestamp(seconds=1))))
    assert refusal.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_window_is_two_statements(contacts: Contacts) -> None:
    for number in range(6):
        contacts.a_person(f"p{number}@shop.example")
    with counted_statements() as statements:
        contacts.walk("", "given_name", batch_size=3)
    # Where the window ends, its people, and that there is no further one.
    assert len(statements) == 3


def test_candidates_far_apart_are_found_and_come_in_full_batches(contacts: Contacts, twenty_thousand: None) -> None:
    request = pb.StreamAudienceRequest(audience=audience('given_name = "p*99"'), batch_size=40)
    request.snapshot_time.FromDatetime(datetime.now(UTC))
    sizes = [len(batch.candidates) for batch in contacts.audience.StreamAudience(request)]
    assert sizes == [40] * 5


@pytest.fixture
def twenty_thousand(contacts: Contacts) -> None:
    """People with every kind of address and consent, and statistics that let the planner choose freely."""
    contacts.define(city="text")
    with database.transaction() as session:
        for statement in (
            """INSERT INTO person (id, given_name, create_time, update_time)
               SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'p' || n, now(), now()
               FROM generate_series(1, 20000) n""",
            """INSERT INTO address (person_id, kind, value, position)
               SELECT id, kind, given_name || '@shop.example', 0 FROM person, (VALUES (1), (2)) AS k (kind)""",
            """INSERT INTO consent (person_id, id, purpose, channel, state, basis)
               SELECT id, gen_random_uuid(), 'marketing', channel, 1, 'consent'
               FROM person, (VALUES (1), (2)) AS c (channel)""",
            """INSERT INTO activity (person_id, id, kind, state, campaign_id, time)
               SELECT id, gen_random_uuid(), kind, 'sent', gen_random_uuid(), now()
               FROM person, (VALUES ('message'), ('open')) AS k (kind)""",
        ):
            session.execute(text(statement))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def test_a_window_reads_only_by_indexes(contacts: Contacts, twenty_thousand: None) -> None:
    filters = [
        "",
        'city = "Bilbo" OR consented("marketing", "sms")',
        'opened("spring") AND NOT withdrawn("marketing", "sms")',
        'received("", "30d") OR has_tag("vip") OR bounced',
        'email = "p77@shop.example"',
    ]
    for filter_text in filters:
        with database.transaction() as session:
            wanted = Audience(filter_text, Channel.EMAIL, "marketing", ("city", "email", "phone"))
            statement = candidates(session, wanted).where(Person.id > UUID(int=10000), Person.id <= UUID(int=11000))
            bound = statement.order_by(Person.id).compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            plan = "\n".join(session.scalars(text(f"EXPLAIN {bound}".replace(":", "\\:"))))
        assert not [line for line in plan.splitlines() if "Seq Scan" in line and "campaign" not in line], plan
        assert "hashed" not in plan, plan
