"""What can be wrong with a filter, said so that its author can repair it."""

from collections.abc import Iterable
from difflib import get_close_matches

from chassis.errors import InvalidArgument

NAMES_SHOWN = 50


class FilterError(InvalidArgument):
    """A filter that cannot be understood; the text begins with the position, counted in characters from 1."""

    def __init__(self, position: int, description: str) -> None:
        super().__init__("filter", f"at character {position}: {description}", reason="INVALID_FILTER")
        self.position = position


def unknown(position: int, what: str, name: str, known: Iterable[str]) -> FilterError:
    """The error for a name that does not exist: the closest one that does, and then all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
    return FilterError(position, f"there is no {what} {name[:64]!r}{hint} {what.capitalize()}s: {shown or 'none'}.")
