"""Ports for an installation beside whatever else runs on this machine."""

import random
import socket
from contextlib import ExitStack

from services import PORTS

# The gateway's door for mail, which is not a service's.
MAIL_PORT = 7125


def free_offset() -> int:
    """An offset at which no port of an installation is taken."""
    while True:
        offset = random.randrange(2000, 25000, 100)
        with ExitStack() as probes:
            try:
                for port in (*PORTS.values(), MAIL_PORT):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return offset
