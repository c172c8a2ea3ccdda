"""Launching: what is checked, what is frozen, and that it happens once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.notifications.v1.templates_service_pb2 import MergeField
from denda.types.v1.channel_pb2 import CHANNEL_SMS
from services.campaigns.models import Campaign, TrackedLink, database
from tests.campaigns.neighbours import Neighbours, a_candidate
from tests.campaigns.stories import a_draft, get, launched, refused
from tests.kit.doors import Doors


def refusal(stub: CampaignsServiceStub, campaign: pb.Campaign) -> tuple[grpc.StatusCode, str]:
    """How the launch of a campaign is refused; it is still a draft then."""
    error = refused(stub.LaunchCampaign, service_pb.LaunchCampaignRequest(id=campaign.id))
    assert get(stub, campaign).state == pb.Campaign.STATE_DRAFT
    return error.code(), error.details() or ""


def test_a_launch_freezes_filter_version_links_and_audience(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = launched(marketer)
    assert campaign.state == pb.Campaign.STATE_PLANNING
    assert campaign.template_version == 3
    assert campaign.HasField("launch_time")
    with database.transaction() as session:
        row = session.get_one(Campaign, campaign.id)
        assert (row.segment_filter, row.merge_fields, row.audience_size) == ('tags:"vip"', ["given_name"], 3)
        links = {link.number: link.url for link in session.query(TrackedLink)}
    assert links == {0: "https://shop.example/offers", 1: "https://shop.example/about"}


def test_of_two_launches_at_once_exactly_one_succeeds(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    draft = a_draft(marketer)
    both_checked = threading.Barrier(2)
    neighbours.before["CheckAudience"] = lambda: both_checked.wait(10)

    def launch(_: int) -> grpc.StatusCode:
        try:
            marketer.LaunchCampaign(service_pb.LaunchCampaignRequest(id=draft.id))
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    with ThreadPoolExecutor(2) as pool:
        codes = set(pool.map(launch, range(2)))
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION}


def test_launching_twice_is_refused(marketer: CampaignsServiceStub) -> None:
    campaign = launched(marketer)
    error = refused(marketer.LaunchCampaign, service_pb.LaunchCampaignRequest(id=campaign.id))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "launched before" in (error.details() or "")


def test_a_draft_that_changes_under_the_checks_is_not_launched(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    draft = a_draft(marketer)

    def change() -> None:
        request = service_pb.UpdateCampaignRequest(
            campaign=pb.Campaign(id=draft.id, name="Other"), update_mask=FieldMask(paths=["name"])
        )
        marketer.UpdateCampaign(request)

    neighbours.before["CheckAudience"] = change
    assert refusal(marketer, draft)[0] == grpc.StatusCode.ABORTED


@pytest.mark.parametrize(("missing", "told"), [("segment_id", "segment"), ("template_id", "template")])
def test_a_draft_without_segment_or_template_is_not_launched(
    marketer: CampaignsServiceStub, missing: str, told: str
) -> None:
    code, details = refusal(marketer, a_draft(marketer, **{missing: ""}))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert told in details


def test_an_empty_segment_is_refused(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    neighbours.candidates = []
    code, details = refusal(marketer, a_draft(marketer))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert details.startswith("Nobody is in the segment: ")


def test_a_segment_in_which_nobody_may_be_written_to_is_refused(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    neighbours.candidates = [a_candidate(number, ineligibility="INELIGIBILITY_NO_CONSENT") for number in (1, 2)]
    code, details = refusal(marketer, a_draft(marketer))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "None of the 2 people" in details


def test_a_merge_field_that_somebody_lacks_is_named_with_how_many(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    neighbours.missing = {"given_name": 2}
    code, details = refusal(marketer, a_draft(marketer))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "given_name (2 of 3)" in details


def test_a_merge_field_with_a_default_may_be_lacking(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    assert neighbours.template is not None
    neighbours.template.merge_fields.append(MergeField(name="points", optional=True))
    neighbours.missing = {"points": 2}
    assert launched(marketer).state == pb.Campaign.STATE_PLANNING


def test_a_merge_field_that_does_not_exist_is_named(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    assert neighbours.template is not None
    neighbours.template.merge_fields.append(MergeField(name="shoe_size"))
    code, details = refusal(marketer, a_draft(marketer))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert details.startswith("The template's merge fields: there is no field 'shoe_size'")


def test_segment_and_template_must_exist_and_fit(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    assert neighbours.template is not None
    neighbours.template.channel = CHANNEL_SMS
    code, details = refusal(marketer, a_draft(marketer))
    assert (code, "another channel" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    neighbours.template = None
    code, details = refusal(marketer, a_draft(marketer))
    assert (code, "no template" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    neighbours.segment = None
    neighbours.template = None
    code, details = refusal(marketer, a_draft(marketer))
    assert (code, "no template" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)


@pytest.mark.parametrize("method", ["GetSegment", "InspectTemplate", "CheckAudience"])
def test_a_neighbour_that_is_away_is_told_as_unavailable(
    marketer: CampaignsServiceStub, neighbours: Neighbours, method: str
) -> None:
    neighbours.failures[method] = [grpc.StatusCode.UNAVAILABLE] * 9
    assert refusal(marketer, a_draft(marketer))[0] == grpc.StatusCode.UNAVAILABLE


def test_no_transaction_is_open_while_neighbours_are_asked(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors
) -> None:
    open_connections: list[int] = []
    for method in ("GetSegment", "InspectTemplate", "CheckAudience"):
        neighbours.before[method] = lambda: open_connections.append(database.engine.pool.checkedout())  # type: ignore[attr-defined]
    launched(marketer)
    assert open_connections == [0, 0, 0]
