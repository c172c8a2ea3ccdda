"""Mails that come in, until each is in a ticket, beside the standard library's parser that only parses them."""

import email
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email import policy

from benchmarks.report import Figure, show, stopwatch
from denda.support.v1 import inbound_service_pb2 as pb
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from tests.kit.mails import SUPPORT, mails
from tests.kit.world import World

COUNT, SAMPLE = 20_000, 2_000
SENDERS = 4


def measure(world: World) -> None:
    """From the first mail handed over to the last one in a ticket; the raw limit before and after it."""
    stub = InboundServiceStub(world.installation.channel("support"))
    raws = list(mails(COUNT))
    before = _parsed_a_second(raws[:SAMPLE])
    with world.tables("support") as support, stopwatch() as watch:
        with ThreadPoolExecutor(SENDERS) as pool:
            for _ in pool.map(lambda raw: stub.IngestInbound(_request(raw)), raws, chunksize=100):
                pass
        while support.execute("SELECT 1 FROM inbound_mail WHERE state = 1 LIMIT 1").fetchone():
            time.sleep(0.05)
    with world.tables("support") as support:
        (accepted,) = support.execute("SELECT count(*) FROM inbound_mail WHERE state = 2").fetchone() or (0,)
    if accepted != COUNT:
        raise AssertionError(f"only {accepted} of {COUNT} mails were accepted")
    after = _parsed_a_second(raws[:SAMPLE])
    name = f"{COUNT:,} mails to tickets"
    show([Figure(name, COUNT / watch.seconds, "email.parser alone", (before + after) / 2, 0.3, "mails")])


def _request(raw: bytes) -> pb.IngestInboundRequest:
    return pb.IngestInboundRequest(raw=raw, source="smtp", recipients=[SUPPORT])


def _parsed_a_second(raws: Sequence[bytes]) -> float:
    with stopwatch() as watch:
        for raw in raws:
            email.message_from_bytes(raw, policy=policy.default)
    return len(raws) / watch.seconds
