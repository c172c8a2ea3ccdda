"""Campaigns as marketers handle them: drafts, schedules, and the orders to pause, resume and cancel.

Only a draft can be changed. Every visible change counts the version up, which is the etag. Pausing, resuming and
cancelling are told to notifications with CampaignControlled, of which the highest version counts.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from chassis.ids import new_id
from chassis.outbox import record
from denda.campaigns.v1.events_pb2 import CampaignControlled
from services.campaigns.ledger import forget_digests
from services.campaigns.models import Campaign, CampaignState
from services.campaigns.senders import check_sender

# How long after its time a message may still be sent, where the campaign does not say.
EXPIRE_AFTER = timedelta(hours=72)
RUNNING = (CampaignState.PLANNING, CampaignState.SENDING)
UNLAUNCHED = (CampaignState.DRAFT, CampaignState.SCHEDULED)


def campaign_by_id(session: Session, campaign_id: UUID) -> Campaign:
    """The campaign. Raises NotFound."""
    found = session.get(Campaign, campaign_id)
    if found is None:
        raise NotFound("campaign", campaign_id)
    return found


def in_state(state: int) -> Select[Campaign]:
    """The campaigns in a state; 0 means all."""
    return select(Campaign).where(Campaign.state == state) if state else select(Campaign)


def create(session: Session, fields: Mapping[str, Any], request_id: UUID | None) -> Campaign:
    """A new draft, or the one that the first call with this request id made.

    Raises InvalidArgument for a missing name or channel and for a sender that the channel cannot have.
    """
    if not fields.get("name"):
        raise InvalidArgument("campaign.name", "give the campaign a name")
    if not fields.get("channel"):
        raise InvalidArgument("campaign.channel", "choose CHANNEL_EMAIL or CHANNEL_SMS")
    check_sender(fields["channel"], fields.get("sender", ""), fields.get("reply_to", ""))
    moment = now()
    row = {**fields, "id": new_id(), "create_time": moment, "update_time": moment, "request_id": request_id}
    made = insert(Campaign).values(row).on_conflict_do_nothing(index_elements=["request_id"]).returning(Campaign)
    created = session.scalars(made).one_or_none()
    return created or session.scalars(select(Campaign).filter_by(request_id=request_id)).one()


def update(session: Session, campaign_id: UUID, changes: Mapping[str, Any], etag: str) -> Campaign:
    """Change fields of a draft. Raises Aborted for a stale etag, FailedPrecondition unless it is a draft."""
    campaign = _locked(session, campaign_id)
    _check_etag(campaign, etag)
    if campaign.state != CampaignState.DRAFT:
        raise FailedPrecondition(
            f"The campaign is {state_name(campaign)} and only a draft can be changed.",
            reason="CAMPAIGN_NOT_A_DRAFT",
            subject=str(campaign_id),
        )
    for name, value in changes.items():
        setattr(campaign, name, value)
    if not campaign.name:
        raise InvalidArgument("campaign.name", "a campaign needs a name")
    if not campaign.channel:
        raise InvalidArgument("campaign.channel", "choose CHANNEL_EMAIL or CHANNEL_SMS")
    check_sender(campaign.channel, campaign.sender, campaign.reply_to)
    campaign.problem = ""
    return _touched(campaign)


def unlaunched(session: Session, campaign_id: UUID, etag: str) -> Campaign:
    """The campaign, about to be launched or scheduled. Raises FailedPrecondition when it was launched before."""
    campaign = campaign_by_id(session, campaign_id)
    _check_unlaunched(campaign)
    _check_etag(campaign, etag)
    return campaign


def lock_unlaunched(session: Session, campaign_id: UUID, version: int) -> Campaign:
    """The campaign, locked, as long as it is still in the version that was checked.

    Raises FailedPrecondition when somebody launched it meanwhile, Aborted when somebody changed it.
    """
    campaign = _locked(session, campaign_id)
    _check_unlaunched(campaign)
    _check_etag(campaign, str(version))
    return campaign


def schedule(session: Session, campaign_id: UUID, version: int, moment: datetime) -> Campaign:
    """Let the campaign, checked in this version, launch by itself at `moment`."""
    campaign = lock_unlaunched(session, campaign_id, version)
    campaign.state = CampaignState.SCHEDULED
    campaign.schedule_time = moment
    campaign.problem = ""
    return _touched(campaign)


def unschedule(session: Session, campaign_id: UUID) -> Campaign:
    """Make a scheduled campaign a draft again; a draft stays one."""
    campaign = _locked(session, campaign_id)
    _check_unlaunched(campaign)
    if campaign.state == CampaignState.DRAFT:
        return campaign
    return _as_draft(campaign, "")


def refuse_launch(session: Session, campaign_id: UUID, version: int, problem: str) -> None:
    """Make a scheduled campaign a draft that says why it was not launched, unless it has changed meanwhile."""
    campaign = _locked(session, campaign_id)
    if campaign.state == CampaignState.SCHEDULED and campaign.version == version:
        _as_draft(campaign, problem)


def pause(session: Session, campaign_id: UUID) -> Campaign:
    """Hold what is not in a provider's hands; the plan stops after the batch in hand."""
    campaign = _locked(session, campaign_id)
    if campaign.state == CampaignState.PAUSED:
        return campaign
    if campaign.state not in RUNNING:
        raise _wrong_state(campaign, "only a running campaign can be paused")
    campaign.state = CampaignState.PAUSED
    return _controlled(session, campaign, CampaignControlled.COMMAND_HOLD)


def resume(session: Session, campaign_id: UUID) -> Campaign:
    """Go on where the campaign was paused."""
    campaign = _locked(session, campaign_id)
    if campaign.state in RUNNING:
        return campaign
    if campaign.state != CampaignState.PAUSED:
        raise _wrong_state(campaign, "only a paused campaign can be resumed")
    campaign.state = CampaignState.SENDING if campaign.plan_finished_at else CampaignState.PLANNING
    return _controlled(session, campaign, CampaignControlled.COMMAND_RUN)


def cancel(session: Session, campaign_id: UUID) -> Campaign:
    """Stop the campaign for good; also a draft that shall never be launched."""
    campaign = _locked(session, campaign_id)
    if campaign.state == CampaignState.CANCELLED:
        return campaign
    if campaign.state == CampaignState.FINISHED:
        raise _wrong_state(campaign, "everybody in it has an outcome")
    campaign.state = CampaignState.CANCELLED
    campaign.finish_time = now()
    campaign.problem = ""
    if not campaign.launch_time:
        return _touched(campaign)
    forget_digests(session, campaign_id)
    return _controlled(session, campaign, CampaignControlled.COMMAND_DROP)


def state_name(campaign: Campaign) -> str:
    """The state in lower case, for sentences."""
    return CampaignState(campaign.state).name.lower()


def _locked(session: Session, campaign_id: UUID) -> Campaign:
    # Not FOR UPDATE: the ledger's foreign key takes a share of the key, which nothing here changes.
    found = session.get(Campaign, campaign_id, with_for_update={"key_share": True})
    if found is None:
        raise NotFound("campaign", campaign_id)
    return found


def _check_etag(campaign: Campaign, etag: str) -> None:
    if etag and etag != str(campaign.version):
        raise Aborted("Somebody else changed the campaign; read it again and repeat.")


def _check_unlaunched(campaign: Campaign) -> None:
    if campaign.state not in UNLAUNCHED:
        raise FailedPrecondition(
            f"The campaign was launched before and is {state_name(campaign)}.",
            reason="CAMPAIGN_ALREADY_LAUNCHED",
            subject=str(campaign.id),
        )


def _wrong_state(campaign: Campaign, why: str) -> FailedPrecondition:
    said = f"The campaign is {state_name(campaign)}: {why}."
    return FailedPrecondition(said, reason="CAMPAIGN_STATE", subject=str(campaign.id))


def _as_draft(campaign: Campaign, problem: str) -> Campaign:
    campaign.state = CampaignState.DRAFT
    campaign.schedule_time = None
    campaign.problem = problem
    return _touched(campaign)


def _touched(campaign: Campaign) -> Campaign:
    campaign.version += 1
    campaign.update_time = now()
    return campaign


def _controlled(session: Session, campaign: Campaign, command: CampaignControlled.Command.ValueType) -> Campaign:
    _touched(campaign)
    event = CampaignControlled(campaign_id=str(campaign.id), command=command, version=campaign.version)
    record(session, event, str(campaign.id))
    return campaign
