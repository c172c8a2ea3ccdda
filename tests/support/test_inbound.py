"""Mail that comes in is kept as it came, once, and whatever becomes of it can be seen."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from sqlalchemy import text

from denda.support.v1 import inbound_pb2
from denda.support.v1 import inbound_service_pb2 as pb
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from services.support.inbound import MAILS
from services.support.mail.digest import digest_of
from services.support.models import database
from tests.kit.doors import Doors
from tests.support.conftest import refused

RAW = b"""Received: from mx1.example by mx2.example\r
From: Ane <ane@shop.example>\r
To: support@inbound.denda.example\r
Subject: Where is\r
 my parcel?\r
Message-ID: <1@mail.example>\r
\r
It has not come.\r
"""


@pytest.fixture
def stub(serve: Callable[..., Doors]) -> InboundServiceStub:
    """The door as the gateway finds it."""
    return serve("support").stub(InboundServiceStub, "support", "service")


def in_state(mail_id: str, state: int) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE inbound_mail SET state = :state WHERE id = :id"), {"state": state, "id": mail_id})


def counted(state: str) -> float:
    return float(MAILS.labels(state)._value.get())


def pieces(raw: bytes, size: int) -> Iterator[pb.StreamInboundRequest]:
    first = pb.IngestInboundRequest(raw=raw[:size], source="smtp", mailbox="inbound.denda.example")
    yield pb.StreamInboundRequest(mail=first)
    for start in range(size, len(raw), size):
        yield pb.StreamInboundRequest(rest=raw[start : start + size])


def downloaded(stub: InboundServiceStub, mail_id: str) -> bytes:
    return b"".join(piece.data for piece in stub.DownloadInbound(pb.DownloadInboundRequest(id=mail_id)))


def test_a_mail_is_kept_as_it_came(stub: InboundServiceStub) -> None:
    mail = stub.IngestInbound(pb.IngestInboundRequest(raw=RAW, source="smtp"))
    assert (mail.state, mail.source, mail.size) == (inbound_pb2.INBOUND_STATE_RECEIVED, "smtp", len(RAW))
    assert mail.message_id_header == "<1@mail.example>"
    assert stub.GetInbound(pb.GetInboundRequest(id=mail.id)) == mail
    assert downloaded(stub, mail.id) == RAW


def test_the_same_name_in_the_same_mailbox_is_the_same_mail(stub: InboundServiceStub) -> None:
    asked = pb.IngestInboundRequest(raw=RAW, source="imap", mailbox="support", mailbox_key="17.42")
    first, again = stub.IngestInbound(asked), stub.IngestInbound(asked)
    other = stub.IngestInbound(pb.IngestInboundRequest(raw=b"Other", mailbox="support", mailbox_key="17.43"))
    assert first.id == again.id != other.id
    assert len(stub.ListInbound(pb.ListInboundRequest()).mails) == 2


def test_the_same_mail_by_another_way_is_a_duplicate(stub: InboundServiceStub) -> None:
    first = stub.IngestInbound(pb.IngestInboundRequest(raw=RAW))
    before = counted("duplicate")
    elsewhere = b"Received: from elsewhere\r\nDKIM-Signature: v=1\r\n" + RAW.replace(b"\r\n", b"\n") + b"\n"
    again = stub.IngestInbound(pb.IngestInboundRequest(raw=elsewhere, source="imap", mailbox="m", mailbox_key="1.1"))
    assert (again.state, again.duplicate_of_id) == (inbound_pb2.INBOUND_STATE_DUPLICATE, first.id)
    assert counted("duplicate") == before + 1
    assert downloaded(stub, again.id) == elsewhere


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"not come", b"not come yet"), (b"<1@", b"<2@"), (b"Ane <ane@", b"Jon <jon@"), (b"my parcel", b"my money")],
)
def test_a_message_id_alone_proves_no_duplicate(stub: InboundServiceStub, one: bytes, other: bytes) -> None:
    stub.IngestInbound(pb.IngestInboundRequest(raw=RAW))
    mail = stub.IngestInbound(pb.IngestInboundRequest(raw=RAW.replace(one, other)))
    assert mail.state == inbound_pb2.INBOUND_STATE_RECEIVED


def test_two_who_write_the_same_few_words_are_two(stub: InboundServiceStub) -> None:
    assert digest_of(b"Subject: Help\n\nHelp") is None
    mails = [stub.IngestInbound(pb.IngestInboundRequest(raw=b"Subject: Help\n\nHelp")) for _ in range(2)]
    assert [mail.state for mail in mails] == [inbound_pb2.INBOUND_STATE_RECEIVED] * 2


def test_of_the_same_mail_at_once_one_is_the_original(stub: InboundServiceStub) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: stub.IngestInbound(pb.IngestInboundRequest(raw=RAW)), range(16)))
    originals = [mail for mail in found if not mail.duplicate_of_id]
    assert len(originals) == 1
    assert {mail.duplicate_of_id for mail in found if mail.duplicate_of_id} == {originals[0].id}
    with ThreadPoolExecutor(8) as pool:
        asked = pb.IngestInboundRequest(raw=b"One", mailbox="m", mailbox_key="7.7")
        assert len({mail.id for mail in pool.map(lambda _: stub.IngestInbound(asked), range(16))}) == 1


def test_a_large_mail_comes_in_pieces(stub: InboundServiceStub) -> None:
    raw = RAW + b"x" * (20 * 1024 * 1024)
    mail = stub.StreamInbound(pieces(raw, 1024 * 1024))
    assert (mail.size, mail.source, mail.mailbox) == (len(raw), "smtp", "inbound.denda.example")
    assert downloaded(stub, mail.id) == raw


def test_a_mail_that_is_too_large_is_refused(stub: InboundServiceStub) -> None:
    with refused() as refusal:
        stub.IngestInbound(pb.IngestInboundRequest(raw=b"x" * (15 * 1024 * 1024 + 1)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE")
    with refused() as refusal:
        stub.StreamInbound(pieces(b"x" * (51 * 1024 * 1024), 4 * 1024 * 1024))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert not stub.ListInbound(pb.ListInboundRequest()).mails


def test_a_stream_without_a_piece_is_refused(stub: InboundServiceStub) -> None:
    with refused() as refusal:
        stub.StreamInbound(iter(()))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_list_goes_from_the_newest_on_by_state(stub: InboundServiceStub) -> None:
    ids = [stub.IngestInbound(pb.IngestInboundRequest(raw=b"%d" % number)).id for number in range(5)]
    in_state(ids[1], 3)
    first = stub.ListInbound(pb.ListInboundRequest(page_size=2))
    second = stub.ListInbound(pb.ListInboundRequest(page_size=3, page_token=first.next_page_token))
    assert [mail.id for mail in (*first.mails, *second.mails)] == ids[::-1]
    quarantined = stub.ListInbound(pb.ListInboundRequest(state=inbound_pb2.INBOUND_STATE_QUARANTINED))
    assert [mail.id for mail in quarantined.mails] == [ids[1]]


def test_only_a_mail_in_quarantine_is_tried_again_or_given_up(stub: InboundServiceStub) -> None:
    mail = stub.IngestInbound(pb.IngestInboundRequest(raw=RAW))
    with refused() as refusal:
        stub.RetryInbound(pb.RetryInboundRequest(id=mail.id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_QUARANTINED")
    with refused() as refusal:
        stub.DiscardInbound(pb.DiscardInboundRequest(id=mail.id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_QUARANTINED")
    in_state(mail.id, 3)
    assert stub.RetryInbound(pb.RetryInboundRequest(id=mail.id)).state == inbound_pb2.INBOUND_STATE_RECEIVED
    in_state(mail.id, 3)
    assert stub.DiscardInbound(pb.DiscardInboundRequest(id=mail.id)).state == inbound_pb2.INBOUND_STATE_DISCARDED


def test_an_unknown_mail_is_not_found(stub: InboundServiceStub) -> None:
    unknown = "018f0000-0000-7000-8000-000000000000"
    with refused() as refusal:
        stub.GetInbound(pb.GetInboundRequest(id=unknown))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    with refused() as refusal:
        stub.RetryInbound(pb.RetryInboundRequest(id=unknown))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    with refused() as refusal:
        downloaded(stub, unknown)
    assert refusal.code == grpc.StatusCode.NOT_FOUND
