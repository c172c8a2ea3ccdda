"""SuppressionsService; the contract is denda/notifications/v1/suppressions_service.proto."""

from sqlalchemy import select

from chassis.paging import paginate
from chassis.server import Call
from denda.notifications.v1 import suppressions_service_pb2 as pb
from denda.notifications.v1 import suppressions_service_pb2_grpc as grpc_pb
from services.notifications import policies, suppressions, translate
from services.notifications.addresses import comparable, normalised
from services.notifications.models import Suppression, database
from services.notifications.states import Channel


class SuppressionsServicer(grpc_pb.SuppressionsServiceServicer):
    """Whom nobody writes to, and how often and when the others are written to."""

    def SuppressAddress(self, request: pb.SuppressAddressRequest, context: Call) -> pb.Suppression:
        wanted = request.suppression
        channel = Channel(wanted.channel)
        address = normalised(channel, wanted.address, "suppression.address")
        reason = suppressions.Reason(wanted.reason or pb.Suppression.REASON_MANUAL)
        with database.transaction() as session:
            row = suppressions.suppress_address(session, channel, address, reason, wanted.detail)
            return translate.suppression_to_proto(row)

    def RemoveSuppression(self, request: pb.RemoveSuppressionRequest, context: Call) -> pb.RemoveSuppressionResponse:
        with database.transaction() as session:
            suppressions.remove_suppression(session, Channel(request.channel), request.address)
        return pb.RemoveSuppressionResponse()

    def ListSuppressions(self, request: pb.ListSuppressionsRequest, context: Call) -> pb.ListSuppressionsResponse:
        wanted = select(Suppression)
        if request.channel:
            wanted = wanted.where(Suppression.channel == request.channel)
        if request.address:
            spellings = [comparable(channel, request.address) for channel in Channel]
            wanted = wanted.where(Suppression.address.in_(spellings))
        keys = [Suppression.create_time.desc(), Suppression.channel.desc(), Suppression.address.desc()]
        with database.transaction() as session:
            rows, token = paginate(session, wanted, keys, request, fingerprint=f"{request.channel} {request.address}")
            found = [translate.suppression_to_proto(row) for (row,) in rows]
            return pb.ListSuppressionsResponse(suppressions=found, next_page_token=token)

    def GetPolicy(self, request: pb.GetPolicyRequest, context: Call) -> pb.Policy:
        with database.transaction() as session:
            return translate.policy_to_proto(policies.policy_of(session, Channel(request.channel)))

    def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: Call) -> pb.Policy:
        with database.transaction() as session:
            policy = policies.set_policy(session, translate.policy_from_proto(request.policy))
            return translate.policy_to_proto(policy)
