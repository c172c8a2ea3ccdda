"""Live lists: told at once, told of all, on after the cursor, and never at the cost of the others."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from sqlalchemy import select

from chassis import clock
from chassis.errors import Internal, ResourceExhausted
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as pb
from denda.support.v1 import views_service_pb2 as views_pb
from services.support import jobs, recent, tickets, watch
from services.support.models import Ticket, TicketChange, database
from services.support.watch import Sight, Watcher
from tests.kit.events import eventually
from tests.support.conftest import AGENT, Support, counted_statements, refused

OPEN, SOLVED = ticket_pb2.TICKET_STATE_OPEN, ticket_pb2.TICKET_STATE_SOLVED
OPEN_ONES = 'state = "OPEN"'


class Stream:
    """A watcher's stream, which a test reads answer by answer."""

    def __init__(self, support: Support, filter_text: str = OPEN_ONES, **options: Any) -> None:
        request = pb.WatchTicketsRequest(filter=filter_text, **options)
        self._answers: Any = support.tickets.WatchTickets(request, timeout=60)
        self.cursor = options.get("cursor", "")

    def next(self) -> tuple[str, bool]:
        """The next answer: the ticket's subject, and whether it left. The empty subject says that all is told."""
        answer = next(self._answers)
        self.cursor = answer.cursor or self.cursor
        return answer.ticket.subject, answer.left

    def until_told(self) -> list[tuple[str, bool]]:
        """What was there before."""
        return list(iter(self.next, ("", False)))

    def close(self) -> None:
        self._answers.cancel()


@pytest.fixture(autouse=True)
def _nobody_watches_after_a_test() -> Iterator[None]:
    yield
    eventually(lambda: watch._round is None)


@pytest.fixture
def watching(support: Support) -> Iterator[Any]:
    """`watching(filter, …)` begins a stream that ends with the test."""
    streams: list[Stream] = []

    def begin(*arguments: Any, **options: Any) -> Stream:
        streams.append(Stream(support, *arguments, **options))
        return streams[-1]

    yield begin
    for stream in streams:
        stream.close()


def test_what_is_there_comes_first_and_then_each_change_within_a_second(support: Support, watching: Any) -> None:
    support.a_ticket(subject="first", state=OPEN)
    support.a_ticket(subject="new")
    ticket = support.a_ticket(subject="second", state=OPEN)
    stream = watching(include_current=True)
    assert stream.until_told() == [("second", False), ("first", False)]
    began = time.monotonic()
    support.change(ticket.id, subject="changed")
    assert stream.next() == ("changed", False)
    assert time.monotonic() - began < 1


def test_a_ticket_comes_and_leaves_and_what_never_matched_is_not_told(support: Support, watching: Any) -> None:
    ticket = support.a_ticket(subject="a")
    stream = watching(include_current=True)
    assert stream.until_told() == []
    support.a_ticket(subject="never open")
    support.change(ticket.id, state=OPEN)
    assert stream.next() == ("a", False)
    support.change(ticket.id, state=SOLVED)
    assert stream.next() == ("a", True)
    support.change(ticket.id, subject="b")
    support.a_ticket(subject="last", state=OPEN)
    assert stream.next() == ("last", False)


def test_who_brings_a_list_is_told_once_of_a_ticket_that_does_not_match(support: Support, watching: Any) -> None:
    ticket = support.a_ticket(subject="a", state=OPEN)
    stream = watching()
    assert stream.until_told() == []
    support.change(ticket.id, state=SOLVED)
    assert stream.next() == ("a", True)
    support.change(ticket.id, subject="b")
    support.a_ticket(subject="last", state=OPEN)
    answers = iter(stream.next, ("last", False))
    assert ("b", True) not in list(answers)


def test_a_stream_that_broke_goes_on_after_its_cursor(support: Support, watching: Any) -> None:
    leaving, staying = support.a_ticket(subject="leaves", state=OPEN), support.a_ticket(subject="stays", state=OPEN)
    stream = watching(include_current=True)
    stream.until_told()
    stream.close()
    support.change(leaving.id, state=SOLVED)
    support.change(staying.id, priority=ticket_pb2.PRIORITY_HIGH)
    support.a_ticket(subject="comes", state=OPEN)
    again = watching(cursor=stream.cursor)
    assert set(again.until_told()) == {("leaves", True), ("stays", False), ("comes", False)}
    again.close()
    assert watching(cursor=again.cursor).until_told() == []


def test_a_stream_that_broke_in_the_middle_of_a_batch_misses_nothing(support: Support, watching: Any) -> None:
    made = [support.a_ticket(subject=f"ticket {number}") for number in range(5)]
    stream = watching(include_current=True)
    stream.until_told()
    request = pb.BatchUpdateTicketsRequest(ids=[ticket.id for ticket in made], ticket=ticket_pb2.Ticket(state=OPEN))
    support.tickets.BatchUpdateTickets(request)
    told = {stream.next(), stream.next()}
    stream.close()
    told |= set(watching(cursor=stream.cursor).until_told())
    assert told == {(ticket.subject, False) for ticket in made}


def test_a_change_that_was_committed_late_is_not_missed_and_holds_nobody_up(support: Support, watching: Any) -> None:
    late = support.a_ticket(subject="late", state=OPEN)
    with database.transaction() as session:
        tickets.update(session, UUID(late.id), {"subject": "committed late"}, "test")
        # What this transaction wrote has a smaller number than what the others commit meanwhile.
        stream = watching(include_current=True)
        stream.until_told()
        support.a_ticket(subject="early", state=OPEN)
        assert stream.next() == ("early", False)
        stream.close()
    again = watching(cursor=stream.cursor)
    assert ("committed late", False) in again.until_told()


def test_a_cursor_that_is_too_old_or_made_up_is_refused(support: Support, watching: Any) -> None:
    long_ago = clock.now() - timedelta(days=1, minutes=1)
    with clock.time_from(lambda: long_ago):
        old = recent.cursor_of(recent.horizon())
    for cursor in (old, recent.cursor_of(recent.horizon() + 1000), old[:-1], "made up"):
        with refused() as refusal:
            watching(cursor=cursor).next()
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("cursor",))


def test_a_wrong_filter_is_refused(watching: Any) -> None:
    with refused() as refusal:
        watching('stat = "OPEN"').next()
    assert refusal.fields == ("filter",)


def test_a_view_is_watched_as_whoever_looks(support: Support, watching: Any) -> None:
    view = support.views.CreateView(views_pb.CreateViewRequest(view=views_pb.View(name="Mine", filter="mine()")))
    support.a_ticket(subject="mine", assignee_id=AGENT, state=OPEN)
    support.a_ticket(subject="mine too", assignee_id=AGENT)
    support.a_ticket(subject="theirs", state=OPEN)
    assert watching(view_id=view.id, include_current=True).until_told() == [("mine", False)]


def test_a_distinct_filter_is_asked_once_however_many_watch_it(support: Support, watching: Any) -> None:
    ticket = support.a_ticket(state=OPEN)
    streams = [watching(filter_text) for filter_text in (OPEN_ONES, 'state = "SOLVED"') for _ in range(5)]
    for stream in streams:
        stream.until_told()
    with counted_statements() as statements:
        support.change(ticket.id, subject="changed")
        told = [stream.next() for stream in streams]
    assert told == [("changed", False)] * 5 + [("changed", True)] * 5
    asked = [statement for statement in statements if "ticket.state = " in statement and "UPDATE" not in statement]
    assert len(asked) == 2


def test_nobody_looks_for_changes_when_nobody_watches(watching: Any) -> None:
    stream = watching()
    stream.until_told()
    assert any(thread.name == "watch-tickets" for thread in threading.enumerate())
    stream.close()
    eventually(lambda: not any(thread.name == "watch-tickets" for thread in threading.enumerate()))


def a_watcher(*, has_list: bool = False) -> Watcher:
    return Watcher(Ticket.state == int(OPEN), has_list=has_list)


def a_sight(number: int, version: int = 1, *, matches: bool = True) -> Sight:
    return Sight(Ticket(id=UUID(int=number), version=version), matches)


def test_what_a_slow_watcher_has_not_taken_is_kept_once_a_ticket(migrated: Any) -> None:
    migrated("support")
    watcher = a_watcher()
    watcher.offer([a_sight(1), a_sight(2)], "one")
    watcher.offer([a_sight(1, version=2)], "two")
    news = watcher.wait()
    assert news is not None
    told = [(one.ticket.id.int, one.ticket.version, one.cursor) for one in news if one.ticket]
    assert told == [(2, 1, ""), (1, 2, "two")]


def test_a_watcher_that_falls_too_far_behind_is_sent_away(migrated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    migrated("support")
    monkeypatch.setattr(watch, "MOST_WAITING", 3)
    watcher = a_watcher()
    watcher.offer([a_sight(number) for number in range(4)], "one")
    with pytest.raises(ResourceExhausted):
        watcher.wait()


def test_an_older_sight_of_a_ticket_is_no_news(migrated: Any) -> None:
    migrated("support")
    watcher = a_watcher()
    assert len(watcher.told([a_sight(1, version=3)], "one")) == 1
    assert watcher.told([a_sight(1, version=2, matches=False), a_sight(1, version=3)], "two") == []


def test_a_filter_that_cannot_be_evaluated_ends_with_its_own_watchers(support: Support) -> None:
    support.a_ticket()
    broken, good = Watcher(Ticket.number / 0 > 1, has_list=True), a_watcher(has_list=True)
    here = watch._Round()
    here.watchers = [broken, good]
    support.a_ticket(subject="told")
    here.look()
    with pytest.raises(Internal):
        broken.wait()
    news = good.wait()
    assert news is not None
    assert "told" in {one.ticket.subject for one in news if one.ticket}


def test_changes_are_forgotten_after_a_day(support: Support) -> None:
    ticket = support.a_ticket()
    with database.transaction() as session:
        session.add(TicketChange(ticket_id=uuid4(), create_time=clock.now() - timedelta(hours=26)))
        session.add(TicketChange(ticket_id=uuid4(), create_time=clock.now() - timedelta(hours=23)))
    jobs.forget()
    with database.transaction() as session:
        left = session.scalars(select(TicketChange.ticket_id)).all()
    assert len(left) == 2
    assert UUID(ticket.id) in left
