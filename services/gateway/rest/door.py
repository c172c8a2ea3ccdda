"""The door of REST: everything under /v1/ that the contracts know."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound, UnsupportedMediaType

from services.gateway.rest.bindings import Match, bindings, find, verbs_of
from services.gateway.rest.calls import unary
from services.gateway.rest.cors import allow_origin, preflight
from services.gateway.rest.streams import streamed
from services.gateway.rest.transcode import json_of, request_of

rest = Blueprint("rest", __name__)
rest.after_request(allow_origin)

# A template may hold a million characters, and a program may send several languages of it at once.
BODY_BYTES = 4 * 1024 * 1024
ALL_VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
JSON = "application/json"


@rest.record_once
def _read_contracts(_state: object) -> None:
    # A rule that cannot be served stops the start and not the first request.
    bindings()


@rest.route("/v1/<path:resource>", methods=ALL_VERBS, provide_automatic_options=False)
def answer(resource: str) -> Response:
    """Answer any request by the rules in the contracts."""
    path = f"/v1/{resource}"
    verb = "GET" if request.method == "HEAD" else request.method
    match = find(verb, path)
    if match is None:
        return _no_such_call(path)
    rpc = match.binding.rpc
    query = request.args.items(multi=True) if request.query_string else ()
    message = request_of(match, query, _body(match))
    if rpc.streams:
        return streamed(rpc, message)
    return Response(json_of(unary(rpc, message)), content_type=JSON)


def _no_such_call(path: str) -> Response:
    known = verbs_of(path)
    if not known:
        raise NotFound("There is no such call; /openapi.json lists all, and /docs explains them.")
    if request.method == "OPTIONS":
        return preflight(known)
    raise MethodNotAllowed([*known, "OPTIONS"], f"{path[:200]} knows {', '.join(known)}.")


def _body(match: Match) -> bytes:
    """The body, which has to be JSON. Raises RequestEntityTooLarge and UnsupportedMediaType."""
    if not (request.environ.get("CONTENT_LENGTH") or request.environ.get("wsgi.input_terminated")):
        return b""
    request.max_content_length = BODY_BYTES
    body = request.get_data(cache=False)
    if body and match.binding.body and not request.is_json:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    return body
