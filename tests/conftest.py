"""What tests stand on: an environment of their own, PostgreSQL, RabbitMQ, an SMTP server, a clock, services' doors.

Nothing needs to be started first. Where RabbitMQ cannot be had, its tests are skipped and say so; with CI=true
that is a failure.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from chassis import clock, embedded
from chassis.service import Service
from chassis.settings import settings
from tests.kit.doors import Doors
from tests.kit.ports import free_offset
from tests.kit.rabbitmq import RabbitNode, or_skipped
from tests.kit.smtp import SmtpSink

# What is written to these databases need not survive the test run.
UNSAFE_AND_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Spread the tests over the processes of `make test`."""
    from tests.kit.folders import ByFolder

    config.option.loadscopereorder = False
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose the order in which those processes take them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.kit.folders import longest_first

        longest_first(items)


def pytest_configure() -> None:
    """Take the developer's settings away before anything reads them."""
    for name in [name for name in os.environ if name.startswith("DENDA_") and name != "DENDA_FAULTS"]:
        del os.environ[name]
    os.environ.pop("AMQP_URL", None)
    os.environ |= {
        "DENDA_SECRET_KEY": "a-secret-key-only-for-tests-0123456789",
        "DENDA_SERVICE_KEY": "a-service-key-only-for-tests-0123456789",
        "DENDA_DATABASE_URL": "postgresql://postgres@127.0.0.1:1/{service}",
        "DENDA_BUS_URL": "postgresql://postgres@127.0.0.1:1/bus",
        "DENDA_DATABASE_POOL": "10",
        "DENDA_PORT_OFFSET": str(free_offset()),
        # The tests' day and night differ from UTC's.
        "TZ": "Asia/Kathmandu",
    }
    time.tzset()


@pytest.fixture(autouse=True)
def _settings_read_anew() -> Iterator[None]:
    """Let each test see the environment as it is, and none the settings of another."""
    _forget_settings()
    yield
    _forget_settings()


def _forget_settings() -> None:
    for name, module in list(sys.modules.items()):
        if name == "chassis.settings" or (name.startswith("services.") and name.endswith(".settings")):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """PostgreSQL from the wheel; the URL has `{service}` where the database's name goes."""
    # Not below pytest's own directory: each start of pytest closes that one to the user whom the database runs as.
    directory = Path(tempfile.mkdtemp(prefix="denda-postgres-"))
    directory.chmod(0o711)
    server = embedded.launch(directory, UNSAFE_AND_FAST)
    before = os.environ["DENDA_DATABASE_URL"]
    os.environ["DENDA_DATABASE_URL"] = server.url
    settings.cache_clear()
    yield server.url
    os.environ["DENDA_DATABASE_URL"] = before
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def make_database(postgres_url: str) -> Callable[[str], str]:
    """`make_database("name")` makes an empty database, instead of one that may be there, and answers its URL."""

    def make(name: str) -> str:
        with psycopg.connect(postgres_url.replace("{service}", "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return postgres_url.replace("{service}", name)

    return make


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A private RabbitMQ node; a test that stops it starts it again."""
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq"))
    with or_skipped():
        node.start()
    yield node
    node.remove()


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq_node: RabbitNode) -> str:
    """Where the private RabbitMQ node is."""
    return rabbitmq_node.url


@pytest.fixture(scope="session")
def _smtp_sink() -> Iterator[SmtpSink]:
    sink = SmtpSink()
    yield sink
    sink.close()


@pytest.fixture
def smtp_sink(_smtp_sink: SmtpSink) -> SmtpSink:
    """An SMTP server that keeps count, empty and well behaved at the start of each test."""
    _smtp_sink.clear()
    return _smtp_sink


class FrozenClock:
    """The clock of a test: it stands still until it is moved."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **units: float) -> datetime:
        """Move on by a timedelta's units: `advance(minutes=5)`."""
        self.moment += timedelta(**units)
        return self.moment


@pytest.fixture
def frozen_clock() -> Iterator[FrozenClock]:
    """`chassis.clock.now()` stands still; set `.moment` or call `.advance(hours=1)`."""
    stopped = FrozenClock(datetime.now(UTC).replace(microsecond=0))
    with clock.time_from(stopped):
        yield stopped


@pytest.fixture(scope="session")
def _doors(make_database: Callable[[str], str]) -> Iterator[Doors]:
    doors = Doors(make_database)
    yield doors
    doors.close()


@pytest.fixture
def serve(_doors: Doors) -> Iterator[Callable[..., Doors]]:
    """`serve("contacts")` opens a service's doors on fresh tables; ask the answer for stubs.

    people = serve("contacts").stub(PeopleServiceStub, "contacts", "marketer")
    """

    def open_doors(*names: str) -> Doors:
        _doors.open(*names)
        return _doors

    yield open_doors
    _doors.clean()


@pytest.fixture
def migrated(_doors: Doors) -> Iterator[Callable[[str], Service]]:
    """`migrated("contacts")` is the service on a fresh, migrated database, without a server."""
    yield _doors.migrated
    _doors.clean()


@pytest.fixture(autouse=True, scope="session")
def _away_from_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the developer's own installation."""
    os.environ["DENDA_DATA_DIR"] = str(Path(tmp_path_factory.mktemp("denda")))
