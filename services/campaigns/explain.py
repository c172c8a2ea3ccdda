"""Explaining: why a person did or did not get a campaign, in a sentence, with the facts that it rests on.

Answers for people outside of the ledger too. Asks contacts and notifications, so it runs outside of transactions.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from denda.notifications.v1.message_pb2 import Message
from services.campaigns import evidence
from services.campaigns.evidence import CHANNEL_NAMES, Fact, Standing
from services.campaigns.ledger import STEP
from services.campaigns.models import Campaign, CampaignState, Recipient, RecipientState, SkipReason
from services.campaigns.planning import frozen_audience

SKIPPED = {
    SkipReason.NO_ADDRESS: "the person has no address for {channel}",
    SkipReason.NO_CONSENT: "nobody ever recorded consent for {purpose} by {channel}",
    SkipReason.CONSENT_WITHDRAWN: "the person withdrew consent for {purpose} by {channel}",
    SkipReason.DUPLICATE_ADDRESS: "somebody else in the campaign has the same address, which gets one message only",
    SkipReason.SUPPRESSED: "the address is on the suppression list",
    SkipReason.FREQUENCY_CAP: "the person had as many messages as the policy allows",
    SkipReason.EXPIRED: "quiet hours or trouble lasted beyond the message's expiry",
    SkipReason.CANCELLED: "the campaign was cancelled before it was this person's turn",
    SkipReason.PERSON_DELETED: "the person was deleted",
}
OUTCOMES = {
    RecipientState.SENT: "Sent: the provider took the message",
    RecipientState.DELIVERED: "Delivered: the provider says that the message arrived",
    RecipientState.BOUNCED: "Bounced: the message was sent and came back",
    RecipientState.FAILED: "Failed: the message could not be sent",
    RecipientState.UNKNOWN: "Unknown: nobody can say whether the provider took the message, and it is not sent again",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in a sentence, and what it rests on, in the order in which it was decided."""

    recipient: Recipient | None
    summary: str
    facts: list[Fact]


def recipient_of(session: Session, campaign_id: UUID, person_id: UUID) -> Recipient | None:
    """The person's row in the campaign's ledger."""
    return session.get(Recipient, (campaign_id, STEP, person_id))


def explain(campaign: Campaign, recipient: Recipient | None, person_id: UUID) -> Explanation:
    """Why the person did or did not get the campaign."""
    facts: list[Fact] = []
    if recipient is not None:
        summary = _inside(facts, campaign, recipient)
    elif campaign.launch_time is None:
        summary = _unlaunched(facts, campaign, person_id)
    else:
        summary = _outside(facts, campaign, person_id)
    return Explanation(recipient, summary, facts)


def _inside(facts: list[Fact], campaign: Campaign, recipient: Recipient) -> str:
    """Somebody of whom the ledger has a row."""
    condition = campaign.segment_filter or "everybody"
    in_segment = f"The person was in the segment when the campaign was planned: {condition}"
    facts.append(Fact("campaigns", "SEGMENT", in_segment, campaign.launch_time))
    if recipient.forgotten_time:
        facts.append(Fact("campaigns", "STATE", "The person was deleted since.", recipient.forgotten_time))
    evidence.consent_facts(facts, campaign, recipient.person_id, recipient.consent_id)
    message = evidence.message_facts(facts, campaign, recipient.message_id) if recipient.message_id else None
    evidence.ledger_facts(facts, recipient)
    if recipient.state == RecipientState.PLANNED:
        return _waiting(campaign, message)
    if recipient.state == RecipientState.SKIPPED:
        return _skipped(campaign, recipient)
    detail = f": {recipient.detail}" if recipient.detail else ""
    return f"{OUTCOMES[RecipientState(recipient.state)]} on {_said(recipient.state_time)}{detail.rstrip('.')}."


def _skipped(campaign: Campaign, recipient: Recipient) -> str:
    told = SKIPPED.get(SkipReason(recipient.skip_reason), "a rule forbade it")
    reason = told.format(purpose=campaign.purpose, channel=CHANNEL_NAMES[campaign.channel])
    detail = f" ({recipient.detail.rstrip('.')})" if recipient.detail and recipient.message_id else ""
    return f"Not sent: {reason}{detail}."


def _waiting(campaign: Campaign, message: Message | None) -> str:
    if campaign.state == CampaignState.PAUSED:
        return "Not sent yet: the campaign is paused."
    if campaign.state == CampaignState.CANCELLED:
        return "Not sent: the campaign was cancelled; notifications is about to report it."
    if message is None:
        return "Not sent yet: the message is planned and on its way to notifications."
    return f"Not sent yet: the message waits for its time or for a sender{_reason(message)}."


def _reason(message: Message) -> str:
    return f" ({message.detail.rstrip('.')})" if message.detail else ""


def _unlaunched(facts: list[Fact], campaign: Campaign, person_id: UUID) -> str:
    """Nobody has got it; the facts tell what a launch would find now."""
    state = CampaignState(campaign.state).name.lower()
    facts.append(Fact("campaigns", "STATE", f"The campaign is {state}.", campaign.update_time))
    audience = evidence.draft_audience(facts, campaign)
    if audience is not None:
        evidence.standing_facts(facts, audience, person_id)
    evidence.consent_facts(facts, campaign, person_id)
    if campaign.state == CampaignState.CANCELLED:
        return "Not sent: the campaign was cancelled before it was launched."
    return "Not sent: the campaign has not been launched."


def _outside(facts: list[Fact], campaign: Campaign, person_id: UUID) -> str:
    """Somebody of whom the ledger of a launched campaign has no row."""
    at_launch = "The audience is who was in the segment at launch."
    facts.append(Fact("campaigns", "SEGMENT", at_launch, campaign.launch_time))
    standing = evidence.standing_facts(facts, frozen_audience(campaign), person_id)
    evidence.consent_facts(facts, campaign, person_id)
    facts.append(Fact("campaigns", "STATE", "The person is not in the campaign's ledger."))
    if standing == Standing.NO_PERSON:
        return "Not sent: contacts knows no such person; deleted, or never there."
    if standing == Standing.OUTSIDE:
        return "Not sent: the person is not in the campaign's segment."
    if not _reached(campaign, person_id):
        return _not_reached(campaign)
    if standing == Standing.UNASKED:
        return "Not sent: the person is not in the ledger; contacts, which knows why, does not answer."
    return "Not sent: the person came into the segment after the campaign was launched."


def _reached(campaign: Campaign, person_id: UUID) -> bool:
    """Whether the plan, which goes by person id, is past this person."""
    if campaign.plan_finished_at is not None:
        return True
    return campaign.plan_cursor is not None and person_id <= campaign.plan_cursor


def _not_reached(campaign: Campaign) -> str:
    if campaign.state == CampaignState.CANCELLED:
        return "Not sent: the campaign was cancelled before the plan reached this person."
    return "Not sent yet: the plan has not reached this person."


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
