"""Recovery: leases that ran out, messages that nobody can say anything of, and those that waited too long.

A transactional message of unknown fate is sent again under the same Message-ID unless the provider can say that
it took it; a campaign's is sent again only when the provider says that it did not.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import Select, delete, select, text
from sqlalchemy.orm import Session

from chassis.clock import now
from services.notifications.arrays import plain_array
from services.notifications.changes import announce, changed_columns
from services.notifications.ledger.claims import DROPPED
from services.notifications.ledger.record import PATIENCE, Result, record, tell
from services.notifications.models import Message, Outgoing, UnknownOutcome, database
from services.notifications.providers.choice import provider_named
from services.notifications.states import WORDS, Channel, Skip, State

BATCH = 500
VANISHED = "the sender vanished between handing over and recording"

log = structlog.get_logger()

_RESEND = text(f"""
    WITH again AS (
        UPDATE message m SET state = {State.SCHEDULED:d}, version = m.version + 1, state_time = :now,
            schedule_time = :now, detail = :detail
        WHERE m.id = ANY(CAST(:ids AS uuid[])) AND m.state = {State.UNKNOWN:d}
        RETURNING {changed_columns("m")}, m.mailing_id, m.expire_time
    ), queued AS (
        INSERT INTO outgoing (message_id, mailing_id, channel, transactional, due_time, expire_time)
        SELECT CAST(id AS uuid), mailing_id, channel, campaign_id IS NULL, :now, expire_time FROM again
        ON CONFLICT DO NOTHING
    )
    SELECT * FROM again""")  # noqa: S608  only constants are filled in


def end_leases() -> bool:
    """Settle messages whose sender vanished; True when there may be more."""
    with database.transaction() as session:
        rows = session.scalars(
            select(Outgoing)
            .where(Outgoing.claim.is_not(None), Outgoing.lease_until < now())
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for provider in {row.provider for row in rows}:
            lost = [row.message_id for row in rows if row.provider == provider]
            record(session, provider, [Result(message_id, State.UNKNOWN, VANISHED) for message_id in lost])
        if rows:
            log.warning("leases_ended", messages=len(rows))
    return len(rows) == BATCH


def reconcile() -> bool:
    """Ask providers about messages of unknown fate; True when there may be more."""
    with database.transaction() as session:
        due = session.scalars(
            select(UnknownOutcome)
            .where(UnknownOutcome.next_check <= now())
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for row in due:
            # Another replica leaves them alone while this one asks.
            row.next_check = now() + PATIENCE
    for provider in {row.provider for row in due}:
        _reconcile_with(provider, [row for row in due if row.provider == provider])
    return len(due) == BATCH


def _reconcile_with(provider: str, rows: Sequence[UnknownOutcome]) -> None:
    told = provider_named(provider).look_up([row.message_id for row in rows])
    taken = [row.message_id for row in rows if told.get(row.message_id) is True]
    refused = [row.message_id for row in rows if told.get(row.message_id) is False]
    untold = [row for row in rows if row.message_id not in told]
    again = [row.message_id for row in untold if row.transactional and row.expire_time > now()]
    with database.transaction() as session:
        record(session, provider, [Result(name, State.SENT, "the provider says that it took it") for name in taken])
        resend(session, refused, "the provider says that it did not take it")
        resend(session, again, "nobody can say whether it arrived, so it is sent again under the same Message-ID")
        settled = [row.message_id for row in rows]
        session.execute(delete(UnknownOutcome).where(UnknownOutcome.message_id.in_(settled)))


def resend(session: Session, message_ids: Sequence[UUID], why: str) -> None:
    """Put UNKNOWN messages back into the queue. Records MessagesChanged."""
    if not message_ids:
        return
    rows = session.execute(_RESEND, {"ids": plain_array(message_ids), "now": now(), "detail": why}).all()
    announce(session, rows)
    tell(session, [(row.id, "resent", why) for row in rows])


def expire() -> bool:
    """Skip messages that could not be sent in time, also those of paused campaigns; True when there may be more."""
    with database.transaction() as session:
        due = _unclaimed().where(Outgoing.expire_time <= now()).order_by(Outgoing.expire_time)
        return _skip(session, due, Skip.EXPIRED)


def drop_cancelled() -> bool:
    """Skip what cancelled campaigns have left; True when there may be more."""
    more = False
    for channel in Channel:
        with database.transaction() as session:
            mailing = session.scalar(DROPPED, {"channel": int(channel)})
            if mailing:
                left = _unclaimed().where(Outgoing.channel == int(channel), Outgoing.mailing_id == mailing)
                _skip(session, left.where(~Outgoing.transactional), Skip.CANCELLED)
                more = True
    return more


def _unclaimed() -> Select[UUID, str]:
    """Unclaimed messages, with what was last said of them."""
    statement = select(Outgoing.message_id, Message.detail).join(Message, Message.id == Outgoing.message_id)
    return statement.where(Outgoing.claim.is_(None))


def _skip(session: Session, due: Select[UUID, str], skip: Skip) -> bool:
    rows = session.execute(due.limit(BATCH).with_for_update(of=Outgoing, skip_locked=True)).all()
    record(session, "", [Result(row[0], State.SKIPPED, _words(skip, row[1]), skip) for row in rows])
    return len(rows) == BATCH


def _words(skip: Skip, last: str) -> str:
    return f"{WORDS[skip]}; the last answer was: {last}" if last else WORDS[skip]
