"""A shop that `denda up` runs in a process of its own, and the command in this one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chassis.client import forget_channels
from chassis.settings import settings
from services import PORTS
from services.cli import main, session
from services.cli.settings import cli_settings
from tests.kit.doors import service_named
from tests.kit.ports import free_offset

Denda = Callable[..., Result]
OFFSET = free_offset()
READY = "whether all is well"


@dataclass
class Shop:
    """An installation on the embedded default, in a directory and on ports of its own."""

    directory: Path
    port_offset: int
    process: subprocess.Popen[str] | None = None
    shown: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a terminal beside it would set."""
        return {"DENDA_DATA_DIR": str(self.directory), "DENDA_PORT_OFFSET": str(self.port_offset)}

    def start(self, *options: str) -> str:
        """Run `denda up` until it is ready; answers what it showed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", *options],
            env={**without_settings(), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.process, self.shown = process, []
        assert process.stdout
        for line in process.stdout:
            self.shown.append(line)
            if READY in line:
                break
        else:
            raise AssertionError("denda up has ended: " + "".join(self.shown))
        return "".join(self.shown)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal and wait; answers exit code and last words."""
        assert self.process
        self.process.send_signal(number)
        words, _ = self.process.communicate(timeout=60)
        code, self.process = self.process.returncode, None
        return code, words


def without_settings() -> dict[str, str]:
    """The environment without any setting of Denda's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DENDA_")}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A shop that runs, without the demo."""
    with _a_shop() as place:
        place.start("--no-demo")
        yield place
        if place.process:
            place.stop()


@pytest.fixture
def empty_shop() -> Iterator[Shop]:
    """A shop on the same ports that nobody has started yet."""
    with _a_shop() as place:
        yield place


@contextmanager
def _a_shop() -> Iterator[Shop]:
    # Not below pytest's own directory: the database's account must get through.
    directory = Path(tempfile.mkdtemp(prefix="denda-shop-"))
    yield Shop(directory / "data", OFFSET)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def denda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Denda]:
    """`denda("token", DENDA_API_KEY="…")` runs the command in this process, without any other setting."""
    for name in [name for name in os.environ if name.startswith("DENDA_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _forget()
        return CliRunner().invoke(main, arguments, prog_name="denda")

    yield run
    _forget()


def _forget() -> None:
    settings.cache_clear()
    session.token_source.cache_clear()
    cli_settings.cache_clear()
    forget_channels()
    for name in PORTS:
        if name != "gateway":
            service_named(name).database.close()


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Return when it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.2)
