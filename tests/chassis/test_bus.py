"""The contract of the bus, which both transports keep."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.bus import Bus, Delivery, connect, postgres
from chassis.db import Database
from chassis.errors import Unavailable
from chassis.inbox import Consumer
from denda.contacts.v1.events_pb2 import PersonDeleted
from tests.chassis.conftest import DELAYS
from tests.kit.dying_consumer import a_service, write_effects
from tests.kit.events import an_envelope, consuming, eventually


def a_person_deleted(person: str) -> bytes:
    return PersonDeleted(person_id=person).SerializeToString()


def bury_all(batch: list[Delivery]) -> None:
    for delivery in batch:
        delivery.bury("no")


def effects(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(text("SELECT id FROM effects ORDER BY id")))


def test_an_event_reaches_every_queue_bound_to_its_type_and_no_other(bus: Bus, name: str) -> None:
    for service, types in {"one": ["a", "b"], "two": ["b"], "three": ["c"]}.items():
        bus.declare(f"{name}.{service}", [f"{name}.{kind}.v1" for kind in types])
    event = an_envelope(f"{name}.b.v1")
    assert bus.publish([event]) == {event.id}
    eventually(lambda: [bus.depth(f"{name}.{service}") for service in ("one", "two", "three")] == [1, 1, 0])


def test_an_event_arrives_as_it_was_sent(bus: Bus, name: str, queue: str) -> None:
    sent = [
        an_envelope(f"{name}.happened.v1"),
        an_envelope(f"{name}.happened.v1", body=b"", subject="", traceparent=""),
    ]
    received: list[Delivery] = []
    bus.publish(sent)
    with consuming(bus, queue, received.extend):
        eventually(lambda: len(received) == 2)
    assert [delivery.envelope for delivery in received] == sent


def test_declaring_again_keeps_what_waits_and_adds_types(bus: Bus, name: str, queue: str) -> None:
    bus.publish([an_envelope(f"{name}.happened.v1")])
    bus.declare(queue, [f"{name}.happened.v1", f"{name}.more.v1"])
    bus.publish([an_envelope(f"{name}.more.v1")])
    eventually(lambda: bus.depth(queue) == 2)


def test_an_event_that_no_queue_wants_is_not_confirmed_and_the_others_are(bus: Bus, name: str, queue: str) -> None:
    wanted, unwanted = an_envelope(f"{name}.happened.v1"), an_envelope(f"{name}.unknown.v1")
    assert bus.publish([unwanted, wanted, replace(unwanted, id=an_envelope().id)]) == {wanted.id}
    bus.declare(queue, [unwanted.type])
    assert bus.publish([unwanted]) == {unwanted.id}


def test_thousands_of_events_arrive_each_once(bus: Bus, name: str, queue: str) -> None:
    sent = [an_envelope(f"{name}.happened.v1") for _ in range(3000)]
    received: list[Delivery] = []
    with consuming(bus, queue, received.extend):
        assert bus.publish(sent) == {envelope.id for envelope in sent}
        eventually(lambda: len(received) >= len(sent))
    assert sorted(delivery.envelope.id for delivery in received) == sorted(envelope.id for envelope in sent)
    assert bus.depth(queue) == 0


def test_two_consumers_share_a_queue(open_bus: Callable[[], Bus], name: str, queue: str) -> None:
    bus, received = open_bus(), (list[Delivery](), list[Delivery]())
    with consuming(bus, queue, received[0].extend), consuming(open_bus(), queue, received[1].extend):
        sent = {event.id for event in (an_envelope(f"{name}.happened.v1") for _ in range(500))}
        bus.publish([an_envelope(f"{name}.happened.v1", id=event) for event in sent])
        eventually(lambda: len(received[0]) + len(received[1]) >= 500)
    assert {delivery.envelope.id for delivery in received[0] + received[1]} == sent


def test_large_events_come_in_small_batches(bus: Bus, name: str, queue: str) -> None:
    bus.publish([an_envelope(f"{name}.happened.v1", body=bytes(200_000)) for _ in range(60)])
    sizes: list[int] = []
    with consuming(bus, queue, lambda batch: sizes.append(len(batch))):
        eventually(lambda: sum(sizes) == 60)
    assert max(sizes) <= 20


def test_a_batch_whose_handler_raises_is_handed_over_again_and_no_attempt_is_counted(
    bus: Bus, name: str, queue: str
) -> None:
    attempts: list[int] = []

    def handle(batch: list[Delivery]) -> None:
        attempts.extend(delivery.envelope.attempt for delivery in batch)
        batch[0].retry("what a handler said before it raised is void")
        if len(attempts) < 4:
            raise ConnectionError("the database is away")
        batch[0].error = ""

    bus.publish([an_envelope(f"{name}.happened.v1")])
    with consuming(bus, queue, handle):
        eventually(lambda: len(attempts) == 4)
    assert attempts == [1, 1, 1, 1]
    assert bus.depth(queue) == 0
    assert bus.dead(queue) == []


def test_a_failing_event_is_tried_again_after_growing_delays_and_then_dead(bus: Bus, name: str, queue: str) -> None:
    tries: list[tuple[int, float]] = []

    def handle(batch: list[Delivery]) -> None:
        for delivery in batch:
            tries.append((delivery.envelope.attempt, time.monotonic()))
            delivery.retry(f"failed at attempt {delivery.envelope.attempt}")

    event = an_envelope(f"{name}.happened.v1")
    bus.publish([event])
    with consuming(bus, queue, handle):
        eventually(lambda: bus.dead(queue))
    assert [attempt for attempt, _ in tries] == [1, 2, 3, 4]
    moments = [moment for _, moment in tries]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert all(gap >= 0.9 * delay for gap, delay in zip(gaps, DELAYS, strict=True))
    (letter,) = bus.dead(queue)
    assert letter.envelope == replace(event, attempt=4)
    assert letter.error == "failed at attempt 4"


def test_a_poisonous_event_is_dead_at_once_and_the_others_go_on(bus: Bus, name: str, queue: str) -> None:
    poison, *others = (an_envelope(f"{name}.happened.v1") for _ in range(5))
    done: set[object] = set()

    def handle(batch: list[Delivery]) -> None:
        for delivery in batch:
            if delivery.envelope.id == poison.id:
                delivery.bury("cannot be read")
            else:
                done.add(delivery.envelope.id)

    bus.publish([poison, *others])
    with consuming(bus, queue, handle):
        eventually(lambda: len(done) == 4)
        eventually(lambda: bus.dead(queue))
    assert [(letter.envelope, letter.error) for letter in bus.dead(queue)] == [(poison, "cannot be read")]


def test_dead_letters_can_be_listed_replayed_and_dropped(bus: Bus, name: str, queue: str) -> None:
    events = [an_envelope(f"{name}.happened.v1") for _ in range(4)]
    bus.publish(events)
    with consuming(bus, queue, bury_all):
        eventually(lambda: len(bus.dead(queue)) == 4)

    assert len(bus.dead(queue, limit=2)) == 2
    assert bus.drop(queue, {events[0].id}) == 1
    assert bus.replay(queue, {events[1].id, events[0].id}) == 1
    assert bus.replay(queue) == 2
    assert (bus.dead(queue), bus.drop(queue), bus.replay(queue)) == ([], 0, 0)
    received: list[Delivery] = []
    with consuming(bus, queue, received.extend):
        eventually(lambda: len(received) == 3)
    assert {delivery.envelope for delivery in received} == set(events[1:])


def test_a_queue_that_nobody_has_declared_is_empty(bus: Bus, name: str) -> None:
    assert (bus.depth(name), bus.dead(name), bus.replay(name), bus.drop(name)) == (0, [], 0, 0)


def test_stopping_finishes_the_batch_in_hand_and_gives_back_the_rest(
    open_bus: Callable[[], Bus], name: str, queue: str
) -> None:
    bus = open_bus()
    sent = {event.id: event for event in (an_envelope(f"{name}.happened.v1") for _ in range(1500))}
    bus.publish(list(sent.values()))
    stop, first, rest = threading.Event(), list[Delivery](), list[Delivery]()

    def handle(batch: list[Delivery]) -> None:
        stop.set()
        time.sleep(0.5)
        first.extend(batch)

    bus.consume(queue, handle, stop)
    assert 0 < len(first) < 1500
    with consuming(open_bus(), queue, rest.extend):
        eventually(lambda: len(first) + len(rest) >= 1500)
    assert sorted(delivery.envelope.id for delivery in first + rest) == sorted(sent)


def test_a_consumer_stops_while_it_holds_a_batch_and_the_batch_goes_back(
    open_bus: Callable[[], Bus], name: str, queue: str
) -> None:
    bus, held, received = open_bus(), threading.Event(), list[Delivery]()

    def handle(batch: list[Delivery]) -> None:
        held.set()
        raise ConnectionError("the database is away")

    bus.publish([an_envelope(f"{name}.happened.v1")])
    with consuming(bus, queue, handle):
        eventually(held.is_set)
    with consuming(open_bus(), queue, received.extend):
        eventually(lambda: received)
    assert received[0].envelope.attempt == 1


def test_a_consumer_killed_between_commit_and_acknowledgement_has_its_effect_once(
    bus: Bus, bus_url: str, name: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LEASE_SECONDS", 1)
    consumer = Consumer(a_service(name, database), bus)
    bus.declare(consumer.queue, ["contacts.person.deleted.v1"])
    bus.publish([an_envelope(body=a_person_deleted(f"person-{number}")) for number in range(10)])

    program = [sys.executable, "-m", "tests.kit.dying_consumer", name, bus_url]
    assert subprocess.run(program, timeout=60, check=False).returncode == -9
    written = effects(database)
    assert 0 < len(written) <= 10
    with consuming(bus, consumer.queue, consumer.handle):
        eventually(lambda: len(effects(database)) >= 10 and bus.depth(consumer.queue) == 0)
    assert effects(database) == sorted(f"person-{number}" for number in range(10))


def test_an_event_published_twice_has_its_effect_once(bus: Bus, name: str, database: Database) -> None:
    consumer = Consumer(a_service(name, database), bus)
    bus.declare(consumer.queue, ["contacts.person.deleted.v1"])
    event = an_envelope(body=a_person_deleted("Ane"))
    bus.publish([event, event])
    bus.publish([event])
    bus.publish([an_envelope(body=a_person_deleted("Zuriñe"))])
    with consuming(bus, consumer.queue, consumer.handle):
        eventually(lambda: effects(database) == ["Ane", "Zuriñe"] and bus.depth(consumer.queue) == 0)
    assert effects(database) == ["Ane", "Zuriñe"]


def test_a_database_that_is_away_costs_no_event_an_attempt(bus: Bus, name: str, database: Database) -> None:
    losses: list[int] = []

    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        losses.append(len(events))
        if len(losses) < 5:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        write_effects(session, events)

    service = replace(a_service(name, database), handlers={PersonDeleted: handler})
    consumer = Consumer(service, bus)
    bus.declare(consumer.queue, ["contacts.person.deleted.v1"])
    bus.publish([an_envelope(body=a_person_deleted("Ane"))])
    with consuming(bus, consumer.queue, consumer.handle):
        eventually(lambda: effects(database) == ["Ane"])
    assert bus.dead(consumer.queue) == []


def test_one_failing_event_among_many_fails_alone(bus: Bus, name: str, database: Database) -> None:
    def handler(session: Session, events: Sequence[PersonDeleted]) -> None:
        write_effects(session, events)
        if any(event.person_id == "13" for event in events):
            raise LookupError("nobody has this number")

    consumer = Consumer(replace(a_service(name, database), handlers={PersonDeleted: handler}), bus)
    bus.declare(consumer.queue, ["contacts.person.deleted.v1"])
    bus.publish([an_envelope(body=a_person_deleted(f"{number}")) for number in range(20)])
    with consuming(bus, consumer.queue, consumer.handle):
        eventually(lambda: bus.dead(consumer.queue))
    assert effects(database) == sorted(f"{number}" for number in range(20) if number != 13)
    (letter,) = bus.dead(consumer.queue)
    assert (letter.error, letter.envelope.attempt) == ("LookupError: nobody has this number", 4)


def test_a_consumer_waits_for_a_bus_that_is_away(name: str, database: Database) -> None:
    stop = threading.Event()
    consumer = Consumer(a_service(name, database), connect("amqp://127.0.0.1:9"))
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    thread.join(1)
    assert thread.is_alive()
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_checking_a_bus_that_is_there_says_nothing(bus: Bus) -> None:
    bus.check()


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:9", "postgresql://127.0.0.1:9/bus"])
def test_a_bus_that_is_away_confirms_nothing_and_says_so_when_checked(url: str) -> None:
    bus = connect(url)
    assert bus.publish([an_envelope()]) == set()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        bus.check()
    bus.close()


def test_an_unknown_kind_of_bus_is_refused() -> None:
    with pytest.raises(ValueError, match="kafka"):
        connect("kafka://broker")
