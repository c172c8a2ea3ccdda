"""A private RabbitMQ node in a folder of its own, to be stopped, restarted and killed at will."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pytest
from pika.exceptions import AMQPConnectionError

from tests.kit.ports import free_block

# Debian's /usr/sbin/rabbitmq-server changes to the account of the system's node; the program behind it does not.
PROGRAMS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/sbin"), Path("/usr/local/sbin"))


class NotInstalledError(Exception):
    """A server is not on this machine and could not be put there."""


@contextmanager
def or_skipped() -> Iterator[None]:
    """What needs a server that cannot be had fails in CI, and is skipped elsewhere."""
    try:
        yield
    except NotInstalledError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason))
        pytest.skip(str(reason))


def programs() -> Path:
    """The folder of RabbitMQ's programs, installed from the system's packages where that is permitted."""
    found = next((folder for folder in PROGRAMS if (folder / "rabbitmq-server").exists()), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "rabbitmq-server"]):
            subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        found = next((folder for folder in PROGRAMS if (folder / "rabbitmq-server").exists()), None)
    if found is None:
        raise NotInstalledError("RabbitMQ is missing (Debian, Ubuntu: apt-get install rabbitmq-server)")
    return found


@dataclass
class RabbitNode:
    """One node; `start` returns when it takes connections."""

    folder: Path
    # It takes this port and the next two, also when it has been away for a while.
    port: int = field(default_factory=free_block)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F?heartbeat=30&blocked_connection_timeout=30"

    @property
    def _names_port(self) -> int:
        return self.port + 2

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 50MB\n"
            "log.console.level = warning\n"
        )
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs() / "rabbitmq-server"],
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def stop(self) -> None:
        """Stop the node in order; queues that are durable survive."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order and start again on the same port."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop the node for good, with the name server that it started."""
        if self._process is not None:
            self.stop()
        environment = {**os.environ, "ERL_EPMD_PORT": str(self._names_port)}
        subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return {
            **kept,
            # The node's cookie is written to the home folder.
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": f"denda{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
        }

    def _wait(self, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                pika.BlockingConnection(pika.URLParameters(self.url)).close()
            except (AMQPConnectionError, OSError):
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > until:
                    raise RuntimeError(f"RabbitMQ does not start: {self.log()[-2000:]}") from None
                time.sleep(0.2)
            else:
                return

    def log(self) -> str:
        """What the node has logged."""
        return (self.folder / "node.log").read_text(errors="replace")

    def _end(self, way: signal.Signals) -> None:
        if self._process is None:
            return
        # The node is a shell, the machine below it and its ports: all in the group that `start` has made.
        os.killpg(self._process.pid, way)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None
