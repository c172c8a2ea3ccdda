"""Which pages of other origins may use REST from a browser: none, unless DENDA_CORS_ORIGINS names them.

Credentials travel in headers that a page has to set itself and never in cookies, so naming an origin gives it nothing
that it has no token for.
"""

from http import HTTPStatus

from werkzeug.wrappers import Request, Response

from services.gateway.settings import gateway_settings

REQUEST_HEADERS = "Authorization, Content-Type, Grpc-Timeout, X-Api-Key, X-Request-Id"
RESPONSE_HEADERS = "Retry-After, X-Request-Id"
# Seconds for which a browser need not ask again.
REMEMBERED = "3600"


def preflight(asked: Request, verbs: list[str]) -> Response:
    """The answer to OPTIONS: what may be done there, also from other origins where they are allowed."""
    answer = Response(status=HTTPStatus.NO_CONTENT)
    answer.headers["Allow"] = ", ".join([*verbs, "OPTIONS"])
    if _allowed(asked):
        answer.headers["Access-Control-Allow-Methods"] = ", ".join(verbs)
        answer.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        answer.headers["Access-Control-Max-Age"] = REMEMBERED
    return answer


def allow_origin(asked: Request, answer: Response) -> None:
    """Let a page of an allowed origin read the answer."""
    if not gateway_settings().cors_origins:
        return
    answer.headers["Vary"] = "Origin"
    if allowed := _allowed(asked):
        answer.headers["Access-Control-Allow-Origin"] = allowed
        answer.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS


def _allowed(asked: Request) -> str:
    known = {origin.strip().rstrip("/") for origin in gateway_settings().cors_origins.split(",")} - {""}
    origin = asked.headers.get("Origin", "")
    return origin if origin and origin in known else ""
