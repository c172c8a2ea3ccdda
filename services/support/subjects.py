"""Subjects of mails: what of one names the matter, and how an answer's begins."""

import re

from services.support import threads

MOST_CHARACTERS = 500
# "Re:" and "Fwd:" as mail programs of many languages write them, also counted ("Re[2]:").
_PREFIX = re.compile(
    r"^\s*(?:re|aw|antw|sv|vs|odp|rv|ref|fw|fwd|wg|tr|rif|r|i|enc|doorst|vl|ynt|ilt|res|bls|erantz|回复|答复|转发|返信|転送)"
    r"(?:\[\d+\])?\s*[:：]\s*",  # noqa: RUF001  # the full-width colon is the one that Chinese programs write
    re.IGNORECASE,
)
_TAG = re.compile(r"\s*\[#\d{1,18}\]\s*")


def tidy(subject: str) -> str:
    """A subject on one line, without what cannot be stored."""
    return " ".join(subject.replace("\0", "").split())[:MOST_CHARACTERS]


def matter(subject: str) -> str:
    """The subject without prefixes and without our tag."""
    rest = _TAG.sub(" ", tidy(subject)).strip()
    while (shorter := _PREFIX.sub("", rest)) != rest:
        rest = shorter
    return rest


def key_of(subject: str) -> str:
    """What two subjects of the same matter have in common."""
    return matter(subject).casefold()


def answering(subject: str, number: int) -> str:
    """The subject of an answer: `Re: Where is my parcel? [#4711]`."""
    return f"Re: {matter(subject)} {threads.subject_tag(number)}".replace("  ", " ")
