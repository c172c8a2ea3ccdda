"""Which of a template's languages somebody gets (RFC 4647 §3.4): `es-MX`, then `es`, then the first."""

from collections.abc import Sequence


def closest(languages: Sequence[str], wanted: str) -> int:
    """The place in `languages` of the one that serves `wanted` best."""
    places = {language.lower(): place for place, language in reversed(list(enumerate(languages)))}
    tag = wanted.lower().replace("_", "-")
    while tag:
        if tag in places:
            return places[tag]
        tag = tag.rpartition("-")[0]
    return 0
