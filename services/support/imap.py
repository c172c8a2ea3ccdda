"""Fetching mail from a mailbox by IMAP (RFC 3501). Each mail is kept first, and only then is the mailbox changed.

A mail's name is the mailbox's UIDVALIDITY and its UID, so one that is fetched twice, by two replicas or after a crash,
is the same. What to fetch is known by UIDs and not by the flag "seen", which anybody who looks into the mailbox sets.
"""

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
from sqlalchemy import func, select

from chassis.errors import Unavailable
from chassis.runner import is_stopping
from services.support import inbound
from services.support.inbound import MAILS, MOST_BYTES, Arrival
from services.support.models import InboundMail, database
from services.support.settings import settings

# Mails of one step; between steps the connection is made anew.
BATCH = 200
SECONDS = 30
_UID = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_LAST_UID = 2**32 - 1

log = structlog.get_logger()


@dataclass(frozen=True)
class Mailbox:
    """A mailbox that is open; `name` says whose it is, without the password."""

    connection: imaplib.IMAP4
    name: str
    validity: int

    def key(self, uid: int) -> str:
        """The mailbox's name for a mail, of equal length for all, so that the greatest is the last."""
        return f"{self.validity:010d}.{uid:010d}"

    def sizes(self, first: int) -> list[tuple[int, int]]:
        """UIDs from `first` on, and how large each mail is."""
        data = _ok(self.connection.uid("FETCH", f"{first}:*", "(UID RFC822.SIZE)"))
        lines = [line for line in data if isinstance(line, bytes)]
        found = [(_UID.search(line), _SIZE.search(line)) for line in lines]
        # `*` is the last mail even where its UID is lower.
        return sorted((int(u[1]), int(s[1])) for u, s in found if u and s and int(u[1]) >= first)

    def content(self, uid: int, part: str = "") -> bytes | None:
        """A mail, or its header alone, without a mark that it was seen; None where somebody has taken it away."""
        data = _ok(self.connection.uid("FETCH", str(uid), f"(BODY.PEEK[{part}])"))
        return next((bytes(item[1]) for item in data if isinstance(item, tuple)), None)

    def put_away(self, uid: int, folder: str) -> None:
        """Move a mail into the folder, or mark it as seen where there is none."""
        if not folder:
            _ok(self.connection.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Seen)"))
        elif "MOVE" in self.connection.capabilities:
            _ok(self.connection.uid("MOVE", str(uid), _quoted(folder)))
        else:
            _ok(self.connection.uid("COPY", str(uid), _quoted(folder)))
            _ok(self.connection.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Deleted)"))
            _ok(self.connection.uid("EXPUNGE", str(uid)))


def fetch() -> bool:
    """Fetch what is new in the mailbox of the settings; True when there may be more."""
    url = settings().imap_url.get_secret_value()
    if not url:
        return False
    with _open(urlsplit(url)) as mailbox:
        first = 1 if settings().imap_done else _last_kept(mailbox) + 1
        waiting = mailbox.sizes(first)
        for uid, size in waiting[:BATCH]:
            if is_stopping():
                return False
            _fetch(mailbox, uid, size)
    return len(waiting) > BATCH


def look() -> str:
    """Whose the mailbox of the settings is, which can be opened; "" where none is polled. Raises Unavailable."""
    url = settings().imap_url.get_secret_value()
    if not url:
        return ""
    with _open(urlsplit(url)) as mailbox:
        return mailbox.name


def _fetch(mailbox: Mailbox, uid: int, size: int) -> None:
    """Keep a mail, and change the mailbox when it is kept. One that is too large stays there, and is known of."""
    too_large = size > MOST_BYTES
    content = mailbox.content(uid, "HEADER" if too_large else "")
    if content is None:
        return
    arrival = Arrival(content, "imap", mailbox.name, mailbox.key(uid))
    with database.transaction() as session:
        mail, repeated = inbound.keep(session, arrival)
        if too_large and not repeated:
            inbound.quarantine(session, mail.id, f"is over {MOST_BYTES // 2**20} MiB, and still in the mailbox")
    inbound.count_kept(mail, repeated=repeated)
    if not too_large:
        mailbox.put_away(uid, settings().imap_done)
    elif not repeated:
        MAILS.labels("quarantined").inc()


def _last_kept(mailbox: Mailbox) -> int:
    """The highest UID of this mailbox that is kept, 0 where none is."""
    newest = select(func.max(InboundMail.mailbox_key)).where(
        InboundMail.mailbox == mailbox.name,
        InboundMail.mailbox_key != "",
        InboundMail.mailbox_key.between(mailbox.key(0), mailbox.key(_LAST_UID)),
    )
    with database.transaction() as session:
        key = session.scalar(newest)
    return int(key.partition(".")[2]) if key else 0


@contextmanager
def _open(url: SplitResult) -> Iterator[Mailbox]:
    """The mailbox of a URL, logged in. Raises Unavailable where the server does not let us."""
    folder = unquote(url.path.strip("/")) or "INBOX"
    try:
        connection = _connected(url)
    except OSError as error:
        raise Unavailable(f"The mailbox at {url.hostname} does not answer: {error}") from error
    try:
        _ok(connection.login(unquote(url.username or ""), unquote(url.password or "")))
        _ok(connection.select(_quoted(folder)))
        validity = connection.response("UIDVALIDITY")[1][0]
        name = f"{unquote(url.username or '')}@{url.hostname}/{folder}"
        yield Mailbox(connection, name, int(validity or 0))
    except (imaplib.IMAP4.error, OSError) as error:
        raise Unavailable(f"The mailbox at {url.hostname} does not work: {error}") from error
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            connection.logout()


def _connected(url: SplitResult) -> imaplib.IMAP4:
    host = url.hostname or ""
    if url.scheme == "imaps":
        context = ssl.create_default_context()
        return imaplib.IMAP4_SSL(host, url.port or 993, ssl_context=context, timeout=SECONDS)
    return imaplib.IMAP4(host, url.port or 143, timeout=SECONDS)


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    """The data of an answer. Raises imaplib's error for a refusal."""
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(str(data[0])[:200])
    return data


def _quoted(folder: str) -> str:
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
