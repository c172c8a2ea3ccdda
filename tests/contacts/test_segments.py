"""Segments and the filter language over people: every field and function finds whom it should."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest

from denda.contacts.v1 import companies_service_pb2 as companies_pb
from denda.contacts.v1 import segments_service_pb2 as pb
from services.contacts import timeline
from services.contacts.models import database
from services.contacts.timeline import Happening
from tests.contacts.conftest import Contacts, refused

SPRING = uuid4()


@pytest.fixture
def people(contacts: Contacts) -> Contacts:
    """Ane has everything, Jon has little, Mikel nothing."""
    contacts.define(city="text", age="number", member="boolean", born="date", likes="list")
    ane = contacts.a_person(
        "Ane@shop.example",
        "second@shop.example",
        "+34944000000",
        external_id="K1",
        given_name="Ane",
        family_name="Zubi",
        language="eu",
        time_zone="Europe/Madrid",
        lifecycle_stage="customer",
        tags=["vip", "new"],
        attributes={"city": "Bilbo", "age": 31, "member": True, "born": "1995-02-28", "likes": ["tea"]},
    )
    jon = contacts.a_person("jon@shop.example", given_name="Jon", attributes={"city": "Gasteiz", "age": 3})
    contacts.a_person(given_name="Mikel")
    contacts.grant(ane.id)
    contacts.grant(jon.id)
    contacts.withdraw(jon.id)
    company = companies_pb.Company(name="Denda Handia", domain="handia.example")
    made = contacts.companies.CreateCompany(companies_pb.CreateCompanyRequest(company=company))
    membership = companies_pb.Membership(company_id=made.id, person_id=ane.id)
    contacts.companies.SetMembership(companies_pb.SetMembershipRequest(membership=membership))
    happened(UUID(ane.id), "message", "delivered")
    happened(UUID(ane.id), "open")
    happened(UUID(ane.id), "click")
    happened(UUID(ane.id), "reply")
    happened(UUID(jon.id), "message", "bounced")
    with database.transaction() as session:
        timeline.learn_campaigns(session, {SPRING: "spring"})
    return contacts


def happened(person_id: UUID, kind: str, state: str = "", campaign: UUID = SPRING) -> None:
    time = datetime.now(UTC) - timedelta(days=5)
    with database.transaction() as session:
        one = Happening(str(person_id), str(uuid4()), kind, 1, "", time, state, str(campaign), str(uuid4()))
        timeline.merge(session, [one])


DESCRIBED = [
    ("", ["Ane", "Jon", "Mikel"]),
    ('city = "Bilbo"', ["Ane"]),
    ('attributes.city = "Bilbo" OR age < 18', ["Ane", "Jon"]),
    ("age >= 3 AND age < 31", ["Jon"]),
    ("member", ["Ane"]),
    ("NOT member", ["Jon", "Mikel"]),
    ('born < "1996-01-01"', ["Ane"]),
    ('likes:"tea"', ["Ane"]),
    ('tags:"vip"', ["Ane"]),
    ('has_tag("vip")', ["Ane"]),
    ('NOT has_tag("vip")', ["Jon", "Mikel"]),
    ("city:*", ["Ane", "Jon"]),
    ('given_name = "A*"', ["Ane"]),
    ('display_name = "Ane Zubi"', ["Ane"]),
    ('external_id = "K1"', ["Ane"]),
    ('language = "eu" AND time_zone = "Europe/Madrid"', ["Ane"]),
    ('lifecycle_stage = "customer"', ["Ane"]),
    ('email = "ANE@shop.example"', ["Ane"]),
    ('email = "second@shop.example"', ["Ane"]),
    ('email = "*@shop.example"', ["Ane", "Jon"]),
    ('NOT email = "ane@shop.example"', ["Jon", "Mikel"]),
    ("NOT email:*", ["Mikel"]),
    ('phone = "+34944000000"', ["Ane"]),
    ('consented("marketing", "email")', ["Ane"]),
    ('withdrawn("marketing", "email")', ["Jon"]),
    ('consented("marketing", "sms")', []),
    ('received("spring")', ["Ane"]),
    ('received("spring", "30d")', ["Ane"]),
    ('received("spring", "2d")', []),
    (f'opened("{SPRING}")', ["Ane"]),
    ('opened("")', ["Ane"]),
    ('opened("autumn")', []),
    ('NOT opened("spring")', ["Jon", "Mikel"]),
    ('clicked("spring", "30d")', ["Ane"]),
    ("replied", ["Ane"]),
    ('replied("spring")', ["Ane"]),
    ("bounced", ["Jon"]),
    ("has_open_ticket", []),
    ("NOT bounced", ["Ane", "Mikel"]),
    ('bounced("spring")', ["Jon"]),
    ('member_of("handia.example")', ["Ane"]),
    ('member_of("denda handia")', ["Ane"]),
    ('create_time > "2020-01-01T00:00:00Z" AND update_time > "2020-01-01T00:00:00Z"', ["Ane", "Jon", "Mikel"]),
]


def test_a_filter_finds_whom_it_describes(people: Contacts) -> None:
    assert [(filter_text, people.found(filter_text)) for filter_text, _ in DESCRIBED] == DESCRIBED
    walked = [(filter_text, len(people.walk(filter_text))) for filter_text, _ in DESCRIBED]
    assert walked == [(filter_text, len(names)) for filter_text, names in DESCRIBED]


@pytest.mark.parametrize(
    ("filter_text", "told"),
    [
        ('shoe_size = "38"', "there is no field 'shoe_size'"),
        ('citi = "Bilbo"', "did you mean 'city'"),
        ('age = "old"', "age"),
        ('city = "Bilbo" AND', "ends too early"),
        ('visited("x")', "visited"),
        ('consented("marketing")', "consented"),
        ('consented("marketing", "pigeon")', "email, sms, voice"),
        ('opened("spring", "soon")', "opened"),
    ],
)
def test_a_filter_that_is_wrong_is_refused_with_what_would_be_right(
    contacts: Contacts, filter_text: str, told: str
) -> None:
    contacts.define(city="text", age="number")
    calls: list[Callable[[], object]] = [
        lambda: contacts.found(filter_text),
        lambda: contacts.walk(filter_text),
        lambda: create(contacts, "x", filter_text),
        lambda: contacts.segments.CountSegment(pb.CountSegmentRequest(filter=filter_text)),
    ]
    for call in calls:
        with refused() as refusal:
            call()
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("filter",))
        assert told in refusal.message


def create(contacts: Contacts, name: str, filter_text: str = "", request_id: str = "") -> pb.Segment:
    segment = pb.Segment(name=name, filter=filter_text)
    return contacts.segments.CreateSegment(pb.CreateSegmentRequest(segment=segment, request_id=request_id))


def test_a_segment_is_always_fresh(contacts: Contacts) -> None:
    segment = create(contacts, "Basque", 'language = "eu"')
    for expected in range(3):
        answer = contacts.segments.CountSegment(pb.CountSegmentRequest(segment_id=segment.id))
        assert (answer.count, answer.capped) == (expected, False)
        contacts.a_person(language="eu")
    answer = contacts.segments.CountSegment(pb.CountSegmentRequest(filter="", most=2))
    assert (answer.count, answer.capped) == (2, True)


def test_a_count_needs_a_segment_or_a_filter(contacts: Contacts) -> None:
    with refused() as refusal:
        contacts.segments.CountSegment(pb.CountSegmentRequest())
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("filter",))
    with refused() as refusal:
        contacts.segments.CountSegment(pb.CountSegmentRequest(segment_id=str(uuid4())))
    assert refusal.code is grpc.StatusCode.NOT_FOUND


def test_segments_are_kept_changed_and_deleted(contacts: Contacts) -> None:
    request_id = str(uuid4())
    made = create(contacts, "Basque", 'language = "eu"', request_id)
    assert create(contacts, "Basque", 'language = "eu"', request_id) == made
    assert contacts.segments.GetSegment(pb.GetSegmentRequest(id=made.id)) == made
    with refused() as refusal:
        create(contacts, "Basque")
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    changed = contacts.segments.UpdateSegment(
        pb.UpdateSegmentRequest(segment=pb.Segment(id=made.id, name="Euskaldunak", etag=made.etag))
    )
    assert (changed.name, changed.filter) == ("Euskaldunak", 'language = "eu"')
    with refused() as refusal:
        contacts.segments.UpdateSegment(pb.UpdateSegmentRequest(segment=made))
    assert refusal.code is grpc.StatusCode.ABORTED
    create(contacts, "Everybody")
    listed = contacts.segments.ListSegments(pb.ListSegmentsRequest(page_size=1))
    assert [one.id for one in listed.segments] == [made.id]
    contacts.segments.DeleteSegment(pb.DeleteSegmentRequest(id=made.id))
    calls: list[Callable[[], object]] = [
        lambda: contacts.segments.GetSegment(pb.GetSegmentRequest(id=made.id)),
        lambda: contacts.segments.DeleteSegment(pb.DeleteSegmentRequest(id=made.id)),
    ]
    for call in calls:
        with refused() as refusal:
            call()
        assert refusal.code is grpc.StatusCode.NOT_FOUND
