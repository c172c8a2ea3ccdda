"""Reading the mail that waits: a few are claimed for a while, read outside of any transaction, and filed together.

What cannot be read, or fails alone where the others of its batch do not, goes into quarantine with the reason, and
nothing waits behind it. A mail that a reader died over is read alone the next time, and given up after some tries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Row, literal_column, or_, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Unavailable
from services.support import clients, filing, inbound, threads
from services.support.clients import Known, Sender
from services.support.filing import Letter
from services.support.inbound import MAILS
from services.support.mail.charsets import one_line
from services.support.mail.files import Limits
from services.support.mail.headers import addresses_in, is_address
from services.support.mail.kinds import kind_of
from services.support.mail.parse import Unreadable, header_of, parse
from services.support.mail.quoted import new_text
from services.support.models import InboundMail, QueueAddress, database
from services.support.settings import settings
from services.support.states import InboundKind

BATCH = 50
BATCH_BYTES = 32 * 1024 * 1024
LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 3
MOST_DETAIL = 300

# A mail that is claimed: its id, bytes, recipients, the envelope's sender, and how often it was claimed.
Claimed = Row[UUID, bytes, Sequence[str], str, int]

log = structlog.get_logger()


@dataclass(frozen=True)
class Trouble:
    """A mail that goes into quarantine, and why."""

    id: UUID
    detail: str
    from_address: str = ""
    subject: str = ""


def read_waiting() -> bool:
    """Read some of the mails that wait, oldest first; True when there may be more."""
    with database.transaction() as session:
        claimed = _claim(session)
        if not claimed:
            return False
        queues = _queues(session)
    outcomes = [_read(row, queues) for row in claimed]
    letters = _with_people([outcome for outcome in outcomes if isinstance(outcome, Letter)])
    troubles = [outcome for outcome in outcomes if isinstance(outcome, Trouble)]
    _file(letters, troubles)
    return True


def _claim(session: Session) -> Sequence[Claimed]:
    """Mails that nobody has, with their bytes. One that somebody had and did not finish is claimed alone."""
    # The state is written out, so that the partial index serves it.
    free = or_(InboundMail.leased_until.is_(None), InboundMail.leased_until <= now())
    waiting = select(InboundMail.id, InboundMail.size).where(InboundMail.state == literal_column("1"), free)
    waiting = waiting.order_by(InboundMail.id).with_for_update(skip_locked=True)
    found = session.execute(waiting.where(InboundMail.attempts == 0).limit(BATCH)).all()
    found = found or session.execute(waiting.limit(1)).all()
    chosen: list[UUID] = []
    for row in found:
        chosen.append(row.id)
        if sum(one.size for one in found[: len(chosen) + 1]) > BATCH_BYTES:
            break
    if not chosen:
        return []
    mark = update(InboundMail).where(InboundMail.id.in_(chosen))
    columns = (InboundMail.id, InboundMail.raw, InboundMail.recipients, InboundMail.envelope_from, InboundMail.attempts)
    claimed = mark.values(leased_until=now() + LEASE, attempts=InboundMail.attempts + 1).returning(*columns)
    return sorted(session.execute(claimed).all(), key=lambda row: row.id)


def _queues(session: Session) -> dict[str, UUID]:
    """The company's addresses and the queues of their mail."""
    rows = session.execute(select(QueueAddress.address, QueueAddress.queue_id))
    return {row.address: row.queue_id for row in rows}


def _read(row: Claimed, queues: Mapping[str, UUID]) -> Letter | Trouble:
    """A mail that was read. Whatever is wrong with it, it is known afterwards."""
    if row.attempts > MOST_ATTEMPTS:
        return _trouble(row, f"reading it did not come to an end {MOST_ATTEMPTS} times")
    try:
        return _letter(row, queues)
    except Unreadable as reason:
        return _trouble(row, str(reason))
    except Exception as error:
        log.exception("mail_not_read", mail_id=str(row.id))
        return _trouble(row, f"reading it failed: {type(error).__name__}: {error}")


def _letter(row: Claimed, queues: Mapping[str, UUID]) -> Letter:
    limits = Limits(settings().most_attachments, settings().attachment_bytes)
    mail = parse(row.raw, limits)
    author = mail.from_address or row.envelope_from.lower()
    led_here = [*(recipient.lower() for recipient in row.recipients), *mail.delivered_to]
    sent_to = list(dict.fromkeys((*led_here, *mail.sent_to)))
    own = frozenset((*led_here, *(one for one in (*sent_to, author) if one in queues or _is_ours(one))))
    came_back = author in own or threads.ticket_of_message_id(mail.message_id) is not None
    kind, bounce = kind_of(mail, row.envelope_from, came_back)
    return Letter(
        id=row.id,
        mail=mail,
        text=new_text(mail.text),
        kind=kind,
        bounce=bounce,
        author=author if is_address(author) else "",
        sent_to=sent_to,
        own=own,
        queue_id=next((queues[address] for address in sent_to if address in queues), None),
    )


def _is_ours(address: str) -> bool:
    sender = addresses_in(settings().support_sender)
    return address.endswith(f"@{settings().inbound_domain}") or any(address == own for _, own in sender)


def _trouble(row: Claimed, reason: str) -> Trouble:
    header = header_of(row.raw)
    author = next(iter(header.addresses("from")), ("", ""))[1]
    return Trouble(row.id, one_line(reason, MOST_DETAIL), author, header.get("subject", 500))


def _with_people(letters: Sequence[Letter]) -> list[Letter]:
    """The mails with the people who wrote them; without, where contacts is away, which is made good later."""
    senders = {letter.author: letter.mail.from_name for letter in letters if letter.kind == InboundKind.PERSONAL}
    senders.pop("", None)
    if not senders:
        return list(letters)
    try:
        found = clients.resolve([Sender(address, name) for address, name in senders.items()])
    except Unavailable:
        log.info("senders_not_resolved", count=len(senders))
        return list(letters)
    known = dict(zip(senders, found, strict=True))
    return [_known(letter, known.get(letter.author)) for letter in letters]


def _known(letter: Letter, person: Known | None) -> Letter:
    return replace(letter, person_id=person.person_id, person_name=person.name) if person else letter


def _file(letters: Sequence[Letter], troubles: Sequence[Trouble]) -> None:
    """File a batch in one transaction; where that fails, each mail in its own, so that one harms none of the others."""
    try:
        _commit(letters, troubles)
    except Exception as error:
        ids = [*(letter.id for letter in letters), *(trouble.id for trouble in troubles)]
        if len(ids) > 1:
            for letter in letters:
                _file([letter], [])
            for trouble in troubles:
                _file([], [trouble])
        elif _passes(error):
            raise
        else:
            log.exception("mail_not_filed", mail_id=str(ids[0]))
            reason = one_line(f"filing it failed: {type(error).__name__}: {error}", MOST_DETAIL)
            _commit([], [Trouble(ids[0], reason)])


def _passes(error: Exception) -> bool:
    """Whether an error is the database's and no mail's (SQLSTATE: connections, conflicts, resources).

    The lease of the mail runs out then, and it is read again.
    """
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, OperationalError | InterfaceError) else "none"
    return state is None or state[:2] in ("08", "40", "53", "55", "57")


def _commit(letters: Sequence[Letter], troubles: Sequence[Trouble]) -> None:
    with database.transaction() as session:
        accepted = filing.file(session, letters)
        quarantined = [trouble for trouble in troubles if _put_aside(session, trouble)]
    MAILS.labels("accepted").inc(len(accepted))
    MAILS.labels("quarantined").inc(len(quarantined))


def _put_aside(session: Session, trouble: Trouble) -> bool:
    return inbound.quarantine(
        session, trouble.id, trouble.detail, from_address=trouble.from_address, subject=trouble.subject
    )
