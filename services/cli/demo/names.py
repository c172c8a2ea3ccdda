"""Made-up people: names, languages, places and addresses that nobody has, chosen by the household's number.

Email addresses are under `.example` (RFC 2606). Phone numbers come from ranges that are kept for fiction: 555-0100 to
555-0199 in North America (NANPA), 07700 900 in the United Kingdom (Ofcom), 06 39 98 in France (ARCEP) and
0171 39200 in Germany (Bundesnetzagentur). Spain keeps none, so people there have no phone.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Place:
    """Where people live: language, time zone, and how a phone number there is made of a number from 0 to 2,499."""

    language: str
    time_zone: str
    phone: str = ""


@dataclass(frozen=True)
class Culture:
    """People with names of one kind: how many in a hundred, their mail's domain and where they live."""

    name: str
    share: int
    domain: str
    places: tuple[Place, ...]


# Area codes of North America; each has a hundred numbers for fiction.
AREAS = (
    202, 206, 212, 213, 214, 303, 305, 312, 313, 404, 415, 503, 505, 512, 602, 612, 615, 617, 702, 713, 718, 773, 801,
    808, 919,
)  # fmt: skip
AMERICA = "+1{area}55501{pair:02}"
BRITAIN = "+447700900{triple:03}"
FRANCE = "+3363998{number:04}"
GERMANY = "+4917139200{pair:02}"

CULTURES = (
    Culture(
        "en",
        44,
        "mail.example",
        (
            Place("en", "America/New_York", AMERICA),
            Place("en", "America/Chicago", AMERICA),
            Place("en", "America/Denver", AMERICA),
            Place("en", "America/Los_Angeles", AMERICA),
            Place("en-GB", "Europe/London", BRITAIN),
        ),
    ),
    Culture(
        "es",
        22,
        "correo.example",
        (
            Place("es", "America/New_York", AMERICA),
            Place("es", "America/Los_Angeles", AMERICA),
            Place("es-MX", "America/Mexico_City"),
            Place("es", "Europe/Madrid"),
            Place("es", "Atlantic/Canary"),
        ),
    ),
    Culture(
        "eu",
        12,
        "posta.example",
        (
            Place("eu", "Europe/Madrid"),
            Place("eu", "Europe/Paris", FRANCE),
            Place("eu", "America/Denver", AMERICA),
        ),
    ),
    Culture(
        "fr",
        11,
        "courrier.example",
        (
            Place("fr", "Europe/Paris", FRANCE),
            Place("fr", "Europe/Brussels"),
            Place("fr-CA", "America/Toronto", AMERICA),
        ),
    ),
    Culture(
        "de",
        11,
        "post.example",
        (
            Place("de", "Europe/Berlin", GERMANY),
            Place("de-AT", "Europe/Vienna"),
            Place("de-CH", "Europe/Zurich"),
        ),
    ),
)

# What decomposition into letter and accent does not reach.
PLAIN = str.maketrans({"ß": "ss", "ø": "o", "\N{LATIN SMALL LETTER DOTLESS I}": "i"})


@dataclass(frozen=True)
class Made:
    """A made-up person."""

    given_name: str
    family_name: str
    language: str
    time_zone: str
    email: str
    phone: str


def made_up(household: int) -> Made:
    """The person who stands for a household: always the same one.

    One in thirty has no email address, and one in forty shares that of the household before: families do.
    """
    chance = Random(f"household {household}")  # noqa: S311 - it is to be the same each time, not unguessable
    culture = chance.choices(CULTURES, [each.share for each in CULTURES])[0]
    place = chance.choice(culture.places)
    given, family = chance.choice(_names(culture.name, "given")), chance.choice(_names(culture.name, "family"))
    email = f"{_plain(given)}.{_plain(family)}.{household}@{culture.domain}"
    if household % 40 == 39:
        email = made_up(household - 1).email
    if household % 30 == 17:
        email = ""
    return Made(given, family, place.language, place.time_zone, email, _phone(place, household))


@cache
def _names(culture: str, kind: str) -> list[str]:
    paragraphs = (Path(__file__).parent / "names.txt").read_text(encoding="utf-8").split("\n\n")
    found = {head: names for head, _, names in (paragraph.partition("\n") for paragraph in paragraphs)}
    return found[f"{culture} {kind}"].split()


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFD", name.lower().translate(PLAIN))
    return letters.encode("ascii", "ignore").decode()


def _phone(place: Place, household: int) -> str:
    """One of the numbers for fiction; the smaller ranges give the same one to several people."""
    area = AREAS[household // 100 % len(AREAS)]
    return place.phone.format(area=area, pair=household % 100, triple=household % 1000, number=household % 10_000)
