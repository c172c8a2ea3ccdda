"""Sending: one step of a sender's thread. Claim a group, write it, hand it over, record what became of it.

Nothing is called over the network inside a transaction. When a provider cannot be reached, what is left of the
group goes back at once and the provider is left alone for a growing while; no recipient pays for that.
"""

import random
import time
from collections import Counter as Counts
from collections.abc import Sequence
from datetime import datetime, timedelta
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
from services.notifications.ledger.claims import Claim, claim_bulk, claim_transactional, next_turn, renew
from services.notifications.ledger.governor import governor
from services.notifications.ledger.record import Result, record
from services.notifications.letters import write
from services.notifications.mime import UnusableAddress
from services.notifications.models import database
from services.notifications.providers import Answer, Outcome, Parcel, Provider
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
    turn = next_turn(channel, getattr(_thread, "turn", None))
    if turn is None:
        return False
    _thread.turn = turn
    with database.transaction() as session:
        claim = claim_bulk(session, channel, provider, turn)
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


def renew_leases() -> None:
    """Keep the leases of what this process has in hand."""
    held = list(_in_hand)
    if held:
        with database.transaction() as session:
            renew(session, held)


def _send(provider: Provider, claim: Claim, rows: Sequence[Row[Any]]) -> bool:
    if not rows:
        return bool(claim.rows)
    _in_hand.add(claim.id)
    try:
        with tracer.start_as_current_span(
            "send messages", context_from(rows[0].traceparent), attributes={"denda.provider": provider.name}
        ):
            results, parcels = _written(provider, rows)
            if now() < claim.lease_until:
                outcomes = _handed_over(provider, parcels)
            else:
                # It was asleep, and somebody else may have settled these; what is still its own goes back.
                outcomes = [Outcome(Answer.RELEASED)] * len(parcels)
            attempts = {row.id: row.attempts for row in rows}
            results += map(_result, parcels, outcomes, [attempts[parcel.message_id] for parcel in parcels])
            _record(provider, claim, results)
    finally:
        _in_hand.discard(claim.id)
    return not governor.is_paused(provider.name)


def _written(provider: Provider, rows: Sequence[Row[Any]]) -> tuple[list[Result], list[Parcel]]:
    """The parcels of a group; what cannot be written has failed for good."""
    moment = now()
    failed, parcels = [], []
    for row in rows:
        try:
            parcels.append(write(row, moment, whole=provider.whole))
        except (RenderError, UnusableAddress) as error:
            failed.append(Result(row.id, State.FAILED, str(error)))
        except Exception as error:
            # One message that nobody foresaw must not stop its group, and would come back for ever.
            # The traceback may quote what is personal, so the log has the error's name alone.
            log.error("message_not_written", message_id=str(row.id), error=type(error).__name__)  # noqa: TRY400
            failed.append(Result(row.id, State.FAILED, f"it could not be written: {type(error).__name__}"))
    return failed, parcels


def _handed_over(provider: Provider, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
    """What the provider says of each parcel; the governor hears whether it could be reached."""
    if not parcels:
        return []
    try:
        outcomes = provider.send(parcels)
        broken_off = Answer.RELEASED in {outcome.answer for outcome in outcomes} and not is_stopping()
    except Exception:
        # A provider answers for each message; when it raises, nobody knows what it did.
        log.exception("provider_failed", provider=provider.name)
        outcomes = [Outcome(Answer.UNKNOWN, "the provider's client failed")] * len(parcels)
        broken_off = True
    answers = Counts(outcome.answer for outcome in outcomes)
    for answer, count in answers.items():
        SENT.labels(provider.name, answer.value).inc(count)
    if answers.keys() - {Answer.RELEASED, Answer.UNKNOWN}:
        governor.reached(provider.name)
    if broken_off:
        pause = governor.failed(provider.name)
        log.warning("provider_unreachable", provider=provider.name, pause_seconds=round(pause, 1))
    return outcomes


def _result(parcel: Parcel, outcome: Outcome, attempts: int) -> Result:
    """What a provider's answer means for a message that it looked at `attempts` times before."""
    if outcome.answer == Answer.RELEASED:
        return Result(parcel.message_id, State.SCHEDULED, retry_time=now(), attempted=False)
    if outcome.answer == Answer.DEFERRED:
        return _deferred(parcel.message_id, outcome.detail, attempts)
    summary = parcel.subject or parcel.text[:100]
    return Result(
        parcel.message_id, FINAL[outcome.answer], outcome.detail, reference=outcome.reference, summary=summary
    )


def _deferred(message_id: UUID, detail: str, attempts: int) -> Result:
    pause = DEFERRALS[min(attempts, len(DEFERRALS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  no secret
    return Result(message_id, State.SCHEDULED, detail, retry_time=now() + timedelta(seconds=pause))


def _sift(session: Session, provider: str, claim: Claim) -> list[Row[Any]]:
    """The rows of a claim that may be sent now; the others are recorded with their reason or put off."""
    results = {row.id: result for row in claim.rows if (result := _objection(row))}
    if results:
        record(session, provider, list(results.values()))
    return [row for row in claim.rows if row.id not in results]


def _skipped(row: Row[Any], moment: datetime) -> Skip:
    if row.deleted:
        return Skip.PERSON_DELETED
    if row.withdrawn:
        return Skip.CONSENT_WITHDRAWN
    if row.suppressed:
        return Skip.SUPPRESSED
    return Skip.EXPIRED if row.expire_time <= moment else Skip.NONE


def _objection(row: Row[Any]) -> Result | None:
    """Why a message is not sent now, though it is due; None when nothing speaks against it."""
    moment = now()
    if skip := _skipped(row, moment):
        return Result(row.id, State.SKIPPED, WORDS[skip], skip)
    hours = QuietHours(row.quiet_from, row.quiet_until)
    place = zone(row.time_zone, row.default_time_zone)
    if not is_quiet(moment, place, hours):
        return None
    later = next_allowed(moment, place, hours)
    if later >= row.expire_time:
        return Result(row.id, State.SKIPPED, "quiet hours last beyond its expiry", Skip.EXPIRED)
    return Result(row.id, State.SCHEDULED, "waits for the end of the quiet hours", retry_time=later, attempted=False)


def _record(provider: Provider, claim: Claim, results: Sequence[Result]) -> None:
    """Record a group, trying again while the database is away: nobody else knows these answers."""
    started = time.monotonic()
    for pause in pauses():
        try:
            with database.transaction() as session:
                record(session, provider.name, results, claim.id)
            return
        except OperationalError:
            if time.monotonic() - started > 60:
                raise
            log.warning("recording_waits_for_the_database", messages=len(results))
            time.sleep(pause)
