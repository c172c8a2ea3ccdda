"""The sandbox's customers speak: by SMS, on the voicemail."""

import grpc
import pytest

from chassis.clock import now
from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1.events_pb2 import MessageReceived
from denda.types.v1.channel_pb2 import CHANNEL_SMS, CHANNEL_VOICE, Channel
from services.notifications.rpc import messages as door
from tests.kit.doors import Doors
from tests.notifications.things import messages_stub

NUMBER = "+34944000000"


def speak(doors: Doors, channel: Channel.ValueType, text: str, number: str = NUMBER, request_id: str = "") -> str:
    request = pb.ReceiveSandboxMessageRequest(channel=channel, from_address=number, text=text, request_id=request_id)
    return messages_stub(doors, "agent").ReceiveSandboxMessage(request).id


def received(doors: Doors) -> list[MessageReceived]:
    return [event for event in doors.events("notifications") if isinstance(event, MessageReceived)]


@pytest.mark.parametrize("channel", [CHANNEL_SMS, CHANNEL_VOICE])
def test_what_a_customer_says_is_told_once(doors: Doors, channel: Channel.ValueType) -> None:
    before = now()
    ids = {speak(doors, channel, "Where is my parcel?", "+34 944 000 000", "call-1") for _ in range(2)}
    [event] = received(doors)
    assert ids == {event.id}
    assert (event.channel, event.from_address, event.text) == (channel, NUMBER, "Where is my parcel?")
    assert event.to_address
    assert event.keyword == ""
    assert event.time.ToMicroseconds() >= int(before.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("text", "keyword"), [("Stop", "STOP"), ("gelditu, mesedez", "STOP"), ("START", "START"), ("ayuda", "HELP")]
)
def test_a_single_word_that_is_obeyed_is_named(doors: Doors, text: str, keyword: str) -> None:
    speak(doors, CHANNEL_SMS, text)
    assert [event.keyword for event in received(doors)] == [keyword]


def test_stop_on_the_voicemail_is_no_keyword(doors: Doors) -> None:
    speak(doors, CHANNEL_VOICE, "stop")
    assert [event.keyword for event in received(doors)] == [""]


def test_nobody_speaks_where_the_sandbox_is_not_the_provider(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        name = "other"

    monkeypatch.setattr(door, "provider_of", lambda _: Other())
    with pytest.raises(grpc.RpcError) as refusal:
        speak(doors, CHANNEL_SMS, "Where is my parcel?")
    assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_an_impossible_number_is_refused(doors: Doors) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        speak(doors, CHANNEL_SMS, "Where is my parcel?", "Ane")
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
