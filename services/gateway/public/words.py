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

    def channel(self, channel: Channel.ValueType) -> str:
        """A channel's name."""
        return self.channels[CHANNEL_WORDS.get(channel, "email")]

    def purpose(self, purpose: str) -> str:
        """A purpose's name: ours where we have one, else the company's own word."""
        return self.purposes.get(purpose) or purpose.replace("_", " ").replace("-", " ").capitalize()

    def about(self, sentence: str, topic: Topic) -> str:
        """A sentence with the topic's names in it."""
        return sentence.format(topic=self.purpose(topic.purpose), channel=self.channel(topic.channel))


def words_for(language: str, accepted: LanguageAccept) -> Words:
    """The words in a person's language (BCP 47), else in one that the browser asks for, else in English."""
    wanted = [language.replace("_", "-"), *accepted.values(), "en"]
    primaries = [tag.partition("-")[0].lower() for tag in wanted]
    return words_in(next(primary for primary in primaries if primary in LANGUAGES))


@cache
def words_in(language: str) -> Words:
    """The words in one of LANGUAGES."""
    return Words(language=language, **json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")))
