"""Opens and clicks: people count once, machines not at all, and links lead only where the launch said."""

from datetime import timedelta

import grpc
import pytest

from chassis.clock import now
from chassis.moments import timestamp
from chassis.signing import sign
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import tracking_service_pb2 as tracking_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.campaigns.v1.events_pb2 import Engagement, EngagementsRecorded
from denda.campaigns.v1.tracking_service_pb2_grpc import TrackingServiceStub
from denda.contacts.v1.events_pb2 import PersonDeleted
from services.campaigns import events
from services.campaigns.machines import is_machine
from services.campaigns.models import database
from tests.campaigns.neighbours import person_id
from tests.campaigns.stories import a_change, hear, message_of, planned, recipients, refused, results
from tests.conftest import FrozenClock
from tests.kit.doors import Doors

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def link(campaign: pb.Campaign, number: int, place: int = 0) -> str:
    return sign("link", message_of(campaign, number).bytes + place.to_bytes(2, "big"))


def pixel(campaign: pb.Campaign, number: int) -> str:
    return sign("open", message_of(campaign, number).bytes)


def click(stub: TrackingServiceStub, token: str, agent: str = BROWSER, *, machine: bool = False) -> str:
    return stub.RecordClick(tracking_pb.RecordClickRequest(token=token, user_agent=agent, machine=machine)).url


def look(stub: TrackingServiceStub, token: str, agent: str = BROWSER, *, machine: bool = False) -> None:
    stub.RecordOpen(tracking_pb.RecordOpenRequest(token=token, user_agent=agent, machine=machine))


def engagements(doors: Doors) -> list[Engagement]:
    told = [event for event in doors.events("campaigns") if isinstance(event, EngagementsRecorded)]
    return [one for event in told for one in event.engagements]


def test_a_click_leads_where_the_link_was_registered_and_counts_the_person_once(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub, doors: Doors
) -> None:
    campaign = planned(marketer)
    assert click(edge, link(campaign, 1)) == "https://shop.example/offers"
    first = recipients(marketer, campaign)[0].click_time
    assert click(edge, link(campaign, 1, 1)) == "https://shop.example/about"
    assert recipients(marketer, campaign)[0].click_time == first
    assert results(marketer, campaign).clicked == 1
    told = engagements(doors)
    assert [(one.kind, one.url) for one in told] == [
        (Engagement.KIND_CLICK, "https://shop.example/offers"),
        (Engagement.KIND_CLICK, "https://shop.example/about"),
    ]
    assert told[0].person_id == str(person_id(1))
    assert told[0].campaign_name == "Spring"
    assert len({one.id for one in told}) == 2


def test_opens_count_people(marketer: CampaignsServiceStub, edge: TrackingServiceStub, doors: Doors) -> None:
    campaign = planned(marketer)
    for _ in range(3):
        look(edge, pixel(campaign, 1))
    look(edge, pixel(campaign, 2))
    assert results(marketer, campaign).opened == 2
    assert [one.kind for one in engagements(doors)] == [Engagement.KIND_OPEN] * 4


def test_machines_are_marked_and_not_counted(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub, doors: Doors
) -> None:
    campaign = planned(marketer)
    look(edge, pixel(campaign, 1), "Mozilla/5.0")
    look(edge, pixel(campaign, 2), machine=True)
    assert click(edge, link(campaign, 1), "curl/8.5") == "https://shop.example/offers"
    counts = results(marketer, campaign)
    assert (counts.opened, counts.clicked, counts.machine_opened) == (0, 0, 2)
    assert recipients(marketer, campaign)[0].HasField("machine_open_time")
    assert engagements(doors) == []
    # A person who opens after the machine counts as a person, and no longer as opened only by a machine.
    look(edge, pixel(campaign, 1))
    counts = results(marketer, campaign)
    assert (counts.opened, counts.machine_opened) == (1, 1)


def test_nobody_reads_within_a_second_of_sending(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub, frozen_clock: FrozenClock
) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SENT"))
    frozen_clock.advance(seconds=0.9)
    look(edge, pixel(campaign, 1))
    click(edge, link(campaign, 1))
    assert (results(marketer, campaign).opened, results(marketer, campaign).clicked) == (0, 0)
    frozen_clock.advance(seconds=0.2)
    look(edge, pixel(campaign, 1))
    assert results(marketer, campaign).opened == 1


def test_an_open_that_overtakes_the_report_of_sending_is_looked_at_again(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub
) -> None:
    campaign = planned(marketer)
    for number in (1, 2):
        look(edge, pixel(campaign, number))
        click(edge, link(campaign, number))
    assert results(marketer, campaign).opened == 2
    hear(
        a_change(campaign, 1, "SENT"),
        a_change(campaign, 2, "SENT", time=timestamp(now() - timedelta(minutes=1))),
    )
    counts = results(marketer, campaign)
    assert (counts.opened, counts.clicked, counts.machine_opened) == (1, 1, 1)


@pytest.mark.parametrize("kind", ["forged", "changed", "of another purpose", "empty"])
def test_tokens_that_are_not_genuine_are_refused(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub, kind: str
) -> None:
    campaign = planned(marketer)
    genuine = link(campaign, 1)
    token = {"forged": "x" * 40, "changed": genuine[:-2] + "xx", "of another purpose": pixel(campaign, 1), "empty": ""}
    error = refused(edge.RecordClick, tracking_pb.RecordClickRequest(token=token[kind]))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    other = {**token, "of another purpose": genuine}
    error = refused(edge.RecordOpen, tracking_pb.RecordOpenRequest(token=other[kind]))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert results(marketer, campaign).clicked == 0


def test_a_link_that_was_not_registered_leads_nowhere(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub
) -> None:
    campaign = planned(marketer)
    for token in (link(campaign, 1, 2), link(campaign, 99)):
        error = refused(edge.RecordClick, tracking_pb.RecordClickRequest(token=token, user_agent=BROWSER))
        assert error.code() == grpc.StatusCode.NOT_FOUND
    look(edge, pixel(campaign, 99))


def test_of_a_deleted_person_nothing_more_is_recorded(
    marketer: CampaignsServiceStub, edge: TrackingServiceStub, doors: Doors
) -> None:
    campaign = planned(marketer)
    with database.transaction() as session:
        events.on_person_deleted(session, [PersonDeleted(person_id=str(person_id(1)))])
    look(edge, pixel(campaign, 1))
    assert click(edge, link(campaign, 1)) == "https://shop.example/offers"
    counts = results(marketer, campaign)
    assert (counts.opened, counts.clicked) == (0, 0)
    assert engagements(doors) == []


def test_only_services_may_tell_of_clicks(doors: Doors) -> None:
    stranger = doors.stub(TrackingServiceStub, "campaigns", "marketer")
    error = refused(stranger.RecordOpen, tracking_pb.RecordOpenRequest(token="x"))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("agent", "machine"),
    [
        (BROWSER, False),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", False),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", False),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", False),
        ("Microsoft Office/16.0 (Microsoft Outlook 16.0.1; Pro)", False),
        ("", True),
        ("Mozilla/5.0", True),
        ("python-requests/2.32", True),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (compatible; Barracuda Sentinel)", True),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36", True),
    ],
)
def test_machines_are_known_by_their_user_agents(agent: str, machine: bool) -> None:
    assert is_machine(agent) is machine
