"""What only RabbitMQ can do: restart below its users, count deliveries, cancel consumers, take strange messages."""

import gc
from collections.abc import Iterator
from uuid import UUID

import pika
import pytest
from structlog.testing import capture_logs

from chassis.bus import DELIVERY_LIMIT, Bus, Delivery, connect
from chassis.bus.rabbit import WARY, RabbitBus
from chassis.bus.rabbit_messages import TOGETHER
from denda.events.v1.bundle_pb2 import Bundle, Event
from tests.chassis.conftest import DELAYS
from tests.kit.events import an_envelope, consuming, eventually
from tests.kit.rabbitmq import RabbitNode


@pytest.fixture
def bus(rabbitmq_url: str) -> Iterator[Bus]:
    bus = connect(rabbitmq_url, DELAYS)
    assert isinstance(bus, RabbitBus)
    yield bus
    bus.close()


def put(url: str, queue: str, properties: pika.BasicProperties, body: bytes = b"\xff") -> None:
    """Put a message into a queue as a stranger would."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    connection.channel().basic_publish("", queue, body, properties)
    connection.close()


def test_publisher_and_consumer_come_back_after_the_broker_has_restarted(
    bus: Bus, rabbitmq_node: RabbitNode, name: str, queue: str
) -> None:
    received: set[UUID] = set()

    def handle(batch: list[Delivery]) -> None:
        received.update(delivery.envelope.id for delivery in batch)

    before, during, after = ([an_envelope(f"{name}.happened.v1") for _ in range(20)] for _ in range(3))
    assert bus.publish(before) == {event.id for event in before}
    rabbitmq_node.restart()
    with consuming(bus, queue, handle):
        eventually(lambda: len(received) == 20)
        rabbitmq_node.stop()
        try:
            assert bus.publish(during) == set()
        finally:
            rabbitmq_node.start()
        eventually(lambda: bus.publish(after) == {event.id for event in after})
        eventually(lambda: len(received) == 40)
    assert received == {event.id for event in before + after}


def test_a_broker_that_dies_keeps_what_it_has_confirmed(
    bus: Bus, rabbitmq_node: RabbitNode, name: str, queue: str
) -> None:
    confirmed = bus.publish([an_envelope(f"{name}.happened.v1") for _ in range(200)])
    rabbitmq_node.kill()
    rabbitmq_node.start()
    received: list[Delivery] = []
    with consuming(bus, queue, received.extend):
        eventually(lambda: len(received) >= 200)
    assert {delivery.envelope.id for delivery in received} == confirmed


def test_an_event_that_is_never_settled_ends_among_the_dead_letters(
    bus: Bus, rabbitmq_url: str, name: str, queue: str
) -> None:
    event = an_envelope(f"{name}.happened.v1")
    bus.publish([event])
    refuse(rabbitmq_url, queue, DELIVERY_LIMIT + 2)
    (letter,) = bus.dead(queue)
    assert letter.envelope == event
    assert str(DELIVERY_LIMIT) in letter.error


def refuse(url: str, queue: str, times: int) -> None:
    """Take the first message of a queue so many times, and never settle it."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for number, (method, _, _) in enumerate(channel.consume(queue, inactivity_timeout=2)):
        if method is None or number == times:
            break
        channel.basic_nack(method.delivery_tag or 0)
    connection.close()


def test_events_of_a_type_travel_together(bus: Bus, name: str, queue: str) -> None:
    events = [an_envelope(f"{name}.happened.v1", subject=str(number)) for number in range(250)]
    assert bus.publish([*events, an_envelope(f"{name}.happened.v1", body=b"x" * 70_000)]) > {one.id for one in events}
    eventually(lambda: bus.depth(queue) == 4)
    received: list[Delivery] = []
    with consuming(bus, queue, received.extend):
        eventually(lambda: len(received) == 251)
    assert [delivery.envelope for delivery in received[:250]] == events


def test_events_that_are_never_settled_together_are_handed_over_each_alone(
    bus: Bus, rabbitmq_url: str, name: str, queue: str
) -> None:
    events = [an_envelope(f"{name}.happened.v1") for _ in range(3)]
    bus.publish(events)
    refuse(rabbitmq_url, queue, WARY + 2)

    def hold(batch: list[Delivery]) -> None:
        raise ConnectionError

    with consuming(bus, queue, hold):
        eventually(lambda: bus.depth(queue) == 0)
    eventually(lambda: bus.depth(queue) == 3)
    received: list[Delivery] = []
    with consuming(bus, queue, received.extend):
        eventually(lambda: len(received) == 3)
    assert [delivery.envelope for delivery in received] == events


def test_events_that_died_together_are_listed_dropped_and_replayed_each_alone(
    bus: Bus, rabbitmq_url: str, name: str, queue: str
) -> None:
    events = [an_envelope(f"{name}.happened.v1") for _ in range(3)]
    bus.publish(events)
    refuse(rabbitmq_url, queue, DELIVERY_LIMIT + 2)
    eventually(lambda: [letter.envelope for letter in bus.dead(queue)] == events)
    assert all(str(DELIVERY_LIMIT) in letter.error for letter in bus.dead(queue))
    assert bus.drop(queue, {events[1].id}) == 1
    assert bus.replay(queue) == 2
    eventually(lambda: bus.depth(queue) == 2)


@pytest.mark.parametrize("body", [b"", b"\xff", Bundle(events=[Event(id="no uuid")]).SerializeToString()])
def test_a_bundle_that_is_none_can_be_buried_and_dropped(bus: Bus, rabbitmq_url: str, queue: str, body: bytes) -> None:
    def bury(batch: list[Delivery]) -> None:
        batch[0].bury("this is no event")

    put(rabbitmq_url, queue, pika.BasicProperties(content_type=TOGETHER, type="x.v1", headers={"events": 7}), body)
    with consuming(bus, queue, bury):
        eventually(lambda: bus.dead(queue))
    assert bus.dead(queue)[0].envelope.type == TOGETHER
    assert bus.drop(queue) == 1


def test_looking_at_dead_letters_does_not_use_them_up(bus: Bus, name: str, queue: str) -> None:
    bus.publish([an_envelope(f"{name}.happened.v1")])

    def bury(batch: list[Delivery]) -> None:
        batch[0].bury("no")

    with consuming(bus, queue, bury):
        eventually(lambda: bus.dead(queue))
    assert all(len(bus.dead(queue)) == 1 for _ in range(DELIVERY_LIMIT + 2))


@pytest.mark.parametrize(
    "properties",
    [pika.BasicProperties(), pika.BasicProperties(message_id="no uuid", headers={"attempt": "many", "subject": 7})],
    ids=["bare", "strange"],
)
def test_a_message_that_is_no_event_can_be_buried_and_dropped(
    bus: Bus, rabbitmq_url: str, queue: str, properties: pika.BasicProperties
) -> None:
    def bury(batch: list[Delivery]) -> None:
        batch[0].bury("this is no event")

    put(rabbitmq_url, queue, properties)
    with consuming(bus, queue, bury):
        eventually(lambda: bus.dead(queue))
    assert bus.drop(queue, {bus.dead(queue)[0].envelope.id}) == 1


def test_a_consumer_whose_queue_is_taken_away_comes_back_when_it_is_there_again(
    bus: Bus, rabbitmq_url: str, name: str, queue: str
) -> None:
    received: list[Delivery] = []
    with capture_logs() as logs, consuming(bus, queue, received.extend):
        bus.publish([an_envelope(f"{name}.happened.v1")])
        eventually(lambda: len(received) == 1)
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
        connection.channel().queue_delete(queue)
        connection.close()
        eventually(lambda: "bus_channel_closed" in [entry["event"] for entry in logs])
        bus.declare(queue, [f"{name}.happened.v1"])
        bus.publish([an_envelope(f"{name}.happened.v1")])
        eventually(lambda: len(received) == 2)


# The collector closes what pika leaves behind, and says so.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_error_on_the_io_thread_costs_the_connection_and_not_the_bus(bus: Bus, name: str, queue: str) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    first, second = an_envelope(f"{name}.happened.v1"), an_envelope(f"{name}.happened.v1")
    assert bus.publish([first]) == {first.id}
    assert isinstance(bus, RabbitBus)
    assert bus._publisher._link
    bus._publisher._link.submit(fail)
    eventually(lambda: bus.publish([second]) == {second.id})
    gc.collect()
