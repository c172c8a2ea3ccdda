"""What the texts that describe a person go through before they are stored.

A function here returns the value as it is kept or raises ValueError with a sentence that says what would be right;
the doors add the name of the field or column.
"""

import re
from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import available_timezones

from babel import Locale

MOST_TAG_CHARACTERS = 100

# The part of BCP 47 that names languages people read: language, script, region, variants (RFC 5646 §2.1).
_LANGUAGE_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*)",
    re.IGNORECASE,
)


def plain(value: str) -> str:
    """A text without white space around it. Raises ValueError for NUL, which PostgreSQL cannot store."""
    if "\0" in value:
        raise ValueError("contains a NUL character")
    return value.strip()


@lru_cache(maxsize=1024)
def language(value: str) -> str:
    """A language tag in its usual spelling, `es-ES`; empty stays empty."""
    value = plain(value)
    if not value:
        return ""
    found = _LANGUAGE_TAG.fullmatch(value.replace("_", "-"))
    if not found or found["language"].lower() not in _languages():
        raise ValueError(f"{value[:40]!r} is not a language tag such as `eu` or `es-ES` (BCP 47)")
    parts = [found["language"].lower(), (found["script"] or "").title(), (found["region"] or "").upper()]
    return "-".join(filter(None, parts)) + found["variants"].lower()


@cache
def _languages() -> frozenset[str]:
    return frozenset(str(name).partition("_")[0] for name in Locale("en").languages)


@lru_cache(maxsize=1024)
def time_zone(value: str) -> str:
    """The name of a time zone that exists; empty stays empty."""
    value = plain(value)
    if value and value not in available_zones():
        close = get_close_matches(value, available_zones(), n=1)
        hint = f"; did you mean `{close[0]}`?" if close else " such as `Europe/Madrid`"
        raise ValueError(f"{value[:64]!r} is not a time zone of the IANA database{hint}")
    return value


@cache
def available_zones() -> frozenset[str]:
    """The time zones of the IANA database."""
    return frozenset(available_timezones())


def tags(values: list[str]) -> list[str]:
    """Tags trimmed, each once, in their order."""
    found = dict.fromkeys(plain(value) for value in values)
    if "" in found:
        raise ValueError("a tag is empty")
    if too_long := next((tag for tag in found if len(tag) > MOST_TAG_CHARACTERS), None):
        raise ValueError(f"the tag {too_long[:40]!r}… has more than {MOST_TAG_CHARACTERS} characters")
    return list(found)


def without_nul(value: str) -> str:
    """A text that shows where it came from, kept as it came but for NUL, which PostgreSQL cannot store."""
    return value.replace("\0", "")


def one_line(value: str, *, most: int) -> str:
    """A text on one line, of at most so many characters."""
    value = " ".join(plain(value).split())
    if len(value) > most:
        raise ValueError(f"has {len(value):,} characters; at most {most} are kept")
    return value
