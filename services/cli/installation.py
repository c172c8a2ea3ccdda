"""What a command needs before it works: the database, the keys and the bus that the settings leave open.

An empty URL means the embedded PostgreSQL of the data directory; it is started here where nobody runs it yet.
"""

import errno
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import click
import psycopg
from sqlalchemy.exc import DBAPIError

from chassis import embedded
from chassis.bus import Bus, connect
from chassis.errors import Unavailable
from chassis.service import Service
from chassis.settings import settings
from services import port
from services.cli.failures import explained
from services.cli.screen import step

BUS = "bus"


@contextmanager
def prepared(*, alone: bool = False) -> Iterator[None]:
    """Complete settings inside the block. `alone` refuses a data directory that another Denda uses."""
    with ExitStack() as stack:
        if not settings().database_url:
            url = _embedded_url(stack, alone=alone)
            stack.enter_context(_environment({"DENDA_DATABASE_URL": url}))
        if not settings().bus_url:
            url = settings().database_url.replace("{service}", BUS)
            stack.enter_context(_environment({"DENDA_BUS_URL": url}))
        stack.enter_context(with_keys())
        yield


@contextmanager
def with_keys() -> Iterator[None]:
    """The keys that all processes share, from the settings or the data directory; enough for a process without data."""
    if _has_keys():
        yield
        return
    made = embedded.secrets_of(settings().data_dir)
    with _environment({name: key for name, key in made.items() if not os.environ.get(name)}):
        yield


def require_shared_keys() -> None:
    """Refuse to make keys for one process of several: another machine would make others, and neither would know."""
    if settings().database_url and not _has_keys():
        raise click.ClickException(
            "DENDA_SECRET_KEY and DENDA_SERVICE_KEY must be set where DENDA_DATABASE_URL is: all processes of an "
            "installation share them.\nMake each with: openssl rand -base64 32"
        )


def require_own_databases(services: Sequence[Service]) -> None:
    """Refuse one database for several services: their tables would mix."""
    if len(services) > 1 and "{service}" not in settings().database_url:
        raise click.ClickException(
            "DENDA_DATABASE_URL needs {service} in the place of the database's name, since each service has a "
            "database of its own: postgresql://denda:secret@db.example/{service}"
        )


def require_free_ports(names: Sequence[str]) -> None:
    """Raises Unavailable for a port that is taken, before anything is started that would have to be stopped again."""
    for name in names:
        place = (settings().bind, port(name))
        with socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise Unavailable(
                    f"{place[0]}:{place[1]}, the port of {name}, is taken by another program. Stop it, or set "
                    "DENDA_PORT_OFFSET to move all ports.",
                    reason="PORT_TAKEN",
                ) from None


def create_databases(services: Sequence[Service]) -> None:
    """Create what is missing where the account may; where it may not, the connection will tell what is missing."""
    url = settings().database_url
    if "{service}" not in url:
        return
    names = [service.name for service in services]
    if _shares():
        names.append(BUS)
    try:
        embedded.create_databases(url, names)
    except psycopg.errors.InsufficientPrivilege as error:
        raise click.ClickException(
            f"The databases {', '.join(names)} are not all there, and this account may not create them: {error}"
        ) from error
    except psycopg.OperationalError:
        # The account may have no access to the database `postgres`, and need none when its own are there.
        return


def bus() -> Bus:
    """The bus of the settings. Raises what is wrong when it cannot be reached."""
    try:
        connected = connect(settings().bus_url)
    except ValueError as error:
        raise click.ClickException(f"DENDA_BUS_URL is wrong: {error}.") from error
    try:
        connected.check()
    except Unavailable as error:
        remedy = f"Is it running there? Check host, port, user, password and what follows them in {_bus_setting()}."
        raise click.ClickException(f"{' '.join(error.message.split())}\n{remedy}") from error
    except DBAPIError as error:
        raise click.ClickException(str(explained(error)).replace("DENDA_DATABASE_URL", _bus_setting())) from error
    return connected


def _bus_setting() -> str:
    """The setting that says where the bus is."""
    return "DENDA_DATABASE_URL" if _shares() else "DENDA_BUS_URL"


def _shares() -> bool:
    """Whether the bus is a database beside the others."""
    return settings().bus_url == settings().database_url.replace("{service}", BUS)


def _has_keys() -> bool:
    return bool(settings().secret_key.get_secret_value() and settings().service_key.get_secret_value())


def _embedded_url(stack: ExitStack, *, alone: bool) -> str:
    data_dir = settings().data_dir
    # A database that a killed Denda left behind is taken over by `start`, which holds the directory's lock.
    if not alone and (url := embedded.running(data_dir)):
        return url
    with step(f"Starting PostgreSQL in {data_dir}"):
        url = embedded.start(data_dir)
    stack.callback(embedded.stop)
    return url


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.cache_clear()
