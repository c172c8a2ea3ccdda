"""Door: TrackingService."""

from chassis.server import Call
from denda.campaigns.v1 import tracking_service_pb2 as pb
from denda.campaigns.v1.tracking_service_pb2_grpc import TrackingServiceServicer
from services.campaigns import tracking
from services.campaigns.models import database


class TrackingServicer(TrackingServiceServicer):
    """Links and pixels in mails."""

    def RecordClick(self, request: pb.RecordClickRequest, context: Call) -> pb.RecordClickResponse:
        with database.transaction() as session:
            url = tracking.record_click(session, request.token, request.user_agent, machine=request.machine)
            return pb.RecordClickResponse(url=url)

    def RecordOpen(self, request: pb.RecordOpenRequest, context: Call) -> pb.RecordOpenResponse:
        with database.transaction() as session:
            tracking.record_open(session, request.token, request.user_agent, machine=request.machine)
            return pb.RecordOpenResponse()
