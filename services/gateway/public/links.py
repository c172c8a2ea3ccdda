"""Tracked links and the open pixel. A link leads only where campaigns has registered it at launch."""

from base64 import b64decode
from http import HTTPStatus

import grpc
import structlog
from flask import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

from services.gateway import clients

links = Blueprint("links", __name__)
log = structlog.get_logger()

# One transparent pixel, GIF89a.
PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
# What browsers and mail clients say when they fetch something before anybody asks for it.
PREFETCH_HEADERS = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")
PREFETCH_WORDS = ("prefetch", "preview", "prerender")
BROKEN = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


@links.get("/l/<token>")
def follow(token: str) -> WerkzeugResponse:
    """Record the click and send the reader on."""
    try:
        target = clients.link_target(token, _visit())
    except grpc.RpcError as error:
        if error.code() in BROKEN:
            abort(HTTPStatus.NOT_FOUND)
        raise
    if not target.startswith(("https://", "http://")):
        abort(HTTPStatus.NOT_FOUND)
    return redirect(target)


@links.get("/o/<token>.gif")
def pixel(token: str) -> Response:
    """Record the open; the image is there whatever happens, since a broken one helps nobody."""
    try:
        clients.record_open(token, _visit())
    except grpc.RpcError as error:
        log.info("open_not_recorded", code=error.code().name)
    return Response(PIXEL, mimetype="image/gif")


def _visit() -> clients.Visit:
    hints = " ".join(request.headers.get(name, "") for name in PREFETCH_HEADERS).lower()
    machine = request.method == "HEAD" or any(word in hints for word in PREFETCH_WORDS)
    return clients.Visit(request.headers.get("User-Agent", ""), machine)
