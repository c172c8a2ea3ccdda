"""Evidence: what the ledger, contacts and notifications know of one person in one campaign, as facts.

A service that does not answer costs its facts, not the explanation: a fact says that it could not be asked.
Functions that gather add to the list they are given, in the order in which things were decided.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar
from uuid import UUID

import grpc

from chassis.moments import moment_of
from denda.contacts.v1.audience_service_pb2 import Audience
from denda.contacts.v1.consent_service_pb2 import Consent
from denda.notifications.v1.message_pb2 import Message
from denda.notifications.v1.messages_service_pb2 import MessageEvent
from denda.notifications.v1.suppressions_service_pb2 import Policy, Suppression
from services.campaigns import clients
from services.campaigns.models import Campaign, Recipient, RecipientState, SkipReason

Answer = TypeVar("Answer")
CHANNEL_NAMES = {1: "email", 2: "SMS", 3: "voice"}
ENGAGEMENTS = {
    "open_time": "The person opened the message.",
    "click_time": "The person followed a link.",
    "reply_time": "The person answered.",
    "complaint_time": "The person complained.",
    "unsubscribe_time": "The person unsubscribed by this message.",
    "machine_open_time": "A machine opened the message, which is not counted.",
    "machine_click_time": "A machine followed a link, which is not counted.",
}
# Decisions of notifications that are more than the way of the message, by the words its events use.
DECISIONS = {"suppress": "SUPPRESSION", "cap": "FREQUENCY_CAP", "quiet": "WINDOW", "expire": "WINDOW"}
UNASKED = "Could not be asked"


class Standing(Enum):
    """How a person stands to a segment."""

    INSIDE = auto()
    OUTSIDE = auto()
    NO_PERSON = auto()
    UNASKED = auto()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was decided or observed, and the service that knows it."""

    source: str
    kind: str
    text: str
    time: datetime | None = None


def standing_facts(facts: list[Fact], audience: Audience, person_id: UUID) -> Standing:
    """How the person stands to the segment now."""
    before = len(facts)
    answer = _ask(
        facts,
        ("contacts", "SEGMENT", "contacts knows no such person: deleted, or never there."),
        lambda: clients.explained_candidate(audience, person_id),
    )
    if answer is None:
        return Standing.UNASKED if facts[before].text.startswith(UNASKED) else Standing.NO_PERSON
    fits = "fits" if answer.in_segment else "does not fit"
    condition = audience.filter or "everybody"
    facts.append(Fact("contacts", "SEGMENT", f"The person {fits} the segment's filter now: {condition}"))
    return Standing.INSIDE if answer.in_segment else Standing.OUTSIDE


def draft_audience(facts: list[Fact], campaign: Campaign) -> Audience | None:
    """The audience that a launch would freeze now."""
    segment_id = campaign.segment_id
    if segment_id is None:
        facts.append(Fact("campaigns", "SEGMENT", "No segment is chosen."))
        return None
    gone = ("contacts", "SEGMENT", "The segment does not exist any more.")
    segment = _ask(facts, gone, lambda: clients.segment(segment_id))
    return clients.audience_of(campaign.channel, campaign.purpose, segment.filter, ()) if segment else None


def consent_facts(facts: list[Fact], campaign: Campaign, person_id: UUID, decided_by: UUID | None = None) -> None:
    """The entries of the consent ledger for the campaign's purpose and channel, oldest first."""
    wanted = f"{campaign.purpose} by {CHANNEL_NAMES[campaign.channel]}"
    ledger = _ask(
        facts,
        ("contacts", "CONSENT", "contacts keeps no consent ledger of this person any more."),
        lambda: clients.consent_ledger(person_id),
    )
    if ledger is None:
        return
    mine = [one for one in ledger if one.purpose == campaign.purpose and one.channel == campaign.channel]
    if not mine:
        facts.append(Fact("contacts", "CONSENT", f"Nobody recorded consent for {wanted}."))
    for entry in reversed(mine[:20]):
        deciding = " This entry decided." if str(decided_by) == entry.id else ""
        facts.append(Fact("contacts", "CONSENT", f"{_consent(entry)} {wanted}{_proof(entry)}.{deciding}", _time(entry)))


def message_facts(facts: list[Fact], campaign: Campaign, message_id: UUID) -> Message | None:
    """What notifications decided about a message and what the provider answered; the message."""
    message = _ask(
        facts,
        ("notifications", "STATE", "notifications has not accepted the message yet."),
        lambda: clients.message(message_id),
    )
    if message is None:
        return None
    _suppression_facts(facts, campaign, message.address)
    _policy_facts(facts, campaign)
    first, last = moment_of(message.schedule_time), moment_of(message.expire_time)
    facts.append(Fact("notifications", "WINDOW", f"To be sent not before {_said(first)} and not after {_said(last)}."))
    unknown = ("notifications", "PROVIDER", "There are no records about the message.")
    events = _ask(facts, unknown, lambda: clients.message_events(message_id)) or ()
    facts.extend(_event_fact(event) for event in events)
    if message.provider:
        known_as = f" as {message.provider_reference}" if message.provider_reference else ""
        facts.append(Fact("notifications", "PROVIDER", f"Handed to {message.provider}{known_as}."))
    return message


def ledger_facts(facts: list[Fact], recipient: Recipient) -> None:
    """Where the ledger has the person, and what the person did."""
    state = RecipientState(recipient.state).name
    reason = f" ({SkipReason(recipient.skip_reason).name})" if recipient.skip_reason else ""
    detail = f": {recipient.detail}" if recipient.detail else "."
    facts.append(Fact("campaigns", "STATE", f"The ledger says {state}{reason}{detail}", recipient.state_time))
    done = [(moment, text) for name, text in ENGAGEMENTS.items() if (moment := getattr(recipient, name))]
    facts.extend(Fact("campaigns", "ENGAGEMENT", text, moment) for moment, text in sorted(done))


def _suppression_facts(facts: list[Fact], campaign: Campaign, address: str) -> None:
    free = ("notifications", "SUPPRESSION", "The address is not on the suppression list.")
    if not address:
        return
    entry = _ask(facts, free, lambda: clients.suppression(campaign.channel, address) or False)
    if isinstance(entry, Suppression):
        reason = Suppression.Reason.Name(entry.reason).removeprefix("REASON_").lower().replace("_", " ")
        text = f"The address is on the suppression list ({reason}) {entry.detail}".strip()
        facts.append(Fact("notifications", "SUPPRESSION", text, moment_of(entry.create_time)))
    elif entry is False:
        facts.append(Fact(*free))


def _policy_facts(facts: list[Fact], campaign: Campaign) -> None:
    none = ("notifications", "FREQUENCY_CAP", "There is no policy.")
    policy = _ask(facts, none, lambda: clients.policy(campaign.channel))
    if policy is None:
        return
    facts.append(Fact("notifications", "FREQUENCY_CAP", _cap(policy)))
    facts.append(Fact("notifications", "WINDOW", _quiet_hours(policy)))


def _cap(policy: Policy) -> str:
    if not policy.frequency_cap:
        return "There is no limit on how many campaign messages a person gets."
    return f"A person gets at most {policy.frequency_cap} campaign messages in {policy.cap_days} days."


def _quiet_hours(policy: Policy) -> str:
    if not policy.quiet_from:
        return "There are no quiet hours."
    return f"Nothing is sent from {policy.quiet_from} to {policy.quiet_until} in the person's time zone."


def _event_fact(event: MessageEvent) -> Fact:
    said = f"{event.kind}: {event.detail}" if event.detail else event.kind
    kinds = (kind for word, kind in DECISIONS.items() if event.kind in ("skipped", "deferred") and word in said.lower())
    return Fact("notifications", next(kinds, "PROVIDER"), said, moment_of(event.time))


def _consent(entry: Consent) -> str:
    return "Granted for" if entry.state == Consent.STATE_GRANTED else "Withdrawn for"


def _proof(entry: Consent) -> str:
    parts = [entry.basis, entry.evidence.source, entry.evidence.detail]
    told = ", ".join(part for part in parts if part)
    return f" ({told})" if told else ""


def _time(entry: Consent) -> datetime:
    return moment_of(entry.create_time)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _ask(facts: list[Fact], absent: tuple[str, str, str], call: Callable[[], Answer]) -> Answer | None:
    """Another service's answer; where there is none, None and the fact `absent`, or one that says what is wrong."""
    source, kind, _ = absent
    try:
        return call()
    except grpc.RpcError as error:
        missing = error.code() == grpc.StatusCode.NOT_FOUND
        facts.append(Fact(*absent) if missing else Fact(source, kind, f"{UNASKED}: {clients.sentence(error)}"))
        return None
