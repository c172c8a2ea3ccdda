"""Unsubscribing: a GET changes nothing, a POST withdraws, and no one-click is lost while contacts is away."""

import pytest
from flask.testing import FlaskClient

from chassis.ids import new_id
from chassis.signing import sign
from denda.contacts.v1.consent_service_pb2 import Consent
from tests.gateway.conftest import Shop, a_token

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_following_the_link_changes_nothing(gateway: FlaskClient, shop: Shop, method: str) -> None:
    person = shop.a_person("en", "marketing")
    before = shop.ledger(person, in_force_only=False)
    answer = gateway.open(f"/u/{a_token(person)}?List-Unsubscribe=One-Click", method=method)
    assert answer.status_code == 200
    assert shop.ledger(person, in_force_only=False) == before


def test_the_button_withdraws_this_purpose_only(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "marketing", "newsletter")
    token = a_token(person)
    assert "Do you want to stop receiving “Offers and news” by email?" in gateway.get(f"/u/{token}").text
    answer = gateway.post(f"/u/{token}")
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    assert shop.granted(person) == {"newsletter"}


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_withdraws_without_cookies_or_a_page(gateway: FlaskClient, shop: Shop, content_type: str) -> None:
    person = shop.a_person("en", "marketing")
    answer = gateway.post(f"/u/{a_token(person)}", data=ONE_CLICK, content_type=content_type)
    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    assert "Set-Cookie" not in answer.headers
    (entry,) = shop.ledger(person)
    assert entry.state == Consent.STATE_WITHDRAWN
    assert entry.evidence.source == "one-click"
    assert entry.evidence.message_id


def test_one_click_again_is_fine_and_records_nothing_more(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "marketing")
    token = a_token(person)
    assert [gateway.post(f"/u/{token}", data=ONE_CLICK).status_code for _ in range(3)] == [200, 200, 200]
    assert len(shop.ledger(person, in_force_only=False)) == 2


def test_a_person_who_never_consented_can_say_no_as_well(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en")
    assert gateway.post(f"/u/{a_token(person)}", data=ONE_CLICK).status_code == 200
    assert [entry.state for entry in shop.ledger(person)] == [Consent.STATE_WITHDRAWN]


def test_for_a_deleted_person_it_is_done_already(gateway: FlaskClient, shop: Shop) -> None:
    person = shop.a_person("en", "marketing")
    shop.delete(person)
    assert gateway.post(f"/u/{a_token(person)}", data=ONE_CLICK).status_code == 200
    assert gateway.get(f"/u/{a_token(person)}").status_code == 200


def test_a_one_click_is_not_lost_while_contacts_is_away(gateway: FlaskClient, services_away: None) -> None:
    answer = gateway.post(f"/u/{a_token(str(new_id()))}", data=ONE_CLICK)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_the_page_with_the_button_is_there_while_contacts_is_away(gateway: FlaskClient, services_away: None) -> None:
    answer = gateway.get(f"/u/{a_token(str(new_id()))}", headers={"Accept-Language": "de-AT, en;q=0.5"})
    assert answer.status_code == 200
    assert "Abmelden" in answer.text


@pytest.mark.parametrize("token", ["x", "A" * 80, sign("unsubscribe", b"short"), sign("link", bytes(34))])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_spoilt_link_is_refused_with_a_clear_page(gateway: FlaskClient, token: str, method: str) -> None:
    answer = gateway.open(f"/u/{token}", method=method)
    assert answer.status_code == 404
    assert "This link does not work" in answer.text


def test_somebody_elses_person_cannot_be_put_into_a_token(gateway: FlaskClient, shop: Shop) -> None:
    mine, theirs = shop.a_person("en", "marketing"), shop.a_person("en", "marketing")
    token, other = a_token(mine), a_token(theirs)
    assert gateway.post(f"/u/{other[:22]}{token[22:]}").status_code == 404
    assert shop.granted(theirs) == {"marketing"}


def test_a_body_that_is_too_large_is_refused(gateway: FlaskClient, shop: Shop) -> None:
    answer = gateway.post(f"/u/{a_token(shop.a_person())}", data={"x": "y" * 100_000})
    assert answer.status_code == 413
