"""The plan: an audience becomes rows and events, once, whatever happens on the way."""

from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from tests.campaigns.neighbours import Neighbours, a_candidate
from tests.campaigns.stories import message_of, planned, recipients, results
from tests.support.doors import Doors


def test_everybody_in_the_audience_is_in_the_ledger_and_told_to_notifications(
    marketer: CampaignsServiceStub, doors: Doors
) -> None:
    campaign = planned(marketer)
    assert campaign.state == pb.Campaign.STATE_SENDING
    assert results(marketer, campaign).planned == 3
    (event,) = doors.events("campaigns")
    assert isinstance(event, RecipientsPlanned)
    assert [one.address for one in event.recipients] == [f"person{n}@shop.example" for n in (1, 2, 3)]
    assert event.recipients[0].merge_fields["given_name"] == "Name 1"
    assert event.recipients[0].message_id == str(message_of(campaign, 1))
    assert (event.campaign_name, event.template_version, event.sender) == ("Spring", 3, "Shop <news@shop.example>")
    assert event.expire_time.ToSeconds() - event.schedule_time.ToSeconds() == 72 * 3600


def test_who_may_not_be_written_to_has_a_row_with_the_reason(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    neighbours.candidates += [
        a_candidate(4, ineligibility="INELIGIBILITY_NO_ADDRESS"),
        a_candidate(5, ineligibility="INELIGIBILITY_NO_CONSENT"),
        a_candidate(6, ineligibility="INELIGIBILITY_CONSENT_WITHDRAWN"),
    ]
    campaign = planned(marketer)
    counts = results(marketer, campaign)
    assert (counts.recipients, counts.planned, counts.skipped) == (6, 3, 3)
    assert dict(counts.skipped_by_reason) == {"NO_ADDRESS": 1, "NO_CONSENT": 1, "CONSENT_WITHDRAWN": 1}
    assert all(not one.message_id for one in recipients(marketer, campaign, state="RECIPIENT_STATE_SKIPPED"))
