"""A list of a million tickets beside the best SQL for the same page, and changes on their way to 200 watchers."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import grpc
import psycopg
from rich.table import Table

from benchmarks.report import Figure, console, show
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as pb
from denda.support.v1.tickets_service_pb2_grpc import TicketsServiceStub
from tests.kit.world import World

COUNT, ROUNDS, PAGE = 1_000_000, 200, 50
DEEP = 200
WATCHERS, CHANGES = 200, 10
FILTER = 'queue = "Queue 2" AND state = "OPEN" AND assignee = "agent 3" AND tags:"parcel"'

FILL = """
    INSERT INTO queue (id, name) SELECT gen_random_uuid(), 'Queue ' || n FROM generate_series(1, 3) n
    ON CONFLICT DO NOTHING;
    INSERT INTO ticket (id, subject, state, priority, source, queue_id, assignee_id, tags, requester_id,
        requester_address, last_message_time, create_time, update_time)
    SELECT gen_random_uuid(), 'Ticket ' || n, 2 + 3 * ((n / 2) % 2), 1 + n % 4, 1, q.id, 'agent ' || (n / 11) % 4,
        CASE WHEN n % 2 = 0 THEN ARRAY['parcel', 'tag' || n % 100] ELSE ARRAY['tag' || n % 100] END,
        gen_random_uuid(), 'customer' || n % 100000 || '@shop.example', t, t, t
    FROM generate_series(1, {count}) n
    JOIN queue q ON q.name = 'Queue ' || (1 + (n / 7) % 3),
    LATERAL (SELECT timestamptz '2024-01-01' + n * interval '1 minute' AS t) m;
    ANALYZE ticket
"""
BARE = """
    SELECT ticket.* FROM ticket WHERE queue_id = (SELECT id FROM queue WHERE name = 'Queue 2') AND state = 2
    AND assignee_id = 'agent 3' AND tags @> ARRAY['parcel'] AND (last_message_time, id) < (%s, %s)
    ORDER BY last_message_time DESC, id DESC LIMIT 50
"""


def measure(world: World) -> None:
    """Pages first and deep, turn and turn about with the bare SQL; then how long a change is on its way."""
    stub = TicketsServiceStub(world.installation.channel("support"))
    with world.tables("support") as support:
        support.execute(FILL.format(count=COUNT))
        show([_pages(stub, support, name, depth) for name, depth in (("first page", 0), (f"page {DEEP}", DEEP))])
    _watch(world, stub)


def _pages(stub: TicketsServiceStub, support: psycopg.Connection, name: str, depth: int) -> Figure:
    token, position = "", ("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")
    for _ in range(depth):
        page = stub.ListTickets(pb.ListTicketsRequest(filter=FILTER, page_size=PAGE, page_token=token))
        if not page.next_page_token:
            break
        token, last = page.next_page_token, page.tickets[-1]
        position = (last.last_message_time.ToJsonString(), last.id)
    request = pb.ListTicketsRequest(filter=FILTER, page_size=PAGE, page_token=token)
    listed, bare = [], []
    for _ in range(ROUNDS):
        listed.append(_seconds(lambda: stub.ListTickets(request)))
        bare.append(_seconds(lambda: support.execute(BARE, position).fetchall()))
    figure = f"{name} of a list of {COUNT:,} tickets"
    return Figure(figure, 1 / median(listed), "the best SQL alone", 1 / median(bare), 1 / 3, "pages")


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _watch(world: World, stub: TicketsServiceStub) -> None:
    """How long after the change's commit the last of all watchers has it."""
    ticket = stub.CreateTicket(
        pb.CreateTicketRequest(
            ticket=ticket_pb2.Ticket(subject="watched", requester_address="ane@shop.example"), text="Hello"
        )
    )
    channels = [world.installation.channel("support") for _ in range(4)]
    heard: list[dict[str, float]] = [{} for _ in range(WATCHERS)]
    streams = [
        TicketsServiceStub(channels[number % len(channels)]).WatchTickets(
            pb.WatchTicketsRequest(filter='state = "OPEN"')
        )
        for number in range(WATCHERS)
    ]

    def listen(number: int) -> None:
        try:
            for news in streams[number]:
                heard[number].setdefault(news.ticket.subject, time.perf_counter())
        except grpc.RpcError:
            return

    threads = [threading.Thread(target=listen, args=(number,), daemon=True) for number in range(WATCHERS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    delays = []
    for change in range(CHANGES):
        subject = f"change {change}"
        ticket = stub.UpdateTicket(_renamed(ticket, subject))
        done = time.perf_counter()
        while not all(subject in of for of in heard) and time.perf_counter() < done + 30:
            time.sleep(0.02)
        delays.append(max(of.get(subject, done + 30) for of in heard) - done)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda stream: stream.cancel(), streams))
    table = Table("a change's way to the last of 200 watchers", "median", "longest", "at most")
    table.add_row(f"{CHANGES} changes", f"{median(delays):.2f} s", f"{max(delays):.2f} s", "1 s")
    console.print(table)


def _renamed(ticket: ticket_pb2.Ticket, subject: str) -> pb.UpdateTicketRequest:
    request = pb.UpdateTicketRequest(ticket=ticket)
    request.ticket.subject, request.ticket.state = subject, ticket_pb2.TICKET_STATE_OPEN
    request.update_mask.paths.extend(["subject", "state"])
    return request
