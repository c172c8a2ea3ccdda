"""Rows to proto messages and back."""

import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from chassis.moments import timestamp
from denda.notifications.v1 import message_pb2, messages_service_pb2, suppressions_service_pb2, templates_service_pb2
from services.notifications.content import Content, Thread
from services.notifications.messages import Happening, Standing
from services.notifications.models import Policy, SandboxMessage, Suppression, Template
from services.notifications.templates import Stored, etag_of
from services.notifications.templates.compile import Source


def plain(struct: Struct) -> dict[str, Any]:
    """A struct's values as Python's, as `json_of` writes them."""
    values: dict[str, Any] = json.loads(json_of(struct))
    return values


def json_of(struct: Struct) -> str:
    """A struct as JSON that PostgreSQL keeps: whole numbers are integers; what is null or no number is not there."""
    fields = struct.fields
    written = [(name, _json(fields[name])) for name in fields]
    return "{" + ",".join([f"{_text(name)}:{value}" for name, value in written if value != "null"]) + "}"


def template_to_proto(stored: Stored) -> templates_service_pb2.Template:
    """A template in one version, with its variants as they were written."""
    template = template_head_to_proto(stored.template)
    template.version = stored.version.version
    for variant in stored.variants:
        template.variants.add(
            language=variant.language,
            subject=variant.subject,
            mjml=variant.mjml,
            html=variant.html,
            text=variant.text,
        )
    return template


def template_head_to_proto(row: Template) -> templates_service_pb2.Template:
    """A template in its newest version, without content."""
    return templates_service_pb2.Template(
        id=str(row.id),
        name=row.name,
        channel=row.channel,  # type: ignore[arg-type]  # the stubs want the enum's own type
        version=row.version,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        etag=etag_of(row),
    )


def sources_of(variants: Sequence[templates_service_pb2.Variant]) -> list[Source]:
    """Variants as they were written."""
    return [Source(each.language, each.subject, each.mjml, each.html, each.text) for each in variants]


def message_to_proto(standing: Standing) -> message_pb2.Message:
    """A message with what its mailing knows."""
    row = standing.message
    return message_pb2.Message(
        id=str(row.id),
        person_id=str(row.person_id or ""),
        channel=row.channel,  # type: ignore[arg-type]  # the stubs want the enums' own types
        address=row.address,
        state=int(standing.state),  # type: ignore[arg-type]
        skip_reason=row.skip_reason,  # type: ignore[arg-type]
        detail=row.detail,
        campaign_id=str(row.campaign_id or ""),
        purpose=standing.mailing.purpose,
        template_id=str(standing.mailing.template_id or ""),
        template_version=standing.mailing.template_version,
        provider=row.provider,
        provider_reference=row.provider_reference,
        attempts=row.attempts,
        schedule_time=timestamp(row.schedule_time),
        expire_time=timestamp(row.expire_time),
        state_time=timestamp(row.state_time),
        create_time=timestamp(row.create_time),
        complaint_time=timestamp(row.complaint_time),
    )


def happening_to_proto(happening: Happening) -> messages_service_pb2.MessageEvent:
    """One decision or answer."""
    return messages_service_pb2.MessageEvent(
        kind=happening.kind, detail=happening.detail, time=timestamp(happening.time)
    )


def content_from_proto(request: messages_service_pb2.SendMessageRequest) -> Content:
    """What somebody wrote, and the conversation that it belongs to."""
    written, thread = request.content, request.thread
    return Content(
        written.subject,
        written.text,
        written.html,
        Thread(thread.message_id_header, thread.in_reply_to, list(thread.references)),
    )


def sandbox_message_to_proto(row: SandboxMessage) -> messages_service_pb2.SandboxMessage:
    """A message as the sandbox took it."""
    return messages_service_pb2.SandboxMessage(
        id=str(row.id),
        channel=row.channel,  # type: ignore[arg-type]  # the stubs want the enum's own type
        address=row.address,
        subject=row.subject,
        text=row.text,
        html=row.html,
        raw=row.raw,
        create_time=timestamp(row.create_time),
    )


def suppression_to_proto(row: Suppression) -> suppressions_service_pb2.Suppression:
    """A suppressed address."""
    return suppressions_service_pb2.Suppression(
        channel=row.channel,  # type: ignore[arg-type]  # the stubs want the enums' own types
        address=row.address,
        reason=row.reason,  # type: ignore[arg-type]
        detail=row.detail,
        create_time=timestamp(row.create_time),
    )


def policy_to_proto(row: Policy) -> suppressions_service_pb2.Policy:
    """The policy of a channel."""
    return suppressions_service_pb2.Policy(
        channel=row.channel,  # type: ignore[arg-type]  # the stubs want the enum's own type
        frequency_cap=row.frequency_cap,
        cap_days=row.cap_days,
        quiet_from=row.quiet_from,
        quiet_until=row.quiet_until,
        default_time_zone=row.default_time_zone,
    )


def policy_from_proto(policy: suppressions_service_pb2.Policy) -> Policy:
    """A policy as it was sent."""
    return Policy(
        channel=int(policy.channel),
        frequency_cap=policy.frequency_cap,
        cap_days=policy.cap_days,
        quiet_from=policy.quiet_from,
        quiet_until=policy.quiet_until,
        default_time_zone=policy.default_time_zone,
    )


def _json(value: Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return _text(value.string_value)
    if kind == "number_value":
        number = value.number_value
        if not isfinite(number):
            return "null"
        return str(int(number)) if number.is_integer() else repr(number)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "list_value":
        return "[" + ",".join([_json(each) for each in value.list_value.values]) + "]"
    return json_of(value.struct_value) if kind == "struct_value" else "null"


def _text(text: str) -> str:
    # PostgreSQL keeps no NUL characters.
    return encode_basestring(text.replace("\0", "\ufffd") if "\0" in text else text)
