"""GetPerson beside an empty method of a bare gRPC server, and by REST beside the gRPC call behind it."""

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from google.protobuf.empty_pb2 import Empty

from benchmarks.report import Figure, show, stopwatch
from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from tests.kit.world import World

ROUNDS, CALLS = 25, 200


def measure(world: World) -> None:
    """Turn and turn about, so that both see the same machine."""
    installation = world.installation
    people = PeopleServiceStub(installation.channel("contacts")).ListPeople(pb.ListPeopleRequest(page_size=500)).people
    requests = [pb.GetPersonRequest(id=person.id) for person in people]
    token = (("authorization", f"Bearer {installation.token()}"),)
    with (
        _empty_method() as empty,
        _rest(world, [person.id for person in people]) as by_rest,
        grpc.insecure_channel(installation.address("contacts")) as channel,
    ):
        get = PeopleServiceStub(channel).GetPerson
        calls: list[Callable[[int], object]] = [
            lambda number: get(requests[number % len(requests)], metadata=token),
            lambda _: empty(Empty()),
            by_rest,
        ]
        # The first round warms up and does not count.
        rounds = [[_seconds(call) for call in calls] for _ in range(1 + ROUNDS)][1:]
    rate, limit, rest = (ROUNDS * CALLS / sum(seconds) for seconds in zip(*rounds, strict=True))
    show(
        [
            Figure("GetPerson", rate, "an empty gRPC method", limit, 0.5, "calls"),
            Figure("GetPerson by REST", rest, "GetPerson by gRPC", rate, 0.5, "calls"),
        ]
    )


def _seconds(call: Callable[[int], object]) -> float:
    with stopwatch() as watch:
        for number in range(CALLS):
            call(number)
    return watch.seconds


@contextmanager
def _rest(world: World, ids: list[str]) -> Iterator[Callable[[int], object]]:
    """GET of a person on one connection that stays open."""
    connection = http.client.HTTPConnection(world.installation.address("gateway"), timeout=30)
    headers = {"Authorization": f"Bearer {world.installation.token()}"}

    def get(number: int) -> bytes:
        connection.request("GET", f"/v1/people/{ids[number % len(ids)]}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {body[:500]!r}")
        return body

    yield get
    connection.close()


@contextmanager
def _empty_method() -> Iterator[Callable[[Empty], Empty]]:
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.calls"], stdout=subprocess.PIPE, text=True)
    if server.stdout is None:
        raise AssertionError("the pipe was asked for")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.stdout.readline().strip()}") as channel:
            yield channel.unary_unary(
                "/bare.Bare/Empty",
                request_serializer=Empty.SerializeToString,
                response_deserializer=Empty.FromString,
            )
    finally:
        server.terminate()
        server.wait()


def _serve_empty_method() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(16))
    method = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: Empty(), Empty.FromString, Empty.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Bare", {"Empty": method}),))
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    _serve_empty_method()
