"""A whole machine to measure and to break: PostgreSQL, RabbitMQ, an SMTP sink, every service a process of its own."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from chassis import embedded
from services import PORTS
from tests.kit.installation import ONE_PROCESS_A_SERVICE, Installation, Processes, started
from tests.kit.ports import free_offset
from tests.kit.rabbitmq import RabbitNode
from tests.kit.smtp import SmtpSink


class Database:
    """A PostgreSQL of its own that can be restarted under everybody's feet, at the same place."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self._folder, self._options = folder, options
        self._server = embedded.launch(folder, options)
        self.url = self._server.url

    def restart(self) -> None:
        """Stop the server, which ends every connection, and start it again."""
        self._server.stop()
        self._server = embedded.launch(self._folder, self._options)

    def stop(self) -> None:
        """Stop the server for good."""
        self._server.stop()


@dataclass(frozen=True)
class World:
    """What runs."""

    database: Database
    node: RabbitNode
    sink: SmtpSink
    installation: Installation

    def tables(self, service: str) -> psycopg.Connection:
        """A connection of our own to a service's database, to look at it from outside."""
        return psycopg.connect(self.database.url.replace("{service}", service), autocommit=True)


@contextmanager
def world(
    options: Mapping[str, str] | None = None, processes: Processes = ONE_PROCESS_A_SERVICE, **environment: str
) -> Iterator[World]:
    """Everything started, with durable writes as in production; all of it stops with the block.

    `options` are PostgreSQL's, `environment` the services'.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Database(folder / "database", options or {})
        stack.callback(server.stop)
        embedded.create_databases(server.url, [name for name in PORTS if name != "gateway"])
        node = RabbitNode(folder / "rabbitmq")
        node.start()
        stack.callback(node.remove)
        sink = SmtpSink()
        stack.callback(sink.close)
        everything = {
            "DENDA_DATABASE_URL": server.url,
            "DENDA_BUS_URL": node.url,
            "DENDA_EMAIL_PROVIDER": "smtp",
            "DENDA_SMTP_PORT": str(sink.port),
            "DENDA_LOG_LEVEL": "warning",
            **environment,
        }
        installation = Installation(folder / "installation", everything, free_offset(), processes)
        yield World(server, node, sink, stack.enter_context(started(installation)))
