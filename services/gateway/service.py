"""The gateway as servers that the runner starts and stops.

HTTP by cheroot, with threads and limits on what a visitor may send, and the door for mail.
"""

import socket
import threading

import structlog
from cheroot import wsgi

from chassis.errors import Unavailable
from chassis.settings import settings
from services import port
from services.gateway.app import create_app
from services.gateway.connections import Connection
from services.gateway.health import stopping
from services.gateway.mail_door import MailDoor
from services.gateway.rest.asked import BODY_BYTES
from services.gateway.settings import gateway_settings

HEADER_BYTES = 32 * 1024
# Connections that wait to be accepted while all threads are busy.
BACKLOG = 128
IDLE_SECONDS = 15

log = structlog.get_logger()


class _Server(wsgi.Server):
    max_request_header_size = HEADER_BYTES
    max_request_body_size = BODY_BYTES
    ConnectionClass = Connection

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind, and leave no open socket behind where that fails."""
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log that there was trouble; cheroot's own texts can hold a visitor's request."""
        log.info("http_server_trouble", level=level, unexpected=traceback, size=len(str(msg)))


class Gateway:
    """The edge of this process."""

    name = "gateway"

    def __init__(self) -> None:
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._mail = MailDoor()

    def start(self) -> None:
        """Bind the ports and serve. Raises Unavailable when one is taken."""
        server = self._bound()
        try:
            self._mail.start()
        except Unavailable:
            server.stop()
            raise
        stopping.clear()
        self._server = server
        self._thread = threading.Thread(target=server.serve, name="gateway-http", daemon=True)
        self._thread.start()

    @staticmethod
    def _bound() -> _Server:
        place = (settings().bind, port("gateway"))
        server = _Server(
            place,
            create_app(),
            numthreads=gateway_settings().http_threads,
            server_name="denda",
            request_queue_size=BACKLOG,
            timeout=IDLE_SECONDS,
            shutdown_timeout=int(settings().shutdown_seconds / 4),
        )
        try:
            server.prepare()
        except OSError as error:
            raise Unavailable(
                f"{place[0]}:{place[1]} is taken by another program ({error}). "
                "Stop it, or set DENDA_PORT_OFFSET to move all ports.",
                reason="PORT_TAKEN",
            ) from error
        return server

    def stop(self) -> None:
        """Finish what is under way and close."""
        stopping.set()
        self._mail.stop()
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(settings().shutdown_seconds)
        self._server = self._thread = None


EDGE = Gateway()
