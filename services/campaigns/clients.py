"""What campaigns asks of contacts and notifications. Never called inside a transaction.

Errors come as grpc.RpcError; `sentence` gives what the other service said. Stubs are made for each call, which
costs microseconds, so that channels can be closed and opened again under us.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import grpc

import services
from chassis.errors import Unavailable
from chassis.moments import timestamp
from denda.contacts.v1 import audience_service_pb2 as audiences
from denda.contacts.v1 import consent_service_pb2 as consents
from denda.contacts.v1 import segments_service_pb2 as segments
from denda.contacts.v1.audience_service_pb2_grpc import AudienceServiceStub
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.notifications.v1 import message_pb2 as messages
from denda.notifications.v1 import messages_service_pb2 as messages_service
from denda.notifications.v1 import suppressions_service_pb2 as suppressions
from denda.notifications.v1 import templates_service_pb2 as templates
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.notifications.v1.suppressions_service_pb2_grpc import SuppressionsServiceStub
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from services.campaigns.values import channel_value

# Counting an audience of a million takes longer than a usual call may.
CHECK_SECONDS = 60.0
# Statuses that say that the same call may go well later.
PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)


def audience_of(number: int, purpose: str, condition: str, merge_fields: Sequence[str]) -> audiences.Audience:
    """The people whom a condition of the filter language describes, on the channel of this number."""
    channel = channel_value(number)
    return audiences.Audience(filter=condition, channel=channel, purpose=purpose, merge_fields=merge_fields)


def segment(segment_id: UUID) -> segments.Segment:
    """A segment of contacts."""
    stub = SegmentsServiceStub(services.channel("contacts"))
    return stub.GetSegment(segments.GetSegmentRequest(id=str(segment_id)))


def inspected_template(template_id: UUID, version: int) -> templates.InspectTemplateResponse:
    """What a template of notifications needs and contains."""
    stub = TemplatesServiceStub(services.channel("notifications"))
    return stub.InspectTemplate(templates.InspectTemplateRequest(template_id=str(template_id), version=version))


def checked_audience(audience: audiences.Audience) -> audiences.CheckAudienceResponse:
    """How many an audience has, and what they lack."""
    stub = AudienceServiceStub(services.channel("contacts"))
    return stub.CheckAudience(audiences.CheckAudienceRequest(audience=audience), timeout=CHECK_SECONDS)


@contextmanager
def streamed_audience(
    audience: audiences.Audience, snapshot_time: datetime, after: UUID | None, batch_size: int, seconds: float
) -> Iterator[Iterator[audiences.StreamAudienceResponse]]:
    """The batches of an audience behind `after`; the stream is given up when the block ends or `seconds` are over."""
    request = audiences.StreamAudienceRequest(
        audience=audience,
        snapshot_time=timestamp(snapshot_time),
        after_person_id=str(after) if after else "",
        batch_size=batch_size,
    )
    call = AudienceServiceStub(services.channel("contacts")).StreamAudience(request, timeout=seconds)
    try:
        yield call
    finally:
        call.cancel()


def explained_candidate(audience: audiences.Audience, person_id: UUID) -> audiences.ExplainCandidateResponse:
    """Why a person is or is not in an audience now."""
    stub = AudienceServiceStub(services.channel("contacts"))
    return stub.ExplainCandidate(audiences.ExplainCandidateRequest(audience=audience, person_id=str(person_id)))


def consent_ledger(person_id: UUID) -> list[consents.Consent]:
    """The newest entries of a person's consent ledger, newest first."""
    stub = ConsentServiceStub(services.channel("contacts"))
    request = consents.ListConsentsRequest(person_id=str(person_id), page_size=1000)
    return list(stub.ListConsents(request).consents)


def message(message_id: UUID) -> messages.Message:
    """A message of notifications."""
    stub = MessagesServiceStub(services.channel("notifications"))
    return stub.GetMessage(messages_service.GetMessageRequest(id=str(message_id)))


def message_events(message_id: UUID) -> list[messages_service.MessageEvent]:
    """Every decision and answer about a message, oldest first."""
    stub = MessagesServiceStub(services.channel("notifications"))
    request = messages_service.ListMessageEventsRequest(message_id=str(message_id))
    return list(stub.ListMessageEvents(request).events)


def suppression(number: int, address: str) -> suppressions.Suppression | None:
    """The entry of the suppression list for an address."""
    stub = SuppressionsServiceStub(services.channel("notifications"))
    request = suppressions.ListSuppressionsRequest(channel=channel_value(number), address=address, page_size=10)
    found = stub.ListSuppressions(request).suppressions
    return next((entry for entry in found if entry.address.lower() == address.lower()), None)


def policy(number: int) -> suppressions.Policy:
    """How often and when campaigns may write on a channel."""
    stub = SuppressionsServiceStub(services.channel("notifications"))
    return stub.GetPolicy(suppressions.GetPolicyRequest(channel=channel_value(number)))


def is_passing(error: grpc.RpcError) -> bool:
    """Whether the same call may go well later."""
    return error.code() in PASSING


def sentence(error: grpc.RpcError) -> str:
    """What the other service said, in words."""
    return error.details() or error.code().name


def unavailable(service: str, error: grpc.RpcError) -> Unavailable:
    """The error for a caller of ours when another service cannot be asked."""
    return Unavailable(f"{service} does not answer; try again in a moment. {sentence(error)}", service=service)
