"""Door: CampaignsService."""

import threading
from collections.abc import Iterator
from uuid import UUID

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.ids import parse_id
from chassis.moments import moment_of
from chassis.paging import paginate
from chassis.server import Call
from denda.campaigns.v1 import campaign_pb2
from denda.campaigns.v1 import campaigns_service_pb2 as pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceServicer
from services.campaigns import campaigns, explain, launch, results, watch
from services.campaigns.ledger import recipients_of
from services.campaigns.models import Campaign, Recipient, database
from services.campaigns.translate import (
    CHANGEABLE,
    campaign_to_proto,
    explanation_to_proto,
    fields_from_proto,
    recipient_to_proto,
    results_to_proto,
    snapshot_to_proto,
)


class CampaignsServicer(CampaignsServiceServicer):
    """Campaigns and their recipients."""

    def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        request_id = parse_id(request.request_id, "request_id") if request.request_id else None
        fields = fields_from_proto(request.campaign, CHANGEABLE)
        with database.transaction() as session:
            return campaign_to_proto(campaigns.create(session, fields, request_id))

    def GetCampaign(self, request: pb.GetCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        with database.transaction() as session:
            return campaign_to_proto(campaigns.campaign_by_id(session, UUID(request.id)))

    def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Call) -> pb.ListCampaignsResponse:
        with database.transaction() as session:
            statement, fingerprint = campaigns.in_state(request.state), f"campaigns {request.state}"
            rows, token = paginate(session, statement, (Campaign.id.desc(),), request, fingerprint=fingerprint)
            found = [campaign_to_proto(campaign) for (campaign,) in rows]
            return pb.ListCampaignsResponse(campaigns=found, next_page_token=token)

    def UpdateCampaign(self, request: pb.UpdateCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        campaign_id = parse_id(request.campaign.id, "campaign.id")
        changes = fields_from_proto(request.campaign, request.update_mask.paths)
        with database.transaction() as session:
            return campaign_to_proto(campaigns.update(session, campaign_id, changes, request.campaign.etag))

    def ScheduleCampaign(self, request: pb.ScheduleCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        moment = moment_of(request.schedule_time, "schedule_time")
        if moment <= now():
            raise InvalidArgument("schedule_time", "has passed; launch the campaign, or choose a later time")
        campaign = _unlaunched(UUID(request.id), request.etag)
        launch.prepare(campaign)
        with database.transaction() as session:
            return campaign_to_proto(campaigns.schedule(session, campaign.id, campaign.version, moment))

    def UnscheduleCampaign(self, request: pb.UnscheduleCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        with database.transaction() as session:
            return campaign_to_proto(campaigns.unschedule(session, UUID(request.id)))

    def LaunchCampaign(self, request: pb.LaunchCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        campaign = _unlaunched(UUID(request.id), request.etag)
        found = launch.prepare(campaign)
        with database.transaction() as session:
            return campaign_to_proto(launch.freeze(session, campaign.id, campaign.version, found))

    def PauseCampaign(self, request: pb.PauseCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        with database.transaction() as session:
            return campaign_to_proto(campaigns.pause(session, UUID(request.id)))

    def ResumeCampaign(self, request: pb.ResumeCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        with database.transaction() as session:
            return campaign_to_proto(campaigns.resume(session, UUID(request.id)))

    def CancelCampaign(self, request: pb.CancelCampaignRequest, context: Call) -> campaign_pb2.Campaign:
        with database.transaction() as session:
            return campaign_to_proto(campaigns.cancel(session, UUID(request.id)))

    def GetResults(self, request: pb.GetResultsRequest, context: Call) -> campaign_pb2.Results:
        with database.transaction() as session:
            campaign = campaigns.campaign_by_id(session, UUID(request.campaign_id))
            return results_to_proto(results.results_of(session, campaign.id))

    def WatchCampaign(self, request: pb.WatchCampaignRequest, context: Call) -> Iterator[pb.WatchCampaignResponse]:
        gone = threading.Event()
        if not context.add_callback(gone.set):
            return
        for snapshot in watch.snapshots(UUID(request.id), gone):
            yield snapshot_to_proto(snapshot)

    def ListRecipients(self, request: pb.ListRecipientsRequest, context: Call) -> pb.ListRecipientsResponse:
        campaign_id = UUID(request.campaign_id)
        fingerprint = f"{campaign_id} {request.state}"
        with database.transaction() as session:
            campaigns.campaign_by_id(session, campaign_id)
            statement = recipients_of(campaign_id, request.state or None)
            rows, token = paginate(session, statement, (Recipient.person_id,), request, fingerprint=fingerprint)
            found = [recipient_to_proto(recipient) for (recipient,) in rows]
            return pb.ListRecipientsResponse(recipients=found, next_page_token=token)

    def ExplainRecipient(self, request: pb.ExplainRecipientRequest, context: Call) -> pb.ExplainRecipientResponse:
        campaign_id, person_id = UUID(request.campaign_id), UUID(request.person_id)
        with database.transaction() as session:
            campaign = campaigns.campaign_by_id(session, campaign_id)
            recipient = explain.recipient_of(session, campaign_id, person_id)
        return explanation_to_proto(explain.explain(campaign, recipient, person_id))


def _unlaunched(campaign_id: UUID, etag: str) -> Campaign:
    """The campaign as it is before the checks, which ask other services and so are outside of transactions."""
    with database.transaction() as session:
        return campaigns.unlaunched(session, campaign_id, etag)
