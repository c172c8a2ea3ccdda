"""The preference page: what a person receives, by purpose and channel, to be changed with the token of a message."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from uuid import UUID

import grpc
from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from denda.contacts.v1.consent_service_pb2 import Evidence
from denda.types.v1.channel_pb2 import Channel
from services.gateway import clients
from services.gateway.clients import Topic
from services.gateway.public.pages import words_of_person
from services.gateway.public.subscriptions import Subscription, subscription_of

preferences = Blueprint("preferences", __name__)


@dataclass(frozen=True)
class Choice:
    """One box to tick."""

    topic: Topic
    granted: bool

    @property
    def name(self) -> str:
        """How the form names the topic."""
        return f"{self.topic.purpose}:{Channel.Name(self.topic.channel)}"


@preferences.get("/p/<token>")
def show(token: str) -> str:
    """The page with a box for each purpose and channel."""
    subscription = subscription_of(token)
    choices = _choices(subscription)
    by_purpose = [(purpose, list(group)) for purpose, group in groupby(choices, key=lambda c: c.topic.purpose)]
    return render_template(
        "preferences.html",
        words=words_of_person(subscription.person_id),
        choices=by_purpose,
        token=token,
        saved="saved" in request.args,
    )


@preferences.post("/p/<token>")
def save(token: str) -> Response:
    """Record what was changed, and show the page again.

    Only boxes that the form had are looked at: what came into the ledger since the page was opened stays as it is.
    """
    subscription = subscription_of(token)
    shown, ticked = set(request.form.getlist("shown")), set(request.form.getlist("wanted"))
    stop = "stop" in request.form
    evidence = Evidence(source="preference-page", message_id=str(subscription.message_id))
    for choice in _choices(subscription):
        if stop:
            clients.withdraw_consent(str(subscription.person_id), choice.topic, evidence)
        elif choice.name in shown:
            _change(subscription.person_id, choice, wanted=choice.name in ticked, evidence=evidence)
    return redirect(url_for("preferences.show", token=token, saved=""), HTTPStatus.SEE_OTHER)


def _choices(subscription: Subscription) -> list[Choice]:
    """What is in force, and the topic of the message itself, in a stable order."""
    try:
        in_force = clients.consents_of(str(subscription.person_id))
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            abort(HTTPStatus.NOT_FOUND)
        raise
    known: Mapping[Topic, bool] = {subscription.topic: False, **in_force}
    return [Choice(topic, known[topic]) for topic in sorted(known, key=lambda topic: (topic.purpose, topic.channel))]


def _change(person_id: UUID, choice: Choice, *, wanted: bool, evidence: Evidence) -> None:
    if wanted and not choice.granted:
        clients.grant_consent(str(person_id), choice.topic, evidence)
    if choice.granted and not wanted:
        clients.withdraw_consent(str(person_id), choice.topic, evidence)
