"""Email through a mail relay by SMTP (RFC 5321), one kept connection for each sending thread.

A recipient's refusal is the recipient's; a lost connection is nobody's. Only the mail whose text was under way
when the connection was lost is UNKNOWN; what had not begun is released and goes out again.
"""

import smtplib
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from threading import local
from uuid import UUID

import structlog

from chassis.runner import is_stopping
from services.notifications.providers import Answer, Outcome, Parcel
from services.notifications.providers.smtp_session import Reply, SmtpSession
from services.notifications.settings import Settings, settings
from services.notifications.statuses import refuses_address

log = structlog.get_logger()

# A connection that rested longer than this is asked whether it still lives before it is used.
RESTED = 10.0
# Relays close connections that rest for five minutes (RFC 5321 §4.5.3.2.7).
TOO_OLD = 240.0
# 530 and its kin say that we did not log in as we should: no recipient's fault.
OUR_FAULT = frozenset({421, 454, 530, 534, 535, 538})


class Smtp:
    """The provider `smtp`."""

    name = "smtp"
    # Of what a mail costs beside SMTP, half is for its group: with thirty, a campaign takes a tenth longer.
    group = 50
    whole = False

    def __init__(self) -> None:
        self._kept = local()

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Hand mails to the relay, one transaction each on one connection."""
        outcomes = list(self._delivered(parcels))
        rest = len(parcels) - len(outcomes)
        return outcomes + [Outcome(Answer.RELEASED, "the connection ended before its turn")] * rest

    def look_up(self, message_ids: Sequence[UUID]) -> Mapping[UUID, bool]:  # noqa: ARG002  the protocol's signature
        """A relay cannot be asked what it took."""
        return {}

    def check(self) -> None:
        """Connect, log in and leave. Raises OSError or smtplib.SMTPException with the reason."""
        connect(settings()).quit()

    def _delivered(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        session = self._session()
        if session is None:
            return
        try:
            yield from deliver(session, parcels)
        finally:
            self._kept.used = time.monotonic()
            if session.broken or session.delivered >= settings().smtp_messages_per_connection:
                session.leave()
                self._kept.session = None

    def _session(self) -> SmtpSession | None:
        """This thread's connection, made where there is none; None when the relay cannot be reached."""
        session: SmtpSession | None = getattr(self._kept, "session", None)
        if session and not self._lives(session):
            session.leave()
            session = None
        if session is None:
            try:
                session = connect(settings())
            except (OSError, smtplib.SMTPException) as error:
                log.warning("relay_unreachable", error=type(error).__name__)
        self._kept.session = session
        self._kept.used = time.monotonic()
        return session

    def _lives(self, session: SmtpSession) -> bool:
        rested = time.monotonic() - float(self._kept.used)
        return rested < RESTED or (rested < TOO_OLD and session.answers())


def connect(chosen: Settings) -> SmtpSession:
    """A session that is greeted, encrypted and logged in as the settings say. Raises OSError or SMTPException."""
    context = _tls(verify=chosen.smtp_verify)
    session = SmtpSession(
        chosen.smtp_timeout, chosen.smtp_hello or None, context if chosen.smtp_security == "tls" else None
    )
    try:
        session.greet(chosen.smtp_host, chosen.smtp_port)
        if chosen.smtp_security == "starttls" or (
            chosen.smtp_security == "opportunistic" and session.has_extn("starttls")
        ):
            session.starttls(context=context)
            session.ehlo_or_helo_if_needed()
        if chosen.smtp_username:
            session.login(chosen.smtp_username, chosen.smtp_password.get_secret_value())
    except BaseException:
        session.close()
        raise
    return session


@lru_cache(maxsize=2)
def _tls(*, verify: bool) -> ssl.SSLContext:
    """One context for all connections: reading the machine's certificates takes as long as some hundred mails."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def deliver(session: SmtpSession, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
    """The outcome of each mail, in order; ends early when the connection is lost, or the relay or we want to end.

    With PIPELINING (RFC 2920) the next mail's envelope travels behind the text of the one before, so that a mail
    costs one round trip.
    """
    announced = False
    for place, parcel in enumerate(parcels):
        if is_stopping():
            session.broken = True
            return
        following = parcels[place + 1] if place + 1 < len(parcels) else None
        if parcel.utf8 and not session.has_extn("smtputf8"):
            yield Outcome(Answer.REFUSED, "the relay does not take addresses beyond ASCII (SMTPUTF8)")
            continue
        if following and following.utf8 and not session.has_extn("smtputf8"):
            following = None
        outcome, announced = _one(session, parcel, following, announced=announced)
        yield outcome
        if session.broken:
            return


def _one(session: SmtpSession, parcel: Parcel, following: Parcel | None, *, announced: bool) -> tuple[Outcome, bool]:
    """One mail's outcome, and whether the envelope of the following one is already on its way."""
    try:
        refusal = session.envelope(parcel, announced=announced)
    except (OSError, smtplib.SMTPException) as error:
        session.broken = True
        return Outcome(Answer.RELEASED, f"the connection was lost: {type(error).__name__}"), False
    if refusal:
        outcome = _refused(refusal)
        session.broken = session.broken or outcome.answer == Answer.RELEASED
        return outcome, False
    try:
        reply = session.text(parcel, following)
    except (OSError, smtplib.SMTPException) as error:
        session.broken = True
        return Outcome(
            Answer.UNKNOWN, f"the connection was lost while it was handed over: {type(error).__name__}"
        ), False
    if reply.code == 421:
        session.broken = True
    if 200 <= reply.code < 300:
        session.delivered += 1
        return Outcome(Answer.TAKEN, str(reply), parcel.reference), session.ahead
    return _refused(reply, taken_so_far=True), session.ahead


def _refused(reply: Reply, *, taken_so_far: bool = False) -> Outcome:
    """What a refusal means. The enhanced code (RFC 3463) is more exact than the reply code."""
    if not taken_so_far and reply.code in OUR_FAULT:
        return Outcome(Answer.RELEASED, str(reply))
    if reply.code < 500:
        return Outcome(Answer.DEFERRED, str(reply))
    bad_address = refuses_address(reply.words)
    bare = bad_address is None and reply.stage == "RCPT" and reply.code in (550, 551, 553)
    return Outcome(Answer.BOUNCED if bad_address or bare else Answer.REFUSED, str(reply))
