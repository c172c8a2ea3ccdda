"""Outcomes: what became of the messages moves the ledger's rows, forward only.

Events come more than once and in no order. Of two changes of a message the one further on counts, and of two
equally far on the one with the higher version; first times are the earliest that anybody told. So the end is the
same whatever the order, and a change told twice has no effect.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Uuid, func, literal, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from chassis.clock import now
from services.campaigns.models import Campaign, CampaignState, Recipient, RecipientState, SkipReason

# How far on a state is; only a greater rank, or a newer version of the same rank, takes a row's place.
RANKS = {
    RecipientState.PLANNED: 0,
    RecipientState.UNKNOWN: 1,
    RecipientState.SENT: 2,
    RecipientState.DELIVERED: 3,
    RecipientState.SKIPPED: 4,
    RecipientState.BOUNCED: 4,
    RecipientState.FAILED: 4,
}
# An open or click so soon after sending is a machine's: nobody reads that fast.
MACHINE_SPEED = timedelta(seconds=1)
# Rows written by one statement.
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of one message."""

    message_id: UUID
    state: RecipientState
    skip_reason: SkipReason
    detail: str
    version: int
    state_time: datetime
    sent_time: datetime | None = None
    complaint_time: datetime | None = None


_RANK = "CASE {state} " + " ".join(f"WHEN {state:d} THEN {rank}" for state, rank in RANKS.items()) + " END"
_FURTHER = (
    f"({_RANK.format(state='new.state')}, new.version) > ({_RANK.format(state='old.state')}, old.message_version)"
)
# In the order of messages, so that two consumers never wait for each other in a circle.
_LOCK = text("""
    SELECT 1 FROM recipient WHERE message_id = ANY(CAST(:ids AS uuid[])) ORDER BY message_id FOR NO KEY UPDATE""")
_ADVANCE = text(f"""
    UPDATE recipient AS old SET
        state = CASE WHEN {_FURTHER} THEN new.state ELSE old.state END,
        skip_reason = CASE WHEN {_FURTHER} THEN new.skip_reason ELSE old.skip_reason END,
        detail = CASE WHEN {_FURTHER} THEN new.detail ELSE old.detail END,
        message_version = CASE WHEN {_FURTHER} THEN new.version ELSE old.message_version END,
        state_time = CASE WHEN {_FURTHER} THEN new.state_time ELSE old.state_time END,
        sent_time = least(old.sent_time, new.sent_time),
        complaint_time = least(old.complaint_time, new.complaint_time),
        open_time = CASE WHEN old.open_time < new.sent_time + :speed THEN NULL ELSE old.open_time END,
        click_time = CASE WHEN old.click_time < new.sent_time + :speed THEN NULL ELSE old.click_time END,
        machine_open_time = CASE WHEN old.open_time < new.sent_time + :speed
            THEN least(old.machine_open_time, old.open_time) ELSE old.machine_open_time END,
        machine_click_time = CASE WHEN old.click_time < new.sent_time + :speed
            THEN least(old.machine_click_time, old.click_time) ELSE old.machine_click_time END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS smallint[]), CAST(:reasons AS smallint[]),
                CAST(:details AS text[]), CAST(:versions AS integer[]), CAST(:state_times AS timestamptz[]),
                CAST(:sent_times AS timestamptz[]), CAST(:complaint_times AS timestamptz[]))
         AS new (message_id, state, skip_reason, detail, version, state_time, sent_time, complaint_time)
    WHERE old.message_id = new.message_id
      AND ({_FURTHER} OR new.sent_time < coalesce(old.sent_time, 'infinity')
           OR new.complaint_time < coalesce(old.complaint_time, 'infinity'))""")  # noqa: S608  # numbers of ours only


def advance(session: Session, outcomes: Iterable[Outcome]) -> None:
    """Apply what became of messages; what the ledger does not know is passed over."""
    newest = _newest(outcomes)
    for start in range(0, len(newest), CHUNK):
        _advance(session, newest[start : start + CHUNK])


def record_unsubscribes(session: Session, times: Mapping[UUID, datetime]) -> None:
    """Note on recipients' rows when they first withdrew consent in answer to a message."""
    _note_first(session, Recipient.unsubscribe_time, times)


def record_replies(session: Session, times: Mapping[UUID, datetime]) -> None:
    """Note on recipients' rows when they first answered a message."""
    _note_first(session, Recipient.reply_time, times)


def forget_people(session: Session, person_ids: Sequence[UUID]) -> None:
    """Forget the addresses of deleted people; their rows stay, so that figures do not change.

    While a campaign is planned its digests are still needed, so that nobody else at an address gets a second
    message; the end of the plan forgets those.
    """
    deleted = Recipient.person_id.in_(person_ids), Recipient.forgotten_time.is_(None)
    session.execute(update(Recipient).where(*deleted).values(forgotten_time=now()))
    unplanned = Campaign.state.in_((CampaignState.PLANNING, CampaignState.PAUSED)), Campaign.plan_finished_at.is_(None)
    needed = select(Campaign.id).where(*unplanned)
    digests = Recipient.person_id.in_(person_ids), Recipient.campaign_id.not_in(needed)
    session.execute(update(Recipient).where(*digests).values(address_digest=None))


def _note_first(
    session: Session, column: InstrumentedAttribute[datetime | None], times: Mapping[UUID, datetime]
) -> None:
    ids = sorted(times)
    session.execute(_LOCK, {"ids": ids})
    told = func.unnest(literal(ids, ARRAY(Uuid)), literal([times[one] for one in ids], ARRAY(DateTime(timezone=True))))
    new = told.table_valued("message_id", "moment")
    later = or_(column.is_(None), column > new.c.moment)
    session.execute(
        update(Recipient).where(Recipient.message_id == new.c.message_id, later).values({column: new.c.moment})
    )


def _advance(session: Session, chunk: Sequence[Outcome]) -> None:
    ids = [one.message_id for one in chunk]
    session.execute(_LOCK, {"ids": ids})
    columns = {
        "ids": ids,
        "states": [one.state for one in chunk],
        "reasons": [one.skip_reason for one in chunk],
        "details": [one.detail for one in chunk],
        "versions": [one.version for one in chunk],
        "state_times": [one.state_time for one in chunk],
        "sent_times": [one.sent_time for one in chunk],
        "complaint_times": [one.complaint_time for one in chunk],
    }
    session.execute(_ADVANCE, {**columns, "speed": MACHINE_SPEED})


def _newest(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome for each message, since a statement can change a row only once."""
    merged: dict[UUID, Outcome] = {}
    for one in outcomes:
        known = merged.get(one.message_id)
        merged[one.message_id] = _merged(known, one) if known else one
    return list(merged.values())


def _merged(one: Outcome, other: Outcome) -> Outcome:
    further = max(one, other, key=lambda outcome: (RANKS[outcome.state], outcome.version))
    return replace(
        further,
        sent_time=_earliest(one.sent_time, other.sent_time),
        complaint_time=_earliest(one.complaint_time, other.complaint_time),
    )


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other
