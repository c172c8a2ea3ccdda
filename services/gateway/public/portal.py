"""A customer's own pages behind a signed link: what they asked, what was answered, an answer, and an end.

Whoever has the link is the person; a ticket that is not theirs is not there. A link that is forged or too old leads to
the page that sends a new one (portal_links.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import grpc
from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chassis.errors import InvalidArgument
from denda.support.v1 import ticket_pb2 as pb
from services.gateway import clients
from services.gateway.public import forms
from services.gateway.public.pages import is_away, reader_of
from services.gateway.public.portal_links import expired_page
from services.gateway.public.throttle import Throttle
from services.portal import person_of

portal = Blueprint("portal", __name__)
ANSWERS = Throttle(times=30, seconds=3600)
STATES = {
    pb.TICKET_STATE_NEW: "open",
    pb.TICKET_STATE_OPEN: "open",
    pb.TICKET_STATE_PENDING: "pending",
    pb.TICKET_STATE_SOLVED: "solved",
    pb.TICKET_STATE_CLOSED: "closed",
}
# What a visitor may have made up, or may not know of.
NOT_THERE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED)
# Somebody else has changed the ticket, or merged it.
OVERTAKEN = (grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass(frozen=True)
class Said:
    """One message as the page shows it; `who` is empty for the company's."""

    own: bool
    who: str
    message: pb.TicketMessage


@portal.errorhandler(InvalidArgument)
def no_pass(_error: InvalidArgument) -> Response:
    """The token is forged or too old."""
    return expired_page()


@contextmanager
def _if_there() -> Iterator[None]:
    """Calls whose refusal means that the page does not exist, for this person at least."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() in NOT_THERE:
            abort(HTTPStatus.NOT_FOUND)
        raise


@portal.get("/t/<token>")
def overview(token: str) -> str:
    """What the person has asked, the latest first."""
    person_id, page_token = person_of(token), request.args.get("page", "")
    with _if_there():
        page = clients.tickets_of(str(person_id), page_token)
    return _rendered("portal.html", person_id, token=token, page=page, first=not page_token)


@portal.get("/t/<token>/<uuid:ticket_id>")
def show(token: str, ticket_id: UUID) -> Response:
    """What was said in one ticket, and the form to answer."""
    person_id, page_token = person_of(token), request.args.get("page", "")
    ticket = _ticket(ticket_id, person_id)
    if ticket.state == pb.TICKET_STATE_MERGED:
        return _back(token, ticket.merged_into_id)
    with _if_there():
        page = clients.said_in(ticket.id, page_token)
    return make_response(
        _rendered(
            "portal_ticket.html",
            person_id,
            token=token,
            ticket=ticket,
            messages=_said(page.messages, person_id),
            next_page=page.next_page_token,
            form_token=forms.new_token(),
            news=request.args.get("news", ""),
        )
    )


@portal.post("/t/<token>/<uuid:ticket_id>")
def answer(token: str, ticket_id: UUID) -> Response:
    """Add what the person answers; where that does not work, what was typed is shown again."""
    person_id, form_token = person_of(token), request.form.get("token", "")
    text, notices = forms.many_lines(request.form.get("text", "")), reader_of(person_id).words.notices
    if problem := forms.wrong_text(text, notices):
        return _again(token, person_id, text, problem, HTTPStatus.BAD_REQUEST)
    if not forms.is_fresh(form_token):
        return _again(token, person_id, text, notices.stale, HTTPStatus.BAD_REQUEST)
    if not ANSWERS.passes(str(person_id)):
        return _again(token, person_id, text, notices.busy, HTTPStatus.TOO_MANY_REQUESTS)
    try:
        with _if_there():
            clients.add_answer(str(ticket_id), str(person_id), text, forms.request_id(form_token, text))
    except grpc.RpcError as error:
        if not is_away(error):
            raise
        return _again(token, person_id, text, notices.away, HTTPStatus.SERVICE_UNAVAILABLE)
    return _back(token, str(ticket_id), "answered")


@portal.post("/t/<token>/<uuid:ticket_id>/close")
def close(token: str, ticket_id: UUID) -> Response:
    """Close a ticket, unless something has happened in it since the person read it."""
    person_id = person_of(token)
    _ticket(ticket_id, person_id)
    try:
        clients.close_ticket(str(ticket_id), request.form.get("etag", ""))
    except grpc.RpcError as error:
        if error.code() in OVERTAKEN:
            return _back(token, str(ticket_id), "changed")
        raise
    return _back(token, str(ticket_id), "closed")


def _said(messages: Iterable[pb.TicketMessage], person_id: UUID) -> list[Said]:
    """The messages of people; what machines sent is of no use to the reader."""
    return [
        Said(
            own=message.author_id == str(person_id),
            who="" if message.author == pb.AUTHOR_AGENT else message.author_name or message.from_address,
            message=message,
        )
        for message in messages
        if message.author != pb.AUTHOR_SYSTEM
    ]


def _ticket(ticket_id: UUID, person_id: UUID) -> pb.Ticket:
    """A ticket that the person is part of."""
    with _if_there():
        ticket = clients.ticket(str(ticket_id))
    if str(person_id) not in {ticket.requester_id, *(other.person_id for other in ticket.participants)}:
        abort(HTTPStatus.NOT_FOUND)
    return ticket


def _back(token: str, ticket_id: str, news: str | None = None) -> Response:
    return redirect(url_for("portal.show", token=token, ticket_id=ticket_id, news=news), HTTPStatus.SEE_OTHER)


def _again(token: str, person_id: UUID, text: str, problem: str, status: HTTPStatus) -> Response:
    page = _rendered(
        "portal_answer.html", person_id, token=token, text=text, problem=problem, form_token=forms.new_token()
    )
    return make_response(page, status)


def _rendered(template: str, reader_id: UUID, **values: Any) -> str:
    reader = reader_of(reader_id)
    return render_template(template, reader=reader, words=reader.words, states=STATES, **values)
