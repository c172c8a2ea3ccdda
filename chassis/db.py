"""Sessions and transactions: one `Database` a service, opened lazily.

One request, one event or one job is one transaction, opened at the door with
`with database.transaction() as session:`. It commits when the block ends and
rolls back when it raises; nothing else in the product commits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from chassis.arrays import write_arrays_fast
from chassis.errors import Unavailable
from chassis.settings import settings

# Names that Alembic can refer to in later migrations.
NAMING = {
    "ix": "%(column_0_N_label)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


def new_metadata() -> MetaData:
    """Metadata for a service's tables, with stable constraint names."""
    return MetaData(naming_convention=NAMING)


def database_url(service: str) -> str:
    """The service's database as a SQLAlchemy URL with the psycopg driver."""
    url = settings().database_url.replace("{service}", service)
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


class Database:
    """The database of one service."""

    def __init__(self, service: str, metadata: MetaData) -> None:
        self.service = service
        self.metadata = metadata

    @cached_property
    def engine(self) -> Engine:
        """The connection pool; made at first use, since a fork must not share it."""
        return self._pool(settings().database_pool - _lookups())

    @cached_property
    def _reading(self) -> Engine:
        """The pool of connections that open no transactions, which `lookup` uses."""
        return self._pool(_lookups(), isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    def _pool(self, connections: int, **options: Any) -> Engine:
        engine = create_engine(
            database_url(self.service),
            pool_size=connections,
            max_overflow=0,
            # Errors end up in logs, and the values of a statement may be personal.
            hide_parameters=True,
            connect_args={"application_name": f"denda-{self.service}", "connect_timeout": 5},
            **options,
        )
        event.listen(engine, "connect", lambda connection, _: write_arrays_fast(connection))
        return engine

    @cached_property
    def _sessions(self) -> sessionmaker[Session]:
        return sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session whose changes are committed together when the block ends."""
        with self._sessions.begin() as session:
            yield session

    def lookup(self, statement: str, *parameters: str) -> list[tuple[Any, ...]]:
        """The rows of one small statement with `$1`, `$2` … that reads, for the hottest paths.

        It is prepared once a connection and goes to libpq as it is: a session with BEGIN and COMMIT takes ten times as
        long, SQLAlchemy alone three times and a cursor twice. Raises Unavailable when the database does not answer.
        """
        pooled = self._reading.raw_connection()
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        try:
            return _looked_up(connection, pooled.info, statement, parameters)
        except psycopg.OperationalError as error:
            # A server that was restarted has ended all connections, so nobody else need find that out by failing.
            pooled.invalidate()
            for engine in (self.engine, self._reading):
                engine.dispose()
            raise Unavailable("The database does not answer; try again in a moment.") from error
        finally:
            pooled.close()

    def close(self) -> None:
        """Close the pools; the next use opens new ones."""
        for name in ("engine", "_reading"):
            if engine := self.__dict__.pop(name, None):
                engine.dispose()
        self.__dict__.pop("_sessions", None)


def _lookups() -> int:
    """How many of a service's connections are for lookups, which are over in no time."""
    return max(1, settings().database_pool // 4)


def _looked_up(
    connection: psycopg.Connection, prepared: dict[Any, Any], statement: str, parameters: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The rows of a statement; `prepared` has the names of those that the connection knows."""
    name = prepared.get(statement)
    if name is None:
        name = f"lookup_{len(prepared)}".encode()
        _require(connection.pgconn.prepare(name, statement.encode()), ExecStatus.COMMAND_OK)
        prepared[statement] = name
    result = connection.pgconn.exec_prepared(name, [parameter.encode() for parameter in parameters])
    _require(result, ExecStatus.TUPLES_OK)
    typed = Transformer(connection)
    typed.set_pgresult(result)
    return typed.load_rows(0, result.ntuples, tuple)


def _require(result: PGresult, wanted: ExecStatus) -> None:
    if result.status != wanted:
        raise error_from_result(result)
