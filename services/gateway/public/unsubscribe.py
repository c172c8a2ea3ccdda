"""Unsubscribing. A GET shows a page with a button and changes nothing, since mail scanners follow links.

A POST withdraws the consent: from the button, or one-click from a mail provider (RFC 8058), which sends no cookies
and wants no page. While contacts is away the answer is 503, and the provider comes back.
"""

from http import HTTPStatus

import grpc
from flask import Blueprint, Response, make_response, render_template, request

from denda.contacts.v1.consent_service_pb2 import Evidence
from services.gateway import clients
from services.gateway.public.pages import words_of_person
from services.gateway.public.subscriptions import Subscription, subscription_of

unsubscribe = Blueprint("unsubscribe", __name__)


@unsubscribe.get("/u/<token>")
def ask(token: str) -> str:
    """The page with the button."""
    subscription = subscription_of(token)
    words = words_of_person(subscription.person_id)
    return render_template("unsubscribe.html", words=words, topic=subscription.topic, token=token)


@unsubscribe.post("/u/<token>")
def withdraw(token: str) -> Response:
    """Withdraw the consent that the message was sent under; doing it again changes nothing."""
    subscription = subscription_of(token)
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    _withdraw(subscription, "one-click" if one_click else "form")
    if one_click:
        return Response("Unsubscribed.\n", HTTPStatus.OK, mimetype="text/plain")
    words = words_of_person(subscription.person_id)
    return make_response(render_template("unsubscribed.html", words=words, topic=subscription.topic, token=token))


def _withdraw(subscription: Subscription, source: str) -> None:
    evidence = Evidence(source=source, detail="unsubscribe link", message_id=str(subscription.message_id))
    try:
        clients.withdraw_consent(str(subscription.person_id), subscription.topic, evidence)
    except grpc.RpcError as error:
        # A person who is deleted receives nothing more: what was asked for is so already.
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
