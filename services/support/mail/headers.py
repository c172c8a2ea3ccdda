"""The header of a mail: fields unfolded and decoded, addresses, Message-IDs. Whatever is in it, nothing here raises."""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterable, Sequence
from email.message import Message
from email.utils import getaddresses

from services.support.mail.charsets import one_line, text_of

MOST_ADDRESSES = 100
MOST_REFERENCES = 50
MOST_NAME = 200
MOST_SUBJECT = 500
# Longer ones are cut before they are looked at; a hundred addresses fit.
_MOST_LIST = 20_000
# RFC 5321 §4.5.3.1: 64 for the local part, 255 for the domain, and the sign between them.
_MOST_ADDRESS = 320

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_SIMPLE = re.compile(
    r"""\s*(?:"?([^"<>,;:()\\@]*)"?\s*<([^<>\s@,]+@[^<>\s@,]+)>|([^<>\s@,;:"()]+@[^<>\s@,;:"()]+))\s*"""
)
_ADDRESS = re.compile(r"""[^\s<>,;:"'()\[\]@]+@[^\s<>,;:"'()\[\]@]+""")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")


class Headers:
    """The fields of a header by their names in small letters; each may be there several times."""

    def __init__(self, message: Message) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            self._fields.setdefault(name.lower(), []).append(str(value))

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def raw(self, name: str) -> list[str]:
        """What stands in all fields of that name, as it came."""
        return self._fields.get(name, [])

    def get(self, name: str, most: int = 1000) -> str:
        """What the first field of that name says, decoded and on one line; empty where there is none."""
        found = self._fields.get(name)
        return one_line(decoded(found[0][: 4 * most]), most) if found else ""

    def addresses(self, name: str) -> list[tuple[str, str]]:
        """Names and addresses, in small letters, of all fields of that name; the first hundred."""
        found = (pair for value in self.raw(name) for pair in addresses_in(value))
        return list({address: (shown, address) for shown, address in found}.values())[:MOST_ADDRESSES]

    def mentioned(self, names: Iterable[str]) -> list[str]:
        """Whatever looks like an address in all fields of these names, in small letters, each once."""
        found = (address for name in names for value in self.raw(name) for address in _ADDRESS.findall(value))
        return list(dict.fromkeys(one_line(address, _MOST_ADDRESS).lower() for address in found))

    def message_ids(self, name: str) -> list[str]:
        """The Message-IDs in all fields of that name with their angle brackets, the last fifty."""
        found = [named for value in self.raw(name) for named in _MESSAGE_ID.findall(value)]
        return [one_line(named, 502) for named in found[-MOST_REFERENCES:]]

    def message_id(self) -> str:
        """The mail's own Message-ID with angle brackets, also where its program forgot them; empty without one."""
        if named := self.message_ids("message-id"):
            return named[0]
        bare = self.get("message-id", 500)
        return f"<{bare}>" if bare and not re.search(r"[<>\s]", bare) else ""


def decoded(value: str) -> str:
    """A field's text with its encoded words (RFC 2047) and bare 8-bit characters made readable."""
    if not value.isascii():
        value = text_of(value.encode("utf-8", "surrogateescape"))
    if "=?" not in value:
        return value
    pieces: list[str] = []
    charset, pending, end = "", b"", 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[end : word.start()]
        # Programs break a character in two between words, so neighbours of one charset are read together.
        if between.strip() or not end or word[1] != charset:
            pieces += [text_of(pending, charset), between if between.strip() or not end else ""]
            charset, pending = word[1], b""
        pending += _word_bytes(word[2], word[3])
        end = word.end()
    return "".join((*pieces, text_of(pending, charset), value[end:]))


def addresses_in(value: str) -> Sequence[tuple[str, str]]:
    """Names and addresses in a list of addresses (RFC 5322 §3.4); what is none is left out."""
    if simple := _SIMPLE.fullmatch(value):
        pairs: Iterable[tuple[str, str]] = [(simple[1] or "", simple[2] or simple[3])]
    else:
        try:
            pairs = getaddresses([value[:_MOST_LIST]])
        except (RecursionError, ValueError, IndexError):
            pairs = [("", address) for address in _ADDRESS.findall(value[:_MOST_LIST])]
    return [
        (one_line(decoded(name), MOST_NAME), address.lower())
        for name, given in pairs
        if (address := one_line(decoded(given), _MOST_ADDRESS + 1)) and is_address(address)
    ]


def is_address(text: str) -> bool:
    """Whether something can be an address: one sign between two parts, nothing that ends a field or a command."""
    local, _, domain = text.partition("@")
    return bool(local and domain) and len(text) <= _MOST_ADDRESS and not re.search(r'[\s<>,;:"()@]', local + domain)


def _word_bytes(encoding: str, content: str) -> bytes:
    plain = content.encode("ascii", "replace")
    if encoding in "qQ":
        return a2b_qp(plain, header=True)
    for cut in (plain, plain[: len(plain.rstrip(b"=")) - 1]):
        try:
            return a2b_base64(cut + b"==")
        except Error:
            continue
    return plain


def parts_of(message: Message) -> list[Message]:
    """The parts of a message that has some, in their order."""
    inner = message.get_payload()
    return [part for part in inner if isinstance(part, Message)] if isinstance(inner, list) else []
