"""What the tests of events share: both transports, and a service with an outbox, an inbox and visible effects."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
from sqlalchemy import Column, Table, Text

from chassis.bus import Bus, connect
from chassis.db import Database, new_metadata
from chassis.outbox import outbox_tables
from tests.kit.events import an_envelope

# Short, and each longer than the one before.
DELAYS = (0.3, 0.6, 1.2)


@pytest.fixture(scope="session")
def postgres_bus_url(make_database: Callable[[str], str]) -> str:
    """A database in which the bus makes its own schema."""
    return make_database("bus")


@pytest.fixture(params=["rabbitmq_url", "postgres_bus_url"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs once on either transport."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def open_bus(bus_url: str) -> Iterator[Callable[[], Bus]]:
    """Opens further connections to the bus of the test, as other processes would."""
    with ExitStack() as stack:

        def opened() -> Bus:
            bus = connect(bus_url, DELAYS)
            stack.callback(bus.close)
            return bus

        yield opened


@pytest.fixture
def bus(open_bus: Callable[[], Bus]) -> Bus:
    return open_bus()


@pytest.fixture
def name() -> str:
    """A name that no other test has used, for a queue, a service or a resource."""
    return f"s{uuid4().hex[:12]}"


@pytest.fixture
def queue(bus: Bus, name: str) -> str:
    """A queue that gets the events of type `<name>.happened.v1`."""
    bus.declare(f"{name}.events", [f"{name}.happened.v1"])
    assert bus.publish([an_envelope(f"{name}.other.v1")]) == set()
    return f"{name}.events"


@pytest.fixture
def database(make_database: Callable[[str], str], name: str) -> Iterator[Database]:
    """The database of a service called `name`, with its outbox, its inbox and a table of effects."""
    make_database(name)
    metadata = new_metadata()
    outbox_tables(metadata)
    Table("effects", metadata, Column("id", Text, nullable=False))
    database = Database(name, metadata)
    metadata.create_all(database.engine)
    yield database
    database.close()
