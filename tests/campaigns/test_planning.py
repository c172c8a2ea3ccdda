"""The plan: an audience becomes rows and events, once, whatever happens on the way."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import UUID

import grpc
import pytest

from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from services.campaigns import jobs, ledger, planning
from services.campaigns.models import database
from tests.campaigns.neighbours import Neighbours, a_candidate
from tests.campaigns.stories import (
    counted_statements,
    get,
    launched,
    message_of,
    plan_all,
    planned,
    recipients,
    results,
)
from tests.conftest import FrozenClock
from tests.kit.doors import Doors


@pytest.fixture
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BATCHES", (2,))


def test_everybody_in_the_audience_is_in_the_ledger_and_told_to_notifications(
    marketer: CampaignsServiceStub, doors: Doors
) -> None:
    campaign = planned(marketer)
    assert campaign.state == pb.Campaign.STATE_SENDING
    assert results(marketer, campaign).planned == 3
    (event,) = doors.events("campaigns")
    assert isinstance(event, RecipientsPlanned)
    assert [one.address for one in event.recipients] == [f"person{n}@shop.example" for n in (1, 2, 3)]
    assert event.recipients[0].merge_fields_json == '{"given_name": "Name 1"}'
    assert event.recipients[0].message_id == str(message_of(campaign, 1))
    assert (event.campaign_name, event.template_version, event.sender) == ("Spring", 3, "Shop <news@shop.example>")
    assert event.expire_time.ToSeconds() - event.schedule_time.ToSeconds() == 72 * 3600


def test_who_may_not_be_written_to_has_a_row_with_the_reason(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    neighbours.candidates += [
        a_candidate(4, ineligibility="INELIGIBILITY_NO_ADDRESS"),
        a_candidate(5, ineligibility="INELIGIBILITY_NO_CONSENT"),
        a_candidate(6, ineligibility="INELIGIBILITY_CONSENT_WITHDRAWN"),
    ]
    campaign = planned(marketer)
    counts = results(marketer, campaign)
    assert (counts.recipients, counts.planned, counts.skipped) == (6, 3, 3)
    assert dict(counts.skipped_by_reason) == {"NO_ADDRESS": 1, "NO_CONSENT": 1, "CONSENT_WITHDRAWN": 1}
    assert all(not one.message_id for one in recipients(marketer, campaign, state="RECIPIENT_STATE_SKIPPED"))


def test_an_address_gets_one_message_within_a_batch_and_across_batches(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (2,))
    shared = {"address": "Family@shop.example"}
    neighbours.candidates = [
        a_candidate(1, **shared),
        a_candidate(2, address="family@SHOP.example"),
        a_candidate(3),
        a_candidate(4, **shared),
    ]
    campaign = planned(marketer)
    found = recipients(marketer, campaign)
    assert [one.state for one in found] == [
        pb.RECIPIENT_STATE_PLANNED,
        pb.RECIPIENT_STATE_SKIPPED,
        pb.RECIPIENT_STATE_PLANNED,
        pb.RECIPIENT_STATE_SKIPPED,
    ]
    assert {one.skip_reason for one in found if one.skip_reason} == {pb.SKIP_REASON_DUPLICATE_ADDRESS}
    assert _told(doors) == [message_of(campaign, 1), message_of(campaign, 3)]


def test_batches_without_anybody_eligible_do_not_end_the_plan(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (2,))
    neighbours.candidates = [
        a_candidate(number, ineligibility="INELIGIBILITY_NO_CONSENT") for number in range(1, 8)
    ] + [a_candidate(9)]
    campaign = planned(marketer)
    counts = results(marketer, campaign)
    assert (counts.recipients, counts.skipped, counts.planned) == (8, 7, 1)
    assert _told(doors) == [message_of(campaign, 9)]


def test_an_event_has_at_most_five_hundred_recipients(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors
) -> None:
    neighbours.candidates = [a_candidate(number) for number in range(1, 1202)]
    planned(marketer)
    sizes = [len(event.recipients) for event in doors.events("campaigns")]
    assert (sum(sizes), max(sizes)) == (1201, 500)


@pytest.mark.usefixtures("batches_of_two")
@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_a_plan_that_breaks_off_goes_on_behind_the_last_batch(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, frozen_clock: FrozenClock, batches: int
) -> None:
    neighbours.candidates = [a_candidate(number) for number in range(1, 8)]
    campaign = launched(marketer)
    neighbours.failures["StreamAudience batch"] = [*[None] * batches, grpc.StatusCode.UNAVAILABLE]
    jobs.plan()
    assert results(marketer, campaign).recipients == 2 * batches
    assert "waits for contacts" in get(marketer, campaign).problem
    assert jobs.plan() is False
    frozen_clock.advance(seconds=5)
    plan_all()
    assert _told(doors) == [message_of(campaign, number) for number in range(1, 8)]
    finished = get(marketer, campaign)
    assert (finished.state, finished.problem) == (pb.Campaign.STATE_SENDING, "")


def test_people_with_long_merge_fields_come_in_smaller_batches_and_events(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (4, 2))
    neighbours.candidates = [a_candidate(number) for number in range(1, 10)]
    for candidate in neighbours.candidates:
        candidate.merge_fields_json = json.dumps({"given_name": "x" * 600_000})
    campaign = launched(marketer)
    neighbours.failures["StreamAudience batch"] = [None, grpc.StatusCode.RESOURCE_EXHAUSTED]
    plan_all()
    assert _told(doors) == [message_of(campaign, number) for number in range(1, 10)]
    assert max(event.ByteSize() for event in doors.events("campaigns")) < 2 * 1024 * 1024


def test_a_batch_that_fails_leaves_neither_rows_nor_events_nor_a_moved_cursor(
    marketer: CampaignsServiceStub, doors: Doors, monkeypatch: pytest.MonkeyPatch, frozen_clock: FrozenClock
) -> None:
    campaign = launched(marketer)
    with monkeypatch.context() as broken:
        broken.setattr(ledger, "record_all", _raise)
        with pytest.raises(RuntimeError):
            jobs.plan()
    assert results(marketer, campaign).recipients == 0
    assert doors.events("campaigns") == []
    # The planner died with its lease, which runs out.
    assert jobs.plan() is False
    frozen_clock.advance(seconds=60)
    plan_all()
    assert _told(doors) == [message_of(campaign, number) for number in (1, 2, 3)]


@pytest.mark.parametrize("order", ["Pause", "Cancel"])
def test_an_order_is_seen_before_the_next_batch(
    marketer: CampaignsServiceStub,
    neighbours: Neighbours,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (2,))
    neighbours.candidates = [a_candidate(number) for number in range(1, 8)]
    campaign = launched(marketer)
    give: Callable[[], object] = {
        "Pause": lambda: marketer.PauseCampaign(service_pb.PauseCampaignRequest(id=campaign.id)),
        "Cancel": lambda: marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id)),
    }[order]
    batches = count(1)

    def before_the_second_batch() -> None:
        if next(batches) == 2:
            give()

    neighbours.before["StreamAudience batch"] = before_the_second_batch
    plan_all()
    # The first batch may still have been on its way to the ledger; the second came after the order.
    assert results(marketer, campaign).recipients in (0, 2)
    if order == "Pause":
        marketer.ResumeCampaign(service_pb.ResumeCampaignRequest(id=campaign.id))
        plan_all()
        assert results(marketer, campaign).planned == 7
        assert get(marketer, campaign).state == pb.Campaign.STATE_SENDING


def test_a_planner_that_lost_its_lease_writes_nothing_more(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, frozen_clock: FrozenClock
) -> None:
    campaign = launched(marketer)
    with database.transaction() as session:
        slow = planning.claim(session)
    assert slow is not None
    with database.transaction() as session:
        assert planning.claim(session) is None
    frozen_clock.advance(seconds=60)
    plan_all()
    with database.transaction() as session:
        assert planning.write(session, slow, neighbours.candidates) is False
        planning.finish(session, slow)
        planning.rest(session, slow, "too late")
    assert _told(doors) == [message_of(campaign, number) for number in (1, 2, 3)]
    assert get(marketer, campaign).problem == ""


def test_several_planners_at_once_plan_everybody_once(
    marketer: CampaignsServiceStub, neighbours: Neighbours, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (3,))
    monkeypatch.setattr(planning, "TURN_SECONDS", 0.0)
    neighbours.candidates = [a_candidate(number) for number in range(1, 41)]
    campaigns = [launched(marketer, name=f"Campaign {number}") for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(plan_all) for _ in range(4)]:
            future.result()
    plan_all()
    for campaign in campaigns:
        assert results(marketer, campaign).planned == 40
    told = _told(doors)
    assert len(told) == len(set(told)) == 120


def test_a_small_campaign_does_not_wait_for_a_large_one(
    marketer: CampaignsServiceStub, neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "BATCHES", (2,))
    monkeypatch.setattr(planning, "TURN_SECONDS", 0.0)
    neighbours.candidates = [a_candidate(number) for number in range(1, 10)]
    first, second = launched(marketer, name="First"), launched(marketer, name="Second")
    for _ in range(4):
        jobs.plan()
    assert [results(marketer, one).planned for one in (first, second)] == [4, 4]


def test_an_audience_that_has_emptied_since_the_launch_finishes(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = launched(marketer)
    neighbours.candidates = []
    plan_all()
    jobs.finish_campaigns()
    assert get(marketer, campaign).state == pb.Campaign.STATE_FINISHED


def test_a_batch_takes_the_same_few_statements_whatever_its_size(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    launched(marketer)
    with database.transaction() as session:
        campaign = planning.claim(session)
    assert campaign is not None
    batch = [a_candidate(number) for number in range(1, 1001)]
    with counted_statements(database.engine) as statements, database.transaction() as session:
        planning.write(session, campaign, batch)
    assert len(statements) == 3


def _told(doors: Doors) -> list[UUID]:
    """The messages that notifications is asked to send."""
    planned_events = [event for event in doors.events("campaigns") if isinstance(event, RecipientsPlanned)]
    return [UUID(one.message_id) for event in planned_events for one in event.recipients]


def _raise(*_: object) -> None:
    raise RuntimeError("the outbox fails for the test")
