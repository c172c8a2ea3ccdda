"""The edge as a server: it binds and stops, and takes no more from a visitor than it needs."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.errors import Unavailable
from services import port
from services.gateway.service import HEADER_BYTES, Gateway


@pytest.fixture
def edge() -> Iterator[Gateway]:
    edge = Gateway()
    edge.start()
    yield edge
    edge.stop()


def connection() -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port("gateway"), timeout=20)


def status_of(method: str, path: str, **options: object) -> int:
    client = connection()
    client.request(method, path, **options)  # type: ignore[arg-type]
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status


def test_it_serves_until_it_is_stopped_and_can_start_again(edge: Gateway) -> None:
    assert status_of("GET", "/healthz") == 200
    edge.stop()
    with pytest.raises(ConnectionRefusedError):
        status_of("GET", "/healthz")
    edge.start()
    assert status_of("GET", "/readyz") == 200


def test_a_taken_port_is_told_with_its_remedy(edge: Gateway) -> None:
    with pytest.raises(Unavailable, match="DENDA_PORT_OFFSET"):
        Gateway().start()


def test_headers_and_bodies_have_limits(edge: Gateway) -> None:
    assert status_of("GET", "/healthz", headers={"X-Long": "x" * (HEADER_BYTES + 1)}) == 413
    with socket.create_connection(("127.0.0.1", port("gateway")), timeout=20) as raw:
        raw.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert b" 413 " in raw.recv(1000)


def test_nonsense_is_refused_and_the_next_visitor_served(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", port("gateway")), timeout=20) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in raw.recv(1000)
    assert status_of("GET", "/healthz") == 200


def test_alone_it_needs_neither_database_nor_bus(tmp_path: Path) -> None:
    nothing = {"DENDA_DATABASE_URL": "", "DENDA_BUS_URL": "", "DENDA_DATA_DIR": str(tmp_path / "none")}
    command = [sys.executable, "-m", "services.cli", "serve", "gateway"]
    with subprocess.Popen(command, env=os.environ | nothing, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "Serving gateway" in process.stderr.readline()
        assert status_of("GET", "/readyz") == 200
        process.terminate()
        assert process.wait() == 0
    assert not (tmp_path / "none").exists()
