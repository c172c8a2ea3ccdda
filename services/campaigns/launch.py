"""Launching: what must be true before anybody is written to, and what is frozen then.

The checks ask contacts and notifications outside of any transaction; `freeze` then takes the campaign in the
version that was checked, so that of two launches at once exactly one succeeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import grpc
from sqlalchemy import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import FailedPrecondition
from chassis.telemetry import traceparent
from denda.contacts.v1.audience_service_pb2 import CheckAudienceResponse
from denda.notifications.v1.templates_service_pb2 import InspectTemplateResponse
from services.campaigns import clients
from services.campaigns.campaigns import EXPIRE_AFTER, lock_unlaunched
from services.campaigns.models import Campaign, CampaignState, TrackedLink

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the checks found, to be frozen on the campaign."""

    segment_filter: str
    template_version: int
    merge_fields: Sequence[str]
    links: Sequence[str]
    audience_size: int


def prepare(campaign: Campaign) -> Preparation:
    """Check that a campaign can be launched as it is.

    Raises FailedPrecondition that names what stands in the way, Unavailable when another service cannot be asked.
    """
    if campaign.segment_id is None:
        raise _refusal(campaign, "SEGMENT_MISSING", "Choose a segment first.")
    if campaign.template_id is None:
        raise _refusal(campaign, "TEMPLATE_MISSING", "Choose a template first.")
    template = _inspect(campaign, campaign.template_id)
    segment_id = campaign.segment_id
    segment = _ask(campaign, "contacts", "SEGMENT", lambda: clients.segment(segment_id))
    names = sorted({field.name for field in template.merge_fields})
    audience = clients.audience_of(campaign.channel, campaign.purpose, segment.filter, names)
    found = _ask(campaign, "contacts", "AUDIENCE", lambda: clients.checked_audience(audience))
    _check_audience(campaign, template, found)
    return Preparation(segment.filter, template.version, names, template.links, found.candidates)


def freeze(session: Session, campaign_id: UUID, version: int, found: Preparation) -> Campaign:
    """Launch the campaign that was checked in this version: its audience is who is there at this moment.

    Raises FailedPrecondition when it was launched meanwhile or its time is over, Aborted when it was changed.
    """
    campaign = lock_unlaunched(session, campaign_id, version)
    moment = now()
    campaign.expire_time = (campaign.schedule_time or moment) + expiry(campaign)
    if campaign.expire_time <= moment:
        raise _refusal(campaign, "CAMPAIGN_EXPIRED", "Its messages would have expired; schedule it anew.")
    campaign.state = CampaignState.PLANNING
    campaign.launch_time = campaign.update_time = moment
    campaign.segment_filter = found.segment_filter
    campaign.template_version = found.template_version
    campaign.merge_fields = list(found.merge_fields)
    campaign.audience_size = found.audience_size
    campaign.traceparent = traceparent()
    campaign.problem = ""
    campaign.version += 1
    if found.links:
        rows = [{"campaign_id": campaign_id, "number": number, "url": url} for number, url in enumerate(found.links)]
        session.execute(insert(TrackedLink), rows)
    return campaign


def expiry(campaign: Campaign) -> timedelta:
    """How long after its time a message of the campaign may still be sent."""
    return campaign.expire_after or EXPIRE_AFTER


def _inspect(campaign: Campaign, template_id: UUID) -> InspectTemplateResponse:
    template = _ask(
        campaign,
        "notifications",
        "TEMPLATE",
        lambda: clients.inspected_template(template_id, campaign.template_version),
    )
    if template.channel != campaign.channel:
        raise _refusal(campaign, "TEMPLATE_CHANNEL", "The template is made for another channel than the campaign.")
    return template


def _check_audience(campaign: Campaign, template: InspectTemplateResponse, found: CheckAudienceResponse) -> None:
    if not found.candidates:
        raise _refusal(
            campaign,
            "SEGMENT_EMPTY",
            "Nobody is in the segment: its filter fits no person. Change the filter, or choose another segment.",
        )
    if not found.eligible:
        raise _refusal(
            campaign,
            "NOBODY_ELIGIBLE",
            f"None of the {found.candidates} people in the segment may be written to: "
            f"they have no address for the channel or no consent for {campaign.purpose}.",
        )
    required = {field.name for field in template.merge_fields if not field.optional}
    lacking = {name: count for name, count in sorted(found.missing.items()) if count and name in required}
    if lacking:
        told = ", ".join(f"{name} ({count} of {found.eligible})" for name, count in lacking.items())
        raise FailedPrecondition(
            f"The template asks for merge fields that some people lack: {told}. "
            "Give them a default in the template, or leave those people out of the segment.",
            reason="MERGE_FIELD_MISSING",
            subject=next(iter(lacking)),
        )


def _ask(campaign: Campaign, service: str, what: str, call: Callable[[], Answer]) -> Answer:
    """The answer of another service; what it refuses stands in the way of the launch."""
    try:
        return call()
    except grpc.RpcError as error:
        if clients.is_passing(error):
            raise clients.unavailable(service, error) from None
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise _refusal(campaign, f"{what}_NOT_FOUND", clients.sentence(error)) from None
        # Contacts names a field of its own request; whoever launches knows the template.
        told = clients.sentence(error).replace("audience.merge_fields:", "The template's merge fields:", 1)
        raise _refusal(campaign, f"{what}_REFUSED", told) from None


def _refusal(campaign: Campaign, reason: str, message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason=reason, subject=str(campaign.id))
