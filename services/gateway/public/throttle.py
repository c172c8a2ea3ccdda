"""How often somebody may do something, counted in this process: enough against floods, and nothing to keep."""

import threading
import time
from collections import OrderedDict
from ipaddress import ip_address, ip_network

from flask import request

# Whoever has not come for the longest is forgotten first.
REMEMBERED = 20_000


class Throttle:
    """Lets each key pass so many times, and one more each time that a part of the period has gone by."""

    def __init__(self, times: int, seconds: float) -> None:
        self.wait = seconds / times
        self._times = times
        self._lock = threading.Lock()
        # When each key will have used up nothing.
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def passes(self, key: str) -> bool:
        """Count one more for the key, unless that is too much."""
        moment = time.monotonic()
        with self._lock:
            free_at = max(self._free_at.get(key, 0.0), moment) + self.wait
            if free_at > moment + self._times * self.wait:
                return False
            self._free_at[key] = free_at
            self._free_at.move_to_end(key)
            if len(self._free_at) > REMEMBERED:
                self._free_at.popitem(last=False)
            return True


def visitors_address() -> str:
    """Where the request comes from; in IPv6 a household has all the addresses of a /64."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return ""
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))
