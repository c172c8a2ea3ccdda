"""MessagesService; the contract is denda/notifications/v1/messages_service.proto."""

from uuid import UUID

from chassis.errors import FailedPrecondition, InvalidArgument
from chassis.ids import parse_id
from chassis.paging import paginate
from chassis.server import Call
from denda.notifications.v1 import message_pb2
from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1 import messages_service_pb2_grpc as grpc_pb
from services.notifications import customers, messages, templates, translate
from services.notifications.addresses import comparable, normalised
from services.notifications.models import Message, SandboxMessage, database
from services.notifications.providers.choice import provider_of
from services.notifications.providers.sandbox import Sandbox
from services.notifications.states import Channel, State


class MessagesServicer(grpc_pb.MessagesServiceServicer):
    """Messages and what became of them."""

    def SendMessage(self, request: pb.SendMessageRequest, context: Call) -> message_pb2.Message:
        wish = _wish(request)
        messages.check_wish(wish)
        with database.transaction() as session:
            return translate.message_to_proto(messages.send(session, wish))

    def GetMessage(self, request: pb.GetMessageRequest, context: Call) -> message_pb2.Message:
        with database.transaction() as session:
            return translate.message_to_proto(messages.standing_of(session, parse_id(request.id)))

    def ListMessages(self, request: pb.ListMessagesRequest, context: Call) -> pb.ListMessagesResponse:
        wanted = messages.messages_where(
            parse_id(request.person_id, "person_id") if request.person_id else None,
            parse_id(request.campaign_id, "campaign_id") if request.campaign_id else None,
            State(request.state) if request.state else None,
        )
        with database.transaction() as session:
            rows, token = paginate(
                session,
                wanted,
                [Message.create_time.desc(), Message.id.desc()],
                request,
                fingerprint=f"{request.person_id} {request.campaign_id} {request.state}",
            )
            found = [translate.message_to_proto(messages.standing(row)) for row in rows]
            return pb.ListMessagesResponse(messages=found, next_page_token=token)

    def ListMessageEvents(self, request: pb.ListMessageEventsRequest, context: Call) -> pb.ListMessageEventsResponse:
        with database.transaction() as session:
            happenings = messages.history_of(session, parse_id(request.message_id, "message_id"))
            return pb.ListMessageEventsResponse(events=[translate.happening_to_proto(each) for each in happenings])

    def ListSandboxMessages(
        self, request: pb.ListSandboxMessagesRequest, context: Call
    ) -> pb.ListSandboxMessagesResponse:
        with database.transaction() as session:
            rows, token = paginate(
                session,
                messages.sandbox_messages(request.address, parse_id(request.id) if request.id else None),
                [SandboxMessage.create_time.desc(), SandboxMessage.id.desc()],
                request,
                fingerprint=comparable(Channel.EMAIL, request.address),
            )
            found = [translate.sandbox_message_to_proto(row) for (row,) in rows]
            return pb.ListSandboxMessagesResponse(messages=found, next_page_token=token)

    def ReceiveSandboxMessage(
        self, request: pb.ReceiveSandboxMessageRequest, context: Call
    ) -> pb.ReceiveSandboxMessageResponse:
        channel = Channel(request.channel)
        if provider_of(channel).name != Sandbox.name:
            raise FailedPrecondition(f"{channel.name} does not go through the sandbox.", reason="NO_SANDBOX")
        from_address = normalised(channel, request.from_address, "from_address")
        with database.transaction() as session:
            received = customers.speak(session, channel, from_address, request.text, request.request_id)
            return pb.ReceiveSandboxMessageResponse(id=str(received))


def _wish(request: pb.SendMessageRequest) -> messages.Wish:
    """The request, checked: it has a template of this channel or content, the address is possible."""
    channel = Channel(request.channel)
    by_hand = request.HasField("content")
    if by_hand == bool(request.template_id):
        raise InvalidArgument("template_id", "name a template, or send content instead")
    template_id, version = (None, 0) if by_hand else _template(request, channel)
    expire_after = request.expire_after.ToTimedelta() if request.HasField("expire_after") else None
    if expire_after is not None and expire_after.total_seconds() <= 0:
        raise InvalidArgument("expire_after", "must be longer than nothing")
    return messages.Wish(
        request_id=request.request_id,
        channel=channel,
        address=normalised(channel, request.address),
        person_id=parse_id(request.person_id, "person_id") if request.person_id else None,
        template_id=template_id,
        template_version=version,
        content=translate.content_from_proto(request) if by_hand else None,
        language=request.language,
        merge_fields=translate.plain(request.merge_fields),
        sender=request.sender,
        reply_to=request.reply_to,
        expire_after=expire_after,
    )


def _template(request: pb.SendMessageRequest, channel: Channel) -> tuple[UUID, int]:
    """The template that a request names, and its version. Raises NotFound, and InvalidArgument for another channel."""
    template_id = parse_id(request.template_id, "template_id")
    with database.transaction() as session:
        stored = templates.get(session, template_id, request.template_version)
    if stored.template.channel != channel:
        raise InvalidArgument("template_id", f"is a template for {Channel(stored.template.channel).name}")
    return template_id, stored.version.version
