"""Recording: what became of messages, in one statement for many, together with the event that tells of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.clock import now
from services.notifications.arrays import plain_array, text_array
from services.notifications.changes import announce, changed_columns
from services.notifications.states import Skip, State, rank_sql
from services.notifications.suppressions import Reason, suppress_recipients

# Before anything is done about a message of unknown fate: a receipt may tell.
PATIENCE = timedelta(seconds=30)


class Result(NamedTuple):
    """What became of one message. SCHEDULED means that it goes back and is due again at `retry_time`."""

    message_id: UUID
    state: State
    detail: str = ""
    skip: Skip = Skip.NONE
    reference: str = ""
    summary: str = ""
    retry_time: datetime | None = None
    # The provider looked at it and asked to come back: the next pause is longer.
    attempted: bool = True


RECORD = text(f"""
    WITH result AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS smallint[]), CAST(:skips AS smallint[]),
            CAST(:details AS text[]), CAST(:references AS text[]), CAST(:summaries AS text[]))
            AS row (id, state, skip_reason, detail, reference, summary)
    ), gone AS (
        DELETE FROM outgoing o USING result WHERE o.message_id = result.id
    )
    UPDATE message m SET state = result.state, skip_reason = result.skip_reason, detail = result.detail,
        version = m.version + 1, state_time = :now, provider = :provider,
        provider_reference = coalesce(nullif(result.reference, ''), m.provider_reference),
        summary = coalesce(nullif(result.summary, ''), m.summary),
        attempts = m.attempts + CASE result.state WHEN {State.SKIPPED:d} THEN 0 ELSE 1 END,
        sent_time = CASE result.state WHEN {State.SENT:d} THEN :now ELSE m.sent_time END
    FROM result WHERE m.id = result.id AND {rank_sql("result.state")} > {rank_sql("m.state")}
    RETURNING {changed_columns("m")}""")  # noqa: S608  only constants are filled in

_RETURN = text("""
    WITH result AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[]), CAST(:details AS text[]),
            CAST(:attempts AS int[])) AS row (id, due_time, detail, attempts)
    ), back AS (
        UPDATE outgoing o SET claim = NULL, lease_until = NULL, due_time = result.due_time
        FROM result
        WHERE o.message_id = result.id AND o.claim IS NOT DISTINCT FROM coalesce(CAST(:claim AS uuid), o.claim)
        RETURNING o.message_id
    )
    UPDATE message m SET detail = result.detail, attempts = m.attempts + result.attempts,
        schedule_time = result.due_time
    FROM result JOIN back ON back.message_id = result.id
    WHERE m.id = result.id AND (result.attempts > 0 OR result.due_time > m.schedule_time)""")

_REMEMBER_UNKNOWN = text("""
    INSERT INTO unknown_outcome (message_id, provider, transactional, expire_time, next_check)
    SELECT id, :provider, campaign_id IS NULL, expire_time, :next_check
    FROM message WHERE id = ANY(CAST(:ids AS uuid[]))
    ON CONFLICT DO NOTHING""")

_EVENTS = text("""
    INSERT INTO message_event (message_id, kind, detail, time)
    SELECT id, kind, detail, :now FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:details AS text[]))
    AS row (id, kind, detail)""")

# What a message's own row tells needs no row of its own.
_TOLD_BY_MESSAGE = (State.SENT, State.SKIPPED)


def record(session: Session, provider: str, results: Sequence[Result], claim: UUID | None = None) -> None:
    """Record results: final ones leave the queue, others go back into it. Records MessagesChanged.

    With `claim`, only what that claim still holds goes back: a sender may have slept beyond its lease. A message
    that meanwhile went further, by a receipt, stays where it is. Hard bounces suppress their address.
    """
    final = [result for result in results if result.state != State.SCHEDULED]
    back = [result for result in results if result.state == State.SCHEDULED]
    if final:
        _record_final(session, provider, final)
    if back:
        values = {
            "ids": plain_array(result.message_id for result in back),
            "times": plain_array(result.retry_time for result in back),
            "details": text_array(result.detail for result in back),
            "attempts": plain_array(int(result.attempted) for result in back),
            "claim": claim,
        }
        session.execute(_RETURN, values)
    notable = [r for r in results if r.state not in _TOLD_BY_MESSAGE and (r.attempted or r.state != State.SCHEDULED)]
    tell(
        session,
        [(r.message_id, "deferred" if r.state == State.SCHEDULED else r.state.name.lower(), r.detail) for r in notable],
    )


def tell(session: Session, happenings: Sequence[tuple[UUID | str, str, str]]) -> None:
    """Keep what happened to messages (id, kind, detail) for ListMessageEvents."""
    if happenings:
        ids, kinds, details = zip(*happenings, strict=True)
        session.execute(
            _EVENTS, {"ids": plain_array(ids), "kinds": text_array(kinds), "details": text_array(details), "now": now()}
        )


def _record_final(session: Session, provider: str, final: Sequence[Result]) -> None:
    changed = session.execute(
        RECORD,
        {
            "ids": plain_array(result.message_id for result in final),
            "states": plain_array(int(result.state) for result in final),
            "skips": plain_array(int(result.skip) for result in final),
            "details": text_array(result.detail for result in final),
            "references": text_array(result.reference for result in final),
            "summaries": text_array(result.summary for result in final),
            "provider": provider,
            "now": now(),
        },
    ).all()
    announce(session, changed)
    bounced = [result.message_id for result in final if result.state == State.BOUNCED]
    if bounced:
        suppress_recipients(session, bounced, Reason.HARD_BOUNCE)
    unknown = [result.message_id for result in final if result.state == State.UNKNOWN]
    if unknown:
        session.execute(
            _REMEMBER_UNKNOWN, {"ids": plain_array(unknown), "provider": provider, "next_check": now() + PATIENCE}
        )
