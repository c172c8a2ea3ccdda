"""The relay: takes events from a service's outbox to the bus, and deletes them once the bus has them safely.

Rows are claimed with SKIP LOCKED, never by "id greater than the last", which loses those that commit late.
A row that nobody could take yet, because no queue is bound or the broker is away, waits and is tried again.
"""

from collections import Counter as Counts
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Row, text

from chassis import clock
from chassis.bus import BATCH_BYTES, Bus, Envelope
from chassis.db import Database

log = structlog.get_logger(__name__)

PUBLISHED = Counter("denda_events_published", "Events that the bus has confirmed.", ["service", "type"])
UNPUBLISHED = Counter("denda_events_unpublished", "Attempts to publish that were not confirmed.", ["service", "type"])
LAG = Gauge("denda_outbox_lag_seconds", "Age of the oldest event in the outbox.", ["service"])

BATCH = 2000
# A relay that dies leaves its rows to the others after this time; that they may go out twice harms nobody.
LEASE_SECONDS = 15
LONGEST_PAUSE_SECONDS = 30

_OLDEST = "SELECT created_at FROM outbox ORDER BY seq LIMIT 1"

_CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT seq, octet_length(body) AS size FROM outbox WHERE leased_until IS NULL OR leased_until <= now()
        ORDER BY seq LIMIT :most FOR UPDATE SKIP LOCKED
    ), fitting AS (SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM due)
    UPDATE outbox SET leased_until = now() + make_interval(secs => :lease), attempts = attempts + 1
    WHERE seq = ANY (ARRAY(SELECT seq FROM fitting WHERE before < :bytes))
    RETURNING seq, id, type, :source AS source, created_at, body, subject, correlation_id, traceparent""")
_LIMITS = {"most": BATCH, "bytes": BATCH_BYTES, "lease": LEASE_SECONDS}

_DELETE = text("DELETE FROM outbox WHERE seq = ANY (CAST(:seqs AS bigint[]))")

_POSTPONE = text("""
    UPDATE outbox SET leased_until = now() + make_interval(secs => least(:longest, 0.5 * 2 ^ least(attempts, 20)))
    WHERE seq = ANY (CAST(:seqs AS bigint[]))""")


def relay_once(database: Database, bus: Bus) -> int:
    """Publish up to 2,000 due events of the outbox; returns how many have left it.

    No transaction is open while the bus is at work. What is not confirmed waits 1 s, 2 s, 4 s … 30 s.
    """
    if not _is_waiting(database):
        return 0
    with database.transaction() as session:
        rows = sorted(session.execute(_CLAIM, {"source": database.service, **_LIMITS}).all())
    if not rows:
        return 0
    # The columns of the claim after the first are an envelope's fields, in order.
    confirmed = bus.publish([Envelope(*row[1:]) for row in rows])
    gone: list[Row[Any]] = []
    waiting: list[Row[Any]] = []
    for row in rows:
        (gone if row.id in confirmed else waiting).append(row)
    with database.transaction() as session:
        session.execute(_DELETE, {"seqs": [row.seq for row in gone]})
        if waiting:
            log.info("events_not_confirmed", service=database.service, events=len(waiting))
            session.execute(_POSTPONE, {"seqs": [row.seq for row in waiting], "longest": LONGEST_PAUSE_SECONDS})
    _count(PUBLISHED, database.service, gone)
    _count(UNPUBLISHED, database.service, waiting)
    return len(gone)


def _is_waiting(database: Database) -> bool:
    """Whether the outbox holds anything; it seldom does, so the question has to be cheap."""
    oldest = database.lookup(_OLDEST)
    LAG.labels(database.service).set((clock.now() - oldest[0][0]).total_seconds() if oldest else 0)
    return bool(oldest)


def _count(counter: Counter, service: str, rows: list[Row[Any]]) -> None:
    for event_type, number in Counts(row.type for row in rows).items():
        counter.labels(service, event_type).inc(number)
