"""Rows to messages of the contract, and requests to fields of a row. The enums have the same numbers on both sides."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from chassis.errors import InvalidArgument
from chassis.ids import parse_id
from chassis.moments import timestamp
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from services.campaigns.explain import Explanation
from services.campaigns.models import Campaign, Recipient, SkipReason
from services.campaigns.results import Results
from services.campaigns.values import channel_value
from services.campaigns.watch import Snapshot

# What a marketer writes; everything else is the server's.
CHANGEABLE = (
    "name",
    "channel",
    "segment_id",
    "template_id",
    "template_version",
    "purpose",
    "sender",
    "reply_to",
    "expire_after",
    "track",
)


def fields_from_proto(campaign: pb.Campaign, paths: Iterable[str] = ()) -> dict[str, Any]:
    """The changeable fields that a mask names, by the names of columns; without a mask those that are set.

    The mask `*` means all. Raises InvalidArgument for a path that cannot be changed.
    """
    named = list(paths)
    for path in named:
        if path != "*" and path not in CHANGEABLE:
            raise InvalidArgument("update_mask", f"{path!r} cannot be changed; these can: {', '.join(CHANGEABLE)}")
    if not named:
        named = [field.name for field, _ in campaign.ListFields() if field.name in CHANGEABLE]
    if "*" in named:
        named = list(CHANGEABLE)
    return {name: _column_value(campaign, name) for name in named}


def campaign_to_proto(campaign: Campaign) -> pb.Campaign:
    """A campaign as callers see it."""
    return pb.Campaign(
        id=str(campaign.id),
        name=campaign.name,
        state=cast("pb.Campaign.State.ValueType", campaign.state),
        channel=channel_value(campaign.channel),
        segment_id=_text(campaign.segment_id),
        template_id=_text(campaign.template_id),
        template_version=campaign.template_version,
        purpose=campaign.purpose,
        sender=campaign.sender,
        reply_to=campaign.reply_to,
        schedule_time=timestamp(campaign.schedule_time),
        expire_after=_duration(campaign.expire_after),
        track=campaign.track,
        launch_time=timestamp(campaign.launch_time),
        finish_time=timestamp(campaign.finish_time),
        create_time=timestamp(campaign.create_time),
        update_time=timestamp(campaign.update_time),
        etag=str(campaign.version),
        problem=campaign.problem,
    )


def recipient_to_proto(recipient: Recipient) -> service_pb.Recipient:
    """A row of the ledger as callers see it."""
    return service_pb.Recipient(
        campaign_id=str(recipient.campaign_id),
        person_id=str(recipient.person_id),
        state=cast("pb.RecipientState.ValueType", recipient.state),
        skip_reason=cast("pb.SkipReason.ValueType", recipient.skip_reason),
        message_id=_text(recipient.message_id),
        detail=recipient.detail,
        state_time=timestamp(recipient.state_time),
        open_time=timestamp(recipient.open_time),
        click_time=timestamp(recipient.click_time),
        complaint_time=timestamp(recipient.complaint_time),
        unsubscribe_time=timestamp(recipient.unsubscribe_time),
        reply_time=timestamp(recipient.reply_time),
        machine_open_time=timestamp(recipient.machine_open_time),
    )


def results_to_proto(results: Results) -> pb.Results:
    """The counts as callers see them."""
    by_state = {state.name.lower(): count for state, count in results.by_state.items()}
    by_reason = {SkipReason(reason).name: count for reason, count in results.skipped_by_reason.items()}
    return pb.Results(
        recipients=results.recipients,
        skipped_by_reason=by_reason,
        **cast("Mapping[str, Any]", by_state | dict(results.engaged)),
    )


def snapshot_to_proto(snapshot: Snapshot) -> service_pb.WatchCampaignResponse:
    """What a watcher is told."""
    return service_pb.WatchCampaignResponse(
        campaign=campaign_to_proto(snapshot.campaign),
        results=results_to_proto(snapshot.results),
        audience_size=snapshot.campaign.audience_size,
    )


def explanation_to_proto(explanation: Explanation) -> service_pb.ExplainRecipientResponse:
    """An explanation as callers see it."""
    facts = [
        service_pb.Fact(source=fact.source, kind=fact.kind, text=fact.text, time=timestamp(fact.time))
        for fact in explanation.facts
    ]
    recipient = recipient_to_proto(explanation.recipient) if explanation.recipient else None
    return service_pb.ExplainRecipientResponse(recipient=recipient, summary=explanation.summary, facts=facts)


def _column_value(campaign: pb.Campaign, name: str) -> Any:
    value = getattr(campaign, name)
    if name in ("segment_id", "template_id"):
        return parse_id(value, f"campaign.{name}") if value else None
    if name == "expire_after":
        return campaign.expire_after.ToTimedelta() if campaign.HasField("expire_after") else None
    if name == "purpose":
        return value or "marketing"
    return value


def _text(identifier: UUID | None) -> str:
    return str(identifier) if identifier else ""


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    made = Duration()
    made.FromTimedelta(length)
    return made
