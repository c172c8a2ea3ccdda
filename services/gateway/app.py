"""The Flask application: its doors, the headers that every answer carries, and what is said when something fails."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from chassis.errors import InvalidArgument
from chassis.ids import new_id
from services import public_url
from services.gateway.health import health
from services.gateway.home import home
from services.gateway.problems import MEDIA_TYPE, TEMPORARY, Problem, log_failure, problem_in
from services.gateway.public.help import help_form
from services.gateway.public.links import links
from services.gateway.public.pages import broken_page, later_page
from services.gateway.public.portal import portal
from services.gateway.public.portal_links import portal_links
from services.gateway.public.preferences import preferences
from services.gateway.public.unsubscribe import unsubscribe
from services.gateway.reference.door import reference
from services.gateway.rest.bindings import bindings
from services.gateway.rest.door import PREFIX, rest
from services.gateway.sandbox import sandbox
from services.gateway.settings import gateway_settings
from services.gateway.timing import http_seconds

# A form of ours has a few hundred bytes, and what somebody writes to us a few thousand characters.
BODY_BYTES = 64 * 1024
FORM_PARTS = 500
PUBLIC = {"links", "unsubscribe", "preferences", "help_form", "portal", "portal_links"}
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # URLs here carry tokens, which are nobody else's business.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "interest-cohort=(), browsing-topics=()",
}
SECURE = {"Strict-Transport-Security": "max-age=31536000"}

log = structlog.get_logger()


def create_app() -> Flask:
    """The gateway as a WSGI application."""
    app = _Edge(__name__)
    app.config |= {"MAX_CONTENT_LENGTH": BODY_BYTES, "MAX_FORM_MEMORY_SIZE": BODY_BYTES, "MAX_FORM_PARTS": FORM_PARTS}
    app.jinja_env.trim_blocks = True
    public = (links, unsubscribe, preferences, help_form, portal_links, portal)
    for door in (health, home, *public, sandbox, reference):
        app.register_blueprint(door)
    if proxies := gateway_settings().http_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.context_processor(lambda: {"company": gateway_settings().company_name})
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failed)
    # A rule that cannot be served stops the start and not the first request.
    bindings()
    app.wsgi_app = _with_headers(_beside_rest(app.wsgi_app))  # type: ignore[method-assign]  # Flask's own way to wrap it
    return app


class _Edge(Flask):
    """Flask without the question, five times a request, whether a function is asynchronous: none here is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return func


def _beside_rest(app: Callable[..., Any]) -> Callable[..., Any]:
    """An application that leaves to REST what is REST's."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return (rest if environ["PATH_INFO"].startswith(PREFIX) else app)(environ, start_response)

    return answer


def _with_headers(app: Callable[..., Any]) -> Callable[..., Any]:
    """An application that adds HEADERS where an answer does not say otherwise."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            said = {name.lower() for name, _ in headers}
            added = _headers(secure=public_url().startswith("https://"))
            headers += [(name, value) for key, name, value in added if key not in said]
            return start_response(status, headers, *failure)

        return app(environ, start)

    return answer


@cache
def _headers(*, secure: bool) -> list[tuple[str, str, str]]:
    """HEADERS, each with its name in lower case before it."""
    return [(name.lower(), name, value) for name, value in (HEADERS | (SECURE if secure else {})).items()]


def _begin() -> None:
    # The id travels with every call to a service, and into the events that come of it.
    g.request_id, g.started = str(new_id()), time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    # The server lets through what REST may need.
    if (request.content_length or 0) > BODY_BYTES:
        raise RequestEntityTooLarge


def _finish(response: Response) -> Response:
    if request.endpoint == "static":
        response.headers["Cache-Control"] = "public, max-age=3600"
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
        spent = time.perf_counter() - g.started
        http_seconds(request.endpoint or "none", response.status_code).observe(spent)
    return response


def _http_error(error: HTTPException) -> Any:
    if error.response is not None or (error.code or 500) < 400:
        return error
    return _failed(error)


def _failed(error: Exception) -> Any:
    problem = problem_in(error)
    if request.blueprint in PUBLIC:
        problem = _for_visitors(error, problem)
    log_failure(error, problem, request.endpoint or "none")
    return _answer(problem)


def _for_visitors(error: Exception, problem: Problem) -> Problem:
    """A visitor has done nothing wrong; a 5xx also makes a mail provider come back with its one-click POST."""
    if isinstance(error, InvalidArgument):
        return Problem(HTTPStatus.NOT_FOUND, problem.detail, problem.reason)
    if isinstance(error, grpc.RpcError):
        away = problem.status in TEMPORARY
        return replace(problem, status=HTTPStatus.SERVICE_UNAVAILABLE if away else HTTPStatus.INTERNAL_SERVER_ERROR)
    return problem


def _answer(problem: Problem) -> Any:
    """The problem as a page for people, as problem details for programs that ask for JSON."""
    wanted = request.accept_mimetypes.best_match(["text/html", MEDIA_TYPE, "application/json"], "text/html")
    if wanted != "text/html":
        return Response(problem.as_bytes(), problem.status, problem.headers(), content_type=MEDIA_TYPE)
    if problem.status is HTTPStatus.NOT_FOUND:
        return broken_page(), problem.status
    if request.blueprint in PUBLIC and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return later_page(), problem.status, problem.headers()
    return render_template("problem.html", problem=problem), problem.status, problem.headers()
