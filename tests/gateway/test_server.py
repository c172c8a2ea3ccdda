"""The edge as a server: it binds and stops, and takes no more from a visitor than it needs."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chassis.errors import Unavailable
from services import port
from services.gateway.connections import LINGER
from services.gateway.rest.asked import BODY_BYTES
from services.gateway.service import HEADER_BYTES, Gateway
from services.gateway.settings import gateway_settings


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
    status = answered(client)
    client.close()
    return status


def answered(client: http.client.HTTPConnection) -> int:
    answer = client.getresponse()
    answer.read()
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


def test_what_is_too_large_for_the_server_is_a_problem_too(edge: Gateway) -> None:
    client = connection()
    client.putrequest("POST", "/v1/people")
    client.putheader("Content-Length", str(BODY_BYTES + 1))
    client.endheaders()
    answer = client.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert "maximum" in json.loads(answer.read())["detail"]
    client.close()


def test_nonsense_is_refused_and_the_next_visitor_served(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", port("gateway")), timeout=20) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in raw.recv(1000)
    assert status_of("GET", "/healthz") == 200


def test_requests_of_one_connection_are_answered_in_order_whether_they_come_together_or_apart(edge: Gateway) -> None:
    ask = b"%s %s HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port("gateway")), timeout=20) as raw:
        raw.sendall(ask % (b"GET", b"/healthz") + ask % (b"GET", b"/nowhere") + ask % (b"HEAD", b"/healthz"))
        assert _statuses(raw, 3) == [b"200", b"404", b"200"]
        for pause in (0.0, 3 * LINGER / 1000):
            time.sleep(pause)
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHo")
            time.sleep(pause)
            raw.sendall(b"st: x\r\n\r\n")
            assert _statuses(raw, 1) == [b"200"]


def test_an_answer_leaves_in_one_piece(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", port("gateway")), timeout=20) as raw:
        raw.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = raw.recv(1_000_000).partition(b"\r\n\r\n")
        assert b" 200 " in head
        assert body.startswith(b"{")


def test_connections_that_stay_open_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_HTTP_THREADS", "2")
    gateway_settings.cache_clear()
    edge = Gateway()
    edge.start()
    clients = [connection() for _ in range(12)]
    try:
        for _ in range(3):
            for client in clients:
                client.request("GET", "/healthz")
            answers = [answered(client) for client in clients]
    finally:
        for client in clients:
            client.close()
        edge.stop()
    assert answers == [200] * len(clients)


def _statuses(raw: socket.socket, count: int) -> list[bytes]:
    """The statuses of so many answers, none of which has a blank line in its body."""
    heard = b""
    while heard.count(b"\r\n\r\n") < count:
        heard += raw.recv(100_000)
    return re.findall(rb"HTTP/1.1 (\d{3}) ", heard)


@contextmanager
def alone(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """The gateway as a process of its own that says that it serves."""
    command = [sys.executable, "-m", "services.cli", "serve", "gateway"]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "Serving gateway" in process.stderr.readline()
        try:
            yield process
        finally:
            process.kill()


def test_alone_it_needs_neither_database_nor_bus(tmp_path: Path) -> None:
    with alone(DENDA_DATABASE_URL="", DENDA_BUS_URL="", DENDA_DATA_DIR=str(tmp_path / "none")) as process:
        assert status_of("GET", "/readyz") == 200
        process.terminate()
        assert process.wait(30) == 0
    assert not (tmp_path / "none").exists()


def test_it_can_be_stopped_the_moment_it_serves() -> None:
    with alone() as process:
        process.terminate()
        assert process.wait(30) == 0
