"""How long answers took."""

from functools import cache

from prometheus_client import Histogram

HTTP_SECONDS = Histogram("denda_http_seconds", "Time that the gateway's answers took.", ["endpoint", "status"])


@cache
def http_seconds(endpoint: str, status: int) -> Histogram:
    """The measure of an endpoint's answers of a status."""
    return HTTP_SECONDS.labels(endpoint, status)
