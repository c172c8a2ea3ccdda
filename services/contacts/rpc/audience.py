"""AudienceService: the people of an audience in bulk."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row

from chassis.ids import parse_id
from chassis.moments import moment_of
from chassis.server import Call
from denda.contacts.v1 import audience_service_pb2 as pb
from denda.contacts.v1 import audience_service_pb2_grpc as grpc_pb
from services.contacts import audience
from services.contacts.models import Person, database
from services.contacts.translate import audience_from_proto, set_candidate

MOST_CANDIDATES = 1000


class AudienceServicer(grpc_pb.AudienceServiceServicer):
    """Each window of people is a transaction of its own, so that a slow reader holds nothing."""

    def CheckAudience(self, request: pb.CheckAudienceRequest, context: Call) -> pb.CheckAudienceResponse:
        with database.transaction() as session:
            check = audience.check(session, audience_from_proto(request.audience))
        return pb.CheckAudienceResponse(candidates=check.candidates, eligible=check.eligible, missing=check.missing)

    def StreamAudience(self, request: pb.StreamAudienceRequest, context: Call) -> Iterator[pb.StreamAudienceResponse]:
        size = request.batch_size or MOST_CANDIDATES
        response = pb.StreamAudienceResponse()
        for row in _candidates(request):
            set_candidate(response.candidates.add(), row)
            if len(response.candidates) == size:
                yield response
                response = pb.StreamAudienceResponse()
        if response.candidates:
            yield response

    def ExplainCandidate(self, request: pb.ExplainCandidateRequest, context: Call) -> pb.ExplainCandidateResponse:
        wanted = audience_from_proto(request.audience)
        with database.transaction() as session:
            in_segment, row = audience.explain(session, wanted, parse_id(request.person_id, "person_id"))
        response = pb.ExplainCandidateResponse(in_segment=in_segment)
        set_candidate(response.candidate, row)
        return response


def _candidates(request: pb.StreamAudienceRequest) -> Iterator[Row[Any]]:
    snapshot = moment_of(request.snapshot_time, "snapshot_time")
    after = parse_id(request.after_person_id, "after_person_id") if request.after_person_id else None
    with database.transaction() as session:
        candidates = audience.candidates(session, audience_from_proto(request.audience))
    candidates = candidates.where(Person.create_time <= snapshot)
    while True:
        with database.transaction() as session:
            last = audience.window(session, snapshot, after)
            if last is None:
                return
            rows = audience.batch(session, candidates, after, last)
        yield from rows
        after = last
