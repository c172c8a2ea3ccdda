"""What the sandbox provider took, for people: a list, and each message as its reader would see it.

There is no log-in here, so by default only whoever sits at this machine may look (DENDA_SANDBOX_PAGES). A mail's HTML
is sanitised and shown in a sandboxed frame that loads nothing from elsewhere.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default as modern_policy
from http import HTTPStatus

import nh3
from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from denda.notifications.v1.messages_service_pb2 import SandboxMessage
from denda.types.v1.channel_pb2 import Channel
from services import public_url
from services.gateway import clients
from services.gateway.loopback import is_local_request
from services.gateway.public import forms
from services.gateway.sandbox_answers import answer
from services.gateway.settings import gateway_settings

sandbox = Blueprint("sandbox", __name__, url_prefix="/sandbox")

# Images only from this edge: the open pixel works as it would in a mail program, nothing else is fetched.
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data: {public_url}; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
LAYOUT_ATTRIBUTES = {"align", "bgcolor", "border", "cellpadding", "cellspacing", "class", "dir", "height", "lang"}
STYLE_ATTRIBUTES = {"role", "style", "valign", "width"}
MOST_ANSWER_CHARACTERS = 5000
SHOWN_HEADERS = ("From", "Reply-To", "Subject", "Message-ID", "List-Id", "List-Unsubscribe", "Feedback-ID")


@dataclass(frozen=True)
class Shown:
    """A message as the pages show it."""

    id: str
    channel: str
    address: str
    title: str
    text: str
    html: str
    time: datetime


def may_see_sandbox() -> bool:
    """Whether this request may read the sandbox's messages."""
    pages = gateway_settings().sandbox_pages
    return pages == "open" or (pages == "loopback" and is_local_request())


@sandbox.before_request
def _admit() -> None:
    if not may_see_sandbox():
        abort(HTTPStatus.NOT_FOUND)


@sandbox.get("")
def inbox() -> str:
    """The messages, newest first, optionally of one address."""
    address = request.args.get("address", "").strip()[:254]
    page = clients.sandbox_messages(address=address, page_token=request.args.get("page", ""))
    return render_template(
        "sandbox.html",
        messages=[_shown(message) for message in page.messages],
        address=address,
        next_page=page.next_page_token,
    )


@sandbox.get("/messages/<uuid:message_id>")
def show(message_id: object) -> str:
    """One message with its headers, HTML and text, and room for the reader's answer."""
    return _page(_message(message_id), answered="answered" in request.args)


@sandbox.post("/messages/<uuid:message_id>/answer")
def take_answer(message_id: object) -> WerkzeugResponse | tuple[str, int]:
    """Let the customer answer, and show the message again."""
    message = _message(message_id)
    token, text = request.form.get("form", ""), forms.many_lines(request.form.get("text", ""))
    problem = "" if text else "Write something first."
    if not forms.is_fresh(token):
        problem = "This page was open for too long. Please send it again."
    if problem or len(text) > MOST_ANSWER_CHARACTERS:
        problem = problem or f"At most {MOST_ANSWER_CHARACTERS:,} characters."
        return _page(message, problem=problem, text=text), HTTPStatus.BAD_REQUEST
    answer(message, text, forms.request_id(token, text))
    return redirect(url_for("sandbox.show", message_id=message.id, answered=1), HTTPStatus.SEE_OTHER)


def _page(message: SandboxMessage, **state: object) -> str:
    return render_template(
        "sandbox_message.html",
        message=_shown(message),
        headers=_headers(message.raw),
        raw=len(message.raw),
        form=forms.new_token(),
        **state,
    )


@sandbox.get("/messages/<uuid:message_id>/html")
def html_part(message_id: object) -> Response:
    """The HTML part alone, sanitised, for the frame."""
    answer = Response(sanitised(_message(message_id).html), mimetype="text/html")
    answer.headers["Content-Security-Policy"] = FRAME_POLICY.format(public_url=public_url())
    return answer


@sandbox.get("/messages/<uuid:message_id>/raw")
def raw_mail(message_id: object) -> Response:
    """The whole mail, RFC 5322, as text."""
    return Response(_message(message_id).raw, content_type="text/plain; charset=utf-8")


def sanitised(html: str) -> str:
    """A mail's HTML without anything that acts; links open in a new tab."""
    attributes = {tag: set(allowed) for tag, allowed in nh3.ALLOWED_ATTRIBUTES.items()}
    attributes["*"] = attributes.get("*", set()) | LAYOUT_ATTRIBUTES | STYLE_ATTRIBUTES
    return nh3.clean(
        html,
        tags=nh3.ALLOWED_TAGS | {"style", "font", "center"},
        clean_content_tags={"script", "title"},
        attributes=attributes,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={"http", "https", "mailto", "tel", "data"},
    )


def _message(message_id: object) -> SandboxMessage:
    found = clients.sandbox_messages(message_id=str(message_id), page_size=1).messages
    if not found:
        abort(HTTPStatus.NOT_FOUND)
    return found[0]


def _shown(message: SandboxMessage) -> Shown:
    first_line = message.text.strip().partition("\n")[0]
    return Shown(
        id=message.id,
        channel=Channel.Name(message.channel).removeprefix("CHANNEL_").lower(),
        address=message.address,
        title=message.subject or first_line[:80] or "(empty)",
        text=message.text,
        html=message.html,
        time=message.create_time.ToDatetime(UTC),
    )


def _headers(raw: bytes) -> list[tuple[str, str]]:
    mail = message_from_bytes(raw, policy=modern_policy)
    return [(name, str(mail[name])) for name in SHOWN_HEADERS if mail[name]]
