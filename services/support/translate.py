"""Row to message and back; the enumerations have the same numbers on both sides."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from chassis.errors import InvalidArgument
from chassis.ids import parse_id
from chassis.moments import timestamp
from denda.support.v1 import inbound_pb2, queues_service_pb2, tickets_service_pb2, views_service_pb2
from denda.support.v1 import ticket_pb2 as pb
from services.support.lists import FIELDS
from services.support.models import Attachment, HistoryEntry, InboundMail, Presence, Queue, Ticket, TicketMessage, View
from services.support.states import Priority, Source
from services.support.tickets import CHANGEABLE, Companion, Draft
from services.support.watch import News

MOST_CHARACTERS_OF_A_TAG = 50


def ticket_to_proto(ticket: Ticket) -> pb.Ticket:
    """A ticket."""
    return pb.Ticket(
        id=str(ticket.id),
        number=ticket.number,
        subject=ticket.subject,
        state=ticket.state,  # type: ignore[arg-type]  # the stubs want the enums' own types
        priority=ticket.priority,  # type: ignore[arg-type]
        source=ticket.source,  # type: ignore[arg-type]
        queue_id=str(ticket.queue_id),
        assignee_id=ticket.assignee_id,
        tags=ticket.tags,
        requester_id=_text(ticket.requester_id),
        requester_address=ticket.requester_address,
        requester_name=ticket.requester_name,
        participants=[
            pb.Participant(address=one.address, person_id=_text(one.person_id)) for one in ticket.participants
        ],
        campaign_id=_text(ticket.campaign_id),
        merged_into_id=_text(ticket.merged_into_id),
        suggested_ticket_id=_text(ticket.suggested_ticket_id),
        last_message_time=timestamp(ticket.last_message_time),
        customer_spoke_last=ticket.customer_spoke_last,
        first_answer_time=timestamp(ticket.first_answer_time),
        solve_time=timestamp(ticket.solve_time),
        create_time=timestamp(ticket.create_time),
        update_time=timestamp(ticket.update_time),
        etag=str(ticket.version),
        message_count=ticket.message_count,
    )


def listed_to_proto(ticket: dict[str, Any]) -> Any:
    """A ticket of a list as the constructor of its page takes it, which makes the message in place."""
    for name in _TIMES:
        ticket[name] = timestamp(ticket[name])
    return ticket


_TIMES = [name for name in FIELDS if name.endswith("_time")]


def mail_to_proto(mail: InboundMail) -> inbound_pb2.InboundMail:
    """A mail that came in, without its bytes."""
    return inbound_pb2.InboundMail(
        id=str(mail.id),
        state=mail.state,  # type: ignore[arg-type]  # the stubs want the enums' own types
        kind=mail.kind,  # type: ignore[arg-type]
        matched_by=mail.matched_by,  # type: ignore[arg-type]
        detail=mail.detail,
        ticket_id=_text(mail.ticket_id),
        source=mail.source,
        mailbox=mail.mailbox,
        from_address=mail.from_address,
        subject=mail.subject,
        message_id_header=mail.message_id_header,
        size=mail.size,
        duplicate_of_id=_text(mail.duplicate_of_id),
        create_time=timestamp(mail.create_time),
    )


def message_to_proto(message: TicketMessage) -> pb.TicketMessage:
    """A message with its files, whose content is downloaded one by one."""
    return pb.TicketMessage(
        id=str(message.id),
        ticket_id=str(message.ticket_id),
        author=message.author,  # type: ignore[arg-type]
        internal=message.internal,
        author_id=message.author_id,
        author_name=message.author_name,
        from_address=message.from_address,
        text=message.text,
        full_text=message.full_text or message.text,
        html=message.html,
        attachments=map(attachment_to_proto, message.attachments),
        mentioned_ids=message.mentioned_ids,
        delivery_state=message.delivery_state,  # type: ignore[arg-type]
        delivery_detail=message.delivery_detail,
        message_id=_text(message.message_id),
        inbound_id=_text(message.inbound_id),
        create_time=timestamp(message.create_time),
        original_ticket_id=_text(message.original_ticket_id),
    )


def attachment_to_proto(attachment: Attachment) -> pb.Attachment:
    """A file without its content."""
    return pb.Attachment(
        id=str(attachment.id),
        name=attachment.name,
        content_type=attachment.content_type,
        size=attachment.size,
        inline=attachment.inline,
        refused_reason=attachment.refused_reason,
    )


def entry_to_proto(entry: HistoryEntry) -> pb.HistoryEntry:
    """An entry of the history."""
    return pb.HistoryEntry(
        id=str(entry.id),
        kind=entry.kind,
        field=entry.field,
        before=entry.before,
        after=entry.after,
        actor=entry.actor,
        create_time=timestamp(entry.create_time),
    )


def queue_to_proto(queue: Queue) -> queues_service_pb2.Queue:
    """A queue."""
    return queues_service_pb2.Queue(
        id=str(queue.id),
        name=queue.name,
        description=queue.description,
        addresses=[one.address for one in queue.addresses],
        is_default=queue.is_default,
        create_time=timestamp(queue.create_time),
        update_time=timestamp(queue.update_time),
        etag=str(queue.version),
    )


def presence_to_proto(presence: Presence) -> tickets_service_pb2.SetPresenceResponse.Presence:
    """Somebody who has a ticket before them."""
    return tickets_service_pb2.SetPresenceResponse.Presence(
        user_id=presence.user_id,
        activity=presence.activity,  # type: ignore[arg-type]
        since=timestamp(presence.since),
    )


def news_to_proto(news: News) -> tickets_service_pb2.WatchTicketsResponse:
    """What a watcher is told."""
    ticket = ticket_to_proto(news.ticket) if news.ticket else None
    return tickets_service_pb2.WatchTicketsResponse(ticket=ticket, left=news.left, cursor=news.cursor)


def view_to_proto(view: View) -> views_service_pb2.View:
    """A view."""
    return views_service_pb2.View(
        id=str(view.id),
        name=view.name,
        filter=view.filter,
        order=view.order,  # type: ignore[arg-type]
        shared=view.shared,
        owner=view.owner,
        create_time=timestamp(view.create_time),
        update_time=timestamp(view.update_time),
        etag=str(view.version),
    )


def draft_from_proto(ticket: pb.Ticket) -> Draft:
    """A ticket that somebody wants opened."""
    fields = {name: _plain(ticket, name) for name in CHANGEABLE}
    return Draft(
        subject=fields["subject"],
        source=Source(ticket.source or Source.API),
        requester_address=_clean("ticket.requester_address", ticket.requester_address).strip(),
        requester_name=_clean("ticket.requester_name", ticket.requester_name).strip(),
        requester_id=fields["requester_id"],
        queue_id=fields["queue_id"],
        assignee_id=fields["assignee_id"],
        priority=Priority(ticket.priority or Priority.NORMAL),
        tags=fields["tags"],
        participants=fields["participants"],
        campaign_id=_id("ticket.campaign_id", ticket.campaign_id),
    )


def changes_from_proto(message: Message, paths: Iterable[str], known: Iterable[str] = CHANGEABLE) -> dict[str, Any]:
    """The fields that a mask names; without one those that have a value. Raises InvalidArgument for others."""
    allowed = tuple(known)
    named = [path for path in paths if path not in ("id", "etag", "create_time", "update_time")]
    if named == ["*"]:
        named = list(allowed)
    for path in named:
        if path not in allowed:
            raise InvalidArgument("update_mask", f"{path[:64]!r} cannot be changed; these can: {', '.join(allowed)}")
    if not named:
        named = [field.name for field, _ in message.ListFields() if field.name in allowed]
    return {name: _plain(message, name) for name in named}


def _plain(message: Message, name: str) -> Any:
    value, field = getattr(message, name), f"{message.DESCRIPTOR.name.lower()}.{name}"
    match name:
        case "queue_id" | "requester_id":
            return _id(field, value)
        case "tags":
            return list(dict.fromkeys(_tag(tag) for tag in value))
        case "participants":
            return [
                Companion(_clean(field, one.address).strip(), _id("participants.person_id", one.person_id))
                for one in value
            ]
        case "addresses":
            return [_clean(field, address) for address in value]
        case _:
            return _clean(field, value) if isinstance(value, str) else value


def tags_from_proto(tags: Iterable[str]) -> list[str]:
    """Tags of a request, each once."""
    return list(dict.fromkeys(_tag(tag) for tag in tags))


def text_from_proto(text: str, field: str) -> str:
    """What somebody wrote. Raises InvalidArgument for nothing but white space, and for NUL."""
    if not _clean(field, text).strip():
        raise InvalidArgument(field, "is empty")
    return text.replace("\r\n", "\n").strip()


def _tag(tag: str) -> str:
    tidy = " ".join(_clean("tags", tag).split())
    if not tidy or len(tidy) > MOST_CHARACTERS_OF_A_TAG:
        raise InvalidArgument("tags", f"a tag has 1 to {MOST_CHARACTERS_OF_A_TAG} characters")
    return tidy


def _clean(field: str, value: str) -> str:
    if "\0" in value:
        raise InvalidArgument(field, "contains a NUL character")
    return value


def _id(field: str, value: str) -> UUID | None:
    return parse_id(value, field) if value else None


def _text(value: UUID | None) -> str:
    return str(value or "")
