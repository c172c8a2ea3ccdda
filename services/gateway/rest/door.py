"""The door of REST: everything under /v1/ that the contracts know.

It is an application beside Flask's: of what Flask does for each request nothing is needed here, and it takes as long
as all the rest.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from werkzeug.exceptions import MethodNotAllowed, NotFound, UnsupportedMediaType
from werkzeug.wrappers import Response

from services.gateway.problems import MEDIA_TYPE, log_failure, problem_in
from services.gateway.rest.asked import Asked
from services.gateway.rest.bindings import Match, find, verbs_of
from services.gateway.rest.calls import unary
from services.gateway.rest.cors import allow_origin, preflight
from services.gateway.rest.streams import streamed
from services.gateway.rest.transcode import json_of, request_of
from services.gateway.timing import http_seconds

PREFIX = "/v1/"
JSON = "application/json"
ENDPOINT = "rest"


def rest(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer any request by the rules in the contracts, as a WSGI application."""
    started = time.perf_counter()
    asked = Asked(environ)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=asked.request_id)
    try:
        answer = _answer(asked)
    except Exception as error:
        answer = _refusal(error)
    answer.headers["X-Request-Id"] = asked.request_id
    allow_origin(asked, answer)
    http_seconds(ENDPOINT, answer.status_code).observe(time.perf_counter() - started)
    return answer(environ, start_response)


def _answer(asked: Asked) -> Response:
    verb = "GET" if asked.method == "HEAD" else asked.method
    match = find(verb, asked.path)
    if match is None:
        return _no_such_call(asked)
    rpc = match.binding.rpc
    query = asked.args.items(multi=True) if asked.query_string else ()
    message = request_of(match, query, _body(asked, match))
    if rpc.streams:
        return streamed(asked, rpc, message)
    return Response(json_of(unary(asked, rpc, message)), content_type=JSON)


def _refusal(error: Exception) -> Response:
    problem = problem_in(error)
    log_failure(error, problem, ENDPOINT)
    return Response(problem.as_bytes(), problem.status, problem.headers(), content_type=MEDIA_TYPE)


def _no_such_call(asked: Asked) -> Response:
    known = verbs_of(asked.path)
    if not known:
        raise NotFound("There is no such call; /openapi.json lists all, and /docs explains them.")
    if asked.method == "OPTIONS":
        return preflight(asked, known)
    raise MethodNotAllowed([*known, "OPTIONS"], f"{asked.path[:200]} knows {', '.join(known)}.")


def _body(asked: Asked, match: Match) -> bytes:
    """The body, which has to be JSON. Raises RequestEntityTooLarge and UnsupportedMediaType."""
    if not (asked.environ.get("CONTENT_LENGTH") or asked.environ.get("wsgi.input_terminated")):
        return b""
    body = asked.get_data(cache=False)
    if body and match.binding.body and not asked.is_json:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    return body
