"""What public pages have in common: their language, and what they say when a link is broken or a service is away."""

from uuid import UUID

import grpc
from flask import render_template, request

from services.gateway import clients
from services.gateway.public.words import Words, words_for


def words_of_person(person_id: UUID) -> Words:
    """The words in the person's language; in the browser's where contacts cannot say it now."""
    try:
        language = clients.language_of(str(person_id))
    except grpc.RpcError:
        language = ""
    return words_for(language, request.accept_languages)


def broken_page() -> str:
    """The link leads nowhere: cut off, changed, or of another installation."""
    return render_template("broken.html", words=words_for("", request.accept_languages))


def later_page() -> str:
    """Something behind the gateway is away; trying again is right, and offered."""
    return render_template("later.html", words=words_for("", request.accept_languages), again=request.path)
