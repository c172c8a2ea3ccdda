"""The words of the public pages in each language; one JSON file a language, and all have the same entries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from werkzeug.datastructures import LanguageAccept

from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE, Channel
from services.gateway.clients import Topic

FOLDER = Path(__file__).parent / "words"
LANGUAGES = ("en", "es", "eu", "fr", "de")
CHANNEL_WORDS = {CHANNEL_EMAIL: "email", CHANNEL_SMS: "sms", CHANNEL_VOICE: "voice"}


@dataclass(frozen=True)
class FormWords:
    """The form to write to us, and what it says afterwards. `{number}` is filled in."""

    title: str
    introduction: str
    name: str
    address: str
    address_hint: str
    subject: str
    text: str
    button: str
    trap: str
    sent_title: str
    sent_number: str
    sent_text: str
    sent_again: str


@dataclass(frozen=True)
class Notices:
    """What is wrong with a form. `{most}` and `{number}` are filled in."""

    wrong: str
    address_missing: str
    address_wrong: str
    name_long: str
    subject_missing: str
    subject_long: str
    text_missing: str
    text_long: str
    away: str
    stale: str
    busy: str


@dataclass(frozen=True)
class PortalWords:
    """A customer's own pages. `{number}` and `{time}` are filled in."""

    title: str
    introduction: str
    empty: str
    write: str
    older: str
    all: str
    number: str
    last: str
    states: Mapping[str, str]
    messages: str
    you: str
    files: str
    later_messages: str
    answer: str
    answer_button: str
    answer_opens: str
    answered: str
    close_title: str
    close_text: str
    close_button: str
    closed: str
    changed: str


@dataclass(frozen=True)
class LinkWords:
    """Asking for a link to these pages, and the mail that brings it. `{link}` is filled in."""

    expired_title: str
    expired_text: str
    title: str
    text: str
    button: str
    sent_title: str
    sent_text: str
    mail_subject: str
    mail_text: str


@dataclass(frozen=True)
class Words:
    """Everything that the public pages say. `{topic}` and `{channel}` are filled in where they stand."""

    language: str
    channels: Mapping[str, str]
    purposes: Mapping[str, str]
    unsubscribe_title: str
    unsubscribe_question: str
    unsubscribe_explanation: str
    unsubscribe_button: str
    unsubscribed_title: str
    unsubscribed_text: str
    preferences_link: str
    preferences_title: str
    preferences_introduction: str
    preferences_by: str
    preferences_save: str
    preferences_stop_title: str
    preferences_stop_text: str
    preferences_stop_button: str
    preferences_saved: str
    broken_title: str
    broken_text: str
    later_title: str
    later_text: str
    later_button: str
    form: FormWords
    notices: Notices
    portal: PortalWords
    link: LinkWords

    def channel(self, channel: Channel.ValueType) -> str:
        """A channel's name."""
        return self.channels[CHANNEL_WORDS.get(channel, "email")]

    def purpose(self, purpose: str) -> str:
        """A purpose's name: ours where we have one, else the company's own word."""
        return self.purposes.get(purpose) or purpose.replace("_", " ").replace("-", " ").capitalize()

    def about(self, sentence: str, topic: Topic) -> str:
        """A sentence with the topic's names in it."""
        return sentence.format(topic=self.purpose(topic.purpose), channel=self.channel(topic.channel))


ROOMS = {"form": FormWords, "notices": Notices, "portal": PortalWords, "link": LinkWords}


def words_for(language: str, accepted: LanguageAccept) -> Words:
    """The words in a person's language (BCP 47), else in one that the browser asks for, else in English."""
    wanted = [language.replace("_", "-"), *accepted.values(), "en"]
    primaries = [tag.partition("-")[0].lower() for tag in wanted]
    return words_in(next(primary for primary in primaries if primary in LANGUAGES))


@cache
def words_in(language: str) -> Words:
    """The words in one of LANGUAGES."""
    said = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    rooms = {name: kind(**said.pop(name)) for name, kind in ROOMS.items()}
    return Words(language=language, **rooms, **said)
