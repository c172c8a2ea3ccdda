"""Streams over HTTP: lines or events, problems before the first message, and an end when the reader is gone."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chassis import client
from chassis.settings import settings
from denda.campaigns.v1 import campaigns_service_pb2 as pb
from services import port
from services.gateway.health import stopping
from services.gateway.rest import streams
from services.gateway.service import Gateway
from services.gateway.settings import gateway_settings
from tests.kit.tokens import a_token

PLACE = "/v1/campaigns/018f0000-0000-7000-8000-000000000001:watch"


class Watched:
    """A campaign that tells what a test wants it to tell."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.end: grpc.StatusCode | None = None
        self.stays = False
        self.left = threading.Event()

    def watch(self, request: Any, context: Any) -> Iterator[pb.WatchCampaignResponse]:
        context.add_callback(self.left.set)
        for size in self.sizes:
            yield pb.WatchCampaignResponse(audience_size=size)
        if self.stays:
            self.left.wait(60)
        if self.end:
            context.abort(self.end, "That was it.")


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watched = Watched()
    server = grpc.server(ThreadPoolExecutor(4))
    method = grpc.unary_stream_rpc_method_handler(
        watched.watch, pb.WatchCampaignRequest.FromString, pb.WatchCampaignResponse.SerializeToString
    )
    door = grpc.method_handlers_generic_handler("denda.campaigns.v1.CampaignsService", {"WatchCampaign": method})
    server.add_generic_rpc_handlers((door,))
    # Another test may have stopped an edge of this process.
    stopping.clear()
    monkeypatch.setenv("DENDA_ADDRESS_TEMPLATE", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    settings.cache_clear()
    server.start()
    yield watched
    server.stop(0).wait()
    client.plain_channel.cache_clear()


def watch(gateway: FlaskClient, **headers: str) -> TestResponse:
    return gateway.get(PLACE, headers={"Authorization": f"Bearer {a_token('viewer')}"} | headers)


def test_messages_are_lines_of_json(campaign: Watched, gateway: FlaskClient) -> None:
    campaign.sizes = [1, 2]
    answer = watch(gateway)
    assert answer.mimetype == "application/x-ndjson"
    assert [json.loads(line)["audienceSize"] for line in answer.text.splitlines()] == ["1", "2"]


def test_messages_are_events_for_who_asks_for_them(campaign: Watched, gateway: FlaskClient) -> None:
    campaign.sizes = [1, 2]
    answer = watch(gateway, Accept="text/event-stream")
    assert answer.mimetype == "text/event-stream"
    events = [block.removeprefix("data: ") for block in answer.text.split("\n\n") if block]
    assert [json.loads(event)["audienceSize"] for event in events] == ["1", "2"]


def test_a_refusal_before_the_first_message_is_a_problem(campaign: Watched, gateway: FlaskClient) -> None:
    campaign.end = grpc.StatusCode.NOT_FOUND
    answer = watch(gateway)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert answer.get_json()["detail"] == "That was it."


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_an_error_later_is_the_last_that_is_said(campaign: Watched, gateway: FlaskClient, accept: str) -> None:
    campaign.sizes, campaign.end = [1], grpc.StatusCode.UNAVAILABLE
    answer = watch(gateway, Accept=accept)
    assert answer.status_code == 200
    last = answer.text.strip().splitlines()[-1].removeprefix("data: ")
    problem = json.loads(last)
    assert problem.get("error", problem)["status"] == 503


def test_the_call_ends_when_the_reader_is_gone(campaign: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.sizes, campaign.stays = [1], True
    monkeypatch.setattr(streams, "GLANCE", 0.05)
    monkeypatch.setattr(streams, "GLANCES", 1)
    edge = Gateway()
    edge.start()
    connection = http.client.HTTPConnection("127.0.0.1", port("gateway"), timeout=20)
    connection.request("GET", PLACE, headers={"Authorization": f"Bearer {a_token('viewer')}"})
    answer = connection.getresponse()
    assert json.loads(answer.readline())["audienceSize"] == "1"
    answer.close()
    connection.close()
    assert campaign.left.wait(30)
    edge.stop()


def test_stopping_the_edge_ends_its_streams(campaign: Watched) -> None:
    campaign.sizes, campaign.stays = [1], True
    edge = Gateway()
    edge.start()
    connection = http.client.HTTPConnection("127.0.0.1", port("gateway"), timeout=20)
    connection.request("GET", PLACE, headers={"Authorization": f"Bearer {a_token('viewer')}"})
    answer = connection.getresponse()
    assert answer.readline()
    edge.stop()
    assert campaign.left.wait(30)
    connection.close()


def test_only_half_of_the_threads_stream(
    campaign: Watched, gateway: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.sizes, campaign.stays = [1], True
    monkeypatch.setenv("DENDA_HTTP_THREADS", "2")
    gateway_settings.cache_clear()
    streams._places.cache_clear()
    first = gateway.get(PLACE, headers={"Authorization": f"Bearer {a_token('viewer')}"}, buffered=False)
    refused = watch(gateway)
    assert (refused.status_code, refused.get_json()["reason"]) == (429, "TOO_MANY_STREAMS")
    first.close()
    assert campaign.left.wait(30)
    campaign.stays = False
    assert watch(gateway).status_code == 200
    streams._places.cache_clear()
