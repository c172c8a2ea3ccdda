"""A whole installation as separate processes on one machine, to be used, measured and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.client import OPTIONS, speaking_with
from denda.identity.v1.tokens_service_pb2 import ExchangeApiKeyRequest
from denda.identity.v1.tokens_service_pb2_grpc import TokensServiceStub
from services import PORTS

# Each process by name: the arguments of `denda serve`.
Processes = Mapping[str, Sequence[str]]
ONE_PROCESS_A_SERVICE: Processes = {name: (name,) for name in PORTS}
SERVICE_KEY = "a-service-key-only-for-tests-0123456789"


@dataclass
class Installation:
    """Processes by name, on the database and the bus that `environment` points at."""

    directory: Path
    environment: Mapping[str, str]
    port_offset: int
    processes: Processes = field(default_factory=lambda: ONE_PROCESS_A_SERVICE)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DENDA_DATA_DIR": str(self.directory),
            "DENDA_PORT_OFFSET": str(self.port_offset),
            "DENDA_SERVICE_KEY": SERVICE_KEY,
            "DENDA_SECRET_KEY": "a-secret-key-only-for-tests-0123456789",
            "DENDA_LOG_FORMAT": "json",
            **self.environment,
        }

    def _denda(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "services.cli", *arguments]

    def migrate(self) -> None:
        """Bring every database up to date."""
        subprocess.run(self._denda("migrate"), env=self._environment(), check=True, timeout=120, capture_output=True)

    def start(self, *names: str) -> None:
        """Start the named processes, or all of them."""
        for name in names or self.processes:
            with (self.directory / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    self._denda("serve", *self.processes[name]), env=self._environment(), stdout=log, stderr=log
                )

    def wait_until_ready(self, *services: str, seconds: float = 180) -> None:
        """Return when the named services (default: all with gRPC) say SERVING."""
        until = time.monotonic() + seconds
        for service in services or [name for name in self.processes if name in PORTS and name != "gateway"]:
            while not self._serving(service):
                if time.monotonic() > until or self.running[service].poll() is not None:
                    raise TimeoutError(f"{service} does not serve: {self.log(service)[-2000:]}")
                time.sleep(0.1)

    def _serving(self, service: str) -> bool:
        with grpc.insecure_channel(self.address(service)) as channel:
            try:
                check: Any = health_pb2_grpc.HealthStub(channel)
                answer = check.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def address(self, service: str) -> str:
        """Where a service listens."""
        return f"127.0.0.1:{PORTS[service] + self.port_offset}"

    def log(self, name: str) -> str:
        """What a process has logged."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """SIGKILL, as a machine that loses power would."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def stop(self, name: str) -> int:
        """SIGTERM, and wait for the end; answers the exit code."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=40)

    def memory(self) -> dict[str, int]:
        """Resident bytes of each process."""
        return {name: psutil.Process(process.pid).memory_info().rss for name, process in self.running.items()}

    def token(self) -> str:
        """A token of role SERVICE."""
        with grpc.insecure_channel(self.address("identity")) as identity:
            return TokensServiceStub(identity).ExchangeApiKey(ExchangeApiKeyRequest(secret=SERVICE_KEY)).access_token

    def channel(self, service: str) -> grpc.Channel:
        """A channel to a service that speaks with a token of role SERVICE."""
        token = self.token()
        return speaking_with(grpc.insecure_channel(self.address(service), options=OPTIONS), lambda: token)


@contextmanager
def started(installation: Installation) -> Iterator[Installation]:
    """An installation that is migrated, runs inside the block and is stopped after it."""
    installation.directory.mkdir(parents=True, exist_ok=True)
    installation.migrate()
    try:
        installation.start()
        installation.wait_until_ready()
        yield installation
    finally:
        for name in reversed(list(installation.running)):
            installation.stop(name)
