"""Liveness and readiness of the edge itself.

Readiness does not ask the services: while one is away the edge still has to say so to people and mail providers.
"""

import threading
from http import HTTPStatus

from flask import Blueprint, Response

from chassis.settings import settings

health = Blueprint("health", __name__)
# Set while the process stops, so that no new visitors are sent here.
stopping = threading.Event()


@health.get("/healthz")
def alive() -> Response:
    """Say that the process answers."""
    return Response("ok\n", mimetype="text/plain")


@health.get("/readyz")
def ready() -> Response:
    """Say whether visitors may be sent here."""
    missing = [name for name in ("secret_key", "service_key") if not getattr(settings(), name).get_secret_value()]
    if stopping.is_set():
        return _not_ready("stopping")
    if missing:
        return _not_ready("missing settings: " + ", ".join(f"DENDA_{name.upper()}" for name in missing))
    return Response("ready\n", mimetype="text/plain")


def _not_ready(why: str) -> Response:
    return Response(f"{why}\n", HTTPStatus.SERVICE_UNAVAILABLE, mimetype="text/plain")
