"""Mails as nobody should write them, and as they come nevertheless: the worst of each sort."""

from base64 import b64encode
from collections.abc import Mapping

HEAD = (
    b"From: Ane <ane@shop.example>\r\nTo: support@inbound.denda.example\r\n"
    b"Subject: Help\r\nMessage-ID: <%s@hell.example>\r\n"
)
MIME = b"MIME-Version: 1.0\r\n"


def _mail(name: str, fields: bytes, body: bytes) -> bytes:
    return HEAD % name.encode() + MIME + fields + b"\r\n" + body


def nested(depth: int) -> bytes:
    """A text within as many multiparts as asked for."""
    begin = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
    )
    end = b"".join(b"\r\n--b%d--\r\n" % level for level in reversed(range(depth)))
    return HEAD % b"nested" + MIME + begin + b"Content-Type: text/plain\r\n\r\nDeep inside" + end


def mails_in_mails(depth: int) -> bytes:
    """A mail that carries one that carries one, and so on."""
    return (
        HEAD % b"rfc822"
        + MIME
        + b"Content-Type: message/rfc822\r\n\r\n" * depth
        + b"Subject: inmost\r\n\r\nDeep inside"
    )


def large(size: int) -> bytes:
    """A mail with a file of so many bytes."""
    content = b64encode(bytes(range(256)) * (size // 256))
    lines = b"\r\n".join(content[start : start + 76] for start in range(0, len(content), 76))
    return _mail(
        "large",
        b'Content-Type: multipart/mixed; boundary="b"\r\n',
        b"--b\r\nContent-Type: text/plain\r\n\r\nSee the film\r\n--b\r\nContent-Type: video/mp4\r\n"
        b'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="film.mp4"\r\n\r\n'
        + lines
        + b"\r\n--b--\r\n",
    )


# These can be read, each with something of its words in the text; what is said stands beside.
READABLE: Mapping[str, tuple[bytes, str]] = {
    "no headers": (b"\r\nOnly words\r\n", "Only words"),
    "no headers and no blank line": (b"Only words without any header", "Only words"),
    "no body": (HEAD % b"nobody", ""),
    "nothing": (b"", ""),
    "ten thousand recipients": (
        HEAD % b"many"
        + b"Cc: "
        + b",\r\n ".join(b"Person %d <person%d@many.example>" % (number, number) for number in range(10_000))
        + b"\r\n\r\nTo all of you",
        "To all of you",
    ),
    "nested 50 deep": (nested(50), "Deep inside"),
    "mails in mails": (mails_in_mails(50), ""),
    "broken base64": (
        _mail(
            "base64", b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", b"SGVsbG8g d29y*bGQ\r\n=x"
        ),
        "Hello world",
    ),
    "base64 that is none": (
        _mail("none64", b"Content-Transfer-Encoding: base64\r\n", b"Not encoded at all!"),
        "",
    ),
    "unknown transfer encoding": (
        _mail("xyz", b"Content-Transfer-Encoding: x-rot47\r\n", b"As it is"),
        "As it is",
    ),
    "unknown charset": (
        _mail("charset", b"Content-Type: text/plain; charset=klingon\r\n", "Größe 40".encode()),
        "Größe 40",
    ),
    "charset of another": (
        _mail("liar", b"Content-Type: text/plain; charset=utf-8\r\n", "Größe 40".encode("latin-1")),
        "Größe 40",
    ),
    "codec that is no charset": (
        _mail("zip", b"Content-Type: text/plain; charset=zip\r\n", b"Plain words"),
        "Plain words",
    ),
    "charset with NUL": (_mail("nulset", b"Content-Type: text/plain; charset=\x00\r\n", b"Plain words"), "Plain words"),
    "NUL bytes": (
        b"From: A\x00ne <ane@shop.example>\r\nSubject: He\x00lp\r\nMessage-ID: <nul\x00@hell.example>\r\n\r\nWor\x00ds",
        "Words",
    ),
    "impossible date": (HEAD % b"date" + b"Date: Fri, 31 Feb 99999 25:61:61 +9999\r\n\r\nWhen?", "When?"),
    "two of everything": (HEAD % b"two" + HEAD % b"two-again" + b"\r\nTwice", "Twice"),
    "endless comment": (b"From: " + b"(" * 50_000 + b"\r\nSubject: x\r\n\r\nBrackets", "Brackets"),
    "broken encoded words": (
        b"From: =?utf-8?b?!!!?= <ane@shop.example>\r\nSubject: =?klingon?q?=GG?= =?utf-8?b?w?=\r\n\r\nSubject?",
        "Subject?",
    ),
    "raw 8-bit header": ("From: Añe <ane@shop.example>\r\nSubject: Größe\r\n\r\nEight bits".encode("latin-1"), "Eight"),
    "boundary that never comes": (
        _mail("never", b"Content-Type: multipart/mixed; boundary=never\r\n", b"No part at all"),
        "",
    ),
    "multipart without a boundary": (_mail("without", b"Content-Type: multipart/mixed\r\n", b"No boundary"), ""),
    "header injection": (
        b"From: Ane <ane@shop.example>\r\nSubject: =?utf-8?q?Hi=0D=0ABcc:_all@evil.example?=\r\n\r\nInjected",
        "Injected",
    ),
    "names of folders": (
        _mail(
            "folders",
            b'Content-Type: multipart/mixed; boundary="b"\r\n',
            b"--b\r\n\r\nA file\r\n--b\r\nContent-Type: application/octet-stream\r\n"
            b'Content-Disposition: attachment; filename="../../etc/pass\xe2\x80\xaewd\x00"\r\n\r\nroot\r\n--b--',
        ),
        "A file",
    ),
    "only carriage returns": (b"From: ane@shop.example\rSubject: Old\r\rOld Mac", ""),
    "one line of a megabyte": (HEAD % b"long" + b"\r\n" + b"x" * 1_000_000, "xxx"),
}
# Reading these would take the machine down, so they are not read.
UNREADABLE: Mapping[str, bytes] = {
    "nested 500 deep": nested(500),
    "mails in mails without end": mails_in_mails(5_000),
    "a million parts": _mail("parts", b"Content-Type: multipart/mixed; boundary=b\r\n", b"\n--b\n\n" * 300_000),
    "two million lines": HEAD % b"lines" + b"\r\n" + b"\n" * 2_000_000,
}
