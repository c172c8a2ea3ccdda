"""Watching: told at once, told of every change, ended when it is over, and gone when nobody looks."""

import threading
import time
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from services.campaigns import jobs, watch
from tests.campaigns.stories import a_change, a_draft, hear, planned
from tests.kit.events import eventually


def test_a_watcher_sees_each_change_and_the_end(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    stream = marketer.WatchCampaign(service_pb.WatchCampaignRequest(id=campaign.id))
    first = next(stream)
    assert (first.results.planned, first.audience_size) == (3, 3)
    hear(a_change(campaign, 1, "SENT"))
    assert next(stream).results.sent == 1
    hear(a_change(campaign, 2, "SENT"), a_change(campaign, 3, "BOUNCED"))
    assert next(stream).results.bounced == 1
    jobs.finish_campaigns()
    *_, last = stream
    assert last.campaign.state == pb.Campaign.STATE_FINISHED
    assert (last.results.sent, last.results.planned) == (2, 0)


def test_a_cancelled_campaign_is_watched_until_nothing_is_under_way(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id))
    stream = marketer.WatchCampaign(service_pb.WatchCampaignRequest(id=campaign.id))
    assert next(stream).campaign.state == pb.Campaign.STATE_CANCELLED
    skipped = [a_change(campaign, n, "SKIPPED", skip_reason="SKIP_REASON_CANCELLED") for n in (1, 2, 3)]
    hear(*skipped)
    (last,) = stream
    assert last.results.skipped == 3


def test_a_finished_campaign_is_told_once(marketer: CampaignsServiceStub) -> None:
    draft = a_draft(marketer)
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=draft.id))
    (only,) = marketer.WatchCampaign(service_pb.WatchCampaignRequest(id=draft.id))
    assert only.campaign.state == pb.Campaign.STATE_CANCELLED


def test_nothing_is_told_while_nothing_changes(marketer: CampaignsServiceStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD", 0.01)
    campaign = planned(marketer)
    gone = threading.Event()
    told: list[watch.Snapshot] = []
    watcher = threading.Thread(target=lambda: told.extend(watch.snapshots(_id(campaign), gone)))
    watcher.start()
    eventually(lambda: _id(campaign) in watch._latest)
    counted = watch._latest[_id(campaign)]
    # Several looks later there is still only what was told at the beginning.
    eventually(lambda: watch._latest[_id(campaign)].taken > counted.taken)
    gone.set()
    watcher.join()
    assert len(told) == 1


def test_a_watcher_that_leaves_frees_a_thread(marketer: CampaignsServiceStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD", 3600.0)
    campaign = planned(marketer)
    stream = marketer.WatchCampaign(service_pb.WatchCampaignRequest(id=campaign.id))
    next(stream)
    ended = _streams_ended()
    stream.cancel()
    eventually(lambda: _streams_ended() == ended + 1, 30)


def test_watchers_of_a_campaign_share_a_count(marketer: CampaignsServiceStub, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = planned(marketer)
    first = watch._fresh(_id(campaign))
    assert watch._shared(_id(campaign)) is first
    monkeypatch.setattr(time, "monotonic", lambda: first.taken + watch.PERIOD)
    assert watch._shared(_id(campaign)) is not first


def _streams_ended() -> float:
    labels = {"method": "/denda.campaigns.v1.CampaignsService/WatchCampaign", "code": "OK"}
    return REGISTRY.get_sample_value("denda_rpc_seconds_count", labels) or 0


def _id(campaign: pb.Campaign) -> UUID:
    return UUID(campaign.id)
