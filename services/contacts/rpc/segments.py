"""SegmentsService: descriptions of people in the filter language."""

from chassis.errors import InvalidArgument
from chassis.ids import parse_id
from chassis.server import Call
from denda.contacts.v1 import segments_service_pb2 as pb
from denda.contacts.v1 import segments_service_pb2_grpc as grpc_pb
from services.contacts import segments
from services.contacts.models import database
from services.contacts.translate import SEGMENT_FIELDS, fields_of, segment_to_proto


class SegmentsServicer(grpc_pb.SegmentsServiceServicer):
    """Segments are kept as text and evaluated when they are used."""

    def CreateSegment(self, request: pb.CreateSegmentRequest, context: Call) -> pb.Segment:
        with database.transaction() as session:
            fields = fields_of(request.segment, SEGMENT_FIELDS)
            return segment_to_proto(segments.create(session, fields, request.request_id))

    def GetSegment(self, request: pb.GetSegmentRequest, context: Call) -> pb.Segment:
        with database.transaction() as session:
            return segment_to_proto(segments.get(session, parse_id(request.id)))

    def ListSegments(self, request: pb.ListSegmentsRequest, context: Call) -> pb.ListSegmentsResponse:
        with database.transaction() as session:
            found, token = segments.page(session, request)
            return pb.ListSegmentsResponse(segments=map(segment_to_proto, found), next_page_token=token)

    def UpdateSegment(self, request: pb.UpdateSegmentRequest, context: Call) -> pb.Segment:
        segment_id = parse_id(request.segment.id, "segment.id")
        fields = fields_of(request.segment, SEGMENT_FIELDS, request.update_mask)
        with database.transaction() as session:
            return segment_to_proto(segments.update(session, segment_id, fields, request.segment.etag))

    def DeleteSegment(self, request: pb.DeleteSegmentRequest, context: Call) -> pb.DeleteSegmentResponse:
        with database.transaction() as session:
            segments.remove(session, parse_id(request.id))
            return pb.DeleteSegmentResponse()

    def CountSegment(self, request: pb.CountSegmentRequest, context: Call) -> pb.CountSegmentResponse:
        with database.transaction() as session:
            match request.WhichOneof("audience"):
                case "segment_id":
                    wanted = segments.get(session, parse_id(request.segment_id, "segment_id")).filter
                case "filter":
                    wanted = request.filter
                case None:
                    raise InvalidArgument("filter", "set either segment_id or filter; an empty filter is everybody")
            count, capped = segments.count(session, wanted, request.most)
            return pb.CountSegmentResponse(count=count, capped=capped)
