"""Campaigns behind its real door, with neighbours that answer what the test wants."""

from collections.abc import Callable, Iterator

import pytest

import services
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.campaigns.v1.tracking_service_pb2_grpc import TrackingServiceStub
from tests.campaigns.neighbours import Neighbours, NeighbourServer, usual_neighbours
from tests.kit.doors import Doors


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Neighbours]:
    """Contacts with three people in the segment, and notifications with a template."""
    usual = usual_neighbours(3)
    server = NeighbourServer(usual)
    monkeypatch.setattr(services, "channel", lambda _name: server.channel)
    yield usual
    server.close()


@pytest.fixture
def doors(serve: Callable[..., Doors], neighbours: Neighbours) -> Doors:
    """Campaigns' open doors, and what waits in its outbox."""
    return serve("campaigns")


@pytest.fixture
def marketer(doors: Doors) -> CampaignsServiceStub:
    """The campaigns of a marketer."""
    return doors.stub(CampaignsServiceStub, "campaigns", "marketer")


@pytest.fixture
def edge(doors: Doors) -> TrackingServiceStub:
    """Links and pixels, as the gateway tells of them."""
    return doors.stub(TrackingServiceStub, "campaigns", "service")
