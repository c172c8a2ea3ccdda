"""The relay: takes events from a service's outbox to the bus, and deletes them once the bus has them safely.

Rows are claimed with SKIP LOCKED, never by "id greater than the last", which loses those that commit late.
A row that nobody could take yet, because no queue is bound or the broker is away, waits and is tried again.
"""

from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import ARRAY, BigInteger, Row, delete, func, literal, select, text
from sqlalchemy.orm import Session

from chassis import clock
from chassis.bus import BATCH_BYTES, Bus, Envelope
from chassis.db import Database
from chassis.outbox import outbox

log = structlog.get_logger(__name__)

PUBLISHED = Counter("denda_events_published", "Events that the bus has confirmed.", ["service", "type"])
UNPUBLISHED = Counter("denda_events_unpublished", "Attempts to publish that were not confirmed.", ["service", "type"])
LAG = Gauge("denda_outbox_lag_seconds", "Age of the oldest event in the outbox.", ["service"])

BATCH = 500
# A relay that dies leaves its rows to the others after this time; that they may go out twice harms nobody.
LEASE_SECONDS = 15
LONGEST_PAUSE_SECONDS = 30

_CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT seq, octet_length(body) AS size FROM outbox WHERE leased_until IS NULL OR leased_until <= now()
        ORDER BY seq LIMIT :most FOR UPDATE SKIP LOCKED
    ), fitting AS (SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM due)
    UPDATE outbox SET leased_until = now() + make_interval(secs => :lease), attempts = attempts + 1
    FROM fitting WHERE outbox.seq = fitting.seq AND fitting.before < :bytes
    RETURNING outbox.*""")
_LIMITS = {"most": BATCH, "bytes": BATCH_BYTES, "lease": LEASE_SECONDS}

_POSTPONE = text("""
    UPDATE outbox SET leased_until = now() + make_interval(secs => least(:longest, 0.5 * 2 ^ least(attempts, 20)))
    WHERE seq = ANY(CAST(:seqs AS bigint[]))""")


def relay_once(database: Database, bus: Bus) -> int:
    """Publish up to 500 due events of the outbox; returns how many have left it.

    No transaction is open while the bus is at work. What is not confirmed waits 1 s, 2 s, 4 s … 30 s.
    """
    with database.transaction() as session:
        rows = sorted(session.execute(_CLAIM, _LIMITS), key=lambda row: row.seq)
        LAG.labels(database.service).set(_lag(session, rows))
    if not rows:
        return 0
    confirmed = bus.publish([_envelope(row, database.service) for row in rows])
    gone = [row.seq for row in rows if row.id in confirmed]
    waiting = [row.seq for row in rows if row.id not in confirmed]
    with database.transaction() as session:
        session.execute(delete(outbox).where(outbox.c.seq == func.any(literal(gone, ARRAY(BigInteger)))))
        if waiting:
            session.execute(_POSTPONE, {"seqs": waiting, "longest": LONGEST_PAUSE_SECONDS})
    _count(database.service, rows, confirmed)
    return len(gone)


def _envelope(row: Row[Any], source: str) -> Envelope:
    return Envelope(
        id=row.id,
        type=row.type,
        source=source,
        time=row.created_at,
        body=row.body,
        subject=row.subject,
        correlation_id=row.correlation_id,
        traceparent=row.traceparent,
    )


def _lag(session: Session, rows: list[Row[Any]]) -> float:
    """Seconds that the oldest event has waited, also when none is due now."""
    oldest = rows[0].created_at if rows else session.scalar(select(outbox.c.created_at).order_by(outbox.c.seq).limit(1))
    return (clock.now() - oldest).total_seconds() if oldest else 0.0


def _count(service: str, rows: list[Row[Any]], confirmed: set[UUID]) -> None:
    for row in rows:
        (PUBLISHED if row.id in confirmed else UNPUBLISHED).labels(service, row.type).inc()
    missing = {row.type for row in rows if row.id not in confirmed}
    if missing:
        log.info("relay.unconfirmed", service=service, types=sorted(missing))
