"""Tracked links lead where campaigns registered them, machines are told apart, and trouble has a friendly page."""

import pytest
from flask.testing import FlaskClient

from chassis.signing import sign
from tests.gateway.conftest import TARGET, a_tracked_link, the_recipient
from tests.kit.doors import Doors

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


def test_a_click_is_recorded_and_leads_to_the_registered_address(gateway: FlaskClient, tracking: Doors) -> None:
    message_id, token = a_tracked_link()
    answer = gateway.get(f"/l/{token}", headers=BROWSER)
    assert answer.status_code == 302
    assert answer.headers["Location"] == TARGET
    assert answer.headers["Cache-Control"] == "no-store"
    recipient = the_recipient(message_id)
    assert recipient.click_time
    assert recipient.machine_click_time is None


def test_a_link_may_have_letters_of_any_script(gateway: FlaskClient, tracking: Doors) -> None:
    _, token = a_tracked_link("https://denda.example/eñe?q=ü")
    assert gateway.get(f"/l/{token}").headers["Location"] == "https://denda.example/e%C3%B1e?q=%C3%BC"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"X-Moz": "prefetch"}),
        ("GET", {"X-Purpose": "preview"}),
        ("GET", {"User-Agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}),
    ],
)
def test_machines_are_led_on_and_not_counted(
    gateway: FlaskClient, tracking: Doors, method: str, headers: dict[str, str]
) -> None:
    message_id, token = a_tracked_link()
    assert gateway.open(f"/l/{token}", method=method, headers=BROWSER | headers).status_code == 302
    recipient = the_recipient(message_id)
    assert recipient.machine_click_time
    assert recipient.click_time is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: "B" + token[1:],
        lambda token: token + "A",
        lambda _: "x",
        lambda _: sign("link", bytes(16) + b"\0\1"),
        lambda _: sign("open", bytes(16)),
        lambda _: "%00",
        lambda _: "x" * 600,
    ],
)
def test_a_spoilt_link_gets_a_clear_page_and_leads_nowhere(
    gateway: FlaskClient, tracking: Doors, spoil: object
) -> None:
    _, token = a_tracked_link()
    assert callable(spoil)
    answer = gateway.get(f"/l/{spoil(token)}")
    assert answer.status_code == 404
    assert "This link does not work" in answer.text
    assert "Location" not in answer.headers


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//denda.example", "/elsewhere"])
def test_a_link_leads_to_the_web_only(gateway: FlaskClient, tracking: Doors, url: str) -> None:
    _, token = a_tracked_link(url)
    assert gateway.get(f"/l/{token}").status_code == 404


def test_the_target_is_never_taken_from_the_request(gateway: FlaskClient, tracking: Doors) -> None:
    _, token = a_tracked_link()
    answer = gateway.get(f"/l/{token}?url=https://evil.example", headers={"Host": "evil.example"})
    assert answer.headers["Location"] == TARGET


def test_an_open_is_recorded_and_answered_with_a_pixel(gateway: FlaskClient, tracking: Doors) -> None:
    message_id, _ = a_tracked_link()
    answer = gateway.get(f"/o/{sign('open', message_id.bytes)}.gif", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.mimetype == "image/gif"
    assert answer.data.startswith(b"GIF89a")
    assert the_recipient(message_id).open_time


def test_a_forged_pixel_is_a_pixel_all_the_same(gateway: FlaskClient, tracking: Doors) -> None:
    assert gateway.get("/o/forged.gif").status_code == 200


def test_without_campaigns_a_click_is_asked_to_come_back(gateway: FlaskClient, services_away: None) -> None:
    answer = gateway.get("/l/whatever", headers={"Accept-Language": "es"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "Inténtelo de nuevo" in answer.text
    assert 'href="/l/whatever"' in answer.text


def test_without_campaigns_a_mail_still_shows_its_pixel(gateway: FlaskClient, services_away: None) -> None:
    assert gateway.get("/o/whatever.gif").data.startswith(b"GIF89a")
