"""Receipts: what providers say later. They come in any order, more than once, and sometimes before their message.

A receipt waits in its table until the message is known and is applied once. States move by rank, so the end is
the same in whatever order receipts come. A hard bounce and a complaint suppress the address; a complaint is no
bounce, and a soft bounce says nothing about the address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import and_, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.notifications.arrays import plain_array, text_array
from services.notifications.changes import announce, changed_columns
from services.notifications.ledger.record import tell
from services.notifications.models import Message, Receipt
from services.notifications.states import RANK, State, rank_sql
from services.notifications.suppressions import Reason, suppress_recipients

BATCH = 500
# A message that is not known after this time never will be.
WAIT = timedelta(days=7)
KEPT = timedelta(days=30)


class Kind(StrEnum):
    """What a provider may say later."""

    SENT = "sent"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    SOFT_BOUNCE = "soft_bounce"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"


STATES = {
    Kind.SENT: State.SENT,
    Kind.DELIVERED: State.DELIVERED,
    Kind.SOFT_BOUNCE: State.BOUNCED,
    Kind.HARD_BOUNCE: State.BOUNCED,
}
TOLD_AS = {Kind.SOFT_BOUNCE: "bounced", Kind.HARD_BOUNCE: "bounced", Kind.COMPLAINT: "complained"}


@dataclass(frozen=True)
class Notice:
    """A receipt as it came; `id` is the same however often it comes."""

    id: UUID
    message_id: UUID
    kind: Kind
    time: datetime
    detail: str = ""


_MOVE = text(f"""
    WITH word AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS smallint[]), CAST(:details AS text[]),
            CAST(:times AS timestamptz[])) AS row (id, state, detail, time)
    ), moved AS (
        UPDATE message m SET state = word.state, detail = word.detail, state_time = word.time,
            version = m.version + 1, sent_time = coalesce(m.sent_time, word.time)
        FROM word WHERE m.id = word.id AND {rank_sql("word.state")} > {rank_sql("m.state")}
        RETURNING {changed_columns("m")}
    ), gone AS (
        DELETE FROM outgoing o USING moved WHERE o.message_id = CAST(moved.id AS uuid) AND o.claim IS NULL
    )
    SELECT * FROM moved""")  # noqa: S608  only constants are filled in

_COMPLAIN = text(f"""
    UPDATE message m SET complaint_time = :now, version = m.version + 1
    WHERE m.id = ANY(CAST(:ids AS uuid[])) AND m.complaint_time IS NULL
    RETURNING {changed_columns("m")}""")  # noqa: S608  only constants are filled in


def receive(session: Session, notices: Sequence[Notice]) -> None:
    """Take receipts in and apply those whose messages are known. Records MessagesChanged."""
    if not notices:
        return
    known = set(session.scalars(select(Message.id).where(Message.id.in_({notice.message_id for notice in notices}))))
    rows = [
        {
            "id": notice.id,
            "message_id": notice.message_id,
            "kind": notice.kind.value,
            "detail": notice.detail,
            "time": notice.time,
            "receive_time": now(),
            "applied": notice.message_id in known,
        }
        for notice in notices
    ]
    new = session.scalars(insert(Receipt).values(rows).on_conflict_do_nothing().returning(Receipt)).all()
    _apply(session, [receipt for receipt in new if receipt.applied])


def apply_waiting(session: Session) -> bool:
    """Apply receipts whose messages became known since they came; True when there may be more."""
    waiting = session.scalars(
        select(Receipt)
        .join(Message, Message.id == Receipt.message_id)
        .where(~Receipt.applied)
        .order_by(Receipt.receive_time)
        .limit(BATCH)
        .with_for_update(of=Receipt, skip_locked=True)
    ).all()
    if waiting:
        session.execute(update(Receipt).where(Receipt.id.in_([each.id for each in waiting])).values(applied=True))
        _apply(session, waiting)
    return len(waiting) == BATCH


def prune(session: Session) -> None:
    """Forget receipts that can no longer matter."""
    forgotten = or_(Receipt.receive_time < now() - KEPT, and_(~Receipt.applied, Receipt.receive_time < now() - WAIT))
    session.execute(delete(Receipt).where(forgotten))


def _apply(session: Session, receipts: Sequence[Receipt]) -> None:
    if not receipts:
        return
    tell(session, [(r.message_id, TOLD_AS.get(Kind(r.kind), r.kind), r.detail) for r in receipts])
    furthest: dict[UUID, Receipt] = {}
    for receipt in receipts:
        state = STATES.get(Kind(receipt.kind))
        before = furthest.get(receipt.message_id)
        if state and (before is None or RANK[state] > RANK[STATES[Kind(before.kind)]]):
            furthest[receipt.message_id] = receipt
    # In the order of ids, as every statement takes its rows, so that two of them do not wait for each other.
    words = sorted(furthest.values(), key=lambda receipt: receipt.message_id)
    values = {
        "ids": plain_array(word.message_id for word in words),
        "states": plain_array(int(STATES[Kind(word.kind)]) for word in words),
        "details": text_array(word.detail for word in words),
        "times": plain_array(word.time for word in words),
    }
    announce(session, session.execute(_MOVE, values).all())
    complained = [receipt.message_id for receipt in receipts if receipt.kind == Kind.COMPLAINT]
    if complained:
        announce(session, session.execute(_COMPLAIN, {"ids": plain_array(complained), "now": now()}).all())
        suppress_recipients(session, complained, Reason.COMPLAINT)
    bounced = [receipt.message_id for receipt in receipts if receipt.kind == Kind.HARD_BOUNCE]
    if bounced:
        suppress_recipients(session, bounced, Reason.HARD_BOUNCE)
