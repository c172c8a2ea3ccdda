"""Commands explain themselves and tell expected failures in a sentence, without a traceback."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest

from services.cli import main
from services.cli.failures import explained
from tests.cli.conftest import Denda

NOWHERE = "postgresql://nobody:x@127.0.0.1:1/{service}"
LOST = {"DENDA_DATABASE_URL": NOWHERE}
KEYS = {"DENDA_SECRET_KEY": "s" * 32, "DENDA_SERVICE_KEY": "k" * 32}


def commands(command: click.Command, name: str = "denda") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from commands(inner, f"{name} {inner.name}")


EVERY = dict(commands(main))


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_every_option_says_what_it_does(name: str) -> None:
    command = EVERY[name]
    assert command.help
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", EVERY)
def test_help_can_be_asked_for_everywhere(name: str, denda: Denda) -> None:
    assert denda(*name.split()[1:], "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["token"], {"DENDA_DATA_DIR": "/nonexistent"}, "no key to speak with"),
        (["campaign", "list"], {"DENDA_SERVICE_KEY": "k", "DENDA_PORT_OFFSET": "50000"}, "Is Denda running"),
        (["migrate"], {**LOST, **KEYS}, "Is PostgreSQL running there"),
        (["migrate"], {"DENDA_DATABASE_URL": "no url at all", **KEYS}, "DENDA_DATABASE_URL"),
        (["migrate"], {"DENDA_DATABASE_URL": "postgresql://x@db.invalid/one", **KEYS}, "needs {service}"),
        (["serve", "contacts"], LOST, "DENDA_SECRET_KEY"),
        (["serve", "gateway", "--role", "worker"], {}, "only the role api"),
        (["serve", "identity"], {"DENDA_GRPC_THREADS": "many"}, "DENDA_GRPC_THREADS"),
        (["events", "dead", "list"], {**LOST, **KEYS}, "in DENDA_DATABASE_URL"),
        (["events", "dead", "list"], {**LOST, **KEYS, "DENDA_BUS_URL": "amqp://127.0.0.1:1"}, "RabbitMQ"),
        (["events", "dead", "list"], {**LOST, **KEYS, "DENDA_BUS_URL": "ftp://x"}, "DENDA_BUS_URL is wrong"),
        (["events", "dead", "drop", "contacts.events"], {}, "--all"),
        (["events", "dead", "list", "nobody.events"], {}, "there are: contacts.events"),
        (["import", "people", "/nonexistent.csv"], {}, "does not exist"),
    ],
)  # fmt: skip
def test_an_expected_failure_is_told_in_words(
    arguments: list[str], environment: dict[str, str], told: str, denda: Denda
) -> None:
    result = denda(*arguments, **environment)
    assert result.exit_code in {1, 2}
    assert told in result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "port is taken"),
        (PermissionError(errno.EACCES, "Permission denied"), "Not permitted"),
        (psycopg.errors.DiskFull("could not extend file: No space left on device"), "disk of the database is full"),
        (psycopg.OperationalError("password authentication failed for user"), "Check user and password"),
    ],
)
def test_a_failure_names_its_remedy(error: Exception, told: str) -> None:
    assert told in str(explained(error))


def test_a_defect_is_no_expected_failure() -> None:
    assert explained(KeyError("x")) is None


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--map", "email", "is not COLUMN=FIELD"), ("--consent", "marketing:post", "with a channel of email, sms, voice")],
)
def test_an_option_that_cannot_be_understood_is_explained(
    option: str, value: str, told: str, denda: Denda, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\na@b.example\n")
    result = denda("import", "people", str(file), option, value)
    assert result.exit_code == 2
    assert told in re.sub(r"\s+", " ", result.output)
