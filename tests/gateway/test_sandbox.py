"""The sandbox's pages: for whoever sits at this machine, and a mail in them can do nothing."""

import re
from email import message_from_bytes
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import undefer

from chassis.clock import now
from chassis.ids import new_id
from chassis.settings import settings
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, Channel
from services.gateway.sandbox import sanitised
from services.gateway.settings import gateway_settings
from services.notifications.models import InboundMessage, SandboxMessage
from services.notifications.models import database as notifications_database
from services.support.models import InboundMail
from services.support.models import database as support_database
from tests.gateway.conftest import Serve
from tests.gateway.test_pages import Document

RAW = b"Subject: =?utf-8?q?Udaberria?=\r\nList-Id: <x.denda.example>\r\n\r\nKaixo\r\n"


@pytest.fixture
def mailbox(serve: Serve) -> None:
    serve("notifications")


def kept(
    address: str = "ane@shop.example",
    subject: str = "Udaberria",
    html: str = "<p>Kaixo</p>",
    channel: Channel.ValueType = CHANNEL_EMAIL,
    raw: bytes = RAW,
) -> UUID:
    message_id = new_id()
    with notifications_database.transaction() as session:
        session.add(
            SandboxMessage(
                id=message_id,
                channel=channel,
                address=address,
                sender="hello@denda.example",
                subject=subject,
                text="Kaixo <Ane>\nbi",
                html=html,
                raw=raw,
                create_time=now(),
            )
        )
    return message_id


def test_messages_are_listed_newest_first(gateway: FlaskClient, mailbox: None) -> None:
    kept(subject="First")
    kept("+34600000000", subject="", channel=CHANNEL_SMS, html="", raw=b"")
    page = gateway.get("/sandbox").text
    assert page.index("Kaixo &lt;Ane&gt;") < page.index("First")
    assert "sms" in page


def test_an_empty_sandbox_says_what_to_do(gateway: FlaskClient, mailbox: None) -> None:
    assert "No message yet" in gateway.get("/sandbox").text


def test_messages_of_one_address_are_found(gateway: FlaskClient, mailbox: None) -> None:
    kept(subject="Hers")
    kept("jon@shop.example", subject="His")
    page = gateway.get("/sandbox?address=jon@shop.example").text
    assert "His" in page
    assert "Hers" not in page


def test_older_messages_are_on_the_next_page(gateway: FlaskClient, mailbox: None) -> None:
    for number in range(51):
        kept(subject=f"Number {number:02}")
    found = Document(gateway.get("/sandbox").text)
    (older,) = [attributes["href"] for attributes, text in found.all("a") if text == "Older messages"]
    page = gateway.get(older).text
    assert "Number 00" in page
    assert "Number 01" not in page


def test_a_message_is_shown_with_headers_text_and_frame(gateway: FlaskClient, mailbox: None) -> None:
    message_id = kept()
    found = Document(gateway.get(f"/sandbox/messages/{message_id}").text)
    assert found.all("h1") == [({}, "Udaberria")]
    assert ({}, "<x.denda.example>") in found.all("dd")
    assert "Kaixo <Ane>" in found.all("pre")[0][1]
    ((frame, _),) = found.all("iframe")
    assert frame["title"]
    assert "allow-scripts" not in frame["sandbox"]
    assert "allow-same-origin" not in frame["sandbox"]
    assert gateway.get(frame["src"]).text == "<p>Kaixo</p>"
    assert gateway.get(f"/sandbox/messages/{message_id}/raw").data == RAW


def test_a_frame_runs_nothing_and_loads_nothing_from_elsewhere(gateway: FlaskClient, mailbox: None) -> None:
    answer = gateway.get(f"/sandbox/messages/{kept(html='<script>alert(1)</script>Kaixo')}/html")
    assert answer.text == "Kaixo"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "https:" not in policy
    assert "sandbox" in policy
    assert "frame-ancestors 'self'" in policy


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ('<img src="x" onerror="alert(1)">', '<img src="x">'),
        ('<form action="/u/x"><button>x</button></form>', "x"),
        ('<iframe src="https://evil.example"></iframe>', ""),
        ('<td style="color:red" bgcolor="#fff">', ""),
    ],
)
def test_what_acts_is_taken_out_of_a_mail(html: str, clean: str) -> None:
    assert sanitised(html) == clean


def test_a_link_in_a_mail_leads_to_the_web_in_a_tab_of_its_own() -> None:
    link = sanitised('<a href="javascript:alert(1)">x</a>')
    assert "javascript" not in link
    assert 'rel="noopener noreferrer"' in link
    assert 'target="_blank"' in link


def test_a_mails_layout_stays() -> None:
    html = '<table width="600"><tbody><tr><td style="color:red">x</td></tr></tbody></table>'
    assert sanitised(html) == html
    assert ".x" in sanitised("<style>.x{color:red}</style>")


@pytest.mark.parametrize(
    "path", ["/sandbox", f"/sandbox/messages/{UUID(int=1)}", f"/sandbox/messages/{UUID(int=1)}/raw"]
)
@pytest.mark.parametrize(
    "headers", [{"Host": "crm.example"}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}]
)
def test_strangers_do_not_see_the_sandbox(
    gateway: FlaskClient, mailbox: None, path: str, headers: dict[str, str]
) -> None:
    kept()
    assert gateway.get(path, headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("pages", "address", "status"),
    [
        (("loopback", "127.0.0.1"), "127.0.0.1", 200),
        (("loopback", "0.0.0.0"), "127.0.0.1", 404),
        (("loopback", "127.0.0.1"), "192.0.2.1", 404),
        (("open", "0.0.0.0"), "192.0.2.1", 200),
        (("off", "127.0.0.1"), "127.0.0.1", 404),
    ],
)
@pytest.mark.usefixtures("mailbox")
def test_who_sees_the_sandbox_is_a_setting(
    gateway: FlaskClient, monkeypatch: pytest.MonkeyPatch, pages: tuple[str, str], address: str, status: int
) -> None:
    setting, bind = pages
    monkeypatch.setenv("DENDA_SANDBOX_PAGES", setting)
    monkeypatch.setenv("DENDA_BIND", bind)
    settings.cache_clear()
    gateway_settings.cache_clear()
    assert gateway.get("/sandbox", environ_base={"REMOTE_ADDR": address}).status_code == status


def test_a_message_that_is_not_there_is_not_found(gateway: FlaskClient, mailbox: None) -> None:
    assert gateway.get(f"/sandbox/messages/{new_id()}").status_code == 404
    assert gateway.get("/sandbox/messages/nonsense").status_code == 404


def test_a_page_that_does_not_exist_is_told(gateway: FlaskClient, mailbox: None) -> None:
    assert gateway.get("/sandbox?page=nonsense").status_code == 400


def test_without_notifications_it_says_so(gateway: FlaskClient, services_away: None) -> None:
    assert gateway.get("/sandbox").status_code == 503


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(form)" value="([^"]+)"', page))


def test_whoever_looks_at_a_mail_may_answer_it_as_the_customer(gateway: FlaskClient, serve: Serve) -> None:
    serve("notifications", "support")
    raw = (
        b"From: Shop <news@shop.example>\r\nReply-To: reply+x@inbound.denda.example\r\n"
        b"Message-ID: <1@denda>\r\n\r\nKaixo"
    )
    place = f"/sandbox/messages/{kept(raw=raw)}"
    form = {**form_of(gateway.get(place).text), "text": "Do you open\non Saturday?"}
    for _ in range(2):
        answered = gateway.post(f"{place}/answer", data=form)
        assert answered.status_code == 303
    assert "becomes a ticket" in gateway.get(answered.headers["Location"]).text
    with support_database.transaction() as session:
        (stored,) = session.scalars(select(InboundMail).options(undefer(InboundMail.raw)).where(InboundMail.state == 1))
        mail = message_from_bytes(stored.raw)
    assert (mail["From"], mail["To"]) == ("ane@shop.example", "reply+x@inbound.denda.example")
    assert (mail["Subject"], mail["In-Reply-To"]) == ("Re: Udaberria", "<1@denda>")
    assert "Do you open\r\non Saturday?" in str(mail.get_payload())
    assert "> Kaixo <Ane>" in str(mail.get_payload())


def test_an_sms_in_the_sandbox_is_answered_by_sms(gateway: FlaskClient, mailbox: None) -> None:
    place = f"/sandbox/messages/{kept('+34944000000', subject='', channel=CHANNEL_SMS, html='', raw=b'')}"
    form = {**form_of(gateway.get(place).text), "text": "Yes, please"}
    assert gateway.post(f"{place}/answer", data=form).status_code == 303
    with notifications_database.transaction() as session:
        (spoken,) = session.scalars(select(InboundMessage))
        assert (spoken.from_address, spoken.text) == ("+34944000000", "Yes, please")


@pytest.mark.parametrize(
    ("changes", "told"), [({"text": " "}, "Write something"), ({"form": "forged"}, "open for too long")]
)
def test_an_answer_of_nothing_or_from_elsewhere_is_refused(
    gateway: FlaskClient, mailbox: None, changes: dict[str, str], told: str
) -> None:
    place = f"/sandbox/messages/{kept()}"
    form = {**form_of(gateway.get(place).text), "text": "Hello", **changes}
    refused = gateway.post(f"{place}/answer", data=form)
    assert refused.status_code == 400
    assert told in refused.text
