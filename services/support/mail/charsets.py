"""Bytes to text: whatever a mail says its charset is, something readable that PostgreSQL can store."""

import codecs
import re
from functools import lru_cache

# What programs that write one of these mean is the larger set (WHATWG Encoding §4.2).
_MEANT = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
}
# Codecs of Python that are no charsets of mails; some of them take quadratic time.
_NO_CHARSETS = {"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem", "palmos"}
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Everything below the space but tab and line feed, DEL, and the C1 controls.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Marks of direction and width that make a name look like another one (Unicode TR36 §2.10).
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def text_of(content: bytes, charset: str = "") -> str:
    """The text in `content`: by its charset, else as UTF-8, else as Windows-1252, which reads everything somehow."""
    for name in dict.fromkeys((_codec(charset), "utf-8")):
        try:
            return storable(content.decode(name))
        except (UnicodeError, ValueError):
            continue
    fallback = _codec(charset)
    return storable(content.decode("cp1252" if fallback == "utf-8" else fallback, "replace"))


def storable(text: str) -> str:
    """The text with line feeds alone at the ends of lines, without control characters and halves of characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    return _CONTROLS.sub("", text)


def one_line(text: str, most: int) -> str:
    """The text on one line of at most so many characters, without marks that nobody sees."""
    return " ".join(_INVISIBLE.sub("", storable(text)).split())[:most].rstrip()


@lru_cache(maxsize=256)
def _codec(charset: str) -> str:
    """The codec for a charset as a mail names it; UTF-8 for one that there is not."""
    try:
        name = codecs.lookup(charset[:40].strip().strip("'\"")).name
        # Python has codecs that turn bytes into bytes under the same roof; those raise LookupError.
        b"a".decode(name, "replace")
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if name in _NO_CHARSETS else _MEANT.get(name, name)
