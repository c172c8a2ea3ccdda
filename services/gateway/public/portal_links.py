"""Asking for a link to one's own pages. The answer is the same whether anybody has the address.

The link goes to the address that was typed, and to nobody else; it is sent after the answer, so that the time that
an answer takes tells nothing either.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http import HTTPStatus
from uuid import UUID

import grpc
import structlog
from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from denda.notifications.v1.messages_service_pb2 import Content
from services.gateway import clients
from services.gateway.public import forms
from services.gateway.public.pages import is_away, visitor
from services.gateway.public.throttle import Throttle, visitors_address
from services.gateway.public.words import LinkWords, words_for
from services.portal import portal_url

portal_links = Blueprint("portal_links", __name__)
# So many a visitor, and so many mails to an address.
ASKED = Throttle(times=10, seconds=600)
SENT = Throttle(times=3, seconds=3600)

log = structlog.get_logger()


@portal_links.get("/t")
def ask() -> Response:
    """The form for the address."""
    words = visitor().words.link
    return _page(words.title, words.text)


@portal_links.post("/t")
def send() -> Response:
    """Send a link to the address, if somebody has it."""
    words, form_token = visitor().words, request.form.get("token", "")
    typed = forms.one_line(request.form.get("address", ""))
    if problem := forms.wrong_address(typed, words.notices):
        return _page(words.link.title, words.link.text, typed, problem, HTTPStatus.BAD_REQUEST)
    if not forms.is_fresh(form_token):
        return _page(words.link.title, words.link.text, typed, words.notices.stale, HTTPStatus.BAD_REQUEST)
    if not ASKED.passes(visitors_address()):
        return _page(words.link.title, words.link.text, typed, words.notices.busy, HTTPStatus.TOO_MANY_REQUESTS)
    try:
        _send_if_known(forms.email_of(typed), form_token)
    except grpc.RpcError as error:
        if not is_away(error):
            raise
        return _page(words.link.title, words.link.text, typed, words.notices.away, HTTPStatus.SERVICE_UNAVAILABLE)
    return redirect(url_for("portal_links.sent"), HTTPStatus.SEE_OTHER)


@portal_links.get("/t/sent")
def sent() -> str:
    """Where to look now."""
    return render_template("link_sent.html", words=visitor().words)


def expired_page() -> Response:
    """The page that a forged or old link leads to."""
    words = visitor().words.link
    return _page(words.expired_title, words.expired_text, status=HTTPStatus.NOT_FOUND)


def _send_if_known(address: str, form_token: str) -> None:
    person = clients.person_at(address)
    if person is not None and SENT.passes(address.casefold()):
        words = words_for(person.language, request.accept_languages).link
        _threads().submit(_send, address, person.id, words, forms.request_id(form_token, address))


def _send(address: str, person_id: str, words: LinkWords, request_id: str) -> None:
    content = Content(subject=words.mail_subject, text=words.mail_text.format(link=portal_url(UUID(person_id))))
    try:
        clients.send_mail(address, person_id, content, request_id)
    except grpc.RpcError as error:
        log.warning("portal_link_not_sent", code=error.code().name)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, "portal-links")


def _page(title: str, text: str, address: str = "", problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    page = render_template(
        "link.html",
        words=visitor().words,
        title=title,
        text=text,
        address=address,
        problem=problem,
        token=forms.new_token(),
    )
    return make_response(page, status)
