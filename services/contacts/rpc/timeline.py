"""TimelineService: what happened with a person."""

from chassis.auth import caller
from chassis.ids import parse_id
from chassis.server import Call
from denda.contacts.v1 import timeline_service_pb2 as pb
from denda.contacts.v1 import timeline_service_pb2_grpc as grpc_pb
from services.contacts import timeline
from services.contacts.models import database
from services.contacts.translate import activity_to_proto


class TimelineServicer(grpc_pb.TimelineServiceServicer):
    """The timeline's door."""

    def ListActivities(self, request: pb.ListActivitiesRequest, context: Call) -> pb.ListActivitiesResponse:
        person_id = parse_id(request.person_id, "person_id")
        with database.transaction() as session:
            found, token = timeline.page(session, person_id, request.kinds, request)
            return pb.ListActivitiesResponse(activities=map(activity_to_proto, found), next_page_token=token)

    def AddNote(self, request: pb.AddNoteRequest, context: Call) -> pb.Activity:
        person_id = parse_id(request.person_id, "person_id")
        with database.transaction() as session:
            note = timeline.add_note(session, person_id, request.text, caller().subject, request.request_id)
            return activity_to_proto(note)
