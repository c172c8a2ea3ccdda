import re
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

import services
from chassis.signing import verify
from denda.contacts.v1 import people_service_pb2, person_pb2
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.notifications.v1 import templates_service_pb2 as templates
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from services.notifications.models import SandboxMessage, database
from services.notifications.states import Channel
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, a_variant, accepted, an_sms_template, sent

TWO_LINKS = """<html><body><a href="https://shop.example/a">one</a> <a href="https://shop.example/b?x=1&amp;y=2">two</a>
<a href="https://shop.example/a">one again</a> <a href="https://shop.example/{{ given_name }}">own</a></body></html>"""


def kept() -> SandboxMessage:
    with database.transaction() as session:
        return session.scalars(select(SandboxMessage)).one()


def mail_to_one_person(doors: Doors, **changes: Any) -> tuple[EmailMessage, SandboxMessage]:
    template = a_template(doors, a_variant(html=TWO_LINKS, text="See https://shop.example/b?x=1&y=2."))
    accepted(a_plan(template, **changes))
    sent()
    row = kept()
    message = message_from_bytes(row.raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message, row


def test_a_campaign_mail_carries_what_receivers_ask_of_bulk_mail(doors: Doors) -> None:
    message, row = mail_to_one_person(doors, sender="Shop <news@shop.example>", reply_to="help@shop.example")
    assert message["from"] == "Shop <news@shop.example>"
    assert message["reply-to"] == "help@shop.example"
    assert message["list-id"] == '"Spring sale" <marketing.shop.example>'
    assert message["feedback-id"].count(":") == 3
    assert message["message-id"].startswith(f"<{row.id.hex}.")
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    token = re.fullmatch(rf"<{re.escape(services.public_url())}/u/([\w-]+)>", message["list-unsubscribe"])
    assert token
    payload = verify("unsubscribe", token[1])
    assert UUID(bytes=payload[16:32]) == row.id
    assert payload[32:] == bytes([Channel.EMAIL]) + b"marketing"


def test_a_tracked_mail_leads_through_the_gateway(doors: Doors) -> None:
    message, row = mail_to_one_person(doors, track=True)
    links = re.findall(r"/l/([\w-]+)", row.html)
    assert [verify("link", token)[16:] for token in links] == [b"\0\0", b"\0\1", b"\0\0"]
    assert {verify("link", token)[:16] for token in links} == {row.id.bytes}
    [pixel] = re.findall(r"/o/([\w-]+)\.gif", row.html)
    assert verify("open", pixel) == row.id.bytes
    [in_text] = re.findall(r"/l/([\w-]+)", row.text)
    assert verify("link", in_text) == row.id.bytes + b"\0\1"
    assert "https://shop.example/Ane 0" in row.html
    part = message.get_body(("html",))
    assert part is not None
    assert part.get_content().replace("\r\n", "\n").strip() == row.html.strip()


def test_a_mail_that_is_not_tracked_has_its_own_links(doors: Doors) -> None:
    _, row = mail_to_one_person(doors)
    assert 'href="https://shop.example/b?x=1&amp;y=2"' in row.html
    assert "See https://shop.example/b?x=1&y=2." in row.text
    assert "/l/" not in row.html
    assert "/o/" not in row.html


def test_an_sms_is_tracked_too(doors: Doors) -> None:
    accepted(a_plan(an_sms_template(doors, "Look: https://shop.example/a"), track=True))
    sent(Channel.SMS)
    assert re.search(r"/l/[\w-]+$", kept().text)
    assert kept().sender == "Denda"


@pytest.mark.parametrize(
    ("language", "expected"), [("eu-ES", "Kaixo"), ("es-MX", "Hola"), ("fr", "Kaixo"), ("", "Kaixo")]
)
def test_people_get_their_own_language(doors: Doors, language: str, expected: str) -> None:
    variants = [a_variant(language="eu", subject="Kaixo"), a_variant(language="es", subject="Hola")]
    plan = a_plan(a_template(doors, *variants))
    plan.recipients[0].language = language
    accepted(plan)
    sent()
    assert kept().subject == expected


def test_a_template_is_previewed_as_a_person_would_see_it(serve: Callable[..., Doors]) -> None:
    doors = serve("contacts", "notifications")
    person = person_pb2.Person(
        given_name="Ane",
        language="es",
        addresses=[person_pb2.Address(kind=person_pb2.Address.KIND_EMAIL, value="ane@customer.example")],
    )
    people = doors.stub(PeopleServiceStub, "contacts", "marketer")
    made = people.CreatePerson(people_service_pb2.CreatePersonRequest(person=person))
    template = a_template(
        doors, a_variant(language="eu"), a_variant(language="es", subject="{{ given_name }} {{ email }} {{ x }}")
    )
    request = templates.PreviewTemplateRequest(template_id=template.id, person_id=made.id)
    request.merge_fields.update({"x": "!"})
    seen = doors.stub(TemplatesServiceStub, "notifications", "marketer").PreviewTemplate(request)
    assert (seen.language, seen.subject) == ("es", "Ane ane@customer.example !")
