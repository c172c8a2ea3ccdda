"""Planning: the audience of a launched campaign is streamed from contacts and written into the ledger.

A planner claims a campaign with a lease and a fence. Each batch of 1,000 is one transaction: cursor, rows, events.
The cursor moves only for the holder of the fence and only while the campaign is PLANNING, so a pause, a cancel or
another planner is seen before the next batch, and a restart goes on behind the last batch that was committed.
The plan is over when the stream of candidates ends, never because a batch had nobody eligible.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import structlog
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from chassis.clock import now
from denda.contacts.v1.audience_service_pb2 import Audience, Candidate, StreamAudienceResponse
from services.campaigns import clients, ledger
from services.campaigns.models import Campaign, CampaignState, database

# People asked for at once; the smaller ones where so many are too large for a message of gRPC.
BATCHES = (1000, 100, 10)
# A planner that says nothing for so long has lost the campaign to another.
LEASE = timedelta(seconds=30)
# Where contacts does not answer, the campaign rests for so long.
REST = timedelta(seconds=3)
# After this many seconds another campaign has its turn, so that a large one does not hold up a small one.
TURN_SECONDS = 5.0
# No batch should take so long; the stream of a turn is given up then.
STREAM_SECONDS = 120.0

log = structlog.get_logger()


def claim(session: Session) -> Campaign | None:
    """Take the campaign whose last turn is longest ago, with a lease and a fence of its own."""
    moment = now()
    free = or_(Campaign.plan_leased_until.is_(None), Campaign.plan_leased_until <= moment)
    campaign = session.scalars(
        select(Campaign)
        .where(Campaign.state == CampaignState.PLANNING, free)
        .order_by(Campaign.plan_claimed_at.asc().nulls_first(), Campaign.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    if campaign is not None:
        campaign.plan_fence += 1
        campaign.plan_claimed_at = moment
        campaign.plan_leased_until = moment + LEASE
    return campaign


def take_turn(campaign: Campaign) -> bool:
    """Plan a claimed campaign for some seconds or to its end; answers whether there may be more to plan.

    When contacts does not answer, the campaign says so and rests a little.
    """
    try:
        over = _plan_audience(campaign)
    except grpc.RpcError as error:
        log.warning("plan_interrupted", campaign_id=str(campaign.id), code=error.code().name)
        with database.transaction() as session:
            rest(session, campaign, clients.sentence(error))
        return False
    with database.transaction() as session:
        if over:
            finish(session, campaign)
        else:
            release(session, campaign)
    return True


def _plan_audience(campaign: Campaign) -> bool:
    """Stream and write until the turn is over; answers whether the stream has ended."""
    for size in BATCHES:
        try:
            with _stream(campaign, size) as stream:
                return plan_batches(campaign, stream)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED or size == BATCHES[-1]:
                raise
    raise AssertionError("the smallest batch has been answered or has failed")


def plan_batches(campaign: Campaign, stream: Iterable[StreamAudienceResponse]) -> bool:
    """Write batches until the turn is over or the campaign is no longer ours; answers whether the stream has ended."""
    until = time.monotonic() + TURN_SECONDS
    for batch in stream:
        if batch.candidates:
            with database.transaction() as session:
                if not write(session, campaign, batch.candidates):
                    return False
            campaign.plan_cursor = UUID(batch.candidates[-1].person_id)
        if time.monotonic() > until:
            return False
    return True


def frozen_audience(campaign: Campaign) -> Audience:
    """The audience as the launch froze it."""
    condition, fields = campaign.segment_filter or "", campaign.merge_fields or []
    return clients.audience_of(campaign.channel, campaign.purpose, condition, fields)


def write(session: Session, campaign: Campaign, candidates: Sequence[Candidate]) -> bool:
    """Write one batch and move the cursor behind it; does nothing and answers False when the claim is lost."""
    moment = now()
    cursor = UUID(candidates[-1].person_id)
    if not _advance(session, campaign, plan_cursor=cursor, plan_leased_until=moment + LEASE, problem=""):
        return False
    ledger.write_batch(session, campaign, candidates, moment)
    return True


def finish(session: Session, campaign: Campaign) -> None:
    """Everybody is in the ledger: the campaign is SENDING. Addresses of people deleted meanwhile are forgotten."""
    moment = now()
    done = {
        "state": CampaignState.SENDING,
        "plan_finished_at": moment,
        "plan_leased_until": None,
        "update_time": moment,
        "version": Campaign.version + 1,
        "problem": "",
    }
    if not _advance(session, campaign, **done):
        release(session, campaign)
        return
    ledger.forget_digests(session, campaign.id)


def release(session: Session, campaign: Campaign) -> None:
    """Give a claimed campaign back for its next turn."""
    _give_back(session, campaign, plan_leased_until=None)


def rest(session: Session, campaign: Campaign, problem: str) -> None:
    """Give a claimed campaign back that cannot go on for the moment, and say why."""
    said = f"Planning waits for contacts: {problem}"
    _give_back(session, campaign, plan_leased_until=now() + REST, problem=said)


def _advance(session: Session, campaign: Campaign, **values: Any) -> bool:
    """Change the campaign's plan if it is still ours to plan, and lock its row until the transaction ends."""
    ours = (*_held(campaign), Campaign.state == CampaignState.PLANNING)
    return session.scalar(update(Campaign).where(*ours).values(values).returning(Campaign.id)) is not None


def _give_back(session: Session, campaign: Campaign, **values: Any) -> None:
    session.execute(update(Campaign).where(*_held(campaign)).values(values))


def _held(campaign: Campaign) -> tuple[ColumnElement[bool], ...]:
    return Campaign.id == campaign.id, Campaign.plan_fence == campaign.plan_fence


def _stream(campaign: Campaign, size: int) -> AbstractContextManager[Iterator[StreamAudienceResponse]]:
    """The batches of the frozen audience behind the cursor."""
    if campaign.launch_time is None:
        raise AssertionError("a campaign that is planned was launched")
    return clients.streamed_audience(
        frozen_audience(campaign), campaign.launch_time, campaign.plan_cursor, size, STREAM_SECONDS
    )
