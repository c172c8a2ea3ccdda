"""SMS and voicemail become tickets, or join the one that is open for the number."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from denda.notifications.v1.events_pb2 import MessageReceived
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as tickets_pb
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE
from services.support.events import HANDLERS
from services.support.models import database
from tests.kit.doors import Doors
from tests.support.conftest import Support

NUMBER = "+15555550123"


def heard(text: str, **fields: Any) -> MessageReceived:
    usual = {"id": str(uuid4()), "channel": CHANNEL_SMS, "from_address": NUMBER}
    event = MessageReceived(text=text, **{**usual, **fields})
    event.time.FromDatetime(datetime(2026, 11, 1, 12, tzinfo=UTC))
    return event


def handle(*events: MessageReceived) -> None:
    with database.transaction() as session:
        HANDLERS[MessageReceived](session, events)


def listed(support: Support) -> list[ticket_pb2.Ticket]:
    return list(support.tickets.ListTickets(tickets_pb.ListTicketsRequest()).tickets)


def test_an_sms_opens_a_ticket_of_whom_it_is_from(support: Support) -> None:
    person_id, campaign_id = str(uuid4()), str(uuid4())
    handle(heard("Where is my parcel?\nIt was to come today.", person_id=person_id, campaign_id=campaign_id))
    (ticket,) = listed(support)
    assert (ticket.subject, ticket.source) == ("Where is my parcel?", ticket_pb2.SOURCE_SMS)
    assert (ticket.requester_id, ticket.requester_address) == (person_id, NUMBER)
    assert ticket.campaign_id == campaign_id
    (message,) = support.messages(ticket.id)
    assert message.text == "Where is my parcel?\nIt was to come today."
    assert message.from_address == NUMBER


def test_the_same_sms_again_changes_nothing(support: Support) -> None:
    event = heard("Where is my parcel?")
    handle(event, event)
    handle(event)
    (ticket,) = listed(support)
    assert len(support.messages(ticket.id)) == 1


def test_the_next_sms_joins_the_open_ticket_and_opens_it_again(support: Support) -> None:
    handle(heard("Where is my parcel?"))
    (ticket,) = listed(support)
    support.answer(ticket.id)
    handle(heard("Thank you!"))
    (ticket,) = listed(support)
    assert ticket.state == ticket_pb2.TICKET_STATE_OPEN
    assert [message.text for message in support.messages(ticket.id)][-1] == "Thank you!"


def test_what_comes_after_the_ticket_is_solved_is_another_matter(support: Support) -> None:
    handle(heard("Where is my parcel?"))
    (ticket,) = listed(support)
    support.change(ticket.id, state=ticket_pb2.TICKET_STATE_SOLVED)
    handle(heard("Do you open on Sunday?"))
    assert sorted(support.found()) == ["Do you open on Sunday?", "Where is my parcel?"]


def test_another_number_never_joins(support: Support) -> None:
    handle(heard("Where is my parcel?"), heard("And mine?", from_address="+15555550124"))
    assert len(listed(support)) == 2


def test_a_voicemail_opens_a_ticket_and_says_that_it_is_one(support: Support) -> None:
    handle(heard("Please call me back.", channel=CHANNEL_VOICE))
    (ticket,) = listed(support)
    assert (ticket.subject, ticket.source) == ("Voicemail: Please call me back.", ticket_pb2.SOURCE_VOICE)


def test_a_keyword_that_was_obeyed_is_nobodys_ticket(support: Support) -> None:
    handle(heard("STOP", keyword="STOP"))
    assert listed(support) == []


def test_mail_comes_by_a_way_of_its_own(support: Support) -> None:
    handle(heard("Hello", channel=CHANNEL_EMAIL, from_address="ane@shop.example"))
    assert listed(support) == []


def test_the_ticket_is_told_of(support: Support, doors: Doors) -> None:
    handle(heard("Where is my parcel?"))
    (ticket,) = listed(support)
    (event,) = doors.events("support")
    (change,) = event.changes
    assert (change.ticket_id, change.number, change.version) == (ticket.id, ticket.number, 1)
