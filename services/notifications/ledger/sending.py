"""Sending: one step of a sender's thread. Claim a group, write it, hand it over part by part, record what became of it.

Nothing is called over the network inside a transaction. When a provider cannot be reached, what is left of the
group goes back at once and the provider is left alone for a growing while; no recipient pays for that.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import local
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import Row
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from chassis.bus import pauses
from chassis.clock import now
from chassis.runner import is_stopping
from chassis.telemetry import context_from, tracer
from services.notifications.ledger.claims import Claim, claim_bulk, claim_transactional, mark, renew
from services.notifications.ledger.governor import governor
from services.notifications.ledger.record import Result, record
from services.notifications.letters import write
from services.notifications.mime import UnusableAddress
from services.notifications.models import database
from services.notifications.providers import Answer, Parcel, Provider
from services.notifications.providers.choice import provider_of
from services.notifications.quiet import QuietHours, is_quiet, next_allowed, zone
from services.notifications.states import WORDS, Channel, Skip, State
from services.notifications.templates.liquid import RenderError

# Pauses after a provider asked to come back later; the last one repeats until the message expires.
DEFERRALS = (5, 30, 120, 600, 1800, 3600)
FINAL = {
    Answer.TAKEN: State.SENT,
    Answer.BOUNCED: State.BOUNCED,
    Answer.REFUSED: State.FAILED,
    Answer.UNKNOWN: State.UNKNOWN,
}

SENT = Counter("denda_messages_sent", "Messages by what the provider answered.", ["provider", "answer"])
log = structlog.get_logger()
_thread = local()
# The groups that senders of this process have in hand.
_in_hand: set[UUID] = set()


def send_bulk(channel: Channel) -> bool:
    """Send a group of a campaign; True when there may be more."""
    provider = provider_of(channel)
    if governor.is_paused(provider.name):
        return False
    with database.transaction() as session:
        claim, _thread.turn = claim_bulk(session, channel, provider, getattr(_thread, "turn", None))
        rows = _sift(session, provider.name, claim)
    return _send(provider, claim, rows)


def send_transactional(channel: Channel) -> bool:
    """Send a group of transactional messages; True when there may be more."""
    provider = provider_of(channel)
    if governor.is_paused(provider.name):
        return False
    with database.transaction() as session:
        claim = claim_transactional(session, channel, provider)
        rows = _sift(session, provider.name, claim)
    return _send(provider, claim, rows)


@dataclass
class Group:
    """A claimed group on its way: what became of its messages so far."""

    provider: Provider
    claim: UUID
    results: dict[UUID, Result] = field(default_factory=dict)
    # Answers that are only in this process as yet; the next mark keeps them.
    unkept: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    lost: set[UUID] = field(default_factory=set)
    troubled: bool = False

    def answered(self, message_id: UUID, result: Result) -> None:
        """Take in what became of a message."""
        self.results[message_id] = result
        self.unkept[message_id] = as_kept(result)


def as_kept(result: Result) -> dict[str, Any]:
    """A result as `outgoing.outcome` keeps it until it is recorded."""
    return {
        "state": int(result.state),
        "detail": result.detail,
        "reference": result.reference,
        "summary": result.summary,
        "retry_seconds": (result.retry_time - now()).total_seconds() if result.retry_time else None,
    }


def from_kept(message_id: UUID, kept: dict[str, Any]) -> Result:
    """A result that a sender kept and did not live to record."""
    retry = kept["retry_seconds"]
    return Result(
        message_id=message_id,
        state=State(kept["state"]),
        detail=kept["detail"],
        reference=kept["reference"],
        summary=kept["summary"],
        retry_time=None if retry is None else now() + timedelta(seconds=max(0, retry)),
    )


def _send(provider: Provider, claim: Claim, rows: Sequence[Row[Any]]) -> bool:
    group = Group(provider, claim.id)
    if not rows:
        return bool(claim.rows)
    _in_hand.add(claim.id)
    try:
        with tracer.start_as_current_span(
            "send messages", context_from(rows[0].traceparent), attributes={"denda.provider": provider.name}
        ):
            first = [row for row in rows if row.handed]
            if first:
                _hand_over(group, first, _written(group, first))
            for part in _parts([row for row in rows if not row.handed], provider.part):
                if group.troubled or is_stopping():
                    break
                _hand_over(group, part, _marked(group, _written(group, part)))
            _record(group, rows)
    finally:
        _in_hand.discard(claim.id)
    return not group.troubled


def renew_leases() -> None:
    """Keep the leases of what this process has in hand."""
    held = list(_in_hand)
    if held:
        with database.transaction() as session:
            renew(session, held)


def _marked(group: Group, parcels: Sequence[Parcel]) -> list[Parcel]:
    """The parcels that are still this group's, marked as handed over; none while the database is away."""
    ids = [parcel.message_id for parcel in parcels]
    try:
        with database.transaction() as session:
            held = mark(session, group.claim, ids, group.unkept)
    except OperationalError:
        # These were not handed over, and the record gives them back; the answers so far wait for it in this process.
        group.troubled = True
        return []
    group.unkept = {}
    group.lost |= set(ids) - held
    return [parcel for parcel in parcels if parcel.message_id in held]


def _hand_over(group: Group, part: Sequence[Row[Any]], going: Sequence[Parcel]) -> None:
    if not going:
        return
    try:
        outcomes = group.provider.send(going)
    except Exception:
        # A provider answers for each message; when it raises, nobody knows what it did.
        log.exception("provider_failed", provider=group.provider.name)
        for parcel in going:
            group.answered(parcel.message_id, Result(parcel.message_id, State.UNKNOWN, "the provider's client failed"))
        group.troubled = True
        return
    attempts = {row.id: row.attempts for row in part}
    for parcel, outcome in zip(going, outcomes, strict=True):
        SENT.labels(group.provider.name, outcome.answer.value).inc()
        if outcome.answer == Answer.RELEASED:
            group.troubled = True
        elif outcome.answer == Answer.DEFERRED:
            group.answered(parcel.message_id, _deferred(parcel.message_id, outcome.detail, attempts[parcel.message_id]))
        else:
            state = FINAL[outcome.answer]
            summary = parcel.subject or parcel.text[:100]
            result = Result(parcel.message_id, state, outcome.detail, Skip.NONE, outcome.reference, summary)
            group.answered(parcel.message_id, result)
    _tell_governor(group)


def _tell_governor(group: Group) -> None:
    if group.troubled:
        pause = governor.failed(group.provider.name)
        log.warning("provider_unreachable", provider=group.provider.name, pause_seconds=round(pause, 1))
    else:
        governor.reached(group.provider.name)


def _written(group: Group, part: Sequence[Row[Any]]) -> list[Parcel]:
    """The parcels of a part; what cannot be written has failed for good."""
    moment = now()
    parcels = []
    for row in part:
        try:
            parcels.append(write(row, moment, whole=group.provider.whole))
        except (RenderError, UnusableAddress) as error:
            group.answered(row.id, Result(row.id, State.FAILED, str(error)))
        except Exception as error:
            # One message that nobody foresaw must not stop its group, and would come back for ever.
            # The traceback may quote what is personal, so the log has the error's name alone.
            log.error("message_not_written", message_id=str(row.id), error=type(error).__name__)  # noqa: TRY400
            group.answered(row.id, Result(row.id, State.FAILED, f"it could not be written: {type(error).__name__}"))
    return parcels


def _deferred(message_id: UUID, detail: str, attempts: int) -> Result:
    pause = DEFERRALS[min(attempts, len(DEFERRALS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  no secret
    return Result(message_id, State.SCHEDULED, detail, retry_time=now() + timedelta(seconds=pause))


def _sift(session: Session, provider: str, claim: Claim) -> list[Row[Any]]:
    """The rows of a claim that may be sent now; the others are recorded with their reason or put off."""
    results = {row.id: result for row in claim.rows if (result := _objection(row))}
    if results:
        record(session, provider, list(results.values()))
    return [row for row in claim.rows if row.id not in results]


def _objection(row: Row[Any]) -> Result | None:
    """Why a message is not sent now, though it is due; None when nothing speaks against it."""
    moment = now()
    for skip, applies in (
        (Skip.PERSON_DELETED, row.deleted),
        (Skip.CONSENT_WITHDRAWN, row.withdrawn),
        (Skip.SUPPRESSED, row.suppressed),
        (Skip.EXPIRED, row.expire_time <= moment),
    ):
        if applies:
            return Result(row.id, State.SKIPPED, WORDS[skip], skip)
    hours = QuietHours(row.quiet_from, row.quiet_until)
    place = zone(row.time_zone, row.default_time_zone)
    if not is_quiet(moment, place, hours):
        return None
    later = next_allowed(moment, place, hours)
    if later >= row.expire_time:
        return Result(row.id, State.SKIPPED, "quiet hours last beyond its expiry", Skip.EXPIRED)
    return Result(row.id, State.SCHEDULED, "waits for the end of the quiet hours", retry_time=later, attempted=False)


def _record(group: Group, rows: Sequence[Row[Any]]) -> None:
    """Record the group, trying again while the database is away: nobody else knows these answers."""
    back = [row.id for row in rows if row.id not in group.results and row.id not in group.lost]
    released = [Result(message_id, State.SCHEDULED, "", retry_time=now(), attempted=False) for message_id in back]
    started = time.monotonic()
    for pause in pauses():
        try:
            with database.transaction() as session:
                record(session, group.provider.name, [*group.results.values(), *released], group.claim)
            return
        except OperationalError:
            if time.monotonic() - started > 60:
                raise
            log.warning("recording_waits_for_the_database", messages=len(group.results))
            time.sleep(pause)


def _parts(rows: Sequence[Row[Any]], size: int) -> Iterator[Sequence[Row[Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
