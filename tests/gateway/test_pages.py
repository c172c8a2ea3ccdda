"""Public pages: in the person's language, usable by everybody, and safe to have tokens in their URLs."""

import re
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import LanguageAccept
from werkzeug.test import TestResponse

from chassis.ids import new_id
from chassis.settings import settings
from denda.types.v1.channel_pb2 import CHANNEL_SMS
from services import gateway as package
from services.gateway.clients import Topic
from services.gateway.public.words import LANGUAGES, words_for, words_in
from services.portal import portal_url
from tests.gateway.conftest import Shop, a_token
from tests.gateway.desk import Desk

VOID = {"input", "meta", "link", "br", "img"}
Page = Callable[[FlaskClient, Shop], TestResponse]


class Document(HTMLParser):
    """What an assistive program finds in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[int, str] = {}
        self.open: list[int] = []
        self.feed(html)
        assert not self.open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(len(self.tags) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.tags[self.open.pop()][0] == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.texts[index] = self.texts.get(index, "") + data

    def all(self, *names: str) -> list[tuple[dict[str, str], str]]:
        """Attributes and text of every element with one of these names."""
        found = [(index, attributes) for index, (tag, attributes) in enumerate(self.tags) if tag in names]
        return [(attributes, self.texts.get(index, "").strip()) for index, attributes in found]


def unsubscribe(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get(f"/u/{a_token(shop.a_person('en', 'marketing'))}")


def unsubscribed(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.post(f"/u/{a_token(shop.a_person('en', 'marketing'))}")


def preferences(gateway: FlaskClient, shop: Shop) -> TestResponse:
    person = shop.a_person("en", "marketing", "newsletter")
    shop.grant(person, "marketing", CHANNEL_SMS)
    return gateway.get(f"/p/{a_token(person)}?saved")


def broken(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/u/nonsense")


def nowhere(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/nowhere")


def later(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/l/x")


def not_allowed(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.post("/l/x")


def home(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/")


def help_form(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/help")


def help_form_again(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.post("/help", data={"name": "x" * 200})


def help_sent(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get(gateway.post("/help", data={"website": "x"}).location)


def old_link(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/t/nonsense")


def link_form_again(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.post("/t")


def link_sent(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.get("/t/sent")


def portal(gateway: FlaskClient, shop: Shop) -> TestResponse:
    shop.doors.open("support")
    ticket = Desk(shop.doors).asked("ane@shop.example", "My parcel", "Where is it?")
    return gateway.get(urlsplit(portal_url(UUID(ticket.requester_id))).path)


def portal_empty(gateway: FlaskClient, shop: Shop) -> TestResponse:
    shop.doors.open("support")
    return gateway.get(urlsplit(portal_url(UUID(shop.a_person()))).path)


def portal_ticket(gateway: FlaskClient, shop: Shop) -> TestResponse:
    shop.doors.open("support")
    ticket = Desk(shop.doors).asked("ane@shop.example", "", "Where is it?")
    return gateway.get(f"{urlsplit(portal_url(UUID(ticket.requester_id))).path}/{ticket.id}?news=answered")


def portal_answer_again(gateway: FlaskClient, shop: Shop) -> TestResponse:
    return gateway.post(f"{urlsplit(portal_url(UUID(shop.a_person()))).path}/{new_id()}")


PAGES = pytest.mark.parametrize(
    "page",
    [
        unsubscribe,
        unsubscribed,
        preferences,
        broken,
        nowhere,
        later,
        not_allowed,
        home,
        help_form,
        help_form_again,
        help_sent,
        old_link,
        link_form_again,
        link_sent,
        portal,
        portal_empty,
        portal_ticket,
        portal_answer_again,
    ],
)


@PAGES
def test_a_page_can_be_used_without_seeing_it(gateway: FlaskClient, shop: Shop, page: Page) -> None:
    found = Document(page(gateway, shop).text)
    assert re.fullmatch("[a-z]{2}", found.all("html")[0][0]["lang"])
    assert found.all("title")[0][1].strip(" ·")
    assert len(found.all("h1")) == 1
    assert found.all("h1")[0][1]
    assert len(found.all("main")) == 1
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes["for"] for attributes, text in found.all("label") if text}
    fields = [attributes for attributes, _ in found.all("input", "textarea") if attributes.get("type") != "hidden"]
    assert {attributes["id"] for attributes in fields} == labelled
    assert all(text for _, text in found.all("button", "a", "legend", "th"))
    described = {attributes["aria-describedby"] for _, attributes in found.tags if "aria-describedby" in attributes}
    assert {name for names in described for name in names.split()} <= set(ids)


@PAGES
def test_a_page_works_on_a_phone_and_without_programs(gateway: FlaskClient, shop: Shop, page: Page) -> None:
    found = Document(page(gateway, shop).text)
    assert any("width=device-width" in attributes.get("content", "") for attributes, _ in found.all("meta"))
    assert not found.all("script", "style")
    assert not [
        attributes for _, attributes in found.tags if any(name.startswith(("on", "style")) for name in attributes)
    ]


@PAGES
def test_a_page_keeps_its_address_to_itself(gateway: FlaskClient, shop: Shop, page: Page) -> None:
    headers = page(gateway, shop).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Set-Cookie" not in headers
    assert headers["X-Request-Id"]


def test_https_is_insisted_on_where_the_edge_has_it(gateway: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Strict-Transport-Security" not in gateway.get("/healthz").headers
    monkeypatch.setenv("DENDA_PUBLIC_URL", "https://crm.example")
    settings.cache_clear()
    assert "Strict-Transport-Security" in gateway.get("/healthz").headers


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_speaks_the_persons_language(gateway: FlaskClient, shop: Shop, language: str) -> None:
    person = shop.a_person(f"{language}-ES" if language == "eu" else language, "marketing")
    page = gateway.get(f"/u/{a_token(person)}", headers={"Accept-Language": "ja"}).text
    assert f'<html lang="{language}">' in page
    assert f"<h1>{words_in(language).unsubscribe_title}</h1>" in page


@pytest.mark.parametrize(
    ("language", "accepted", "shown"),
    [
        ("eu", [("en", 1)], "eu"),
        ("pt-BR", [("fr-CA", 1), ("en", 0.5)], "fr"),
        ("", [("ja", 1)], "en"),
        ("ES_mx", [], "es"),
        ("not a language", [("de", 1)], "de"),
    ],
)
def test_the_persons_language_comes_before_the_browsers(
    language: str, accepted: list[tuple[str, float]], shown: str
) -> None:
    assert words_for(language, LanguageAccept(accepted)).language == shown


def gaps(said: object) -> dict[str, set[str]]:
    """What is filled into each sentence, by where the sentence stands."""
    if isinstance(said, str):
        return {"": set(re.findall(r"\{\w*\}", said))}
    return {f"{name}.{rest}": found for name, part in dict(said).items() for rest, found in gaps(part).items()}  # type: ignore[call-overload]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_everything_and_fills_in_the_same(language: str) -> None:
    said, english = (asdict(words_in(each)) for each in (language, "en"))
    assert gaps(said) == gaps(english)
    assert all(sentence.strip() for sentence in texts(said))


def texts(said: object) -> list[str]:
    return [said] if isinstance(said, str) else [text for part in dict(said).values() for text in texts(part)]  # type: ignore[call-overload]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_names_the_topic_in_its_sentences(language: str) -> None:
    words, topic = words_in(language), Topic("marketing", CHANNEL_SMS)
    for sentence in (words.unsubscribe_question, words.unsubscribed_text):
        written = words.about(sentence, topic)
        assert words.purposes["marketing"] in written
        assert words.channels["sms"] in written
    assert set(words.channels) == {"email", "sms", "voice"}
    assert words.purpose("club_news") == "Club news"


def test_a_purpose_in_the_companys_words_is_text_and_not_markup(gateway: FlaskClient, shop: Shop) -> None:
    page = gateway.get(f"/u/{a_token(shop.a_person('en'), '<b>x</b>')}").text
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_programs_get_problem_details(gateway: FlaskClient, services_away: None) -> None:
    answer = gateway.get("/l/x", headers={"Accept": "application/json"})
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == answer.status_code == 503  # type: ignore[index]


def test_health_says_whether_the_edge_itself_can_work(
    gateway: FlaskClient, services_away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gateway.get("/healthz").status_code == gateway.get("/readyz").status_code == 200
    monkeypatch.setenv("DENDA_SECRET_KEY", "")
    settings.cache_clear()
    answer = gateway.get("/readyz")
    assert answer.status_code == 503
    assert "DENDA_SECRET_KEY" in answer.text


def test_strangers_learn_nothing_of_the_inside(gateway: FlaskClient) -> None:
    assert "127.0.0.1:" in gateway.get("/").text
    assert "127.0.0.1:" not in gateway.get("/", headers={"Host": "crm.example"}).text
    assert "127.0.0.1:" not in gateway.get("/", headers={"X-Forwarded-For": "192.0.2.1"}).text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_has_the_contrast_that_wcag_asks_for() -> None:
    sheet = (Path(package.__file__).parent / "static" / "denda.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#\w{6})", part)) for part in sheet.split("@media")[:2])
    pairs = [
        ("ink", "sheet"),
        ("faint", "sheet"),
        ("faint", "ground"),
        ("deep", "sheet"),
        ("on-deep", "deep"),
        ("ink", "done"),
        ("faint", "done"),
        ("ink", "alert"),
        ("wrong", "sheet"),
    ]
    for colours in (light, dark):
        for text, ground in pairs:
            lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)
