"""Mail that comes in: kept as it came before anybody is told that it was taken, and whatever became of it.

The same mail is kept once: a mailbox that gives it the same name gets the first row again, and where Message-ID and
content are the same, a row says of which mail it is the duplicate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import FailedPrecondition, NotFound
from chassis.ids import new_id
from chassis.paging import PageRequest, paginate
from services.support.mail.digest import digest_of, message_id_in
from services.support.models import InboundMail
from services.support.states import InboundState

MOST_BYTES = 50 * 1024 * 1024

# fetched + retried = accepted + quarantined + duplicate, and what still waits to be read.
MAILS = Counter("denda_inbound_mails_total", "Mails that came in, by what became of them.", ["state"])

# Written out: to have SQLAlchemy make it for each mail takes four times as long as to keep the mail.
_KEEP = text("""
    INSERT INTO inbound_mail (id, state, source, mailbox, mailbox_key, recipients, envelope_from, message_id_header,
        digest, size, duplicate_of_id, create_time, raw)
    VALUES (:id, :state, :source, :mailbox, :mailbox_key, :recipients, :envelope_from, :message_id_header,
        :digest, :size, :duplicate_of_id, :create_time, :raw)
    ON CONFLICT DO NOTHING RETURNING id""")


@dataclass(frozen=True)
class Arrival:
    """A mail as somebody hands it over, its texts fit to be stored; `mailbox_key` is the mailbox's own name for it."""

    raw: bytes
    source: str
    mailbox: str = ""
    mailbox_key: str = ""
    recipients: Sequence[str] = ()
    # `<>` for the null sender, empty where nobody knows.
    envelope_from: str = ""


def keep(session: Session, arrival: Arrival) -> tuple[InboundMail, bool]:
    """Keep a mail as it is; answers it, and whether its mailbox has handed it over before."""
    digest = digest_of(arrival.raw)
    if mail := _kept(session, arrival, digest, None):
        return mail, False
    if known := _known(session, arrival):
        return known, True
    same = select(InboundMail.id).where(InboundMail.digest == digest, InboundMail.duplicate_of_id.is_(None))
    if mail := _kept(session, arrival, digest, session.scalars(same).one()):
        return mail, False
    known = _known(session, arrival)
    assert known is not None
    return known, True


def count_kept(mail: InboundMail, *, repeated: bool) -> None:
    """Count a mail that was handed over, once its transaction has ended."""
    if not repeated:
        MAILS.labels("fetched").inc()
        if mail.duplicate_of_id is not None:
            MAILS.labels("duplicate").inc()


def get(session: Session, mail_id: UUID) -> InboundMail:
    """A mail. Raises NotFound."""
    mail = session.get(InboundMail, mail_id)
    if mail is None:
        raise NotFound("mail", mail_id)
    return mail


def page(session: Session, state: int, request: PageRequest) -> tuple[list[InboundMail], str]:
    """A page of the mails in a state, or of all, newest first, and the token of the next one."""
    statement = select(InboundMail)
    if state:
        statement = statement.where(InboundMail.state == state)
    rows, token = paginate(session, statement, (InboundMail.id.desc(),), request, fingerprint=f"inbound {state}")
    return [mail for (mail,) in rows], token


def raw_of(session: Session, mail_id: UUID) -> bytes:
    """A mail as it came. Raises NotFound."""
    raw = session.scalar(select(InboundMail.raw).where(InboundMail.id == mail_id))
    if raw is None:
        raise NotFound("mail", mail_id)
    return raw


def retry(session: Session, mail_id: UUID) -> InboundMail:
    """Have a mail in quarantine read again. Raises NotFound and FailedPrecondition."""
    mail = _quarantined(session, mail_id)
    mail.state, mail.detail, mail.attempts, mail.leased_until = int(InboundState.RECEIVED), "", 0, None
    return mail


def discard(session: Session, mail_id: UUID) -> InboundMail:
    """Give a mail in quarantine up. Raises NotFound and FailedPrecondition."""
    mail = _quarantined(session, mail_id)
    mail.state = int(InboundState.DISCARDED)
    return mail


def quarantine(session: Session, mail_id: UUID, detail: str, *, from_address: str = "", subject: str = "") -> bool:
    """Put a mail that waits to be read into quarantine; answers whether it did wait."""
    mail = session.get(InboundMail, mail_id, with_for_update=True)
    if mail is None or mail.state != InboundState.RECEIVED:
        return False
    mail.state, mail.detail, mail.leased_until = int(InboundState.QUARANTINED), detail, None
    mail.from_address = from_address or mail.from_address
    mail.subject = subject or mail.subject
    return True


def _quarantined(session: Session, mail_id: UUID) -> InboundMail:
    mail = session.get(InboundMail, mail_id, with_for_update=True)
    if mail is None:
        raise NotFound("mail", mail_id)
    if mail.state != InboundState.QUARANTINED:
        raise FailedPrecondition("The mail is not in quarantine.", reason="NOT_QUARANTINED")
    return mail


def _kept(session: Session, arrival: Arrival, digest: bytes | None, duplicate_of_id: UUID | None) -> InboundMail | None:
    """The row of a mail; None where its mailbox's name for it, or an original with its digest, is there already."""
    values = {
        "id": new_id(),
        "state": int(InboundState.RECEIVED if duplicate_of_id is None else InboundState.DUPLICATE),
        "source": arrival.source,
        "mailbox": arrival.mailbox,
        "mailbox_key": arrival.mailbox_key,
        "recipients": list(arrival.recipients),
        "envelope_from": arrival.envelope_from,
        "message_id_header": message_id_in(arrival.raw),
        "digest": digest,
        "size": len(arrival.raw),
        "duplicate_of_id": duplicate_of_id,
        "create_time": now(),
        "raw": arrival.raw,
    }
    kept = session.execute(_KEEP, values).first()
    return InboundMail(**values, kind=0, matched_by=0, detail="", from_address="", subject="") if kept else None


def _known(session: Session, arrival: Arrival) -> InboundMail | None:
    if not arrival.mailbox_key:
        return None
    named = (InboundMail.mailbox == arrival.mailbox, InboundMail.mailbox_key == arrival.mailbox_key)
    return session.scalars(select(InboundMail).where(*named)).first()
