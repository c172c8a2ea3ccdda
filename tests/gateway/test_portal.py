"""The portal shows a person their own tickets and nobody else's, takes answers once, and gives new links to owners."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.ids import new_id
from chassis.signing import sign
from denda.notifications.v1.messages_service_pb2 import SandboxMessage
from denda.support.v1.ticket_pb2 import (
    TICKET_STATE_CLOSED,
    TICKET_STATE_NEW,
    TICKET_STATE_OPEN,
    Participant,
    Ticket,
)
from services.gateway.public import portal as room
from services.gateway.public import portal_links
from services.gateway.public.throttle import Throttle
from services.gateway.public.words import words_in
from services.portal import person_of, portal_url, token_of
from tests.conftest import FrozenClock
from tests.gateway.desk import Desk
from tests.kit.events import eventually
from tests.notifications.things import sent

ANE, JON = "ane@shop.example", "jon@shop.example"


@pytest.fixture(autouse=True)
def _nobody_has_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ANSWERS", Throttle(times=30, seconds=3600))
    monkeypatch.setattr(portal_links, "ASKED", Throttle(times=10, seconds=600))
    monkeypatch.setattr(portal_links, "SENT", Throttle(times=3, seconds=3600))


@pytest.fixture
def ticket(desk: Desk) -> Ticket:
    """What Ane has asked."""
    return desk.asked(ANE, "Where is my parcel?", "It has not come.\n<script>alert(1)</script>")


def path(ticket: Ticket, person_id: str = "") -> str:
    """Where the ticket is for its requester, or for another person."""
    return f"/t/{token_for(person_id or ticket.requester_id)}/{ticket.id}"


def token_for(person_id: str) -> str:
    return token_of(UUID(person_id), now() + timedelta(days=1))


def token_in(page: TestResponse) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found
    return found[1]


def answer(gateway: FlaskClient, ticket: Ticket, text: str, token: str = "", person_id: str = "") -> TestResponse:
    form_token = token or token_in(gateway.get(path(ticket)))
    return gateway.post(path(ticket, person_id), data={"text": text, "token": form_token})


def test_a_link_opens_what_its_person_asked(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    desk.asked(JON, "Somebody else's", "It is mine alone.")
    url = portal_url(UUID(ticket.requester_id))
    page = gateway.get(f"/t/{url.rpartition('/')[2]}").text
    assert "Where is my parcel?" in page
    assert f"Request {ticket.number}" in page
    assert "Somebody else" not in page


def test_somebody_who_asked_nothing_is_told_so(gateway: FlaskClient, desk: Desk) -> None:
    page = gateway.get(f"/t/{token_for(str(new_id()))}").text
    assert words_in("en").portal.empty in page


def test_many_requests_come_in_pages(gateway: FlaskClient, desk: Desk) -> None:
    for number in range(22):
        last = desk.asked(ANE, f"Question {number}.", "?")
    first = gateway.get(f"/t/{token_for(last.requester_id)}").text
    following = re.search(r'href="(/t/[^"]+page=[^"]+)"', first)
    assert following
    second = gateway.get(following[1].replace("&amp;", "&")).text
    assert [int(number) for number in re.findall(r"Question (\d+)\.", first + second)] == [*range(21, -1, -1)]
    assert "All your requests" in second


def test_a_ticket_shows_what_was_said_as_text_and_no_notes(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    desk.note(ticket, "He is always angry.")
    desk.reply(ticket, "It is on its way.")
    page = gateway.get(path(ticket)).text
    assert "It has not come.\n&lt;script&gt;" in page
    assert "It is on its way." in page
    assert "We are waiting for your answer" in page
    assert "angry" not in page


@pytest.mark.parametrize("whose", ["jon", "nobody"])
def test_what_is_somebody_elses_is_not_there(gateway: FlaskClient, desk: Desk, ticket: Ticket, whose: str) -> None:
    other = desk.asked(JON, "Mine", "Mine.").requester_id if whose == "jon" else str(new_id())
    token = token_in(gateway.get(path(ticket)))
    assert gateway.get(path(ticket, other)).status_code == 404
    assert answer(gateway, ticket, "Let me in.", token, other).status_code == 404
    assert gateway.post(f"{path(ticket, other)}/close").status_code == 404
    assert len(desk.said(ticket)) == 1
    assert desk.ticket(ticket.id).state == TICKET_STATE_NEW


def test_a_ticket_that_does_not_exist_is_not_there(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    made_up = Ticket(id=str(new_id()), requester_id=ticket.requester_id)
    token = token_in(gateway.get(path(ticket)))
    assert gateway.get(path(made_up)).status_code == 404
    assert answer(gateway, made_up, "Hello?", token).status_code == 404
    assert gateway.get(f"/t/{token_for(ticket.requester_id)}/4711").status_code == 404
    assert gateway.get(f"/t/{token_for(ticket.requester_id)}?page=made-up").status_code == 404


def test_a_participant_reads_and_answers_too(gateway: FlaskClient, desk: Desk) -> None:
    jon = desk.asked(JON, "Mine", "Mine.").requester_id
    shared = desk.asked(ANE, "Ours", "Ours.", participants=[Participant(address=JON, person_id=jon)])
    token = token_in(gateway.get(path(shared, jon)))
    assert answer(gateway, shared, "I agree.", token, jon).status_code == 303
    assert [said.author_id for said in desk.said(shared)] == [shared.requester_id, jon]


def test_an_answer_joins_the_ticket_once(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    desk.reply(ticket, "It is on its way.")
    token = token_in(gateway.get(path(ticket)))
    for _ in range(2):
        page = answer(gateway, ticket, "It has come!\r\nThanks.\0", token)
        assert page.status_code == 303
    assert "Thank you, we have your answer." in gateway.get(page.location).text
    assert [said.text for said in desk.said(ticket)][2:] == ["It has come!\nThanks."]
    assert desk.ticket(ticket.id).state == TICKET_STATE_OPEN


@pytest.mark.parametrize(
    ("text", "notice"),
    [("  ", "Write your message."), ("x" * 5001, "yours has 5001"), ("Kept", "was open for a long time")],
)
def test_an_answer_that_is_not_right_is_shown_again(
    gateway: FlaskClient, desk: Desk, ticket: Ticket, text: str, notice: str
) -> None:
    page = answer(gateway, ticket, text, "made-up" if text == "Kept" else "")
    assert page.status_code == 400
    assert notice in page.text
    assert text.strip() in page.text
    assert len(desk.said(ticket)) == 1
    assert answer(gateway, ticket, "Better", token_in(page)).status_code == 303


def test_a_flood_of_answers_is_held_back(
    gateway: FlaskClient, desk: Desk, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ANSWERS", Throttle(times=1, seconds=3600))
    assert answer(gateway, ticket, "One").status_code == 303
    page = answer(gateway, ticket, "Two")
    assert page.status_code == 429
    assert "Two" in page.text


def test_while_support_is_away_an_answer_is_not_lost(gateway: FlaskClient, services_away: None) -> None:
    ticket = Ticket(id=str(new_id()), requester_id=str(new_id()))
    page = answer(gateway, ticket, "A long story", token_in(gateway.get("/t")))
    assert page.status_code == 503
    assert "A long story" in page.text
    assert gateway.get(path(ticket)).status_code == 503


def test_a_person_closes_what_is_settled(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    page = gateway.post(f"{path(ticket)}/close", data={"etag": ticket.etag})
    assert page.status_code == 303
    assert desk.ticket(ticket.id).state == TICKET_STATE_CLOSED
    closed = gateway.get(page.location).text
    assert "The request is closed." in closed
    assert "/close" not in closed
    assert answer(gateway, ticket, "One more thing").status_code == 303
    assert desk.ticket(ticket.id).state == TICKET_STATE_OPEN


def test_what_came_in_the_meantime_is_read_before_closing(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    desk.reply(ticket, "There is a problem.")
    page = gateway.post(f"{path(ticket)}/close", data={"etag": ticket.etag})
    assert "Something has been added in the meantime." in gateway.get(page.location).text
    assert desk.ticket(ticket.id).state != TICKET_STATE_CLOSED


def test_reading_changes_nothing(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    before = desk.ticket(ticket.id)
    for _ in range(2):
        gateway.get(path(ticket))
        gateway.get(f"{path(ticket)}/close")
    assert desk.ticket(ticket.id) == before


def test_the_portal_speaks_the_persons_language_and_time(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    desk.learn(ticket.requester_id, language="eu", time_zone="Pacific/Auckland")
    ticket.last_message_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    page = gateway.get(path(ticket), headers={"Accept-Language": "de"}).text
    assert '<html lang="eu">' in page
    assert words_in("eu").portal.answer_button in page
    assert " UTC</time>" not in page


@pytest.mark.parametrize(
    "token",
    [
        "made-up",
        token_of(new_id(), datetime(2020, 1, 1, tzinfo=UTC)),
        sign("portal", b""),
        sign("portal", bytes(15)),
        sign("portal", bytes(16) + b"\xff" * 9),
        sign("unsubscribe", bytes(16) + (2**33).to_bytes(8, "big")),
    ],
    ids=["made up", "old", "empty", "short", "strange", "of another kind"],
)
def test_a_forged_or_old_link_offers_a_new_one(gateway: FlaskClient, desk: Desk, token: str) -> None:
    for page in (gateway.get(f"/t/{token}"), gateway.get(f"/t/{token}/{new_id()}")):
        assert page.status_code == 404
        assert words_in("en").link.expired_title in page.text
        assert '<form method="post" action="/t">' in page.text
    assert gateway.post(f"/t/{token}/{new_id()}", data={"text": "x"}).status_code == 404


def test_a_link_works_for_thirty_days(frozen_clock: FrozenClock) -> None:
    person_id = new_id()
    token = portal_url(person_id).rpartition("/")[2]
    frozen_clock.advance(days=29)
    assert person_of(token) == person_id
    frozen_clock.advance(days=2)
    with pytest.raises(InvalidArgument, match="expired"):
        person_of(token)


def ask_for_link(gateway: FlaskClient, address: str) -> TestResponse:
    return gateway.post("/t", data={"address": address, "token": token_in(gateway.get("/t"))})


def test_a_link_is_sent_to_the_owner_of_an_address_alone(gateway: FlaskClient, desk: Desk, ticket: Ticket) -> None:
    unknown, known = ask_for_link(gateway, "nobody@shop.example"), ask_for_link(gateway, "ANE@shop.example")
    assert known.status_code == unknown.status_code == 303
    assert known.location == unknown.location
    assert "If we know the address" in gateway.get(known.location).text
    eventually(lambda: send_and_list(desk))
    (mail,) = send_and_list(desk)
    link = re.search(r"http://127\.0\.0\.1:\d+(/t/\S+)", mail.text)
    assert link
    assert "Where is my parcel?" in gateway.get(link[1]).text
    assert len(desk.people()) == 1, "nobody is made up"


def send_and_list(desk: Desk) -> list[SandboxMessage]:
    sent()
    return desk.mails("")


def test_an_address_gets_so_many_links_and_no_more(
    gateway: FlaskClient, desk: Desk, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal_links, "SENT", Throttle(times=1, seconds=3600))
    for address in (ANE, "Ane@Shop.example", ANE):
        assert ask_for_link(gateway, address).status_code == 303
    portal_links._threads().shutdown()
    portal_links._threads.cache_clear()
    assert len(send_and_list(desk)) == 1


@pytest.mark.parametrize("address", ["", "ane", 'x" OR email != "y@shop.example', "ane@shop.example\nBcc: x@y.example"])
def test_what_is_no_address_is_told_so(gateway: FlaskClient, desk: Desk, ticket: Ticket, address: str) -> None:
    page = ask_for_link(gateway, address)
    assert page.status_code == 400
    assert 'aria-invalid="true"' in page.text
    assert send_and_list(desk) == []


def test_asking_for_links_again_and_again_is_held_back(
    gateway: FlaskClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal_links, "ASKED", Throttle(times=1, seconds=600))
    assert ask_for_link(gateway, ANE).status_code == 303
    assert ask_for_link(gateway, ANE).status_code == 429


def test_while_contacts_is_away_the_address_is_kept(gateway: FlaskClient, services_away: None) -> None:
    page = ask_for_link(gateway, ANE)
    assert page.status_code == 503
    assert ANE in page.text
