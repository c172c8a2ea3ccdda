"""What public pages have in common: their language and times, and what they say when something does not work."""

from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

import grpc
from babel.dates import format_datetime, get_timezone
from flask import render_template, request
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import clients
from services.gateway.problems import TEMPORARY, problem_of
from services.gateway.public.words import Words, words_for


@dataclass(frozen=True)
class Reader:
    """How a page speaks to whoever reads it."""

    words: Words
    # IANA name; empty where it is not known.
    time_zone: str = ""

    def moment(self, time: Timestamp) -> str:
        """A moment as the reader writes it, in the reader's time where that is known."""
        try:
            zone = get_timezone(self.time_zone or "UTC")
        except LookupError:
            zone = UTC
        written = format_datetime(time.ToDatetime(UTC), "medium", tzinfo=zone, locale=self.words.language)
        return written if self.time_zone and zone is not UTC else f"{written} UTC"


def reader_of(person_id: UUID) -> Reader:
    """How to speak to a person; in the browser's language where contacts cannot say it now."""
    try:
        person = clients.person(str(person_id))
    except grpc.RpcError:
        return visitor()
    return Reader(words_for(person.language, request.accept_languages), person.time_zone)


def visitor() -> Reader:
    """How to speak to somebody whom we do not know."""
    return Reader(words_for("", request.accept_languages))


def words_of_person(person_id: UUID) -> Words:
    """The words in the person's language; in the browser's where contacts cannot say it now."""
    return reader_of(person_id).words


def is_away(error: Any) -> bool:
    """Whether a failed call (grpc.RpcError) may succeed in a moment."""
    return problem_of(error).status in TEMPORARY


def broken_page() -> str:
    """The link leads nowhere: cut off, changed, or of another installation."""
    return render_template("broken.html", words=visitor().words)


def later_page() -> str:
    """Something behind the gateway is away; trying again is right, and offered."""
    return render_template("later.html", words=visitor().words, again=request.path)
