"""Batches of events: one transaction, effects once, types together, failures apart."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import create_autospec

import pytest
from google.protobuf.message import Message
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from chassis import inbox as inbox_module
from chassis.bus import Bus, Delivery, Envelope
from chassis.db import Database
from chassis.events import event_type
from chassis.inbox import Consumer, prune_inbox
from chassis.outbox import CORRELATION_ID, inbox
from denda.contacts.v1.events_pb2 import ConsentsChanged, PersonDeleted
from tests.kit.dying_consumer import a_service, write_effects
from tests.kit.events import an_envelope

Handlers = dict[type[Message], Callable[[Session, Sequence[Any]], None]]


def a_consumer(database: Database, handlers: Handlers | None = None) -> Consumer:
    service = replace(a_service(database.service, database), handlers=handlers or {PersonDeleted: write_effects})
    return Consumer(service, create_autospec(Bus, instance=True))


def a_delivery(message: Message, final: bool = False, **changes: Any) -> Delivery:
    envelope: Envelope = an_envelope(event_type(message), body=message.SerializeToString(), **changes)
    return Delivery(envelope, token=1, final=final)


def effects(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(text("SELECT id FROM effects")))


def test_events_of_a_type_come_together_in_the_order_of_arrival(database: Database) -> None:
    calls: list[tuple[str, int]] = []
    consumer = a_consumer(
        database,
        {
            PersonDeleted: lambda _, events: calls.append((",".join(event.person_id for event in events), len(events))),
            ConsentsChanged: lambda _, events: calls.append(("consents", len(events))),
        },
    )
    people = [a_delivery(PersonDeleted(person_id=person)) for person in ("Zuriñe", "Ane", "Maite")]
    consents = [a_delivery(ConsentsChanged()) for _ in range(2)]
    consumer.handle([people[0], consents[0], people[1], consents[1], people[2]])
    assert calls == [("Zuriñe,Ane,Maite", 3), ("consents", 2)]


def test_an_event_delivered_again_or_twice_at_once_has_its_effect_once(database: Database) -> None:
    consumer, delivery = a_consumer(database), a_delivery(PersonDeleted(person_id="Ane"))
    consumer.handle([delivery, replace(delivery)])
    consumer.handle([replace(delivery), a_delivery(PersonDeleted(person_id="Maite"))])
    assert effects(database) == ["Ane", "Maite"]


def test_the_inbox_forgets_an_event_whose_effect_failed(database: Database) -> None:
    broken = True

    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        write_effects(session, events)
        if broken:
            raise LookupError("not yet")

    consumer, delivery = a_consumer(database, {PersonDeleted: handler}), a_delivery(PersonDeleted(person_id="Ane"))
    consumer.handle([delivery])
    assert (delivery.error, delivery.dead, effects(database)) == ("LookupError: not yet", False, [])
    broken = False
    again = a_delivery(PersonDeleted(person_id="Ane"), id=delivery.envelope.id, attempt=2)
    consumer.handle([again])
    assert (again.error, effects(database)) == ("", ["Ane"])


def test_the_last_attempt_that_fails_is_dead(database: Database) -> None:
    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        session.execute(text("SELECT 1 / 0"))

    delivery = a_delivery(PersonDeleted(person_id="Ane"), final=True)
    a_consumer(database, {PersonDeleted: handler}).handle([delivery])
    assert delivery.dead
    assert delivery.error == "DivisionByZero: division by zero"


@pytest.mark.parametrize(
    ("envelope", "error"),
    [
        (an_envelope("contacts.person.deleted.v1", body=b"\xff"), r"the body is no denda\.contacts\.v1\.PersonDeleted"),
        (an_envelope("contacts.person.renamed.v1"), r"handles no events of type 'contacts\.person\.renamed\.v1'"),
    ],
    ids=["unreadable", "unknown"],
)
def test_what_no_attempt_can_read_is_buried_at_once_and_the_others_go_on(
    database: Database, envelope: Envelope, error: str
) -> None:
    bad, good = Delivery(envelope, token=1), a_delivery(PersonDeleted(person_id="Ane"))
    a_consumer(database).handle([bad, good])
    assert bad.dead
    assert re.search(error, bad.error)
    assert (good.error, effects(database)) == ("", ["Ane"])


def test_the_trouble_of_the_database_is_raised_and_counts_against_nobody(database: Database) -> None:
    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    deliveries = [a_delivery(PersonDeleted(person_id=person)) for person in ("Ane", "Maite")]
    with pytest.raises(OperationalError):
        a_consumer(database, {PersonDeleted: handler}).handle(deliveries)
    assert [delivery.error for delivery in deliveries] == ["", ""]


def test_a_statement_that_always_takes_too_long_is_the_fault_of_its_event(database: Database) -> None:
    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        session.execute(text("SET LOCAL statement_timeout = '20ms'"))
        session.execute(text("SELECT pg_sleep(20)"))

    delivery = a_delivery(PersonDeleted(person_id="Ane"))
    a_consumer(database, {PersonDeleted: handler}).handle([delivery])
    assert delivery.error.startswith("QueryCanceled")


def test_handlers_run_in_the_trace_and_with_the_correlation_id_of_the_first_event(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "tracer", TracerProvider().get_tracer("test"))
    seen: list[tuple[int, object, int]] = []

    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        span: Any = trace.get_current_span()
        seen.append((span.get_span_context().trace_id, baggage.get_baggage(CORRELATION_ID), len(span.links)))

    first = a_delivery(PersonDeleted(person_id="Ane"))
    second = a_delivery(PersonDeleted(person_id="Maite"), traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    a_consumer(database, {PersonDeleted: handler}).handle([first, second, a_delivery(PersonDeleted())])
    assert seen == [(0x0AF7651916CD43DD8448EB211C80319C, "request-1", 1)]
    assert baggage.get_baggage(CORRELATION_ID) is None


def test_pruning_forgets_the_old_and_keeps_the_new(database: Database) -> None:
    deliveries = [a_delivery(PersonDeleted()) for _ in range(3)]
    a_consumer(database).handle(deliveries)
    old = deliveries[0].envelope.id
    with database.transaction() as session:
        session.execute(text("UPDATE inbox SET received_at = now() - interval '8 days' WHERE id = :id"), {"id": old})
    with database.transaction() as session:
        prune_inbox(session, timedelta(days=7))
        assert session.scalar(select(func.count()).select_from(inbox)) == 2


def test_metrics_count_what_was_consumed_failed_and_buried(database: Database) -> None:
    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        if any(event.person_id == "bad" for event in events):
            raise LookupError

    good, failing, last = (
        a_delivery(PersonDeleted(person_id=who), final=who == "bad") for who in ("Ane", "bad", "bad")
    )
    failing.final = False
    a_consumer(database, {PersonDeleted: handler}).handle([good, failing, last])
    labels = {"service": database.service, "type": "contacts.person.deleted.v1"}
    counts = {
        name: REGISTRY.get_sample_value(f"denda_events_{name}_total", labels) for name in ("consumed", "failed", "dead")
    }
    assert counts == {"consumed": 1, "failed": 2, "dead": 1}
