"""The bus on PostgreSQL tables in a schema of its own, for installations without a broker.

A subscriber's copy of an event is a row. Consumers claim rows with SKIP LOCKED and a lease; a lease that
runs out is a redelivery. NOTIFY only wakes a waiting consumer early: polling finds everything that it misses.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Delete,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    create_engine,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from chassis.bus import BATCH, BATCH_BYTES, DELIVERY_LIMIT, DeadLetter, Delivery, Envelope, Handle, pauses
from chassis.errors import Unavailable

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30
POLL_SECONDS = 0.5
KILLED = f"delivered {DELIVERY_LIMIT} times and never settled: its consumer dies or hangs"

metadata = MetaData(schema="bus")


def _event_columns() -> list[Column[Any]]:
    return [
        Column("seq", BigInteger, Identity(), primary_key=True),
        Column("queue", Text, nullable=False),
        Column("id", Uuid, nullable=False),
        Column("type", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("subject", Text, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("traceparent", Text, nullable=False),
        Column("attempt", Integer, nullable=False, server_default="1"),
    ]


bindings = Table("bindings", metadata, Column("type", Text, primary_key=True), Column("queue", Text, primary_key=True))
events = Table(
    "events",
    metadata,
    *_event_columns(),
    # Not to be delivered before this moment: the end of a lease or of a pause between attempts.
    Column("due", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("deliveries", Integer, nullable=False, server_default="0"),
    Index("events_due_idx", "queue", "due", "seq"),
)
dead_letters = Table(
    "dead_letters",
    metadata,
    *_event_columns(),
    Column("error", Text, nullable=False),
    Index("dead_letters_queue_idx", "queue", "seq"),
)
ENVELOPE = ("id", "type", "source", "time", "body", "subject", "correlation_id", "traceparent")

PUBLISH = text("""
    INSERT INTO bus.events (queue, id, type, source, time, body, subject, correlation_id, traceparent)
    SELECT bindings.queue, new.id, type, new.source, new.time, new.body, new.subject, new.correlation_id,
           new.traceparent
    FROM unnest(CAST(:id AS uuid[]), CAST(:type AS text[]), CAST(:source AS text[]), CAST(:time AS timestamptz[]),
                CAST(:body AS bytea[]), CAST(:subject AS text[]), CAST(:correlation_id AS text[]),
                CAST(:traceparent AS text[]))
         WITH ORDINALITY AS new (id, type, source, time, body, subject, correlation_id, traceparent, position)
    JOIN bus.bindings USING (type)
    ORDER BY new.position
    RETURNING id, queue""")

CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT seq, octet_length(body) AS size FROM bus.events WHERE queue = :queue AND due <= now()
        ORDER BY due, seq LIMIT :most FOR UPDATE SKIP LOCKED
    ), fitting AS (SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM due)
    UPDATE bus.events SET due = now() + make_interval(secs => :lease), deliveries = deliveries + 1
    WHERE seq = ANY (ARRAY(SELECT seq FROM fitting WHERE before < :bytes))
    RETURNING *""")

DELAY = text("""
    UPDATE bus.events SET attempt = attempt + 1, deliveries = 0, due = now() + make_interval(secs => failed.delay)
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:delays AS float[])) AS failed (seq, delay)
    WHERE events.seq = failed.seq""")

BURY = text("""
    WITH buried AS (
        DELETE FROM bus.events USING unnest(CAST(:seqs AS bigint[]), CAST(:errors AS text[])) AS failed (seq, error)
        WHERE events.seq = failed.seq RETURNING events.*, failed.error)
    INSERT INTO bus.dead_letters
          (queue, id, type, source, time, body, subject, correlation_id, traceparent, attempt, error)
    SELECT queue, id, type, source, time, body, subject, correlation_id, traceparent, attempt, error
    FROM buried ORDER BY seq""")


class PostgresBus:
    """See `chassis.bus.Bus`."""

    def __init__(self, url: str, retry_delays: Sequence[float]) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._delays = retry_delays
        self._engine = create_engine(
            self._url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_pre_ping=True,
            max_overflow=20,
            connect_args={"application_name": "denda-bus", "connect_timeout": 5},
        )
        self._made = threading.Lock()
        self._ready = False

    def declare(self, queue: str, event_types: Iterable[str]) -> None:
        rows = [{"type": event_type, "queue": queue} for event_type in event_types]
        with self._transaction() as connection:
            if rows:
                connection.execute(insert(bindings).on_conflict_do_nothing(), rows)

    def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
        columns = {name: [getattr(envelope, name) for envelope in envelopes] for name in ENVELOPE}
        try:
            with self._transaction() as connection:
                stored = connection.execute(PUBLISH, columns).all()
            self._wake({row.queue for row in stored})
        except DBAPIError as error:
            log.warning("bus_publish_failed", error=type(error).__name__)
            return set()
        return {row.id for row in stored}

    def consume(self, queue: str, handle: Handle, stop: threading.Event) -> None:
        waits = pauses()
        while not stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as bell:
                    bell.execute(sql.SQL("LISTEN {}").format(sql.Identifier(queue)))
                    while not stop.is_set():
                        if not self._consume_batch(queue, handle):
                            _wait(bell)
                        waits = pauses()
            except Exception as error:
                pause = next(waits)
                log.warning("bus_consumer_held", queue=queue, error=type(error).__name__, next_try_seconds=pause)
                stop.wait(pause)

    def dead(self, queue: str, limit: int = 100) -> list[DeadLetter]:
        oldest = select(dead_letters).where(dead_letters.c.queue == queue).order_by(dead_letters.c.seq).limit(limit)
        with self._transaction() as connection:
            return [DeadLetter(_envelope(row), row.error) for row in connection.execute(oldest)]

    def replay(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        names = ("queue", *ENVELOPE)
        with self._transaction() as connection:
            taken = _these(queue, ids).returning(*(dead_letters.c[name] for name in names)).cte()
            replayed = insert(events).from_select(names, select(taken)).returning(events.c.id)
            ids = connection.scalars(replayed).all()
        self._wake({queue})
        return len(ids)

    def drop(self, queue: str, ids: Collection[UUID] | None = None) -> int:
        with self._transaction() as connection:
            return connection.execute(_these(queue, ids)).rowcount

    def depth(self, queue: str) -> int:
        waiting = select(func.count()).where(events.c.queue == queue, events.c.due <= func.now())
        with self._transaction() as connection:
            return connection.scalar(waiting) or 0

    def check(self) -> None:
        try:
            with self._transaction():
                pass
        except DBAPIError as error:
            raise Unavailable(f"the database of the bus cannot be used: {error.orig}") from error

    def close(self) -> None:
        self._engine.dispose()

    def _consume_batch(self, queue: str, handle: Handle) -> bool:
        """Claim a batch, hand it over and settle it; False when nothing was due."""
        claim = {"queue": queue, "most": BATCH, "bytes": BATCH_BYTES, "lease": LEASE_SECONDS}
        with self._transaction() as connection:
            rows = sorted(connection.execute(CLAIM, claim), key=lambda row: row.seq)
        batch = [self._delivery(row) for row in rows]
        alive = [delivery for delivery in batch if not delivery.dead]
        try:
            if alive:
                handle(alive)
        except Exception:
            self._release(batch)
            raise
        self._settle(batch)
        return bool(batch)

    def _delivery(self, row: Row[Any]) -> Delivery:
        delivery = Delivery(_envelope(row), row.seq, final=row.attempt > len(self._delays))
        if row.deliveries > DELIVERY_LIMIT:
            delivery.bury(KILLED)
        return delivery

    def _release(self, batch: Sequence[Delivery]) -> None:
        free = update(events).where(events.c.seq.in_([delivery.token for delivery in batch]))
        with self._transaction() as connection:
            connection.execute(free.values(due=func.now(), deliveries=events.c.deliveries - 1))

    def _settle(self, batch: Sequence[Delivery]) -> None:
        done = [delivery.token for delivery in batch if not delivery.error]
        failed = [delivery for delivery in batch if delivery.error and not delivery.dead]
        dead = [delivery for delivery in batch if delivery.dead]
        with self._transaction() as connection:
            if done:
                connection.execute(delete(events).where(events.c.seq == func.any(literal(done, ARRAY(BigInteger)))))
            if failed:
                delays = [self._delays[delivery.envelope.attempt - 1] for delivery in failed]
                connection.execute(DELAY, {"seqs": [delivery.token for delivery in failed], "delays": delays})
            if dead:
                errors = [delivery.error for delivery in dead]
                connection.execute(BURY, {"seqs": [delivery.token for delivery in dead], "errors": errors})

    def _wake(self, queues: set[str]) -> None:
        """Ring the consumers' bells, after the commit: NOTIFY serialises the commits of those that use it."""
        with self._engine.begin() as connection:
            for queue in queues:
                connection.execute(select(func.pg_notify(queue, "")))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._made:
            if not self._ready:
                with self._engine.begin() as connection:
                    _make_schema(connection)
                self._ready = True
        with self._engine.begin() as connection:
            yield connection


def _make_schema(connection: Connection) -> None:
    """Make the schema and its tables where they are missing; several processes may start at once."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("denda-bus"))))
    connection.execute(CreateSchema("bus", if_not_exists=True))
    metadata.create_all(connection)


def _these(queue: str, ids: Collection[UUID] | None) -> Delete:
    chosen = delete(dead_letters).where(dead_letters.c.queue == queue)
    return chosen if ids is None else chosen.where(dead_letters.c.id.in_(ids))


def _envelope(row: Row[Any]) -> Envelope:
    return Envelope(attempt=row.attempt, **{name: getattr(row, name) for name in ENVELOPE})


def _wait(bell: psycopg.Connection[Any]) -> None:
    """Sleep until the bell rings or it is time to poll, then silence what has rung meanwhile."""
    for _ in bell.notifies(timeout=POLL_SECONDS, stop_after=1):
        pass
    for _ in bell.notifies(timeout=0):
        pass
