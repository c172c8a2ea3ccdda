"""Drafts, schedules and orders, through the door."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.clock import now
from chassis.moments import timestamp
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.campaigns.v1.events_pb2 import CampaignControlled
from denda.types.v1.channel_pb2 import CHANNEL_SMS
from services.campaigns import jobs
from services.campaigns.models import CampaignState, RecipientState, SkipReason
from tests.campaigns.neighbours import Neighbours
from tests.campaigns.stories import a_change, a_draft, get, hear, launched, plan_all, planned, refused
from tests.conftest import FrozenClock
from tests.kit.doors import Doors


def test_the_numbers_of_the_enums_are_those_of_the_contract() -> None:
    assert [(f"STATE_{one.name}", int(one)) for one in CampaignState] == pb.Campaign.State.items()[1:]
    assert [(f"RECIPIENT_STATE_{one.name}", int(one)) for one in RecipientState] == pb.RecipientState.items()[1:]
    assert [(f"SKIP_REASON_{one.name}", int(one)) for one in SkipReason][1:] == pb.SkipReason.items()[1:]


def test_a_draft_keeps_what_it_was_given(marketer: CampaignsServiceStub) -> None:
    made = a_draft(marketer, reply_to="answers@shop.example", expire_after=Duration(seconds=7200))
    assert made == get(marketer, made)
    assert (made.state, made.name, made.sender) == (pb.Campaign.STATE_DRAFT, "Spring", "Shop <news@shop.example>")
    assert (made.reply_to, made.expire_after.seconds, made.track) == ("answers@shop.example", 7200, True)
    assert made.etag
    assert made.HasField("create_time")


def test_a_repeated_request_id_makes_one_campaign(marketer: CampaignsServiceStub) -> None:
    request = service_pb.CreateCampaignRequest(
        campaign=pb.Campaign(name="Once", channel=CHANNEL_SMS), request_id="018f0000-0000-7000-8000-0000000000ff"
    )
    assert marketer.CreateCampaign(request).id == marketer.CreateCampaign(request).id
    assert len(marketer.ListCampaigns(service_pb.ListCampaignsRequest()).campaigns) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "campaign.name"),
        ({"name": "two\nlines"}, "campaign.name"),
        ({"channel": "CHANNEL_UNSPECIFIED"}, "campaign.channel"),
        ({"channel": "CHANNEL_VOICE"}, "campaign.channel"),
        ({"segment_id": "vip"}, "campaign.segment_id"),
        ({"purpose": "Marketing!"}, "campaign.purpose"),
        ({"sender": "Shop"}, "campaign.sender"),
        ({"sender": "Shop <news@shop.example>\r\nBcc: all@shop.example"}, "campaign.sender"),
        ({"reply_to": "nobody"}, "campaign.reply_to"),
        ({"channel": "CHANNEL_SMS", "sender": "A name that is too long"}, "campaign.sender"),
        ({"expire_after": Duration(seconds=1)}, "campaign.expire_after"),
    ],
)
def test_what_cannot_be_is_refused_by_field(
    marketer: CampaignsServiceStub, changes: dict[str, Any], field: str
) -> None:
    given = {"name": "Spring", "channel": "CHANNEL_EMAIL"} | changes
    error = refused(marketer.CreateCampaign, service_pb.CreateCampaignRequest(campaign=pb.Campaign(**given)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field.removeprefix("campaign.") in (error.details() or "")


@pytest.mark.parametrize("sender", ["+34944000000", "Shop", "12345", ""])
def test_an_sms_comes_from_a_number_or_a_short_name(marketer: CampaignsServiceStub, sender: str) -> None:
    assert a_draft(marketer, channel="CHANNEL_SMS", sender=sender).sender == sender


def test_only_the_fields_of_the_mask_change(marketer: CampaignsServiceStub) -> None:
    made = a_draft(marketer)
    request = service_pb.UpdateCampaignRequest(
        campaign=pb.Campaign(id=made.id, name="Summer", etag=made.etag), update_mask=FieldMask(paths=["name", "sender"])
    )
    changed = marketer.UpdateCampaign(request)
    assert (changed.name, changed.sender, changed.segment_id) == ("Summer", "", made.segment_id)
    assert changed.etag != made.etag


def test_without_a_mask_the_fields_that_are_set_change(marketer: CampaignsServiceStub) -> None:
    made = a_draft(marketer)
    request = service_pb.UpdateCampaignRequest(campaign=pb.Campaign(id=made.id, name="Summer"))
    changed = marketer.UpdateCampaign(request)
    assert (changed.name, changed.sender) == ("Summer", made.sender)


def test_a_stale_etag_is_refused(marketer: CampaignsServiceStub) -> None:
    made = a_draft(marketer)
    change = pb.Campaign(id=made.id, name="Summer", etag=made.etag)
    marketer.UpdateCampaign(service_pb.UpdateCampaignRequest(campaign=change))
    error = refused(marketer.UpdateCampaign, service_pb.UpdateCampaignRequest(campaign=change))
    assert error.code() == grpc.StatusCode.ABORTED
    error = refused(marketer.LaunchCampaign, service_pb.LaunchCampaignRequest(id=made.id, etag=made.etag))
    assert error.code() == grpc.StatusCode.ABORTED


@pytest.mark.parametrize("path", ["state", "schedule_time", "etag", "colour"])
def test_what_the_server_decides_cannot_be_changed(marketer: CampaignsServiceStub, path: str) -> None:
    change = pb.Campaign(id=a_draft(marketer).id)
    request = service_pb.UpdateCampaignRequest(campaign=change, update_mask=FieldMask(paths=[path]))
    assert refused(marketer.UpdateCampaign, request).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_launched_campaign_cannot_be_changed(marketer: CampaignsServiceStub) -> None:
    campaign = launched(marketer)
    request = service_pb.UpdateCampaignRequest(campaign=pb.Campaign(id=campaign.id, name="Late"))
    assert refused(marketer.UpdateCampaign, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_campaigns_are_listed_newest_first_page_by_page(marketer: CampaignsServiceStub) -> None:
    made = [a_draft(marketer, name=f"Campaign {number}").id for number in range(5)]
    found: list[str] = []
    token = ""
    while True:
        page = marketer.ListCampaigns(service_pb.ListCampaignsRequest(page_size=2, page_token=token))
        found += [campaign.id for campaign in page.campaigns]
        token = page.next_page_token
        if not token:
            break
    assert found == made[::-1]


def test_campaigns_are_listed_by_state(marketer: CampaignsServiceStub) -> None:
    draft, given_up = a_draft(marketer), a_draft(marketer)
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=given_up.id))
    for state, wanted in ((pb.Campaign.STATE_DRAFT, [draft.id]), (pb.Campaign.STATE_FINISHED, [])):
        answer = marketer.ListCampaigns(service_pb.ListCampaignsRequest(state=state))
        assert [campaign.id for campaign in answer.campaigns] == wanted


def test_roles_and_unknown_campaigns_are_refused(doors: Doors, marketer: CampaignsServiceStub) -> None:
    viewer = doors.stub(CampaignsServiceStub, "campaigns", "viewer")
    made = a_draft(marketer)
    assert get(viewer, made) == made
    error = refused(viewer.LaunchCampaign, service_pb.LaunchCampaignRequest(id=made.id))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    unknown = "018f0000-0000-7000-8000-0000000000ff"
    for call, request in (
        (marketer.GetCampaign, service_pb.GetCampaignRequest(id=unknown)),
        (marketer.LaunchCampaign, service_pb.LaunchCampaignRequest(id=unknown)),
        (marketer.PauseCampaign, service_pb.PauseCampaignRequest(id=unknown)),
        (marketer.GetResults, service_pb.GetResultsRequest(campaign_id=unknown)),
        (marketer.ListRecipients, service_pb.ListRecipientsRequest(campaign_id=unknown)),
        (marketer.ExplainRecipient, service_pb.ExplainRecipientRequest(campaign_id=unknown, person_id=unknown)),
        (lambda request: list(marketer.WatchCampaign(request)), service_pb.WatchCampaignRequest(id=unknown)),
    ):
        assert refused(call, request).code() == grpc.StatusCode.NOT_FOUND


def test_a_scheduled_campaign_launches_when_its_time_has_come(
    marketer: CampaignsServiceStub, frozen_clock: FrozenClock
) -> None:
    made = a_draft(marketer)
    moment = now() + timedelta(minutes=20)
    scheduled = marketer.ScheduleCampaign(
        service_pb.ScheduleCampaignRequest(id=made.id, schedule_time=timestamp(moment), etag=made.etag)
    )
    assert scheduled.state == pb.Campaign.STATE_SCHEDULED
    jobs.launch_due()
    assert get(marketer, made).state == pb.Campaign.STATE_SCHEDULED
    frozen_clock.advance(minutes=20)
    jobs.launch_due()
    assert get(marketer, made).state == pb.Campaign.STATE_PLANNING


def test_a_scheduled_launch_that_is_refused_makes_a_draft_that_says_why(
    marketer: CampaignsServiceStub, neighbours: Neighbours, frozen_clock: FrozenClock
) -> None:
    made = _scheduled(marketer)
    frozen_clock.advance(minutes=20)
    neighbours.candidates = []
    jobs.launch_due()
    campaign = get(marketer, made)
    assert campaign.state == pb.Campaign.STATE_DRAFT
    assert campaign.problem.startswith("Nobody is in the segment")


def test_a_scheduled_launch_waits_while_contacts_is_away(
    marketer: CampaignsServiceStub, neighbours: Neighbours, frozen_clock: FrozenClock
) -> None:
    made = _scheduled(marketer)
    frozen_clock.advance(minutes=20)
    neighbours.failures["CheckAudience"] = [grpc.StatusCode.UNAVAILABLE]
    jobs.launch_due()
    assert get(marketer, made).state == pb.Campaign.STATE_SCHEDULED
    jobs.launch_due()
    assert get(marketer, made).state == pb.Campaign.STATE_PLANNING


def test_a_campaign_whose_messages_would_have_expired_is_not_launched_late(
    marketer: CampaignsServiceStub, frozen_clock: FrozenClock
) -> None:
    made = _scheduled(marketer, expire_after=Duration(seconds=600))
    frozen_clock.advance(minutes=20 + 10)
    jobs.launch_due()
    campaign = get(marketer, made)
    assert campaign.state == pb.Campaign.STATE_DRAFT
    assert "expired" in campaign.problem


def test_a_time_that_has_passed_cannot_be_scheduled(marketer: CampaignsServiceStub) -> None:
    for moment in (now() - timedelta(seconds=1), datetime(1, 1, 1, tzinfo=UTC)):
        request = service_pb.ScheduleCampaignRequest(id=a_draft(marketer).id, schedule_time=timestamp(moment))
        assert refused(marketer.ScheduleCampaign, request).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_scheduling_checks_what_launching_checks(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    neighbours.segment = None
    moment = timestamp(now() + timedelta(hours=1))
    request = service_pb.ScheduleCampaignRequest(id=a_draft(marketer).id, schedule_time=moment)
    assert refused(marketer.ScheduleCampaign, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_unscheduling_makes_a_draft_again(marketer: CampaignsServiceStub) -> None:
    made = _scheduled(marketer)
    for _ in range(2):
        draft = marketer.UnscheduleCampaign(service_pb.UnscheduleCampaignRequest(id=made.id))
        assert draft.state == pb.Campaign.STATE_DRAFT
        assert not draft.HasField("schedule_time")
    marketer.LaunchCampaign(service_pb.LaunchCampaignRequest(id=made.id))
    request = service_pb.UnscheduleCampaignRequest(id=made.id)
    assert refused(marketer.UnscheduleCampaign, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_pausing_and_resuming_are_told_in_order(marketer: CampaignsServiceStub, doors: Doors) -> None:
    campaign = planned(marketer)
    for _ in range(2):
        assert _pause(marketer, campaign).state == pb.Campaign.STATE_PAUSED
    for _ in range(2):
        assert _resume(marketer, campaign).state == pb.Campaign.STATE_SENDING
    told = [event for event in doors.events("campaigns") if isinstance(event, CampaignControlled)]
    assert [event.command for event in told] == [CampaignControlled.COMMAND_HOLD, CampaignControlled.COMMAND_RUN]
    assert told[0].version < told[1].version
    assert {event.campaign_id for event in told} == {campaign.id}


def test_a_draft_cannot_be_paused_nor_a_finished_campaign_resumed_or_cancelled(marketer: CampaignsServiceStub) -> None:
    draft = a_draft(marketer)
    for refusal in (
        refused(marketer.PauseCampaign, service_pb.PauseCampaignRequest(id=draft.id)),
        refused(marketer.ResumeCampaign, service_pb.ResumeCampaignRequest(id=draft.id)),
    ):
        assert refusal.code() == grpc.StatusCode.FAILED_PRECONDITION
    campaign = planned(marketer)
    hear(*[a_change(campaign, number, "SENT") for number in (1, 2, 3)])
    jobs.finish_campaigns()
    for refusal in (
        refused(marketer.PauseCampaign, service_pb.PauseCampaignRequest(id=campaign.id)),
        refused(marketer.ResumeCampaign, service_pb.ResumeCampaignRequest(id=campaign.id)),
        refused(marketer.CancelCampaign, service_pb.CancelCampaignRequest(id=campaign.id)),
    ):
        assert refusal.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_cancelling_is_for_good_and_told_once(marketer: CampaignsServiceStub, doors: Doors) -> None:
    campaign = planned(marketer)
    for _ in range(2):
        cancelled = marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id))
        assert cancelled.state == pb.Campaign.STATE_CANCELLED
    told = [event for event in doors.events("campaigns") if isinstance(event, CampaignControlled)]
    assert [event.command for event in told] == [CampaignControlled.COMMAND_DROP]
    request = service_pb.ResumeCampaignRequest(id=campaign.id)
    assert refused(marketer.ResumeCampaign, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_draft_can_be_cancelled_and_then_never_launched(marketer: CampaignsServiceStub, doors: Doors) -> None:
    draft = a_draft(marketer)
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=draft.id))
    assert doors.events("campaigns") == []
    request = service_pb.LaunchCampaignRequest(id=draft.id)
    assert refused(marketer.LaunchCampaign, request).code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_campaign_finishes_when_everybody_has_an_outcome(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SENT"), a_change(campaign, 2, "UNKNOWN"))
    jobs.finish_campaigns()
    assert get(marketer, campaign).state == pb.Campaign.STATE_SENDING
    hear(a_change(campaign, 3, "SKIPPED", skip_reason="SKIP_REASON_SUPPRESSED"))
    jobs.finish_campaigns()
    finished = get(marketer, campaign)
    assert finished.state == pb.Campaign.STATE_FINISHED
    assert finished.HasField("finish_time")


def test_a_campaign_that_is_still_planned_does_not_finish(marketer: CampaignsServiceStub) -> None:
    campaign = launched(marketer)
    jobs.finish_campaigns()
    assert get(marketer, campaign).state == pb.Campaign.STATE_PLANNING
    plan_all()
    assert get(marketer, campaign).state == pb.Campaign.STATE_SENDING


def _scheduled(stub: CampaignsServiceStub, **changes: Any) -> pb.Campaign:
    """A campaign that launches in twenty minutes; the tests' tokens are good for an hour."""
    moment, made = timestamp(now() + timedelta(minutes=20)), a_draft(stub, **changes)
    return stub.ScheduleCampaign(service_pb.ScheduleCampaignRequest(id=made.id, schedule_time=moment))


def _pause(stub: CampaignsServiceStub, campaign: pb.Campaign) -> pb.Campaign:
    return stub.PauseCampaign(service_pb.PauseCampaignRequest(id=campaign.id))


def _resume(stub: CampaignsServiceStub, campaign: pb.Campaign) -> pb.Campaign:
    return stub.ResumeCampaign(service_pb.ResumeCampaignRequest(id=campaign.id))
