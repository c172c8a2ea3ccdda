"""The timeline: what events tell, consents and notes, newest first, whatever order events come in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denda.campaigns.v1.events_pb2 import Engagement, EngagementsRecorded, RecipientsPlanned
from denda.contacts.v1 import consent_service_pb2 as consent_pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1 import timeline_service_pb2 as pb
from denda.notifications.v1 import message_pb2
from denda.notifications.v1.events_pb2 import MessageChange, MessageReceived, MessagesChanged
from denda.support.v1.events_pb2 import TicketChange, TicketsChanged
from denda.support.v1.ticket_pb2 import SOURCE_EMAIL, TICKET_STATE_NEW, TICKET_STATE_OPEN, TICKET_STATE_SOLVED
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services.contacts.events import HANDLERS
from services.contacts.models import database
from tests.contacts.conftest import Contacts, counted_statements, refused

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
STATES = [
    message_pb2.MESSAGE_STATE_SCHEDULED,
    message_pb2.MESSAGE_STATE_SENDING,
    message_pb2.MESSAGE_STATE_SENT,
    message_pb2.MESSAGE_STATE_DELIVERED,
]


def handle(*events: Message) -> None:
    with database.transaction() as session:
        HANDLERS[type(events[0])](session, events)


def change(person_id: str, message_id: str, version: int, **fields: Any) -> MessageChange:
    made = MessageChange(
        person_id=person_id,
        message_id=message_id,
        channel=CHANNEL_EMAIL,
        version=version,
        state=STATES[min(version, 4) - 1],
        summary="Spring is here",
        **fields,
    )
    made.time.FromDatetime(START + timedelta(minutes=version))
    return made


def activities(contacts: Contacts, person_id: str, *kinds: str, **options: Any) -> list[pb.Activity]:
    request = pb.ListActivitiesRequest(person_id=person_id, kinds=kinds, **options)
    return list(contacts.timeline.ListActivities(request).activities)


def test_a_message_is_one_activity_in_its_newest_state(contacts: Contacts) -> None:
    person_id, message_id, campaign_id = contacts.a_person().id, str(uuid4()), str(uuid4())
    first, *rest = [change(person_id, message_id, version, campaign_id=campaign_id) for version in (1, 2, 3, 4)]
    handle(MessagesChanged(changes=[first]))
    handle(MessagesChanged(changes=rest[:1]), MessagesChanged(changes=rest[1:]), MessagesChanged(changes=rest[1:]))
    (one,) = activities(contacts, person_id)
    assert (one.kind, one.state, one.summary) == ("message", "delivered", "Spring is here")
    assert (one.message_id, one.campaign_id) == (message_id, campaign_id)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([1, 2, 3, 4]), st.lists(st.sampled_from([1, 2, 3, 4]), max_size=4))
def test_in_whatever_order_changes_come_the_newest_stays(
    contacts: Contacts, order: Sequence[int], again: list[int]
) -> None:
    person_id, message_id = contacts.a_person().id, str(uuid4())
    for version in [*order, *again]:
        handle(MessagesChanged(changes=[change(person_id, message_id, version)]))
    (one,) = activities(contacts, person_id)
    assert one.state == "delivered"
    assert one.time.ToDatetime(UTC) in {START + timedelta(minutes=3), START + timedelta(minutes=4)}


def test_a_batch_of_changes_is_one_statement(contacts: Contacts) -> None:
    ids = [contacts.a_person().id for _ in range(5)]
    event = MessagesChanged(changes=[change(person_id, str(uuid4()), 1) for person_id in ids for _ in range(20)])
    with counted_statements() as statements:
        handle(event, event)
    assert len(statements) == 1
    assert len(activities(contacts, ids[0], page_size=1000)) == 20


def test_events_about_people_who_are_gone_change_nothing(contacts: Contacts) -> None:
    there = contacts.a_person().id
    handle(MessagesChanged(changes=[change(str(uuid4()), str(uuid4()), 1), change(there, str(uuid4()), 1)]))
    handle(MessagesChanged(changes=[change("", str(uuid4()), 1)]))
    assert len(activities(contacts, there)) == 1


def test_opens_and_clicks_come_with_the_campaigns_name_for_filters(contacts: Contacts) -> None:
    person_id, campaign_id = contacts.a_person(given_name="Ane").id, str(uuid4())
    event = EngagementsRecorded()
    for kind in (Engagement.KIND_OPEN, Engagement.KIND_CLICK):
        one = event.engagements.add(
            id=str(uuid4()),
            kind=kind,
            person_id=person_id,
            campaign_id=campaign_id,
            campaign_name="spring",
            message_id=str(uuid4()),
            channel=CHANNEL_EMAIL,
            url="https://shop.example/tea",
        )
        one.time.FromDatetime(START + timedelta(seconds=kind))
    handle(event, event)
    click, opened = activities(contacts, person_id)
    assert (click.kind, click.summary, opened.kind) == ("click", "https://shop.example/tea", "open")
    assert contacts.found('clicked("spring") AND opened("spring")') == ["Ane"]


def test_a_campaigns_name_is_known_from_its_plan(contacts: Contacts) -> None:
    person_id, campaign_id = contacts.a_person(given_name="Ane").id, str(uuid4())
    handle(RecipientsPlanned(campaign_id=campaign_id, campaign_name="autumn"))
    handle(MessagesChanged(changes=[change(person_id, str(uuid4()), 3, campaign_id=campaign_id)]))
    assert contacts.found('received("autumn")') == ["Ane"]
    handle(RecipientsPlanned(campaign_id=campaign_id, campaign_name="winter"))
    assert contacts.found('received("winter")') == ["Ane"]


def test_a_reply_is_on_the_timeline_of_whom_it_is_from(contacts: Contacts) -> None:
    known, by_address = contacts.a_person("a@x.test").id, contacts.a_person("Jon@x.test").id
    for _ in range(2):
        contacts.a_person("home@x.test")
    handle(
        MessageReceived(id=str(uuid4()), channel=CHANNEL_EMAIL, person_id=known, subject="Re: Spring"),
        MessageReceived(id=str(uuid4()), channel=CHANNEL_EMAIL, from_address="jon@x.test", text="\0Thanks\nJon"),
        MessageReceived(id=str(uuid4()), channel=CHANNEL_EMAIL, from_address="home@x.test", text="Who am I?"),
        MessageReceived(id=str(uuid4()), channel=CHANNEL_EMAIL, from_address="nobody@x.test", text="Hello"),
    )
    assert [one.summary for one in activities(contacts, known)] == ["Re: Spring"]
    assert [(one.kind, one.summary) for one in activities(contacts, by_address)] == [("reply", "Thanks")]


def said(number: str, text: str, **fields: Any) -> MessageReceived:
    return MessageReceived(id=str(uuid4()), channel=CHANNEL_SMS, from_address=number, text=text, **fields)


def test_who_sends_an_sms_becomes_a_person_unless_it_is_a_keyword(contacts: Contacts) -> None:
    handle(said("+34944000001", "Where is my parcel?"), said("+34944000002", "STOP", keyword="STOP"))
    handle(said("+34944000001", "Hello?"))
    (person,) = contacts.people.ListPeople(people_pb.ListPeopleRequest()).people
    assert [one.value for one in person.addresses] == ["+34944000001"]
    assert [one.summary for one in activities(contacts, person.id, "reply")] == ["Hello?", "Where is my parcel?"]


def ticket(person_id: str, ticket_id: str, version: int, **fields: Any) -> TicketChange:
    usual: dict[str, Any] = {"subject": "Where is my parcel?", "state": TICKET_STATE_OPEN, "source": SOURCE_EMAIL}
    made = TicketChange(ticket_id=ticket_id, number=4711, requester_id=person_id, version=version, **(usual | fields))
    made.create_time.FromDatetime(START)
    made.time.FromDatetime(START + timedelta(hours=version))
    return made


def test_a_ticket_is_one_activity_in_its_newest_state_where_it_was_opened(contacts: Contacts) -> None:
    person_id, ticket_id = contacts.a_person(given_name="Ane").id, str(uuid4())
    handle(TicketsChanged(changes=[ticket("", ticket_id, 1, state=TICKET_STATE_NEW)]))
    assert activities(contacts, person_id) == []
    handle(
        TicketsChanged(changes=[ticket(person_id, ticket_id, 3, subject="Where are my parcels?")]),
        TicketsChanged(changes=[ticket(person_id, ticket_id, 2, state=TICKET_STATE_NEW)]),
    )
    (one,) = activities(contacts, person_id, "ticket")
    assert (one.id, one.channel, one.state) == (ticket_id, CHANNEL_EMAIL, "open")
    assert (one.summary, one.time.ToDatetime(UTC)) == ("#4711 Where are my parcels?", START)
    assert contacts.found("has_open_ticket") == ["Ane"]
    handle(TicketsChanged(changes=[ticket(person_id, ticket_id, 4, state=TICKET_STATE_SOLVED)]))
    assert [one.state for one in activities(contacts, person_id)] == ["solved"]
    assert contacts.found("has_open_ticket") == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_ticket_goes_with_whom_it_is_from_now(contacts: Contacts, order: tuple[int, int]) -> None:
    before, after, ticket_id = contacts.a_person().id, contacts.a_person().id, str(uuid4())
    changes = [ticket(before, ticket_id, 1), ticket(after, ticket_id, 2)]
    for index in order:
        handle(TicketsChanged(changes=[changes[index], ticket(before, str(uuid4()), 1)]))
    assert [one.id for one in activities(contacts, after)] == [ticket_id]
    assert ticket_id not in [one.id for one in activities(contacts, before)]
    assert len(activities(contacts, before)) == 2


def test_consents_and_notes_are_among_the_activities_newest_first(contacts: Contacts) -> None:
    person_id = contacts.a_person().id
    handle(MessagesChanged(changes=[change(person_id, str(uuid4()), 1)]))
    contacts.grant(person_id)
    contacts.withdraw(person_id)
    request = pb.AddNoteRequest(person_id=person_id, text="Prefers the morning", request_id=str(uuid4()))
    note = contacts.timeline.AddNote(request)
    assert contacts.timeline.AddNote(request) == note
    assert note.actor.startswith("user:")
    found = activities(contacts, person_id)
    assert found[0] == note
    assert [(one.kind, one.state) for one in found] == [
        ("note", ""),
        ("consent", "withdrawn"),
        ("consent", "granted"),
        ("message", "scheduled"),
    ]
    assert found[1].summary == "marketing by email (api)"
    assert [one.kind for one in activities(contacts, person_id, "note", "message")] == ["note", "message"]
    first = contacts.timeline.ListActivities(pb.ListActivitiesRequest(person_id=person_id, page_size=3))
    rest = activities(contacts, person_id, page_size=3, page_token=first.next_page_token)
    assert [*first.activities, *rest] == found


def test_consent_may_name_a_message_that_is_not_ours(contacts: Contacts) -> None:
    person_id = contacts.a_person().id
    evidence = consent_pb.Evidence(message_id="<20260131@mail.example>")
    contacts.consents.GrantConsent(
        consent_pb.GrantConsentRequest(person_id=person_id, purpose="news", channel=CHANNEL_EMAIL, evidence=evidence)
    )
    handle(MessagesChanged(changes=[change(person_id, str(uuid4()), 1)]))
    assert [one.message_id for one in activities(contacts, person_id, "consent")] == [evidence.message_id]
    assert len(activities(contacts, person_id)) == 2


def test_a_timeline_of_nobody_or_of_unknown_kinds_is_refused(contacts: Contacts) -> None:
    for call in (
        lambda: activities(contacts, str(uuid4())),
        lambda: contacts.timeline.AddNote(pb.AddNoteRequest(person_id=str(uuid4()), text="x")),
    ):
        with refused() as refusal:
            call()
        assert refusal.code is grpc.StatusCode.NOT_FOUND
    with refused() as refusal:
        activities(contacts, contacts.a_person().id, "dreams")
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("kinds",))
