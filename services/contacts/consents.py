"""The consent ledger: entries are only added; the newest for a person, purpose and channel is in force."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.ids import new_id
from chassis.outbox import record
from chassis.paging import PageRequest, paginate
from denda.contacts.v1 import events_pb2
from services.contacts import people, texts
from services.contacts.models import Channel, Consent, ConsentState


@dataclass(frozen=True)
class Evidence:
    """How one could show later that it was so."""

    source: str = ""
    detail: str = ""
    message_id: str = ""


@dataclass(frozen=True)
class Topic:
    """What consent is about: one purpose on one channel."""

    purpose: str
    channel: Channel


def grant(session: Session, person_id: UUID, topic: Topic, basis: str, evidence: Evidence) -> Consent:
    """Record that a person allows messages; recording it again adds another entry.

    Records ConsentsChanged when it was withdrawn before. Raises NotFound when the person is unknown.
    """
    before = _in_force(session, person_id, topic)
    entry = _entry(person_id, topic, ConsentState.GRANTED, evidence)
    entry.basis = texts.without_nul(basis) or "consent"
    _replace(session, before, entry)
    if before and before.state == ConsentState.WITHDRAWN:
        _tell(session, entry)
    return entry


def withdraw(session: Session, person_id: UUID, topic: Topic, evidence: Evidence) -> Consent:
    """Record that a person allows it no longer; the ledger keeps the earlier grant.

    Withdrawing what is withdrawn returns the entry in force. Takes effect for messages not yet claimed by a sender.
    Records ConsentsChanged. Raises NotFound when the person is unknown.
    """
    before = _in_force(session, person_id, topic)
    if before and before.state == ConsentState.WITHDRAWN:
        return before
    entry = _entry(person_id, topic, ConsentState.WITHDRAWN, evidence)
    _replace(session, before, entry)
    _tell(session, entry)
    return entry


def page(session: Session, person_id: UUID, *, in_force_only: bool, request: PageRequest) -> tuple[list[Consent], str]:
    """A page of a person's ledger, newest first, and the token of the next one. Raises NotFound."""
    people.require(session, person_id)
    statement = select(Consent).where(Consent.person_id == person_id)
    if in_force_only:
        statement = statement.where(Consent.in_force)
    fingerprint = f"consents {person_id} {in_force_only}"
    rows, token = paginate(
        session, statement, (Consent.create_time.desc(), Consent.id.desc()), request, fingerprint=fingerprint
    )
    return [entry for (entry,) in rows], token


def _in_force(session: Session, person_id: UUID, topic: Topic) -> Consent | None:
    """The entry in force, read after the person is locked, so that it stays so until this transaction ends."""
    people.locked(session, person_id)
    statement = select(Consent).where(
        Consent.person_id == person_id,
        Consent.purpose == topic.purpose,
        Consent.channel == int(topic.channel),
        Consent.in_force,
    )
    return session.scalars(statement).one_or_none()


def _entry(person_id: UUID, topic: Topic, state: ConsentState, evidence: Evidence) -> Consent:
    return Consent(
        person_id=person_id,
        id=new_id(),
        purpose=topic.purpose,
        channel=int(topic.channel),
        state=int(state),
        basis="",
        source=texts.without_nul(evidence.source),
        detail=texts.without_nul(evidence.detail),
        message_id=texts.without_nul(evidence.message_id),
        in_force=True,
        create_time=now(),
    )


def _replace(session: Session, before: Consent | None, entry: Consent) -> None:
    """Put an entry in force. The one before leaves first, since only one may be."""
    if before:
        before.in_force = False
        session.flush()
    session.add(entry)
    session.flush()


def _tell(session: Session, entry: Consent) -> None:
    event = events_pb2.ConsentsChanged()
    change = event.changes.add(
        consent_id=str(entry.id),
        person_id=str(entry.person_id),
        purpose=entry.purpose,
        channel=entry.channel,
        withdrawn=entry.state == ConsentState.WITHDRAWN,
        message_id=entry.message_id,
        source=entry.source,
    )
    change.time.FromDatetime(entry.create_time)
    record(session, event, str(entry.person_id))
