"""A machine to measure: PostgreSQL, RabbitMQ, an SMTP sink and every service as a process of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from chassis import embedded
from services import PORTS
from tests.support.installation import Installation, started
from tests.support.rabbitmq import RabbitNode
from tests.support.smtp import SmtpSink

PORT_OFFSET = 11_000


@dataclass(frozen=True)
class World:
    """What a benchmark may use; `database_url` has `{service}` where the database's name goes."""

    database_url: str
    bus_url: str
    sink: SmtpSink
    installation: Installation

    def database(self, service: str) -> psycopg.Connection:
        """A connection of our own to a service's database, to look at it from outside."""
        return psycopg.connect(self.database_url.replace("{service}", service), autocommit=True)


@contextmanager
def world() -> Iterator[World]:
    """Everything started, with durable writes, as in production; all of it stops with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = embedded.launch(folder / "database")
        stack.callback(server.stop)
        embedded.create_databases(server.url, [name for name in PORTS if name != "gateway"])
        node = RabbitNode(folder / "rabbitmq")
        node.start()
        stack.callback(node.remove)
        sink = SmtpSink()
        stack.callback(sink.close)
        environment = {
            "DENDA_DATABASE_URL": server.url,
            "DENDA_BUS_URL": node.url,
            "DENDA_EMAIL_PROVIDER": "smtp",
            "DENDA_SMTP_PORT": str(sink.port),
            "DENDA_LOG_LEVEL": "warning",
        }
        installation = Installation(folder / "installation", environment, PORT_OFFSET)
        yield World(server.url, node.url, sink, stack.enter_context(started(installation)))
