"""Watching a campaign: its counts whenever they change, at most twice a second.

Watchers of one campaign share one count, and a count that takes long is taken less often.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from services.campaigns import results
from services.campaigns.campaigns import campaign_by_id
from services.campaigns.models import Campaign, CampaignState, database
from services.campaigns.results import Results

PERIOD = 0.5
# Of a watcher's time, at most a tenth is spent with counting.
PATIENCE = 10
OVER = (CampaignState.FINISHED, CampaignState.CANCELLED)

# The latest snapshot of each campaign that somebody watches.
_latest: dict[UUID, "Snapshot"] = {}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A campaign and its counts at one moment."""

    campaign: Campaign
    results: Results
    # In monotonic seconds: when it was taken, and how long that took.
    taken: float
    took: float

    def tells(self) -> tuple[int, str, Results]:
        """What must differ for a watcher to be told again."""
        return self.campaign.version, self.campaign.problem, self.results

    def is_last(self) -> bool:
        """The campaign is over and nothing is under way."""
        return self.campaign.state in OVER and not self.results.planned


def snapshots(campaign_id: UUID, gone: threading.Event) -> Iterator[Snapshot]:
    """The campaign now and whenever it has changed, until it is over or `gone` is set. Raises NotFound."""
    told = None
    while not gone.is_set():
        snapshot = _shared(campaign_id) if told else _fresh(campaign_id)
        if snapshot.tells() != told:
            told = snapshot.tells()
            yield snapshot
        if snapshot.is_last():
            return
        gone.wait(max(PERIOD, snapshot.took * PATIENCE))


def _shared(campaign_id: UUID) -> Snapshot:
    """A snapshot that another watcher has just taken, or a fresh one."""
    moment = time.monotonic()
    known = _latest.get(campaign_id)
    return known if known and moment - known.taken < PERIOD / 2 else _fresh(campaign_id)


def _fresh(campaign_id: UUID) -> Snapshot:
    began = time.monotonic()
    with database.transaction() as session:
        campaign = campaign_by_id(session, campaign_id)
        counted = results.results_of(session, campaign_id)
    done = time.monotonic()
    snapshot = Snapshot(campaign, counted, done, done - began)
    if snapshot.is_last():
        _latest.pop(campaign_id, None)
    else:
        _latest[campaign_id] = snapshot
    return snapshot
