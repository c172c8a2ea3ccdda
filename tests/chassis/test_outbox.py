"""Events leave exactly when their change is committed, and stay until the bus has them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update

from chassis.bus import Bus, Envelope
from chassis.clock import now
from chassis.db import Database
from chassis.outbox import CORRELATION_ID, outbox, record, record_all
from chassis.relay import relay_once
from denda.contacts.v1.events_pb2 import ConsentChange, ConsentsChanged, PersonDeleted
from denda.contacts.v1.person_pb2 import Person
from tests.kit.events import consuming, eventually


class RememberingBus:
    """Confirms what it is told to and remembers everything; only `publish` is there, since a relay needs no more."""

    def __init__(self, confirms: bool = True) -> None:
        self.confirms = confirms
        self.published: list[Envelope] = []

    def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
        self.published.extend(envelopes)
        return {envelope.id for envelope in envelopes} if self.confirms else set()


def relay(database: Database, bus: RememberingBus) -> int:
    return relay_once(database, bus)  # type: ignore[arg-type]


def waiting(database: Database) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(outbox)) or 0


def let_time_pass(database: Database, **units: float) -> None:
    """Move every lease and pause into the past by so much."""
    with database.transaction() as session:
        session.execute(update(outbox).values(leased_until=outbox.c.leased_until - timedelta(**units)))


def test_an_event_whose_change_is_rolled_back_never_leaves(database: Database) -> None:
    def change_and_fail() -> None:
        with database.transaction() as session:
            record(session, PersonDeleted(person_id="Ane"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    bus = RememberingBus()
    assert relay(database, bus) == 0
    assert bus.published == []


def test_an_event_leaves_with_its_envelope(database: Database) -> None:
    subject, event, start = str(uuid4()), PersonDeleted(person_id="Ane"), now() - timedelta(minutes=1)
    with database.transaction() as session:
        record(session, event, subject)
    bus = RememberingBus()
    assert relay(database, bus) == 1
    (envelope,) = bus.published
    assert (envelope.type, envelope.source, envelope.subject) == (
        "contacts.person.deleted.v1",
        database.service,
        subject,
    )
    assert (envelope.body, envelope.attempt) == (event.SerializeToString(), 1)
    assert start < envelope.time < now() + timedelta(minutes=1)
    assert waiting(database) == 0


def test_events_carry_the_trace_and_the_correlation_id_of_the_call_that_made_them(database: Database) -> None:
    token = context.attach(baggage.set_baggage(CORRELATION_ID, "request-7"))
    with TracerProvider().get_tracer("test").start_as_current_span("call") as span, database.transaction() as session:
        record(session, PersonDeleted(person_id="Ane"))
    context.detach(token)
    bus = RememberingBus()
    relay(database, bus)
    assert bus.published[0].correlation_id == "request-7"
    assert trace.format_trace_id(span.get_span_context().trace_id) in bus.published[0].traceparent


def test_events_leave_in_the_order_in_which_they_were_recorded(database: Database) -> None:
    events = [PersonDeleted(person_id=f"{number}") for number in range(4800)]
    with database.transaction() as session:
        record_all(session, [(event, "") for event in events])
    bus = RememberingBus()
    assert [relay(database, bus) for _ in range(4)] == [2000, 2000, 800, 0]
    assert [envelope.body for envelope in bus.published] == [event.SerializeToString() for event in events]
    assert len({envelope.id for envelope in bus.published}) == 4800


def test_large_events_leave_in_small_batches(database: Database) -> None:
    with database.transaction() as session:
        record_all(session, [(PersonDeleted(person_id="x" * 500_000), "") for _ in range(12)])
    bus = RememberingBus()
    assert 0 < relay(database, bus) < 12
    while relay(database, bus):
        pass
    assert waiting(database) == 0


def test_what_is_not_confirmed_stays_and_waits_longer_each_time(database: Database) -> None:
    with database.transaction() as session:
        record(session, PersonDeleted(person_id="Ane"))
    bus, pauses = RememberingBus(confirms=False), []
    for _ in range(8):
        assert relay(database, bus) == 0
        with database.transaction() as session:
            pauses.append(session.scalars(select(outbox.c.leased_until - func.now())).one().total_seconds())
        assert relay(database, bus) == 0
        let_time_pass(database, seconds=60)
    assert len(bus.published) == 8
    assert all(earlier <= later + 0.5 for earlier, later in pairwise(pauses))
    assert pauses[0] <= 1
    assert 20 < pauses[-1] <= 30
    bus.confirms = True
    assert relay(database, bus) == 1
    assert waiting(database) == 0


def test_what_waits_does_not_hold_up_what_can_leave(database: Database) -> None:
    bus = RememberingBus(confirms=False)
    with database.transaction() as session:
        record(session, PersonDeleted(person_id="nobody listens yet"))
    relay(database, bus)
    bus.confirms = True
    with database.transaction() as session:
        record(session, PersonDeleted(person_id="Ane"))
    assert relay(database, bus) == 1
    assert waiting(database) == 1


def test_two_relays_never_take_the_same_event(database: Database) -> None:
    with database.transaction() as session:
        record_all(session, [(PersonDeleted(person_id=f"{number}"), "") for number in range(2400)])
    second = RememberingBus()

    class SlowBus(RememberingBus):
        def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
            relay(database, second)
            return super().publish(envelopes)

    first = SlowBus()
    assert relay(database, first) == 2000
    assert len(second.published) == 400
    assert len({envelope.id for envelope in first.published + second.published}) == 2400


def test_the_rows_of_a_relay_that_died_are_taken_when_its_lease_has_run_out(database: Database) -> None:
    class DyingBus(RememberingBus):
        def publish(self, envelopes: Sequence[Envelope]) -> set[UUID]:
            super().publish(envelopes)
            raise KeyboardInterrupt

    with database.transaction() as session:
        record(session, PersonDeleted(person_id="Ane"))
    first, second = DyingBus(), RememberingBus()
    with pytest.raises(KeyboardInterrupt):
        relay(database, first)
    assert relay(database, second) == 0
    let_time_pass(database, minutes=1)
    assert relay(database, second) == 1
    assert [envelope.id for envelope in first.published] == [envelope.id for envelope in second.published]


def test_a_row_that_commits_late_is_not_passed_over(database: Database) -> None:
    bus = RememberingBus()
    with database.transaction() as late:
        record(late, PersonDeleted(person_id="late"))
        with database.transaction() as session:
            record(session, PersonDeleted(person_id="Ane"))
        assert relay(database, bus) == 1
    assert relay(database, bus) == 1


def test_an_event_too_large_for_the_bus_is_refused_where_it_is_made(database: Database) -> None:
    with pytest.raises(ValueError, match="split it"), database.transaction() as session:
        record(session, PersonDeleted(person_id="x" * 5_000_000))


def test_a_message_that_is_no_event_is_refused(database: Database) -> None:
    with pytest.raises(TypeError, match=r"denda\.contacts\.v1\.Person"), database.transaction() as session:
        record(session, Person())


def test_metrics_say_what_was_published_and_how_long_the_oldest_waits(database: Database) -> None:
    def sample(metric: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(metric, {"service": database.service, **labels})

    with database.transaction() as session:
        record(session, PersonDeleted(person_id="Ane"))
        session.execute(update(outbox).values(created_at=outbox.c.created_at - timedelta(seconds=90)))
    relay(database, RememberingBus(confirms=False))
    assert (sample("denda_outbox_lag_seconds") or 0) >= 90
    assert sample("denda_events_unpublished_total", type="contacts.person.deleted.v1") == 1
    let_time_pass(database, minutes=1)
    relay(database, RememberingBus())
    relay(database, RememberingBus())
    assert sample("denda_outbox_lag_seconds") == 0
    assert sample("denda_events_published_total", type="contacts.person.deleted.v1") == 1


def test_services_start_in_any_order(bus: Bus, name: str, database: Database) -> None:
    with database.transaction() as session:
        # No other test binds a queue to these, which would take the event at once.
        record(session, ConsentsChanged(changes=[ConsentChange(person_id=name)]))
    bus.declare(f"{name}.elsewhere", [f"{name}.other.v1"])
    relay_once(database, bus)
    received: list[bytes] = []
    bus.declare(f"{name}.events", ["contacts.consents.changed.v1"])
    let_time_pass(database, minutes=1)
    relay_once(database, bus)
    with consuming(bus, f"{name}.events", lambda batch: received.extend(one.envelope.body for one in batch)):
        eventually(lambda: received)
    assert waiting(database) == 0
