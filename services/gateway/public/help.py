"""The form at /help: what a visitor writes becomes a ticket. Nothing typed is lost when something does not work."""

from dataclasses import dataclass
from http import HTTPStatus

import grpc
from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from chassis.signing import sign, verify
from denda.support.v1.ticket_pb2 import SOURCE_WEB, Ticket
from services.gateway import clients
from services.gateway.public import forms
from services.gateway.public.pages import is_away, visitor
from services.gateway.public.throttle import Throttle, visitors_address
from services.gateway.public.words import Notices

help_form = Blueprint("help_form", __name__)
LETTERS = Throttle(times=10, seconds=600)
SENT = "sent"


@dataclass(frozen=True)
class Letter:
    """What a visitor has typed, tidied."""

    name: str = ""
    address: str = ""
    subject: str = ""
    text: str = ""

    def problems(self, notices: Notices) -> dict[str, str]:
        """What is wrong, by field."""
        found = {
            "name": _too_long(self.name, forms.NAME_CHARACTERS, notices.name_long),
            "address": forms.wrong_address(self.address, notices),
            "subject": notices.subject_missing
            if not self.subject
            else _too_long(self.subject, forms.SUBJECT_CHARACTERS, notices.subject_long),
            "text": forms.wrong_text(self.text, notices),
        }
        return {field: problem for field, problem in found.items() if problem}

    def request_id(self, token: str) -> str:
        """The same for the same page and words."""
        return forms.request_id(token, self.name, self.address, self.subject, self.text)


@help_form.get("/help")
def ask() -> Response:
    """The empty form."""
    return _page(Letter(), forms.new_token())


@help_form.post("/help")
def send() -> WerkzeugResponse:
    """Open a ticket, and show its number; or show the form again, with what is wrong and what was typed."""
    letter, token, notices = _letter(), request.form.get("token", ""), visitor().words.notices
    # People do not see this field, and programs that fill in everything are to think that it worked.
    if request.form.get("website"):
        return _thanks(0)
    if problems := letter.problems(notices):
        return _page(letter, token, HTTPStatus.BAD_REQUEST, problems=problems)
    if not forms.is_fresh(token):
        return _page(letter, forms.new_token(), HTTPStatus.BAD_REQUEST, notices.stale)
    if not LETTERS.passes(visitors_address()):
        return _page(letter, token, HTTPStatus.TOO_MANY_REQUESTS, notices.busy)
    try:
        return _thanks(_open_ticket(letter, token))
    except grpc.RpcError as error:
        if not is_away(error):
            raise
        return _page(letter, token, HTTPStatus.SERVICE_UNAVAILABLE, notices.away)


@help_form.get("/help/sent/<token>")
def sent(token: str) -> str:
    """What becomes of it now."""
    number = int.from_bytes(verify(SENT, token), "big")
    return render_template("help_sent.html", words=visitor().words, number=number)


def _letter() -> Letter:
    typed = request.form
    address = forms.one_line(typed.get("address", ""))
    return Letter(
        name=forms.one_line(typed.get("name", "")),
        address=forms.email_of(address) or address,
        subject=forms.one_line(typed.get("subject", "")),
        text=forms.many_lines(typed.get("text", "")),
    )


def _open_ticket(letter: Letter, token: str) -> int:
    ticket = Ticket(
        subject=letter.subject,
        source=SOURCE_WEB,
        requester_address=letter.address,
        requester_name=letter.name,
    )
    return clients.open_ticket(ticket, letter.text, letter.request_id(token)).number


def _thanks(number: int) -> WerkzeugResponse:
    return redirect(url_for("help_form.sent", token=sign(SENT, number.to_bytes(8, "big"))), HTTPStatus.SEE_OTHER)


def _page(
    letter: Letter,
    token: str,
    status: HTTPStatus = HTTPStatus.OK,
    notice: str = "",
    problems: dict[str, str] | None = None,
) -> Response:
    page = render_template(
        "help.html", words=visitor().words, letter=letter, token=token, notice=notice, problems=problems or {}
    )
    return make_response(page, status)


def _too_long(value: str, most: int, notice: str) -> str:
    return notice.format(most=most) if len(value) > most else ""
