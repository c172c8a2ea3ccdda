"""Quoted-printable (RFC 2045 §6.7) by the C encoder, whole or in pieces that can be joined."""

import re
from binascii import b2a_qp

# What a text of joined pieces ends with, so that its last line is one.
END = b"\r\n"
SOFT_END = b"=\r\n"
# Short enough for one line with its soft end, and free of everything that is special here or in HTML.
SAFE = re.compile(r"[A-Za-z0-9 _./:,-]{1,74}")


def quoted_printable(text: str) -> bytes:
    """A whole text, its lines ending in CRLF."""
    lines = with_crlf(text)
    # The encoder ends soft lines as the first hard one ends, so there must be one.
    return b2a_qp((lines if lines.endswith("\r\n") else f"{lines}\r\n").encode(), istext=True)


def quoted_piece(text: str) -> bytes:
    """A piece of a text. Each begins a line, softly broken where the text goes on, so pieces fit in any order."""
    if SAFE.fullmatch(text):
        # Names, numbers and links: nothing in them needs to be encoded.
        return text.encode() + SOFT_END
    if not text:
        return b""
    lines = with_crlf(text)
    encoded = b2a_qp(f"{lines}\r\n".encode(), istext=True)
    return encoded[:-2] if lines.endswith("\r\n") else encoded[:-2] + SOFT_END


def with_crlf(text: str) -> str:
    """The text with every line end as CRLF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n", "\r\n") if "\n" in text else text
