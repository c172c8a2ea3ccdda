"""Periodic work: launching what is due, planning, finishing. Each safe in any number of replicas."""

from datetime import timedelta

import structlog
from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, DendaError, Unavailable
from chassis.service import Loop
from chassis.telemetry import context_from, tracer
from services.campaigns import campaigns, launch, planning
from services.campaigns.models import Campaign, CampaignState, Recipient, RecipientState, database

log = structlog.get_logger()


def launch_due() -> None:
    """Launch scheduled campaigns whose time has come; one that cannot be launched becomes a draft that says why."""
    with database.transaction() as session:
        due = session.scalars(
            select(Campaign)
            .where(Campaign.state == CampaignState.SCHEDULED, Campaign.schedule_time <= now())
            .order_by(Campaign.schedule_time)
            .limit(100)
        ).all()
    for campaign in due:
        _launch(campaign)


def plan() -> bool:
    """Plan one campaign for some seconds, in the trace of its launch; answers whether there may be more to plan."""
    with database.transaction() as session:
        campaign = planning.claim(session)
    if campaign is None:
        return False
    parent = context_from(campaign.traceparent)
    with tracer.start_as_current_span("plan", parent, attributes={"denda.campaign_id": str(campaign.id)}):
        return planning.take_turn(campaign)


def finish_campaigns() -> None:
    """Finish the campaigns whose recipients all have an outcome; that nobody knows the outcome is one too."""
    with database.transaction() as session:
        finish_sent(session)


def finish_sent(session: Session) -> None:
    """Move campaigns from SENDING to FINISHED when nobody in their ledgers is PLANNED any more."""
    waiting = exists().where(Recipient.campaign_id == Campaign.id, Recipient.state == RecipientState.PLANNED)
    moment = now()
    session.execute(
        update(Campaign)
        .where(Campaign.state == CampaignState.SENDING, ~waiting)
        .values(state=CampaignState.FINISHED, finish_time=moment, update_time=moment, version=Campaign.version + 1)
    )


# What the loops ask before they open a transaction.
DUE = f"SELECT 1 FROM campaign WHERE state = {CampaignState.SCHEDULED:d} AND schedule_time <= now() LIMIT 1"  # noqa: S608
PLANNING = f"SELECT 1 FROM campaign WHERE state = {CampaignState.PLANNING:d} LIMIT 1"  # noqa: S608
SENT = f"""SELECT 1 FROM campaign WHERE state = {CampaignState.SENDING:d} AND NOT EXISTS (
    SELECT FROM recipient WHERE campaign_id = campaign.id AND recipient.state = {RecipientState.PLANNED:d}) LIMIT 1"""  # noqa: S608

LOOPS = (
    Loop("campaigns-launch", launch_due, idle=timedelta(seconds=1), when=DUE),
    Loop("campaigns-plan", plan, idle=timedelta(milliseconds=500), when=PLANNING),
    Loop("campaigns-finish", finish_campaigns, idle=timedelta(milliseconds=250), when=SENT),
)


def _launch(campaign: Campaign) -> None:
    try:
        found = launch.prepare(campaign)
        with database.transaction() as session:
            launch.freeze(session, campaign.id, campaign.version, found)
    except (Aborted, Unavailable) as error:
        # Somebody changed it, or another service is away: the next round sees.
        log.info("scheduled_launch_postponed", campaign_id=str(campaign.id), reason=error.reason)
    except DendaError as error:
        log.warning("scheduled_launch_refused", campaign_id=str(campaign.id), reason=error.reason)
        with database.transaction() as session:
            campaigns.refuse_launch(session, campaign.id, campaign.version, error.message)
