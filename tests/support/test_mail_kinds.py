"""Machines that write: recognised by what they say of themselves, and people taken for none."""

import pytest

from services.support.mail.bounces import Bounce
from services.support.mail.kinds import kind_of
from services.support.mail.parse import parse
from services.support.states import InboundKind

AUTO_REPLIES = (
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-generated; owner=x",
    "X-Autoreply: yes",
    "X-Auto-Response-Suppress: All",
    "X-Auto-Response-Suppress: DR, OOF, AutoReply",
    "Precedence: auto_reply",
    "Return-Path: <>",
    "Subject: Automatic reply: Your parcel",
    "Subject: Abwesenheitsnotiz: Ihr Paket",
    "Subject: =?utf-8?q?R=C3=A9ponse_automatique_:_Votre_colis?=",
    "Subject: Erantzun automatikoa: Zure paketea",
)
BULK = (
    "List-Id: <news.shop.example>",
    "List-Unsubscribe: <https://shop.example/u>",
    "Precedence: bulk",
    "Precedence: LIST",
    "Precedence: junk",
)
PERSONAL = (
    "Auto-Submitted: no",
    "X-Auto-Response-Suppress: none",
    "Precedence: normal",
    "Subject: Out of office supplies, when do you get more?",
    "Return-Path: <ane@shop.example>",
    "Subject: Undelivered Mail Returned to Sender",
)
DSN = b"""From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: support@inbound.denda.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

This is the mail system at host mx.example. I'm sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; Ane@shop.example
Action: %s
Status: %s
Diagnostic-Code: smtp; %s

--b
Content-Type: %s

Message-ID: <original@inbound.denda.example>
Subject: Re: Parcel

It is on its way.
--b--
"""
QMAIL = b"""From: MAILER-DAEMON@old.example
To: support@inbound.denda.example
Subject: failure notice

Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ane@shop.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <support@inbound.denda.example>
Message-ID: <original@inbound.denda.example>
Subject: Re: Parcel

It is on its way.
"""


def kind(raw: bytes, envelope_from: str = "ane@shop.example", *, is_own: bool = False) -> InboundKind:
    return kind_of(parse(raw), envelope_from, is_own)[0]


def with_field(field: str) -> bytes:
    return b"From: Ane <ane@shop.example>\r\n" + field.encode() + b"\r\n\r\nThank you for your mail."


@pytest.mark.parametrize("field", AUTO_REPLIES)
def test_an_automatic_answer_is_recognised(field: str) -> None:
    assert kind(with_field(field)) == InboundKind.AUTO_REPLY


@pytest.mark.parametrize("field", BULK)
def test_bulk_mail_is_recognised(field: str) -> None:
    assert kind(with_field(field)) == InboundKind.BULK


@pytest.mark.parametrize("field", PERSONAL)
def test_a_person_is_taken_for_no_machine(field: str) -> None:
    assert kind(with_field(field)) == InboundKind.PERSONAL


def test_the_null_sender_is_a_machines_and_an_unknown_one_is_not() -> None:
    assert kind(with_field("X: y"), "<>") == InboundKind.AUTO_REPLY
    assert kind(with_field("X: y"), "") == InboundKind.PERSONAL


def test_what_left_this_house_and_came_back_is_a_loop() -> None:
    assert kind(with_field("Auto-Submitted: auto-replied"), is_own=True) == InboundKind.LOOP


@pytest.mark.parametrize(
    ("action", "status", "said", "expected"),
    [
        (
            b"failed",
            b"5.1.1",
            b"550 5.1.1 <ane@shop.example> unknown",
            ("5.1.1", "550 5.1.1 <ane@shop.example> unknown"),
        ),
        (b"failed (bad mailbox)", b"5.0.0", b"550 5.2.2 mailbox full", ("5.2.2", "550 5.2.2 mailbox full")),
        (b"delayed", b"4.4.1", b"connection timed out", ("4.4.1", "connection timed out")),
        (b"failed", b"4.4.1", b"connection timed out", ("5.4.7", "connection timed out")),
        (b"failed", b"nonsense", b"no such user", ("5.0.0", "no such user")),
    ],
)
@pytest.mark.parametrize("copy", [b"message/rfc822", b"text/rfc822-headers"])
def test_a_report_by_the_standard_names_the_mail_and_the_reason(
    action: bytes, status: bytes, said: bytes, expected: tuple[str, str], copy: bytes
) -> None:
    found, bounce = kind_of(parse(DSN % (action, status, said, copy)), "<>", False)
    assert found == InboundKind.BOUNCE
    assert bounce == Bounce("<original@inbound.denda.example>", *expected, "ane@shop.example")


def test_a_report_that_a_mail_arrived_is_no_bounce() -> None:
    assert kind(DSN % (b"delivered", b"2.1.5", b"250 ok", b"message/rfc822"), "<>") == InboundKind.AUTO_REPLY


def test_a_report_by_no_standard_is_a_bounce_as_well() -> None:
    found, bounce = kind_of(parse(QMAIL), "<>", False)
    assert found == InboundKind.BOUNCE
    assert bounce is not None
    assert (bounce.message_id, bounce.status) == ("<original@inbound.denda.example>", "5.1.1")
    assert (bounce.address, bounce.detail) == ("ane@shop.example", "Sorry, no mailbox here by that name. (#5.1.1)")


def test_a_person_who_quotes_a_report_is_none() -> None:
    assert kind(b"From: Ane <ane@shop.example>\nSubject: What is this?\n\n" + QMAIL) == InboundKind.PERSONAL


def test_a_report_of_a_read_mail_is_a_machines() -> None:
    raw = b"Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b--"
    assert kind(raw) == InboundKind.AUTO_REPLY
