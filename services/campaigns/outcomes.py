"""Outcomes: what became of the messages moves the ledger's rows, forward only.

Events come more than once and in no order. Of two changes of a message the one further on counts, and of two
equally far on the one with the higher version; first times are the earliest that anybody told. So the end is the
same whatever the order, and a change told twice has no effect.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, or_, text, update
from sqlalchemy.orm import Session

from chassis.clock import now
from services.campaigns.arrays import array_of
from services.campaigns.ledger import STEP
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


class Outcome(NamedTuple):
    """What is known of one message. Moments are microseconds since 1970, since there are so many of them."""

    message_id: str
    state: RecipientState
    skip_reason: SkipReason
    detail: str
    version: int
    state_time: int
    sent_time: int | None = None
    complaint_time: int | None = None


# By the number of the state, of which the first is 1.
_OLD_RANK = f"(ARRAY[{','.join(str(RANKS[state]) for state in sorted(RANKS))}])[old.state]"
_FURTHER = f"(new.rank, new.version) > ({_OLD_RANK}, old.message_version)"
# In the order of messages, so that two consumers never wait for each other in a circle.
_LOCK = text("""
    SELECT 1 FROM recipient WHERE message_id = ANY(CAST(:ids AS uuid[])) ORDER BY message_id FOR NO KEY UPDATE""")
_ADVANCE = text(f"""
    WITH told AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:states AS smallint[]), CAST(:ranks AS smallint[]), CAST(:reasons AS smallint[]),
            CAST(:details AS text[]), CAST(:versions AS integer[]), CAST(:state_times AS bigint[]),
            CAST(:sent_times AS bigint[]), CAST(:complaint_times AS bigint[])
        ) AS told (message_id, state, rank, skip_reason, detail, version, state_micros, sent_micros, complaint_micros)
    ), new AS (
        SELECT *, 'epoch'::timestamptz + state_micros * interval '1 microsecond' AS state_time,
               'epoch'::timestamptz + sent_micros * interval '1 microsecond' AS sent_time,
               'epoch'::timestamptz + complaint_micros * interval '1 microsecond' AS complaint_time,
               'epoch'::timestamptz + sent_micros * interval '1 microsecond' + :speed AS human_time
        FROM told
    )
    UPDATE recipient AS old SET
        state = CASE WHEN {_FURTHER} THEN new.state ELSE old.state END,
        skip_reason = CASE WHEN {_FURTHER} THEN new.skip_reason ELSE old.skip_reason END,
        detail = CASE WHEN {_FURTHER} THEN new.detail ELSE old.detail END,
        message_version = CASE WHEN {_FURTHER} THEN new.version ELSE old.message_version END,
        state_time = CASE WHEN {_FURTHER} THEN new.state_time ELSE old.state_time END,
        sent_time = least(old.sent_time, new.sent_time),
        complaint_time = least(old.complaint_time, new.complaint_time),
        open_time = CASE WHEN old.open_time < new.human_time THEN NULL ELSE old.open_time END,
        click_time = CASE WHEN old.click_time < new.human_time THEN NULL ELSE old.click_time END,
        machine_open_time = least(
            old.machine_open_time, CASE WHEN old.open_time < new.human_time THEN old.open_time END),
        machine_click_time = least(
            old.machine_click_time, CASE WHEN old.click_time < new.human_time THEN old.click_time END)
    FROM new
    WHERE old.message_id = new.message_id
      AND ({_FURTHER} OR new.sent_time < coalesce(old.sent_time, 'infinity')
           OR new.complaint_time < coalesce(old.complaint_time, 'infinity'))""")  # noqa: S608  # numbers of ours only
_NOTE_FIRST = """
    UPDATE recipient AS old SET {column} = 'epoch'::timestamptz + new.micros * interval '1 microsecond'
    FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS bigint[])) AS new (message_id, micros)
    WHERE old.message_id = new.message_id
      AND (old.{column} IS NULL OR old.{column} > 'epoch'::timestamptz + new.micros * interval '1 microsecond')"""
_NOTE_UNSUBSCRIBES = text(_NOTE_FIRST.format(column="unsubscribe_time"))
_NOTE_REPLIES = text(_NOTE_FIRST.format(column="reply_time"))


def advance(session: Session, outcomes: Iterable[Outcome]) -> None:
    """Apply what became of messages; what the ledger does not know is passed over."""
    newest = _newest(outcomes)
    for start in range(0, len(newest), CHUNK):
        _advance(session, newest[start : start + CHUNK])


def record_unsubscribes(session: Session, times: Mapping[str, int]) -> None:
    """Note on recipients' rows when, in microseconds since 1970, they withdrew consent in answer to a message."""
    _note_first(session, _NOTE_UNSUBSCRIBES, times)


def record_replies(session: Session, times: Mapping[str, int]) -> None:
    """Note on recipients' rows when, in microseconds since 1970, they answered a message."""
    _note_first(session, _NOTE_REPLIES, times)


def forget_people(session: Session, person_ids: Sequence[UUID]) -> None:
    """Forget the addresses of deleted people; their rows stay, so that figures do not change.

    While a campaign is planned its digests are still needed, so that nobody else at an address gets a second
    message; the end of the plan forgets those.
    """
    # By campaign and person, for which the ledger has an index; deletions are too rare for one of their own.
    theirs = Recipient.campaign_id == Campaign.id, Recipient.step == STEP, Recipient.person_id.in_(person_ids)
    first = Recipient.forgotten_time.is_(None)
    session.execute(update(Recipient).where(*theirs, first).values(forgotten_time=now()))
    planned = or_(Campaign.plan_finished_at.is_not(None), Campaign.state == CampaignState.CANCELLED)
    session.execute(update(Recipient).where(*theirs, planned).values(address_digest=None))


def _note_first(session: Session, statement: TextClause, times: Mapping[str, int]) -> None:
    if times:
        ids = array_of(times)
        session.execute(_LOCK, {"ids": ids})
        session.execute(statement, {"ids": ids, "times": array_of(times.values())})


def _advance(session: Session, chunk: Sequence[Outcome]) -> None:
    ids = array_of(one.message_id for one in chunk)
    session.execute(_LOCK, {"ids": ids})
    columns = {
        "ids": ids,
        "states": array_of(int(one.state) for one in chunk),
        "ranks": array_of(RANKS[one.state] for one in chunk),
        "reasons": array_of(int(one.skip_reason) for one in chunk),
        "details": [one.detail for one in chunk],
        "versions": array_of(one.version for one in chunk),
        "state_times": array_of(one.state_time for one in chunk),
        "sent_times": array_of(one.sent_time for one in chunk),
        "complaint_times": array_of(one.complaint_time for one in chunk),
    }
    session.execute(_ADVANCE, {**columns, "speed": MACHINE_SPEED})


def _newest(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome for each message, since a statement can change a row only once."""
    merged: dict[str, Outcome] = {}
    for one in outcomes:
        known = merged.get(one.message_id)
        merged[one.message_id] = _merged(known, one) if known else one
    return list(merged.values())


def _merged(one: Outcome, other: Outcome) -> Outcome:
    further = max(one, other, key=lambda outcome: (RANKS[outcome.state], outcome.version))
    return further._replace(
        sent_time=_earliest(one.sent_time, other.sent_time),
        complaint_time=_earliest(one.complaint_time, other.complaint_time),
    )


def _earliest(one: int | None, other: int | None) -> int | None:
    return min(one, other) if one and other else one or other
