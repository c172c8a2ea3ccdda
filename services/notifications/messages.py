"""Messages: sent one at a time by programs, looked up, listed, and told of."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, select, update
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from services.notifications import content, mime
from services.notifications.acceptance import Brief, Recipient, accept, message_id_of
from services.notifications.content import Content
from services.notifications.models import Mailing, Message, MessageEvent, Outgoing, SandboxMessage
from services.notifications.states import Channel, State
from services.notifications.suppressions import is_suppressed
from services.notifications.templates.liquid import RenderError
from services.notifications.templates.versions import Version, version_of

DEFAULT_EXPIRY = timedelta(hours=24)
MOST_EXPIRY = timedelta(days=30)


@dataclass(frozen=True)
class Standing:
    """A message and where it stands now; SENDING is a claim, not a stored state."""

    message: Message
    mailing: Mailing
    state: State


@dataclass(frozen=True)
class Happening:
    """One decision or answer about a message."""

    kind: str
    detail: str
    time: datetime


@dataclass(frozen=True)
class Wish:
    """A transactional message that somebody wants sent, its address normalised.

    It has either a template or content.
    """

    request_id: str
    channel: Channel
    address: str
    person_id: UUID | None
    template_id: UUID | None
    template_version: int
    content: Content | None
    language: str
    merge_fields: Mapping[str, Any]
    sender: str
    reply_to: str
    expire_after: timedelta | None


def check_wish(wish: Wish) -> None:
    """Raises InvalidArgument that names an impossible sender, or what is wrong with merge fields or content."""
    if wish.channel == Channel.EMAIL:
        _check_mailbox("sender", wish.sender)
        _check_mailbox("reply_to", wish.reply_to)
    if wish.content:
        content.check(wish.content, wish.channel)
    if wish.template_id:
        _check_rendering(wish, version_of(wish.template_id, wish.template_version))


def _check_rendering(wish: Wish, version: Version) -> None:
    """Render the message once."""
    variant = version.in_language(wish.language)
    missing = sorted(variant.required - wish.merge_fields.keys())
    if missing:
        wrong = [Violation(f"merge_fields.{name}", "the template needs it and it is missing") for name in missing]
        raise InvalidArgument(wrong[0].field, wrong[0].description, *wrong[1:])
    links = {f"_link_{number}": url for number, url in enumerate(version.links)}
    try:
        variant.render({**wish.merge_fields, **links, "_pixel": ""})
    except RenderError as error:
        raise InvalidArgument("merge_fields", str(error)) from None


def send(session: Session, wish: Wish) -> Standing:
    """Accept a transactional message; a repeated request_id answers the first one.

    Raises FailedPrecondition when the address is suppressed.
    """
    message_id = message_id_of(wish.request_id)
    if session.get(Message, message_id):
        return standing_of(session, message_id)
    if is_suppressed(session, wish.channel, wish.address):
        raise FailedPrecondition("The address is on the suppression list.", reason="ADDRESS_SUPPRESSED")
    expiry = min(wish.expire_after or DEFAULT_EXPIRY, MOST_EXPIRY)
    brief = Brief(
        campaign_id=None,
        campaign_name="",
        channel=wish.channel,
        purpose="",
        template_id=wish.template_id,
        template_version=wish.template_version,
        sender=wish.sender,
        reply_to=wish.reply_to,
        track=False,
    )
    fields = json.dumps(wish.merge_fields)
    recipient = Recipient(message_id, wish.person_id, wish.address, wish.language, "", fields)
    # Of two calls with one request_id at the same time, the second finds the message of the first.
    if accept(session, brief, [recipient], now(), now() + expiry) and wish.content:
        chosen = wish.content.thread.message_id_header or None
        written = {"content": content.as_kept(wish.content), "message_id_header": chosen}
        session.execute(update(Message).where(Message.id == message_id).values(written))
    return standing_of(session, message_id)


def messages_named(session: Session, headers: Iterable[str]) -> dict[str, Message]:
    """The messages that left with these Message-IDs, ours or their writers' choice; others are left out.

    A Message-ID of ours proves itself. One that a writer chose counts only as the whole that was sent.
    """
    asked = {header: mime.message_of(header) or header.strip() for header in headers if header.strip()}
    ids, texts = ([one for one in asked.values() if isinstance(one, kind)] for kind in (UUID, str))
    found: dict[UUID | str, Message] = {}
    if ids:
        found |= {message.id: message for message in session.scalars(select(Message).where(Message.id.in_(ids)))}
    if texts:
        chosen = select(Message).where(Message.message_id_header.in_(texts)).order_by(Message.id.desc())
        found |= {message.message_id_header or "": message for message in session.scalars(chosen)}
    return {header: found[one] for header, one in asked.items() if one in found}


def standing_of(session: Session, message_id: UUID) -> Standing:
    """A message as it stands. Raises NotFound."""
    row = session.execute(messages_where(None, None, None).where(Message.id == message_id)).one_or_none()
    if row is None:
        raise NotFound("message", message_id)
    return standing(row)


def messages_where(person_id: UUID | None, campaign_id: UUID | None, state: State | None) -> Select[Any]:
    """The messages that fit what is set, with mailing and state, to be paged and read with `standing`."""
    claimed = Outgoing.claim.is_not(None) & (Message.state == int(State.SCHEDULED))
    shown = case((claimed, int(State.SENDING)), else_=Message.state)
    statement = (
        select(Message, Mailing, shown.label("shown"))
        .join(Mailing, Mailing.id == Message.mailing_id)
        .outerjoin(Outgoing, Outgoing.message_id == Message.id)
    )
    if person_id:
        statement = statement.where(Message.person_id == person_id)
    if campaign_id:
        statement = statement.where(Message.campaign_id == campaign_id)
    if state == State.SENDING:
        statement = statement.where(claimed)
    elif state == State.SCHEDULED:
        statement = statement.where(Message.state == int(State.SCHEDULED), Outgoing.claim.is_(None))
    elif state:
        statement = statement.where(Message.state == int(state))
    return statement


def standing(row: Any) -> Standing:
    """A row of `messages_where`."""
    return Standing(row[0], row[1], State(row[2]))


def history_of(session: Session, message_id: UUID) -> list[Happening]:
    """Every decision and answer about a message, oldest first. Raises NotFound."""
    message = standing_of(session, message_id).message
    rows = session.scalars(select(MessageEvent).where(MessageEvent.message_id == message_id).order_by(MessageEvent.id))
    happenings = [Happening("accepted", "", message.create_time)]
    happenings += [Happening(row.kind, row.detail, row.time) for row in rows]
    if message.sent_time:
        told = message.detail if message.state == State.SENT else ""
        happenings.append(Happening("sent", told or f"taken by {message.provider}", message.sent_time))
    if message.state == State.SKIPPED:
        happenings.append(Happening("skipped", message.detail, message.state_time))
    return sorted(happenings, key=lambda happening: happening.time)


def sandbox_messages(address: str, message_id: UUID | None = None) -> Select[SandboxMessage]:
    """What the sandbox took, to be paged: everything, what went to an address, or one message."""
    statement = select(SandboxMessage)
    if message_id is not None:
        statement = statement.where(SandboxMessage.id == message_id)
    return statement.where(SandboxMessage.address == address) if address else statement


def _check_mailbox(field: str, value: str) -> None:
    if not value:
        return
    try:
        mime.mailbox(value)
    except mime.UnusableAddress:
        raise InvalidArgument(field, "write it as `Shop <news@shop.example>`") from None
