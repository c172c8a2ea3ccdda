"""Factories of notifications' tests: templates through the door, plans as campaigns sends them."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from google.protobuf.struct_pb2 import Struct

from chassis.clock import now
from denda.campaigns.v1.events_pb2 import PlannedRecipient, RecipientsPlanned
from denda.notifications.v1 import templates_service_pb2 as templates
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, Channel
from services.notifications import events
from services.notifications.ledger import sending
from services.notifications.models import database
from services.notifications.states import Channel as OurChannel
from tests.kit.doors import Doors

HTML = (
    "<html><body><p>Kaixo {{ given_name }}, <a href='https://shop.example/a?x=1&amp;y=2'>see</a>"
    ' or <a href="{{ unsubscribe_url }}">leave</a></p></body></html>'
)


def a_variant(**changes: Any) -> templates.Variant:
    fields = {"language": "en", "subject": "News for {{ given_name }}", "html": HTML} | changes
    return templates.Variant(**fields)


def a_template(
    doors: Doors, *variants: templates.Variant, channel: Channel.ValueType = CHANNEL_EMAIL
) -> templates.Template:
    stub = doors.stub(TemplatesServiceStub, "notifications", "marketer")
    template = templates.Template(name="Spring", channel=channel, variants=variants or [a_variant()])
    return stub.CreateTemplate(templates.CreateTemplateRequest(template=template))


def an_sms_template(doors: Doors, text: str = "Hello {{ given_name }}") -> templates.Template:
    return a_template(doors, templates.Variant(language="en", text=text), channel=CHANNEL_SMS)


def fields_of(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def a_recipient(number: int = 0, campaign_id: str = "", **changes: Any) -> PlannedRecipient:
    person = uuid5(UUID(int=7), str(number))
    message = uuid5(UUID(campaign_id), f"0:{person}") if campaign_id else uuid4()
    fields: dict[str, Any] = {
        "message_id": str(message),
        "person_id": str(person),
        "address": f"person{number}@customer.example",
        "language": "en",
        "time_zone": "Europe/Madrid",
        "merge_fields_json": json.dumps({"given_name": f"Ane {number}"}),
    }
    return PlannedRecipient(**(fields | changes))


def a_plan(template: templates.Template, people: int = 1, **changes: Any) -> RecipientsPlanned:
    campaign_id = changes.pop("campaign_id", str(uuid4()))
    fields: dict[str, Any] = {
        "campaign_id": campaign_id,
        "campaign_name": "Spring sale",
        "channel": template.channel,
        "purpose": "marketing",
        "template_id": template.id,
        "template_version": template.version,
        "recipients": [a_recipient(number, campaign_id) for number in range(people)],
    }
    plan = RecipientsPlanned(**(fields | changes))
    if not plan.HasField("expire_time"):
        plan.expire_time.FromDatetime(now() + timedelta(hours=72))
    return plan


def accepted(*plans: RecipientsPlanned) -> None:
    with database.transaction() as session:
        events.on_recipients_planned(session, plans)


def sent(channel: OurChannel = OurChannel.EMAIL) -> None:
    """Let a sender work until nothing is due."""
    while sending.send_bulk(channel):
        pass
    while sending.send_transactional(channel):
        pass


def told(changes: Any) -> None:
    """Hand events of one type to their handler, as the consumer does."""
    with database.transaction() as session:
        events.HANDLERS[type(changes)](session, [changes])


def messages_stub(doors: Doors, role: str = "service") -> MessagesServiceStub:
    return doors.stub(MessagesServiceStub, "notifications", role)


def at(text: str) -> datetime:
    """A moment from its ISO form."""
    return datetime.fromisoformat(text)
