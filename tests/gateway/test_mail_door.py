"""The mail door takes mail for us alone, says 250 only for what is stored, and bears with rude and slow clients."""

import re
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from chassis.errors import Unavailable
from chassis.settings import settings
from services import port
from services.gateway import mail_conversation, mail_door, mailboxes
from services.gateway.mail_door import MailDoor
from services.gateway.service import Gateway
from services.gateway.settings import gateway_settings
from tests.gateway.support_stub import SupportStub
from tests.gateway.talk import Talk
from tests.kit.events import eventually

OURS = "reply+x@inbound.denda.example"
LMTP_PORT = 7126


@pytest.fixture
def door(support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailDoor]:
    monkeypatch.setenv("DENDA_LMTP_PORT", str(LMTP_PORT))
    door = MailDoor()
    door.start()
    yield door
    door.stop()


def smtp_port() -> int:
    return gateway_settings().smtp_in_port + settings().port_offset


@pytest.fixture
def talk(door: MailDoor) -> Iterator[Callable[[], Talk]]:
    """`talk()` begins a conversation."""
    with ExitStack() as open_ones:

        def begin(port: int = 0) -> Talk:
            made = Talk(port or smtp_port())
            open_ones.callback(made.socket.close)
            open_ones.callback(made._lines.close)
            return made

        yield begin


def test_a_mail_is_kept_with_its_envelope_before_it_is_acknowledged(door: MailDoor, support_stub: SupportStub) -> None:
    with smtplib.SMTP("127.0.0.1", smtp_port()) as client:
        client.sendmail("ane@shop.example", [OURS, "help@shop.example"], b"Subject: Hi\r\n\r\n.A dot\r\n")
        assert [mail.raw for mail in support_stub.mails] == [b"Subject: Hi\r\n\r\n.A dot\r\n"]
    (mail,) = support_stub.mails
    assert (mail.source, mail.mailbox, mail.envelope_from) == ("smtp", "inbound.denda.example", "ane@shop.example")
    assert list(mail.recipients) == [OURS, "help@shop.example"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header, no end\0\xff\xfe\r\n",
        b"bare\nline\rends\n.\nand a dot\r\n",
        b"x" * 200_000 + b"\r\n",
        b"." + b"y" * 70_000 + b"\r\r\n..\r\n",
        b"z" * 65_535 + b"\r\n.\r\n",
    ],
)
def test_whatever_a_mail_holds_is_kept_as_it_is(
    talk: Callable[[], Talk], support_stub: SupportStub, content: bytes
) -> None:
    client = talk()
    assert client.ready_for(OURS)[:3] == "354"
    client.send(re.sub(rb"(?<![^\n])\.", b"..", content) if b"\n.\n" not in content else content)
    assert client.say(b".")[:3] == "250"
    assert support_stub.mails[0].raw == content


def test_a_large_mail_goes_to_support_in_pieces(door: MailDoor, support_stub: SupportStub) -> None:
    content = (b"0123456789" * 7 + b"\r\n") * 60_000
    with smtplib.SMTP("127.0.0.1", smtp_port()) as client:
        client.sendmail("ane@shop.example", OURS, content)
    assert support_stub.pieces > 3
    assert support_stub.mails[0].raw == content


def test_a_bounce_has_no_sender(talk: Callable[[], Talk], support_stub: SupportStub) -> None:
    client = talk()
    client.say("EHLO x", "MAIL FROM:<>", f"RCPT TO:<{OURS}>", "DATA")
    assert client.say("It did not arrive.\r\n.")[:3] == "250"
    assert support_stub.mails[0].envelope_from == ""


@pytest.mark.parametrize("address", ["help@shop.example", "HELP@Shop.example", "Postmaster", "x@INBOUND.denda.example"])
def test_mail_is_taken_for_queues_and_the_inbound_domain(talk: Callable[[], Talk], address: str) -> None:
    assert talk().say("EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{address}>") == "250 2.1.5 OK"


@pytest.mark.parametrize("address", ["hello@denda.example", "Support@denda.example"])
def test_who_answers_to_the_sender_of_our_own_mails_is_heard(talk: Callable[[], Talk], address: str) -> None:
    assert talk().say("EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{address}>") == "250 2.1.5 OK"


@pytest.mark.parametrize("sender", ["Shop, the old one <News@shop.example>", "news@shop.example"])
def test_a_sender_is_known_however_its_name_is_written(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    chosen = gateway_settings().model_copy(update={"email_sender": sender})
    monkeypatch.setattr(mailboxes, "gateway_settings", lambda: chosen)
    assert mailboxes.is_ours("news@shop.example")


@pytest.mark.parametrize(
    "address",
    [
        "nobody@shop.example",
        "ane@elsewhere.example",
        "ane%elsewhere.example@shop.example",
        "@inbound.denda.example:ane@elsewhere.example",
        "x@inbound.denda.example@elsewhere.example",
        '"x@inbound.denda.example"@elsewhere.example',
        "x@[127.0.0.1]",
        "help",
    ],
)
def test_mail_for_anybody_else_is_refused(talk: Callable[[], Talk], support_stub: SupportStub, address: str) -> None:
    client = talk()
    answer = client.say("EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{address}>")
    assert answer.startswith(("550 5.1.1", "553 5.1.3"))
    assert client.say("DATA")[:3] == "503"
    assert support_stub.mails == []


@pytest.mark.parametrize(
    "command",
    [
        "<",
        "<a\0@b>",
        b"<a\xff@b>",
        '"',
        "<a@b",
        "<a@b> SIZE=x",
        "<a@b> NOSUCH=1",
        "<\x1b[2J@b>",
        "<" + "a" * 480 + "@b>",
    ],
)
def test_nonsense_for_an_address_is_told_and_the_conversation_goes_on(
    talk: Callable[[], Talk], command: str | bytes
) -> None:
    client = talk()
    client.say("EHLO x")
    raw = command if isinstance(command, bytes) else command.encode()
    client.say(b"MAIL FROM:" + raw)
    client.say("RSET", "MAIL FROM:<a@b.example>")
    assert client.say(b"RCPT TO:" + raw)[0] == "5"
    assert client.say(f"RCPT TO:<{OURS}>") == "250 2.1.5 OK"


def test_queues_are_not_asked_for_with_each_recipient(talk: Callable[[], Talk], support_stub: SupportStub) -> None:
    client = talk()
    client.say("EHLO x", "MAIL FROM:<a@b.example>", *["RCPT TO:<help@shop.example>"] * 5)
    assert support_stub.lists == 1


def test_too_many_recipients_are_to_come_in_another_transaction(
    talk: Callable[[], Talk], support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_door, "RECIPIENTS", 2)
    client = talk()
    client.say("EHLO x", "MAIL FROM:<a@b.example>", *[f"RCPT TO:<{OURS}>"] * 2)
    assert client.say(f"RCPT TO:<{OURS}>")[:3] == "452"
    client.say("DATA")
    assert client.say("Hi\r\n.")[:3] == "250"
    assert len(support_stub.mails[0].recipients) == 2


def test_while_support_is_away_the_sender_is_asked_to_come_again(
    talk: Callable[[], Talk], support_stub: SupportStub
) -> None:
    support_stub.away = True
    client = talk()
    client.say("EHLO x", "MAIL FROM:<a@b.example>")
    assert client.say("RCPT TO:<help@shop.example>")[:3] == "451"
    assert client.say(f"RCPT TO:<{OURS}>", "DATA")[:3] == "354"
    assert client.say("Hi\r\n.")[:3] == "451"
    support_stub.away = False
    assert client.ready_for(OURS)[:3] == "354"
    assert client.say("Hi\r\n.")[:3] == "250"


def test_a_mail_that_is_too_large_is_refused_and_the_next_one_taken(
    talk: Callable[[], Talk], support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "MAIL_BYTES", 1000)
    client = talk()
    assert "SIZE 1000" in client.say("EHLO x")
    assert client.say("MAIL FROM:<a@b.example> SIZE=1001")[:3] == "552"
    client.ready_for(OURS)
    client.send(b"x" * 900 + b"\r\n" + b"y" * 900 + b"\r\n")
    assert client.say(b".")[:3] == "552"
    client.ready_for(OURS)
    assert client.say("Hi\r\n.")[:3] == "250"
    assert [mail.raw for mail in support_stub.mails] == [b"Hi\r\n"]


def test_a_mail_that_does_not_end_is_cut_off(
    talk: Callable[[], Talk], support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "MAIL_BYTES", 1000)
    client = talk()
    client.ready_for(OURS)
    client.send(b"RSET\r\n" * 500)
    assert client.hear()[:3] == "552"
    assert client.hear() == ""
    assert support_stub.mails == []


def test_a_mail_waits_at_its_sender_while_others_fill_the_memory(
    talk: Callable[[], Talk], door: MailDoor, support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "HELD_BYTES", 1000)
    one, two = talk(), talk()
    one.ready_for(OURS)
    one.send(b"x" * 1100 + b"\r\n")
    two.ready_for(OURS)
    house = door._house
    assert house
    eventually(lambda: house.held > 1000)
    assert two.say("Hi\r\n.")[:3] == "452"
    one.socket.shutdown(socket.SHUT_WR)
    assert one.hear() == ""
    two.ready_for(OURS)
    assert two.say("Hi\r\n.")[:3] == "250"
    assert [mail.raw for mail in support_stub.mails] == [b"Hi\r\n"]


def test_a_whole_conversation_may_come_at_once(talk: Callable[[], Talk], support_stub: SupportStub) -> None:
    client = talk()
    assert "250-PIPELINING" in client.say("EHLO x")
    mail = f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{OURS}>\r\nDATA\r\nNumber %d\r\n.\r\n"
    client.send(((mail % 1) + (mail % 2) + "QUIT\r\n").encode())
    codes = [client.hear()[:3] for _ in range(9)]
    assert codes == ["250", "250", "354", "250"] * 2 + ["221"]
    assert [mail.raw for mail in support_stub.mails] == [b"Number 1\r\n", b"Number 2\r\n"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\r\n" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: y\r\nX: y\r\nY: z\r\n\r\n",
        b"\0" * 300_000 + b"\r\n",
        b"NOOP\r\n" * 200,
        b"DATA\r\nRCPT TO:<a@b>\r\nMAIL\r\nMAIL FROM\r\nRCPT\r\nBDAT 3 LAST\r\nAUTH PLAIN AA\r\nSTARTTLS\r\nEXPN\r\n",
    ],
)
def test_garbage_stores_nothing_and_the_next_client_is_served(
    talk: Callable[[], Talk], support_stub: SupportStub, garbage: bytes
) -> None:
    client = talk()
    client.send(garbage)
    client.socket.shutdown(socket.SHUT_WR)
    while answer := client.hear():
        assert answer[0] in "245"
        assert "Error" not in answer or "(" not in answer, "a defect shows"
    assert talk().ready_for(OURS)[:3] == "354"
    assert support_stub.mails == []


def test_a_client_that_goes_away_in_the_middle_has_sent_nothing(
    talk: Callable[[], Talk], support_stub: SupportStub
) -> None:
    client = talk()
    client.ready_for(OURS)
    client.send(b"Subject: Half\r\n\r\nand then\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.hear() == ""
    assert support_stub.mails == []


@pytest.mark.parametrize("drip", [b"N", b"RCPT TO:", b"\xff"])
def test_a_slow_client_is_let_go(talk: Callable[[], Talk], monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    monkeypatch.setattr(mail_conversation, "COMMAND_SECONDS", 0.5)
    client = talk()
    with pytest.raises(ConnectionError):
        client.go_on_sending(drip, pause=0.05)
    assert talk().say("EHLO x")[:3] == "250"


def test_a_mail_that_comes_too_slowly_is_let_go(
    talk: Callable[[], Talk], support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "MAIL_SECONDS", 0.5)
    client = talk()
    client.ready_for(OURS)
    with pytest.raises(ConnectionError):
        client.go_on_sending(b"x\r\n", pause=0.05)
    assert support_stub.mails == []


def test_a_client_that_does_not_listen_is_let_go(
    talk: Callable[[], Talk], door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(mail_conversation, "COMMANDS", {"*": 1_000_000})
    client = talk()
    client.socket.settimeout(60)
    with pytest.raises(ConnectionError):
        client.go_on_sending(b"EHLO x\r\n" * 10_000)


def test_one_client_has_so_many_connections_and_no_more(
    talk: Callable[[], Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_conversation, "CONNECTIONS_OF_ONE", 2)
    one, _ = talk(), talk()
    third = talk()
    assert third.greeting[:3] == "421"
    assert third.hear() == ""
    assert one.say("QUIT")[:3] == "221"
    eventually(lambda: talk().greeting[:3] == "220")


def test_guessing_addresses_becomes_slow(talk: Callable[[], Talk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_door, "WAIT_PER_MISS", 0.1)
    client = talk()
    client.say("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<a@shop.example>", "RCPT TO:<b@shop.example>")
    began = time.monotonic()
    assert client.say("RCPT TO:<c@shop.example>")[:9] == "550 5.1.1"
    assert time.monotonic() - began >= 0.3


def test_lmtp_answers_for_each_recipient(talk: Callable[[int], Talk], support_stub: SupportStub) -> None:
    client = talk(LMTP_PORT + settings().port_offset)
    assert client.say("EHLO x")[:3] == client.say("HELO x")[:3] == "500"
    client.say("LHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{OURS}>")
    assert client.say("RCPT TO:<nobody@shop.example>")[:9] == "550 5.1.1"
    client.say("RCPT TO:<help@shop.example>", "DATA")
    assert client.say("Hi\r\n.")[:3] == client.hear()[:3] == "250"
    assert list(support_stub.mails[0].recipients) == [OURS, "help@shop.example"]
    support_stub.away = True
    client.ready_for(OURS, OURS, hello="LHLO x")
    assert client.say("Hi\r\n.")[:3] == client.hear()[:3] == "451"
    assert client.say("NOOP")[:3] == "250"


def test_stopping_answers_what_is_under_way_and_sends_the_others_away(
    talk: Callable[[], Talk], door: MailDoor, support_stub: SupportStub
) -> None:
    idle, busy = talk(), talk()
    busy.ready_for(OURS)
    support_stub.hold.clear()
    busy.send(b"Hi\r\n.\r\n")
    eventually(lambda: support_stub.waiting)
    stopping = threading.Thread(target=door.stop)
    stopping.start()
    assert idle.hear()[:3] == "421"
    support_stub.hold.set()
    assert busy.hear()[:3] == "250"
    assert busy.hear()[:3] == "421"
    stopping.join(10)
    assert len(support_stub.mails) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", smtp_port()))


def test_a_taken_port_is_told_and_the_edge_does_not_half_start(door: MailDoor) -> None:
    with pytest.raises(Unavailable, match=r"the port for mail.*DENDA_SMTP_IN_PORT"):
        Gateway().start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port("gateway")))


def test_a_port_of_zero_opens_no_door(support_stub: SupportStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_SMTP_IN_PORT", "0")
    door = MailDoor()
    door.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 7125 + settings().port_offset))
    door.stop()
