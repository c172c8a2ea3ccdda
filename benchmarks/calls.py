"""GetPerson beside an empty method of a bare gRPC server, and by REST beside the gRPC call behind it.

Some callers at once, so that no process has to be woken for each call: that would be the machine's time, not ours.
"""

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import grpc
from google.protobuf.empty_pb2 import Empty

from benchmarks.report import Figure, show, stopwatch
from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from tests.kit.world import World

ROUNDS, CALLS, CALLERS = 25, 200, 8

Call = Callable[[int], object]


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
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        get = PeopleServiceStub(channel).GetPerson
        ways: list[list[Call]] = [
            [lambda number: get(requests[number % len(requests)], metadata=token)] * CALLERS,
            [lambda _: empty(Empty())] * CALLERS,
            by_rest,
        ]
        # The first round warms up and does not count.
        rounds = [[_seconds(pool, callers) for callers in ways] for _ in range(1 + ROUNDS)][1:]
    rate, limit, rest = (ROUNDS * CALLS / sum(seconds) for seconds in zip(*rounds, strict=True))
    show(
        [
            Figure("GetPerson", rate, "an empty gRPC method", limit, 0.5, "calls"),
            Figure("GetPerson by REST", rest, "GetPerson by gRPC", rate, 0.5, "calls"),
        ]
    )


def _seconds(pool: ThreadPoolExecutor, callers: list[Call]) -> float:
    """How long the callers take together, each with its share of the calls."""
    with stopwatch() as watch:
        list(pool.map(_call_each, callers, range(0, CALLS, CALLS // CALLERS)))
    return watch.seconds


def _call_each(call: Call, first: int) -> None:
    for number in range(first, first + CALLS // CALLERS):
        call(number)


@contextmanager
def _rest(world: World, ids: list[str]) -> Iterator[list[Call]]:
    """GET of a person by callers that keep their connections open."""
    address = world.installation.address("gateway")
    connections = [http.client.HTTPConnection(address, timeout=30) for _ in range(CALLERS)]
    headers = {"Authorization": f"Bearer {world.installation.token()}"}

    def get(connection: http.client.HTTPConnection, number: int) -> bytes:
        connection.request("GET", f"/v1/people/{ids[number % len(ids)]}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {body[:500]!r}")
        return body

    yield [partial(get, connection) for connection in connections]
    for connection in connections:
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
    server = grpc.server(ThreadPoolExecutor(16))
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
