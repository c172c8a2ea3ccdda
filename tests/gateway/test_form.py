"""The form at /help opens a ticket once, says what is wrong, and loses nothing that was typed."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from denda.support.v1.ticket_pb2 import SOURCE_WEB
from services.gateway.app import create_app
from services.gateway.public import help as room
from services.gateway.public.throttle import Throttle
from services.gateway.public.words import LANGUAGES, words_in
from services.gateway.settings import gateway_settings
from tests.conftest import FrozenClock
from tests.gateway.desk import Desk

WRITTEN = {
    "name": "Ane Etxeberria",
    "address": "ane@shop.example",
    "subject": "Where is my parcel?",
    "text": "It has not come.\n\n<b>Bold</b> & so on",
    "website": "",
}


@pytest.fixture(autouse=True)
def _nobody_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LETTERS", Throttle(times=10, seconds=600))


def token_in(page: TestResponse) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found
    return found[1]


def send(gateway: FlaskClient, token: str = "", **changes: str) -> TestResponse:
    return gateway.post("/help", data={**WRITTEN, "token": token or token_in(gateway.get("/help")), **changes})


def kept(page: TestResponse, *values: str) -> bool:
    """Whether everything that was typed is in the form again."""
    return all(value in page.text for value in values)


def test_what_a_visitor_writes_becomes_a_ticket(gateway: FlaskClient, desk: Desk) -> None:
    answer = send(gateway)
    assert answer.status_code == 303
    (ticket,) = desk.tickets()
    assert (ticket.subject, ticket.source) == ("Where is my parcel?", SOURCE_WEB)
    assert (ticket.requester_address, ticket.requester_name) == ("ane@shop.example", "Ane Etxeberria")
    assert ticket.requester_id
    assert [said.text for said in desk.said(ticket)] == [WRITTEN["text"]]
    assert f"Its number is {ticket.number}." in gateway.get(answer.location).text


def test_sending_twice_opens_one_ticket_and_another_message_another(gateway: FlaskClient, desk: Desk) -> None:
    token = token_in(gateway.get("/help"))
    first, again = send(gateway, token), send(gateway, token)
    assert first.location == again.location
    send(gateway, token, text="And another thing.")
    assert len(desk.tickets()) == 2


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("address", "", "Write your email address."),
        ("address", "ane", "This is not a complete email address."),
        ("address", "ane@shop.example, jon@shop.example", "This is not a complete email address."),
        ("address", "ane@shop.example\r\nBcc: jon@shop.example", "This is not a complete email address."),
        ("subject", " \t ", "Write in a few words what it is about."),
        ("subject", "x" * 201, "The subject may have 200 characters."),
        ("name", "x" * 101, "The name may have 100 characters."),
        ("text", "\r\n\0 ", "Write your message."),
        ("text", "x" * 5001, "The message may have 5000 characters; yours has 5001."),
    ],
)
def test_the_form_names_what_is_wrong_and_keeps_what_was_typed(
    gateway: FlaskClient, desk: Desk, field: str, value: str, problem: str
) -> None:
    page = send(gateway, **{field: value})
    assert page.status_code == 400
    assert f'<a href="#{field}">{problem}' in page.text
    assert re.search(rf'id="{field}"[^>]* aria-invalid="true"[^>]* aria-describedby="[^"]*{field}-problem', page.text)
    others = [typed for name, typed in WRITTEN.items() if name not in (field, "text")]
    assert kept(page, *others)
    assert desk.tickets() == []


def test_what_was_typed_is_shown_as_text(gateway: FlaskClient, desk: Desk) -> None:
    page = send(gateway, address="", name='"><script>alert(1)</script>', text="</textarea><script>alert(1)</script>")
    assert "<script" not in page.text
    assert "&lt;/textarea&gt;&lt;script&gt;" in page.text


def test_nothing_typed_can_end_a_header(gateway: FlaskClient, desk: Desk) -> None:
    assert send(gateway, subject="Hi\r\nBcc: jon@shop.example\0", name="Ane\r\nX: y\u2028z").status_code == 303
    (ticket,) = desk.tickets()
    assert ticket.subject == "Hi Bcc: jon@shop.example"
    assert ticket.requester_name == "Ane X: y z"


def test_letters_of_every_script_arrive(gateway: FlaskClient, desk: Desk) -> None:
    text = "ñ 漢字 עברית 👩‍👩‍👧 \tend"
    assert send(gateway, text=text, subject=text).status_code == 303
    (ticket,) = desk.tickets()
    assert [said.text for said in desk.said(ticket)] == [text]


def test_a_program_that_fills_in_everything_believes_that_it_worked(gateway: FlaskClient, desk: Desk) -> None:
    answer = send(gateway, website="https://spam.example")
    assert answer.status_code == 303
    page = gateway.get(answer.location)
    assert page.status_code == 200
    assert "Its number" not in page.text
    assert desk.tickets() == []


@pytest.mark.parametrize("token", ["made-up", "%00", "x" * 5000])
def test_without_a_page_of_ours_nothing_is_opened(gateway: FlaskClient, desk: Desk, token: str) -> None:
    page = send(gateway, token)
    assert page.status_code == 400
    assert kept(page, *WRITTEN["text"].split("\n")[:1], WRITTEN["subject"])
    assert desk.tickets() == []
    assert send(gateway, token_in(page)).status_code == 303


def test_a_page_that_was_open_for_days_is_sent_once_more(
    gateway: FlaskClient, desk: Desk, frozen_clock: FrozenClock
) -> None:
    token = token_in(gateway.get("/help"))
    frozen_clock.moment += timedelta(hours=25)
    page = send(gateway, token)
    assert page.status_code == 400
    assert words_in("en").notices.stale in page.text
    assert send(gateway, token_in(page)).status_code == 303


def test_a_flood_from_one_place_is_held_back_and_others_are_not(
    gateway: FlaskClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LETTERS", Throttle(times=2, seconds=600))
    for number in range(2):
        assert send(gateway, text=f"{number}").status_code == 303
    page = send(gateway, text="Once too often")
    assert page.status_code == 429
    assert kept(page, "Once too often", WRITTEN["subject"])
    token = token_in(page)
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert gateway.post("/help", data={**WRITTEN, "token": token}, environ_base=elsewhere).status_code == 303
    assert len(desk.tickets()) == 3


def test_behind_a_proxy_visitors_are_told_apart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LETTERS", Throttle(times=1, seconds=600))
    monkeypatch.setenv("DENDA_HTTP_PROXIES", "1")
    gateway_settings.cache_clear()
    proxied = create_app().test_client()
    token = token_in(proxied.get("/help"))

    def sent_from(address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return proxied.post("/help", data={**WRITTEN, "token": token}, headers=headers).status_code

    assert sent_from("made.up, 192.0.2.1") == 303
    assert sent_from("another, 192.0.2.1") == 429
    assert sent_from("192.0.2.2") == 303
    assert sent_from("2001:db8::1") == 303
    assert sent_from("2001:db8::2") == 429


def test_while_support_is_away_nothing_is_lost(gateway: FlaskClient, services_away: None) -> None:
    page = send(gateway)
    assert page.status_code == 503
    assert words_in("en").notices.away in page.text
    assert kept(page, "It has not come.", WRITTEN["subject"], WRITTEN["name"], WRITTEN["address"])


def test_a_body_that_is_too_large_is_refused(gateway: FlaskClient, desk: Desk) -> None:
    assert send(gateway, text="x" * 70_000).status_code == 413


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_speaks_the_browsers_language(gateway: FlaskClient, language: str) -> None:
    page = gateway.get("/help", headers={"Accept-Language": f"{language}-XX, ja;q=0.5"}).text
    assert f'<html lang="{language}">' in page
    assert words_in(language).form.title in page


def test_a_made_up_number_has_no_page(gateway: FlaskClient) -> None:
    assert gateway.get("/help/sent/AAAAAAAAAAE").status_code == 404
