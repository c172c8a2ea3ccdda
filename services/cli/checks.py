"""What `denda doctor` looks at. Each check yields findings; a finding that is not good says what to do."""

import difflib
import importlib
import os
import shutil
import smtplib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from sqlalchemy import text

from chassis import clock, migrations
from chassis.client import plain_channel, public_keys
from chassis.errors import Unavailable
from chassis.settings import Settings, settings
from services import PORTS, address, port
from services.cli import installation, session
from services.cli.catalogue import GATEWAY, GRPC_SERVICES, services_named
from services.cli.dead_letters import queues
from services.cli.failures import explained, wrong_settings
from services.cli.settings import CliSettings
from services.cli.tokens import PASSWORD_VARIABLE
from services.notifications.providers.choice import provider_of
from services.notifications.states import Channel
from services.support import imap

LEAST_POSTGRES = 150_000
LEAST_DISK = 1024**3
MOST_SKEW = timedelta(seconds=5)
SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    state: Literal["good", "warning", "bad", "idle"]
    what: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def configuration() -> Iterator[Finding]:
    """Every DENDA_ variable is a setting, with a value that it can have; misspelt ones would be ignored in silence."""
    known = known_variables()
    wrong = {line for kind in settings_classes() for line in problems_of(kind)}
    for line in sorted(wrong):
        yield Finding("bad", line, "docs/operations.md lists the settings.")
    unknown = sorted(name for name in os.environ if name.startswith("DENDA_") and name not in known)
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "docs/operations.md lists the settings."
        yield Finding("bad", f"{name} is no setting", remedy)
    if not unknown and not wrong:
        count = sum(1 for name in os.environ if name in known)
        yield Finding("good", f"{count} settings come from the environment, all others have their defaults")


def problems_of(kind: type[BaseSettings]) -> list[str]:
    """What is wrong with the values of these settings, one line each."""
    try:
        kind()
    except ValidationError as error:
        return wrong_settings(error)
    return []


def known_variables() -> set[str]:
    """The names of all settings in the environment."""
    fields = {field for kind in settings_classes() for field in kind.model_fields}
    return {f"DENDA_{field.upper()}" for field in fields} | {"AMQP_URL", PASSWORD_VARIABLE}


def settings_classes() -> list[type[BaseSettings]]:
    """The settings of the plumbing, of this command and of every service."""
    classes: list[type[BaseSettings]] = [Settings, CliSettings]
    for name in PORTS:
        try:
            module = importlib.import_module(f"services.{name}.settings")
        except ModuleNotFoundError:
            continue
        classes += [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, BaseSettings)]
    return classes


def disk() -> Iterator[Finding]:
    """The data directory has room."""
    place = settings().data_dir.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / 1024**3:.1f} GiB free at {place}"
    if free < LEAST_DISK:
        yield Finding("bad", said, "Free some space, or move DENDA_DATA_DIR to a larger disk.")
    else:
        yield Finding("good", said)


def databases() -> Iterator[Finding]:
    """Every database answers, is new enough, migrated, and agrees with this machine about the time."""
    for service in services_named(GRPC_SERVICES):
        try:
            with service.database.engine.connect() as connection:
                version, moment = connection.execute(
                    text("SELECT current_setting('server_version_num')::int, clock_timestamp()")
                ).one()
            missing = migrations.pending(service)
        finally:
            service.database.close()
        skew = abs(clock.now() - moment)
        if version < LEAST_POSTGRES:
            yield Finding(
                "bad", f"{service.name}: PostgreSQL {version // 10_000}", "Denda needs PostgreSQL 15 or newer."
            )
        elif missing:
            yield Finding("bad", f"{service.name} lacks migrations: {', '.join(missing)}", "Run `denda migrate`.")
        elif skew > MOST_SKEW:
            remedy = "Let NTP set the clock of both machines: tokens, leases and schedules depend on it."
            yield Finding("bad", f"{service.name}: the clocks differ by {skew.total_seconds():.0f} s", remedy)
        else:
            yield Finding("good", f"{service.name}: PostgreSQL {version // 10_000}, migrated, clocks agree")


def broker() -> Iterator[Finding]:
    """The bus answers, and nothing lies among its dead letters."""
    bus = installation.bus()
    kind = "RabbitMQ" if settings().bus_url.startswith("amqp") else "PostgreSQL tables"
    yield Finding("good", f"{kind} answers")
    try:
        for queue in queues():
            # A queue is made when its service first starts; making it now does no harm.
            bus.declare(queue, [])
            dead = len(bus.dead(queue, 1000))
            if dead:
                remedy = f"`denda events dead list {queue}` shows why; then replay or drop them."
                yield Finding("warning", f"{queue}: {dead} dead letters", remedy)
            else:
                yield Finding("good", f"{queue}: {bus.depth(queue)} waiting, no dead letters")
    finally:
        bus.close()


def ports() -> Iterator[Finding]:
    """Every port is Denda's or free."""
    for name in PORTS:
        if name != GATEWAY and _serves(name):
            yield Finding("good", f"{name} serves at {address(name)}")
        elif not _is_taken(port(name)):
            yield Finding("idle", f"{name} is not running here; port {port(name)} is free")
        elif name == GATEWAY:
            yield Finding("good", f"{name} listens on port {port(name)}")
        else:
            remedy = "Stop that program, or set DENDA_PORT_OFFSET to move all ports."
            yield Finding(
                "bad", f"{name}: another program, or a service that is not ready, has port {port(name)}", remedy
            )


def identity() -> Iterator[Finding]:
    """The service identity publishes keys and gives tokens for the key at hand."""
    if not _serves("identity"):
        yield Finding("idle", "identity is not running, so no token was asked for")
        return
    keys = public_keys(address("identity"))
    yield Finding("good", f"identity publishes its keys, and {len(keys.revocations)} revocations")
    session.token_source()()
    yield Finding("good", "identity gives a token for the key at hand")


def providers() -> Iterator[Finding]:
    """Whoever takes messages can be reached."""
    for channel in Channel:
        provider = provider_of(channel)
        try:
            provider.check()
        except (OSError, smtplib.SMTPException) as error:
            remedy = f"Is it running? Check the settings that begin with DENDA_{provider.name.upper()}_."
            yield Finding("bad", f"{channel.name.lower()}: {provider.name} does not answer: {error}", remedy)
        else:
            yield Finding("good", f"{channel.name.lower()}: {provider.name} answers")


def mailbox() -> Iterator[Finding]:
    """The mailbox that is polled for mail can be opened."""
    try:
        name = imap.look()
    except Unavailable as error:
        yield Finding("bad", error.message, "Check DENDA_IMAP_URL: server, user, password and folder.")
        return
    told = f"{name} can be opened" if name else "none is polled; DENDA_IMAP_URL would name one"
    yield Finding("good" if name else "idle", told)


CHECKS: dict[str, Check] = {
    "configuration": configuration,
    "disk": disk,
    "databases": databases,
    "bus": broker,
    "providers": providers,
    "mailbox": mailbox,
    "ports": ports,
    "identity": identity,
}


def findings(check: Check) -> Iterator[Finding]:
    """What a check found; what keeps it from looking is a finding too."""
    try:
        yield from check()
    except Exception as error:
        told = explained(error) or getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        what, _, remedy = str(told).partition("\n")
        yield Finding("bad", what, remedy)


def _serves(name: str) -> bool:
    try:
        stub: Any = health_pb2_grpc.HealthStub(plain_channel(address(name)))
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _is_taken(number: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(SECONDS)
        return probe.connect_ex((settings().bind, number)) == 0
