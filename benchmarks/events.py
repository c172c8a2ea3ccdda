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
from tests.support.world import World

COUNT = 50_000
STEP = 5_000


def measure(world: World) -> None:
    """Record clicks in the outbox of campaigns until each of them is on a timeline in contacts."""
    events = _clicks(world)
    limit = COUNT / _bare_seconds(world.node.url, [event.SerializeToString() for event in events])
    with world.tables("contacts") as contacts, stopwatch() as watch:
        _record(world, events)
        while contacts.execute("SELECT count(*) FROM activity WHERE kind = 'click'").fetchone() != (COUNT,):
            time.sleep(0.05)
    figure = Figure(f"{COUNT:,} events to effect", COUNT / watch.seconds, "bare pika, both ways", limit, 0.0, "events")
    show([figure])


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
    for start in range(0, len(events), STEP):
        with Session(engine) as session, session.begin():
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
