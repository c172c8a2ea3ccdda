"""Support as the mail door sees it: it keeps what it is given, and can be away or slow."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from denda.support.v1 import inbound_pb2, queues_service_pb2
from denda.support.v1 import inbound_service_pb2 as pb
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceServicer, add_InboundServiceServicer_to_server
from denda.support.v1.queues_service_pb2_grpc import QueuesServiceServicer, add_QueuesServiceServicer_to_server


class SupportStub(InboundServiceServicer, QueuesServiceServicer):
    """A server of its own on a free port; `mails` has what was stored, streamed pieces put together."""

    def __init__(self) -> None:
        self.mails: list[pb.IngestInboundRequest] = []
        self.away = False
        self.lists = self.pieces = self.waiting = 0
        # While it is clear, nothing is answered.
        self.hold = threading.Event()
        self.hold.set()
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_InboundServiceServicer_to_server(self, self._server)
        add_QueuesServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def close(self) -> None:
        self.hold.set()
        self._server.stop(0).wait()

    def ListQueues(self, request: Any, context: grpc.ServicerContext) -> queues_service_pb2.ListQueuesResponse:
        self._answer_if_here(context)
        self.lists += 1
        queue = queues_service_pb2.Queue(name="Help", addresses=["help@shop.example"])
        return queues_service_pb2.ListQueuesResponse(queues=[queue])

    def IngestInbound(self, request: pb.IngestInboundRequest, context: grpc.ServicerContext) -> inbound_pb2.InboundMail:
        return self.StreamInbound(iter([pb.StreamInboundRequest(mail=request)]), context)

    def StreamInbound(
        self, requests: Iterator[pb.StreamInboundRequest], context: grpc.ServicerContext
    ) -> inbound_pb2.InboundMail:
        whole = pb.IngestInboundRequest()
        raw = b""
        for piece in requests:
            self.pieces += 1
            raw += piece.mail.raw + piece.rest
            whole.MergeFrom(piece.mail)
        whole.raw = raw
        self.waiting += 1
        self._answer_if_here(context)
        self.mails.append(whole)
        return inbound_pb2.InboundMail(id="0190")

    def _answer_if_here(self, context: grpc.ServicerContext) -> None:
        self.hold.wait(10)
        if self.away:
            # One that gRPC does not repeat by itself.
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "away")
