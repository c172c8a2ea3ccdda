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
from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from chassis.arrays import write_arrays_fast
from chassis.errors import Unavailable
from chassis.lookups import Lookups
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
        engine = create_engine(
            database_url(self.service),
            pool_size=settings().database_pool - _lookups(),
            max_overflow=0,
            # Errors end up in logs, and the values of a statement may be personal.
            hide_parameters=True,
            connect_args=self._options(),
        )
        event.listen(engine, "connect", lambda connection, _: write_arrays_fast(connection))
        return engine

    @cached_property
    def _reading(self) -> Lookups:
        """The connections that `lookup` uses."""
        url = database_url(self.service).replace("postgresql+psycopg://", "postgresql://", 1)
        return Lookups(url, _lookups(), **self._options())

    def _options(self) -> dict[str, Any]:
        return {"application_name": f"denda-{self.service}", "connect_timeout": 5}

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

        Raises Unavailable when the database does not answer.
        """
        with self._answering():
            return self._reading.rows(statement, parameters)

    def planned(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement that reads and whose best plan depends on the values, which are in its text.

        PostgreSQL keeps the plan; `$1`, `$2` … stand for what no plan depends on.
        Raises Unavailable when the database does not answer.
        """
        with self._answering():
            return self._reading.planned(statement, parameters)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except psycopg.OperationalError as error:
            self.engine.dispose()
            raise Unavailable("The database does not answer; try again in a moment.") from error

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        if engine := self.__dict__.pop("engine", None):
            engine.dispose()
        if reading := self.__dict__.pop("_reading", None):
            reading.close()
        self.__dict__.pop("_sessions", None)


def _lookups() -> int:
    """How many of a service's connections are for lookups, which are over in no time."""
    return max(1, settings().database_pool // 4)
