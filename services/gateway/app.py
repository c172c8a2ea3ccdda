"""The Flask application: its doors, the headers that every answer carries, and what is said when something fails."""

import re
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from flask import Flask, Response, g, jsonify, render_template, request
from prometheus_client import Histogram
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from chassis.errors import DendaError, InvalidArgument
from chassis.ids import new_id
from services import public_url
from services.gateway.health import health
from services.gateway.home import home
from services.gateway.problems import MEDIA_TYPE, TEMPORARY, Problem, problem_of, problem_of_our_own
from services.gateway.public.help import help_form
from services.gateway.public.links import links
from services.gateway.public.pages import broken_page, later_page
from services.gateway.public.portal import portal
from services.gateway.public.portal_links import portal_links
from services.gateway.public.preferences import preferences
from services.gateway.public.unsubscribe import unsubscribe
from services.gateway.reference.door import reference
from services.gateway.rest.door import rest
from services.gateway.sandbox import sandbox
from services.gateway.settings import gateway_settings

# A form of ours has a few hundred bytes, and what somebody writes to us a few thousand characters.
BODY_BYTES = 64 * 1024
FORM_PARTS = 500
REST = "/v1/"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,60}")
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

log = structlog.get_logger()
HTTP_SECONDS = Histogram("denda_http_seconds", "Time that the gateway's answers took.", ["endpoint", "status"])


def create_app() -> Flask:
    """The gateway as a WSGI application."""
    app = Flask(__name__)
    app.config |= {"MAX_CONTENT_LENGTH": BODY_BYTES, "MAX_FORM_MEMORY_SIZE": BODY_BYTES, "MAX_FORM_PARTS": FORM_PARTS}
    app.jinja_env.trim_blocks = True
    public = (links, unsubscribe, preferences, help_form, portal_links, portal)
    for door in (health, home, *public, sandbox, rest, reference):
        app.register_blueprint(door)
    if proxies := gateway_settings().http_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.context_processor(lambda: {"company": gateway_settings().company_name})
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DendaError, _own_error)
    app.register_error_handler(grpc.RpcError, _service_error)
    app.register_error_handler(Exception, _defect)
    return app


def _begin() -> None:
    # The id travels with every call to a service, and into the events that come of it.
    g.request_id, g.started = _request_id(), time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    # The server lets through what REST may need.
    if not request.path.startswith(REST) and (request.content_length or 0) > BODY_BYTES:
        raise RequestEntityTooLarge


def _request_id() -> str:
    """The id that a program gave its REST request, or a new one."""
    said = request.headers.get("X-Request-Id", "")
    return said if request.path.startswith(REST) and REQUEST_ID.fullmatch(said) else str(new_id())


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static":
        response.headers["Cache-Control"] = "public, max-age=3600"
    if public_url().startswith("https://"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
        spent = time.perf_counter() - g.started
        HTTP_SECONDS.labels(request.endpoint or "none", response.status_code).observe(spent)
    return response


def _http_error(error: HTTPException) -> Any:
    if error.response is not None or (error.code or 500) < 400:
        return error
    allow = tuple(error.valid_methods or ()) if isinstance(error, MethodNotAllowed) else ()
    return _answer(Problem(HTTPStatus(error.code or 500), error.description or "", allow=allow))


def _own_error(error: DendaError) -> Any:
    problem = problem_of_our_own(error)
    if isinstance(error, InvalidArgument) and request.blueprint in PUBLIC:
        problem = Problem(HTTPStatus.NOT_FOUND, problem.detail, problem.reason)
    return _answer(problem)


def _service_error(error: grpc.RpcError) -> Any:
    problem = problem_of(error)
    if request.blueprint in PUBLIC:
        # A visitor has done nothing wrong; a 5xx also makes a mail provider come back with its one-click POST.
        away = problem.status in TEMPORARY
        status = HTTPStatus.SERVICE_UNAVAILABLE if away else HTTPStatus.INTERNAL_SERVER_ERROR
        problem = replace(problem, status=status)
    tell = log.warning if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
    tell("service_call_failed", endpoint=request.endpoint, code=error.code().name, reason=problem.reason)
    return _answer(problem)


def _defect(error: Exception) -> Any:
    log.error("request_failed", endpoint=request.endpoint, exc_info=error)
    return _answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the log has it."))


def _answer(problem: Problem) -> Any:
    """The problem as a page for people, as problem details for programs that ask for JSON."""
    wanted = request.accept_mimetypes.best_match(["text/html", MEDIA_TYPE, "application/json"], "text/html")
    if wanted != "text/html" or request.path.startswith(REST):
        answer = jsonify(problem.as_json())
        answer.mimetype = MEDIA_TYPE
        return answer, problem.status, problem.headers()
    if problem.status is HTTPStatus.NOT_FOUND:
        return broken_page(), problem.status
    if request.blueprint in PUBLIC and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return later_page(), problem.status, problem.headers()
    return render_template("problem.html", problem=problem), problem.status, problem.headers()
