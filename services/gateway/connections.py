"""cheroot's connections, made for programs that ask again and again on the same one.

cheroot reads in pure Python, sends an answer's head and body apart, and hands a connection back to its selector after
each answer; for a small answer that together takes longer than all the rest.
"""

import io
import select
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from cheroot.server import HTTPConnection, HTTPRequest

from services.gateway.problems import MEDIA_TYPE, Problem

# Milliseconds for which a thread that nobody else needs waits for the next request of the same connection.
LINGER = 2


class _Socket(socket.SocketIO):
    """A socket to read from, which is dry for whoever asks only for what has come already."""

    dry = False

    def readinto(self, buffer: Any) -> int | None:
        return None if self.dry else super().readinto(buffer)


class Reader(io.BufferedReader):
    """What a client sends."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._socket = _Socket(sock, "rb")
        super().__init__(self._socket, size)

    def has_data(self) -> bool:
        """Whether something was read that nobody has taken yet."""
        self._socket.dry = True
        try:
            return bool(self.peek(1))
        finally:
            self._socket.dry = False


class Writer:
    """What a client gets."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._kept = b""
        self._keeps = False

    def keep_next(self) -> None:
        """Send what is written next together with what follows it."""
        self._keeps = True

    def write(self, data: bytes) -> None:
        """Send it, and what was kept before it."""
        data, self._kept = self._kept + data, b""
        if self._keeps:
            self._kept, self._keeps = data, False
            return
        left = memoryview(data)
        while left:
            left = left[self._socket.send(left) :]

    def flush(self) -> None:
        """Send what was kept."""
        self.write(b"")


def _file(sock: socket.socket, mode: str, size: int) -> Reader | Writer:
    return Reader(sock, size) if "r" in mode else Writer(sock)


class Request(HTTPRequest):
    """A request whose answer's head goes with the beginning of the body."""

    def send_headers(self) -> None:
        """Write the head."""
        self.conn.wfile.keep_next()
        super().send_headers()

    def simple_response(self, status: str, msg: str = "") -> None:
        """Refuse what never reaches the application as the application would, and hear no more on this connection."""
        number, _, phrase = status.partition(" ")
        body = Problem(HTTPStatus(int(number)), msg or phrase).as_bytes()
        head = (
            "HTTP/1.1 " + status,
            f"Content-Type: {MEDIA_TYPE}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self.close_connection = True
        with suppress(OSError):
            self.conn.wfile.write("\r\n".join([*head, "", ""]).encode() + body)

    def respond(self) -> None:
        """Answer."""
        super().respond()
        self.conn.wfile.flush()


class Connection(HTTPConnection):
    """A connection that stays with its thread while requests follow each other at once."""

    RequestHandlerClass = Request

    def __init__(self, server: Any, sock: socket.socket, _makefile: Any) -> None:
        super().__init__(server, sock, _file)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def communicate(self) -> bool:
        """Answer requests; False when the connection is to be closed."""
        while super().communicate():  # type: ignore[no-untyped-call]  # the stubs leave it out
            if not self._asks_again():
                return True
        return False

    def _asks_again(self) -> bool:
        return self.rfile.has_data() or (not self.server.requests.qsize and bool(self._poll.poll(LINGER)))
