"""Ports for what tests start beside whatever else runs on this machine."""

import os
import random
import socket
from contextlib import ExitStack

from services import PORTS

# Room for every port of an installation. The last block ends below the ports that outgoing connections get.
BLOCK = 100
LOWEST = min(PORTS.values())
BLOCKS = range(LOWEST + 2000, LOWEST + 25000, BLOCK)


def _own_blocks() -> list[int]:
    """The blocks of this process, in any order: where several run the tests, no two have one in common."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = BLOCKS[number::count]
    return random.sample(own, len(own))


_left = _own_blocks()


def free_block() -> int:
    """The first of a hundred ports on which nobody listens; no other call gets the same."""
    while True:
        first = _left.pop()
        with ExitStack() as probes:
            try:
                for port in range(first, first + BLOCK):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


def free_offset() -> int:
    """An offset that puts every port of an installation into a free block."""
    return free_block() - LOWEST
