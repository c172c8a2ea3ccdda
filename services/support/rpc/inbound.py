"""InboundService: mail that comes in; the contract is denda/support/v1/inbound_service.proto."""

from collections.abc import Iterator

from chassis.errors import InvalidArgument, ResourceExhausted
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import inbound_pb2
from denda.support.v1 import inbound_service_pb2 as pb
from denda.support.v1 import inbound_service_pb2_grpc as grpc_pb
from services.support import inbound
from services.support.inbound import MAILS, MOST_BYTES, Arrival
from services.support.mail.charsets import storable
from services.support.models import database
from services.support.translate import mail_to_proto

# What one message of gRPC has room for beside the rest of the request.
MOST_BYTES_AT_ONCE = 15 * 1024 * 1024
PIECE_BYTES = 256 * 1024


class InboundServicer(grpc_pb.InboundServiceServicer):
    """The door to the mail that comes in."""

    def IngestInbound(self, request: pb.IngestInboundRequest, context: Call) -> inbound_pb2.InboundMail:
        if len(request.raw) > MOST_BYTES_AT_ONCE:
            raise ResourceExhausted("The mail is over 15 MiB; hand it over by StreamInbound.", reason="TOO_LARGE")
        return _keep(request, request.raw)

    def StreamInbound(
        self, request_iterator: Iterator[pb.StreamInboundRequest], context: Call
    ) -> inbound_pb2.InboundMail:
        first, content = None, bytearray()
        for request in request_iterator:
            first = first or request.mail
            content += request.mail.raw + request.rest
            if len(content) > MOST_BYTES:
                raise ResourceExhausted("The mail is over 50 MiB.", reason="TOO_LARGE")
        if first is None:
            raise InvalidArgument("raw", "is empty: no piece of a mail came")
        return _keep(first, bytes(content))

    def GetInbound(self, request: pb.GetInboundRequest, context: Call) -> inbound_pb2.InboundMail:
        with database.transaction() as session:
            return mail_to_proto(inbound.get(session, parse_id(request.id)))

    def ListInbound(self, request: pb.ListInboundRequest, context: Call) -> pb.ListInboundResponse:
        with database.transaction() as session:
            mails, token = inbound.page(session, request.state, request)
            return pb.ListInboundResponse(mails=map(mail_to_proto, mails), next_page_token=token)

    def DownloadInbound(
        self, request: pb.DownloadInboundRequest, context: Call
    ) -> Iterator[pb.DownloadInboundResponse]:
        with database.transaction() as session:
            raw = inbound.raw_of(session, parse_id(request.id))
        for start in range(0, len(raw), PIECE_BYTES):
            yield pb.DownloadInboundResponse(data=raw[start : start + PIECE_BYTES])

    def RetryInbound(self, request: pb.RetryInboundRequest, context: Call) -> inbound_pb2.InboundMail:
        with database.transaction() as session:
            answer = mail_to_proto(inbound.retry(session, parse_id(request.id)))
        MAILS.labels("retried").inc()
        return answer

    def DiscardInbound(self, request: pb.DiscardInboundRequest, context: Call) -> inbound_pb2.InboundMail:
        with database.transaction() as session:
            answer = mail_to_proto(inbound.discard(session, parse_id(request.id)))
        MAILS.labels("discarded").inc()
        return answer


def _keep(request: pb.IngestInboundRequest, raw: bytes) -> inbound_pb2.InboundMail:
    arrival = Arrival(
        raw=raw,
        source=storable(request.source) or "api",
        mailbox=storable(request.mailbox),
        mailbox_key=storable(request.mailbox_key),
        recipients=[storable(recipient) for recipient in request.recipients],
        envelope_from=storable(request.envelope_from),
    )
    with database.transaction() as session:
        mail, repeated = inbound.keep(session, arrival)
        answer = mail_to_proto(mail)
    inbound.count_kept(mail, repeated=repeated)
    return answer
