"""What most tests of campaigns begin with: a draft, a launched campaign, a planned one, and what became of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Engine, event

from chassis.clock import now
from chassis.moments import timestamp
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.notifications.v1.events_pb2 import MessageChange, MessagesChanged
from services.campaigns import events, jobs
from services.campaigns.ledger import message_id_for
from services.campaigns.models import database
from tests.campaigns.neighbours import person_id

SEGMENT = "018f0000-0000-7000-8000-00000000aaaa"
TEMPLATE = "018f0000-0000-7000-8000-00000000bbbb"


def a_draft(stub: CampaignsServiceStub, **changes: Any) -> pb.Campaign:
    """A draft of an email to the segment."""
    given: dict[str, Any] = {
        "name": "Spring",
        "channel": "CHANNEL_EMAIL",
        "segment_id": SEGMENT,
        "template_id": TEMPLATE,
        "purpose": "marketing",
        "sender": "Shop <news@shop.example>",
        "track": True,
    }
    campaign = pb.Campaign(**(given | changes))
    return stub.CreateCampaign(service_pb.CreateCampaignRequest(campaign=campaign))


def launched(stub: CampaignsServiceStub, **changes: Any) -> pb.Campaign:
    """A campaign that is being planned."""
    draft = a_draft(stub, **changes)
    return stub.LaunchCampaign(service_pb.LaunchCampaignRequest(id=draft.id))


def planned(stub: CampaignsServiceStub, **changes: Any) -> pb.Campaign:
    """A campaign with everybody in the ledger."""
    campaign = launched(stub, **changes)
    plan_all()
    return get(stub, campaign)


def get(stub: CampaignsServiceStub, campaign: pb.Campaign) -> pb.Campaign:
    """The campaign as it is now."""
    return stub.GetCampaign(service_pb.GetCampaignRequest(id=campaign.id))


def refused(call: Callable[[Any], object], request: Message) -> grpc.RpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value


def plan_all() -> None:
    """Plan until there is nothing to plan."""
    while jobs.plan():
        pass


def results(stub: CampaignsServiceStub, campaign: pb.Campaign) -> pb.Results:
    """The campaign's counts."""
    return stub.GetResults(service_pb.GetResultsRequest(campaign_id=campaign.id))


def recipients(stub: CampaignsServiceStub, campaign: pb.Campaign, **filters: Any) -> list[service_pb.Recipient]:
    """The first page of the ledger."""
    request = service_pb.ListRecipientsRequest(campaign_id=campaign.id, **filters)
    return list(stub.ListRecipients(request).recipients)


def message_of(campaign: pb.Campaign, number: int) -> UUID:
    """The message of the person with this number."""
    return UUID(message_id_for(UUID(campaign.id), str(person_id(number))))


def a_change(campaign: pb.Campaign, number: int, state: str, version: int = 1, **changes: Any) -> MessageChange:
    """What notifications tells of a person's message."""
    given: dict[str, Any] = {
        "message_id": str(message_of(campaign, number)),
        "person_id": str(person_id(number)),
        "campaign_id": campaign.id,
        "state": f"MESSAGE_STATE_{state}",
        "version": version,
        "time": stamp(),
    }
    return MessageChange(**(given | changes))


def hear(*changes: MessageChange) -> None:
    """Let campaigns handle a batch of changes, as one event."""
    with database.transaction() as session:
        events.on_messages_changed(session, [MessagesChanged(changes=changes)])


def stamp() -> Timestamp:
    """This moment."""
    return Timestamp(**timestamp(now()))


@contextmanager
def counted_statements(engine: Engine) -> Iterator[list[str]]:
    """The statements that are executed inside the block."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)
