"""An event's way: outbox, broker, inbox, effect; beside bare pika that publishes and consumes the same bodies."""

import time
from uuid import UUID

import pika
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks.report import Figure, show, stopwatch
from chassis.ids import new_id
from chassis.outbox import record_all
from denda.campaigns.v1.events_pb2 import Engagement, EngagementsRecorded
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.types.v1.channel_pb2 import Channel
from tests.kit.world import World

COUNT = 50_000
STEP = 5_000
PROMISED = 5_000


def measure(world: World) -> None:
    """From the commit of clicks in the outbox of campaigns until each of them is on a timeline in contacts."""
    events = _clicks(world)
    limit = COUNT / _bare_seconds(world.node.url, [event.SerializeToString() for event in events])
    with world.tables("campaigns") as campaigns, world.tables("contacts") as contacts:
        _record(world, events)
        with stopwatch() as watch:
            # To count the effects takes the machine's time, so not before the outbox is empty.
            while campaigns.execute("SELECT seq FROM outbox LIMIT 1").fetchone():
                time.sleep(0.05)
            while contacts.execute("SELECT count(*) FROM activity WHERE kind = 'click'").fetchone() != (COUNT,):
                time.sleep(0.05)
    name, rate = f"{COUNT:,} events to effect", COUNT / watch.seconds
    show(
        [
            Figure(name, rate, "what is promised", PROMISED, 1.0, "events"),
            Figure(name, rate, "bare pika, both ways", limit, 0.5, "events"),
        ]
    )


def _clicks(world: World) -> list[EngagementsRecorded]:
    stub = PeopleServiceStub(world.installation.channel("contacts"))
    people = [person.id for person in stub.ListPeople(people_pb.ListPeopleRequest(page_size=1000)).people]
    campaign = str(new_id())
    events = []
    for number in range(COUNT):
        click = Engagement(
            id=str(new_id()),
            kind=Engagement.KIND_CLICK,
            person_id=people[number % len(people)],
            campaign_id=campaign,
            campaign_name="benchmark",
            message_id=str(UUID(int=number)),
            channel=Channel.CHANNEL_EMAIL,
            url="https://shop.example/",
        )
        click.time.GetCurrentTime()
        events.append(EngagementsRecorded(engagements=[click]))
    return events


def _record(world: World, events: list[EngagementsRecorded]) -> None:
    url = world.database.url.replace("{service}", "campaigns").replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    # One transaction, so that the relay sees them all at once and the way alone is measured.
    with Session(engine) as session, session.begin():
        for start in range(0, len(events), STEP):
            record_all(session, [(event, event.engagements[0].person_id) for event in events[start : start + STEP]])
    engine.dispose()


def _bare_seconds(url: str, bodies: list[bytes]) -> float:
    """Publish without waiting for each confirm, then consume, on a quorum queue."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("bare", durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(prefetch_count=1000)
    properties = pika.BasicProperties(delivery_mode=2)
    with stopwatch() as watch:
        for body in bodies:
            channel.basic_publish("", "bare", body, properties)
        for number, (method, _, _) in enumerate(channel.consume("bare"), start=1):
            if number % 500 == 0 or number == len(bodies):
                channel.basic_ack(method.delivery_tag or 0, multiple=True)
            if number == len(bodies):
                break
    channel.queue_delete("bare")
    connection.close()
    return watch.seconds
