"""The preference page shows what is in force and changes only what its form showed."""

from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from chassis.ids import new_id
from denda.contacts.v1.consent_service_pb2 import Consent
from denda.types.v1.channel_pb2 import CHANNEL_SMS
from tests.gateway.conftest import Shop, a_token

MARKETING, NEWSLETTER = "marketing:CHANNEL_EMAIL", "newsletter:CHANNEL_EMAIL"


class Boxes(HTMLParser):
    """The page's boxes by name, and whether each is ticked."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ticked: dict[str, bool] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "input" and values.get("type") == "checkbox":
            self.ticked[str(values["value"])] = "checked" in values


def form(shown: list[str], wanted: list[str]) -> MultiDict[str, str]:
    return MultiDict([*(("shown", name) for name in shown), *(("wanted", name) for name in wanted)])


def test_the_page_shows_what_is_in_force(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "marketing", "newsletter")
    shop.grant(person, "marketing", CHANNEL_SMS)
    token = a_token(person)
    gateway.post(f"/u/{token}")
    page = Boxes(gateway.get(f"/p/{token}").text)
    assert page.ticked == {MARKETING: False, "marketing:CHANNEL_SMS": True, NEWSLETTER: True}


def test_saving_grants_and_withdraws_and_says_so(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "newsletter")
    token = a_token(person)
    answer = gateway.post(f"/p/{token}", data=form([MARKETING, NEWSLETTER], [MARKETING]), follow_redirects=True)
    assert answer.status_code == 200
    assert "Your choices are saved." in answer.text
    assert shop.granted(person) == {"marketing"}
    assert {entry.evidence.source for entry in shop.ledger(person)} == {"preference-page"}


def test_saving_the_same_again_records_nothing(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "newsletter")
    token = a_token(person, "newsletter")
    for _ in range(2):
        assert gateway.post(f"/p/{token}", data=form([NEWSLETTER], [NEWSLETTER])).status_code == 303
    assert len(shop.ledger(person, in_force_only=False)) == 1


def test_what_the_form_did_not_show_stays_as_it_is(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "newsletter")
    gateway.post(f"/p/{a_token(person)}", data=form([MARKETING], []))
    assert shop.granted(person) == {"newsletter"}


def test_a_topic_that_the_person_never_had_cannot_be_made_up(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "newsletter")
    made_up = "secrets:CHANNEL_VOICE"
    gateway.post(f"/p/{a_token(person)}", data=form([made_up], [made_up]))
    assert {entry.purpose for entry in shop.ledger(person)} == {"newsletter"}


def test_stopping_everything_stops_everything(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "newsletter", "surveys")
    gateway.post(f"/p/{a_token(person)}", data={"stop": "all"})
    assert shop.granted(person) == set()
    assert {entry.state for entry in shop.ledger(person)} == {Consent.STATE_WITHDRAWN}


def test_an_empty_post_changes_nothing(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "marketing")
    gateway.post(f"/p/{a_token(person)}")
    assert shop.granted(person) == {"marketing"}


def test_a_deleted_person_has_no_page(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en")
    shop.delete(person)
    assert gateway.get(f"/p/{a_token(person)}").status_code == 404
    assert gateway.post(f"/p/{a_token(person)}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_contacts_the_page_asks_to_come_back(gateway: FlaskClient, services_away: None, method: str) -> None:
    answer = gateway.open(f"/p/{a_token(str(new_id()))}", method=method)
    assert answer.status_code == 503
    assert "Please try again in a moment" in answer.text


def test_a_spoilt_link_is_refused(gateway: FlaskClient) -> None:
    assert gateway.get("/p/nonsense").status_code == 404
