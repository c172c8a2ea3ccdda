"""Contacts and notifications as campaigns sees them: their contracts, served by plain lists in this process."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc

from chassis.clock import now
from chassis.moments import timestamp
from denda.contacts.v1 import audience_service_pb2 as audiences
from denda.contacts.v1 import audience_service_pb2_grpc, consent_service_pb2_grpc, segments_service_pb2_grpc
from denda.contacts.v1 import consent_service_pb2 as consents
from denda.contacts.v1 import segments_service_pb2 as segments
from denda.notifications.v1 import message_pb2 as messages
from denda.notifications.v1 import (
    messages_service_pb2,
    messages_service_pb2_grpc,
    suppressions_service_pb2_grpc,
    templates_service_pb2_grpc,
)
from denda.notifications.v1 import suppressions_service_pb2 as suppressions
from denda.notifications.v1 import templates_service_pb2 as templates
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL

ADD = (
    audience_service_pb2_grpc.add_AudienceServiceServicer_to_server,
    segments_service_pb2_grpc.add_SegmentsServiceServicer_to_server,
    consent_service_pb2_grpc.add_ConsentServiceServicer_to_server,
    templates_service_pb2_grpc.add_TemplatesServiceServicer_to_server,
    messages_service_pb2_grpc.add_MessagesServiceServicer_to_server,
    suppressions_service_pb2_grpc.add_SuppressionsServiceServicer_to_server,
)


def a_candidate(number: int, **changes: Any) -> audiences.Candidate:
    """The person with this number; without an address and consent where an `ineligibility` is given."""
    given: dict[str, Any] = {
        "person_id": str(person_id(number)),
        "address": f"person{number}@shop.example",
        "language": "eu",
        "time_zone": "Europe/Madrid",
        "consent_id": str(UUID(int=10**6 + number)),
    }
    if "ineligibility" in changes:
        given |= {"address": "", "consent_id": ""}
    return audiences.Candidate(**(given | changes), merge_fields_json=json.dumps({"given_name": f"Name {number}"}))


def person_id(number: int) -> UUID:
    """The id of the person with this number; ids are in the order of numbers."""
    return UUID(int=number)


@dataclass
class Neighbours(
    audience_service_pb2_grpc.AudienceServiceServicer,
    segments_service_pb2_grpc.SegmentsServiceServicer,
    consent_service_pb2_grpc.ConsentServiceServicer,
    templates_service_pb2_grpc.TemplatesServiceServicer,
    messages_service_pb2_grpc.MessagesServiceServicer,
    suppressions_service_pb2_grpc.SuppressionsServiceServicer,
):
    """What contacts and notifications will answer; tests change it as they go."""

    candidates: list[audiences.Candidate] = field(default_factory=list)
    segment: segments.Segment | None = None
    template: templates.InspectTemplateResponse | None = None
    missing: dict[str, int] = field(default_factory=dict)
    ledger: list[consents.Consent] = field(default_factory=list)
    sent: dict[str, messages.Message] = field(default_factory=dict)
    events: dict[str, list[messages_service_pb2.MessageEvent]] = field(default_factory=dict)
    suppressed: list[suppressions.Suppression] = field(default_factory=list)
    policy: suppressions.Policy = field(default_factory=suppressions.Policy)
    # How the next calls of these methods fail; None is for one that goes well.
    failures: dict[str, list[grpc.StatusCode | None]] = field(default_factory=dict)
    # Called by methods before they answer, by the method's name; a test can wait or act there.
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, method: str, context: grpc.ServicerContext) -> None:
        """Note the call, and fail where the test wants it."""
        with self.lock:
            self.calls.append(method)
            planned = self.failures.get(method) or []
            failure = planned.pop(0) if planned else None
        if act := self.before.get(method):
            act()
        if failure:
            context.abort(failure, f"{method} fails for the test")

    def CheckAudience(self, request: Any, context: Any) -> audiences.CheckAudienceResponse:
        self.enter("CheckAudience", context)
        known = {"given_name", "points"}
        if unknown := sorted(set(request.audience.merge_fields) - known):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"audience.merge_fields: there is no field {unknown[0]!r}")
        eligible = [one for one in self.candidates if not one.ineligibility]
        return audiences.CheckAudienceResponse(
            candidates=len(self.candidates), eligible=len(eligible), missing=self.missing
        )

    def StreamAudience(self, request: Any, context: Any) -> Iterator[audiences.StreamAudienceResponse]:
        self.enter("StreamAudience", context)
        rest = [one for one in self.candidates if one.person_id > request.after_person_id]
        size = request.batch_size or 1000
        for start in range(0, len(rest), size):
            self.enter("StreamAudience batch", context)
            yield audiences.StreamAudienceResponse(candidates=rest[start : start + size])

    def ExplainCandidate(self, request: Any, context: Any) -> audiences.ExplainCandidateResponse:
        self.enter("ExplainCandidate", context)
        found = next((one for one in self.candidates if one.person_id == request.person_id), None)
        return audiences.ExplainCandidateResponse(in_segment=found is not None, candidate=found)

    def GetSegment(self, request: Any, context: Any) -> segments.Segment:
        self.enter("GetSegment", context)
        if self.segment is None:
            raise context.abort(grpc.StatusCode.NOT_FOUND, f"There is no segment {request.id}.")
        return self.segment

    def ListConsents(self, request: Any, context: Any) -> consents.ListConsentsResponse:
        self.enter("ListConsents", context)
        mine = [one for one in self.ledger if one.person_id == request.person_id]
        return consents.ListConsentsResponse(consents=mine)

    def InspectTemplate(self, request: Any, context: Any) -> templates.InspectTemplateResponse:
        self.enter("InspectTemplate", context)
        if self.template is None:
            raise context.abort(grpc.StatusCode.NOT_FOUND, f"There is no template {request.template_id}.")
        return self.template

    def GetMessage(self, request: Any, context: Any) -> messages.Message:
        self.enter("GetMessage", context)
        if request.id not in self.sent:
            context.abort(grpc.StatusCode.NOT_FOUND, f"There is no message {request.id}.")
        return self.sent[request.id]

    def ListMessageEvents(self, request: Any, context: Any) -> messages_service_pb2.ListMessageEventsResponse:
        self.enter("ListMessageEvents", context)
        return messages_service_pb2.ListMessageEventsResponse(events=self.events.get(request.message_id, []))

    def ListSuppressions(self, request: Any, context: Any) -> suppressions.ListSuppressionsResponse:
        self.enter("ListSuppressions", context)
        return suppressions.ListSuppressionsResponse(suppressions=self.suppressed)

    def GetPolicy(self, request: Any, context: Any) -> suppressions.Policy:
        self.enter("GetPolicy", context)
        return self.policy


def usual_neighbours(people: int) -> Neighbours:
    """A segment of so many people who may all be written to, and a template with a name and a link."""
    return Neighbours(  # type: ignore[abstract]  # campaigns does not call the other methods of the contracts
        candidates=[a_candidate(number) for number in range(1, people + 1)],
        segment=segments.Segment(filter='tags:"vip"'),
        template=templates.InspectTemplateResponse(
            version=3,
            channel=CHANNEL_EMAIL,
            merge_fields=[templates.MergeField(name="given_name")],
            links=["https://shop.example/offers", "https://shop.example/about"],
        ),
    )


def a_message(message_id: UUID, **changes: Any) -> messages.Message:
    """A message as notifications has it."""
    given: dict[str, Any] = {
        "id": str(message_id),
        "address": "person1@shop.example",
        "schedule_time": timestamp(now()),
        "expire_time": timestamp(now()),
    }
    return messages.Message(**(given | changes))


class NeighbourServer:
    """The neighbours behind one gRPC server on a port of its own."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8))
        for add in ADD:
            add(neighbours, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def close(self) -> None:
        """Close channel and server."""
        self.channel.close()
        self._server.stop(None).wait()
