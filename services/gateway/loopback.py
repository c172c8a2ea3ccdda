"""Whether a request comes from somebody who sits at this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import request

from chassis.settings import settings

PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip")


def is_local_request() -> bool:
    """Whether the server listens to this machine only, and the request has not come through a proxy.

    The name in the address bar has to be a loopback one too: a page elsewhere could let its own name point here.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    proxied = any(name in request.headers for name in PROXY_HEADERS)
    return not proxied and all(_is_loopback(place) for place in (settings().bind, request.remote_addr or "", host))


def _is_loopback(place: str) -> bool:
    if place == "localhost":
        return True
    try:
        return ip_address(place).is_loopback
    except ValueError:
        return False
