"""One machine for all fault tests: real PostgreSQL, RabbitMQ and SMTP, every service a process that can be killed."""

import os
from collections.abc import Iterator

import pytest

from tests.kit.customers import define_attributes, import_people
from tests.kit.rabbitmq import NotInstalledError
from tests.kit.world import World, world

# `make faults` runs the long ones.
LONG = os.environ.get("DENDA_FAULTS") == "long"
PEOPLE = 2_000 if LONG else 500


@pytest.fixture(scope="session")
def machine() -> Iterator[World]:
    """The machine with people imported."""
    try:
        with world({"fsync": "off"}) as here:
            define_attributes(here)
            import_people(here, PEOPLE)
            yield here
    except NotInstalledError as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def _whole_again(machine: World) -> Iterator[None]:
    """Each test begins and ends with everything running and an empty sink that behaves."""
    machine.sink.clear()
    yield
    machine.sink.configure(stall=0.0, drop_before=0.0, drop_after=0.0, defer=0.0, refuse=0.0, defer_data=0.0)
    missing = [name for name in machine.installation.processes if name not in machine.installation.running]
    if missing:
        machine.installation.start(*missing)
    machine.installation.wait_until_ready()
