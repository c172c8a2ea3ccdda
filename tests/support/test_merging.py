"""Merges lose nothing and can be undone, one after the other, in any order."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from denda.support.v1 import relations_service_pb2 as pb
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as tickets_pb
from services.support import merging
from services.support.models import TicketMessage, database
from tests.kit.doors import Doors
from tests.support.conftest import Support, refused

NEW, OPEN, PENDING = ticket_pb2.TICKET_STATE_NEW, ticket_pb2.TICKET_STATE_OPEN, ticket_pb2.TICKET_STATE_PENDING
SOLVED, MERGED = ticket_pb2.TICKET_STATE_SOLVED, ticket_pb2.TICKET_STATE_MERGED


def others(*addresses: str) -> list[ticket_pb2.Participant]:
    return [ticket_pb2.Participant(address=address) for address in addresses]


def people(ticket: ticket_pb2.Ticket) -> list[str]:
    return sorted(one.address for one in ticket.participants)


def texts(support: Support, ticket_id: str) -> list[str]:
    return [message.text for message in support.messages(ticket_id)]


def test_messages_tags_and_participants_of_many_go_into_one(support: Support, doors: Doors) -> None:
    target = support.a_ticket("one", tags=["parcel"], participants=others("jon@shop.example"))
    first = support.a_ticket(
        "two", tags=["parcel", "lost"], requester_address="ben@shop.example", participants=others("Jon@shop.example")
    )
    second = support.a_ticket("three", participants=others("eva@shop.example"))
    merged = support.merge(target.id, first.id, second.id)
    assert texts(support, target.id) == ["one", "two", "three"]
    assert (merged.message_count, list(merged.tags)) == (3, ["parcel", "lost"])
    assert people(merged) == ["ben@shop.example", "eva@shop.example", "jon@shop.example"]
    assert merged.last_message_time == second.last_message_time
    assert [message.original_ticket_id for message in support.messages(target.id)] == ["", first.id, second.id]
    for part in (first, second):
        now = support.get(part.id)
        assert (now.state, now.merged_into_id, now.message_count) == (MERGED, target.id, 0)
        assert support.history(part.id)[-1].after == target.id
    assert [entry.after for entry in support.history(target.id) if entry.kind == "merged"] == [first.id, second.id]
    assert {change.ticket_id for change in doors.events("support")[-1].changes} == {target.id, first.id, second.id}


def test_a_settled_ticket_opens_when_an_open_one_goes_into_it(support: Support) -> None:
    target, settled, waiting = support.a_ticket(state=SOLVED), support.a_ticket(state=PENDING), support.a_ticket()
    assert support.merge(target.id, settled.id).state == SOLVED
    assert support.merge(target.id, waiting.id).state == OPEN


def test_undoing_gives_everything_back(support: Support) -> None:
    target = support.a_ticket("one", tags=["parcel"])
    part = support.a_ticket("two", tags=["lost"], requester_address="ben@shop.example")
    support.answer(part.id, "three")
    for ticket in (target, part):
        support.link(ticket.id, support.a_ticket().id)
    target, part = support.get(target.id), support.get(part.id)
    links = {ticket.id: support.linked(ticket.id) for ticket in (target, part)}
    target_messages = support.messages(target.id)
    # An answer that waits would go to somebody else, so the merge takes place after it left.
    with refused() as refusal:
        support.merge(target.id, part.id)
    assert refusal.reason == "ANSWER_WAITING"
    leave(support)
    part_messages = support.messages(part.id)
    support.merge(target.id, part.id)
    assert support.linked(target.id) == links[target.id] | links[part.id]
    support.unmerge(part.id)
    assert same(support.get(part.id), part)
    assert same(support.get(target.id), target)
    assert support.messages(part.id) == part_messages
    assert support.messages(target.id) == target_messages
    assert {ticket.id: support.linked(ticket.id) for ticket in (target, part)} == links
    assert support.history(part.id)[-1].kind == "unmerged"
    assert support.history(target.id)[-1].kind == "unmerged"


def test_what_came_for_a_merged_ticket_goes_back_with_it_and_opens_it(support: Support) -> None:
    target, part = support.a_ticket("one"), support.a_ticket("two", state=SOLVED)
    support.merge(target.id, part.id)
    support.customer_says(part, "three")
    support.note(target.id, "four")
    assert texts(support, target.id) == ["one", "two", "three", "four"]
    assert support.unmerge(part.id).state == OPEN
    assert texts(support, part.id) == ["two", "three"]
    assert texts(support, target.id) == ["one", "four"]
    assert [message.original_ticket_id for message in support.messages(part.id)] == ["", ""]


def test_a_chain_is_followed_and_each_link_can_be_undone(support: Support) -> None:
    a, b, c = support.a_ticket("a", tags=["a"]), support.a_ticket("b", tags=["b"]), support.a_ticket("c")
    support.merge(b.id, a.id)
    support.merge(c.id, b.id)
    support.customer_says(a, "for a")
    assert texts(support, c.id) == ["a", "b", "c", "for a"]
    support.unmerge(a.id)
    assert texts(support, a.id) == ["a", "for a"]
    assert list(support.get(c.id).tags) == ["b"]
    support.merge(c.id, a.id)
    support.unmerge(b.id)
    assert texts(support, b.id) == ["b"]
    assert list(support.get(b.id).tags) == ["b"]
    assert texts(support, c.id) == ["a", "c", "for a"]


def test_merges_that_make_no_sense_are_refused(support: Support) -> None:
    target, part, other = support.a_ticket(), support.a_ticket(), support.a_ticket()
    support.merge(target.id, part.id)
    attempts = (
        (target.id, target.id, grpc.StatusCode.INVALID_ARGUMENT),
        (part.id, other.id, grpc.StatusCode.FAILED_PRECONDITION),
        (other.id, part.id, grpc.StatusCode.FAILED_PRECONDITION),
        (other.id, str(uuid4()), grpc.StatusCode.NOT_FOUND),
        (str(uuid4()), other.id, grpc.StatusCode.NOT_FOUND),
    )
    for into, what, code in attempts:
        with refused() as refusal:
            support.merge(into, what)
        assert refusal.code == code
    with refused() as refusal:
        support.unmerge(other.id)
    assert refusal.reason == "NOT_MERGED"
    stale = pb.MergeTicketsRequest(target_id=target.id, ids=[other.id], etag=target.etag)
    with refused() as refusal:
        support.relations.MergeTickets(stale)
    assert refusal.code == grpc.StatusCode.ABORTED


def test_a_merge_that_is_repeated_changes_nothing(support: Support) -> None:
    target, part = support.a_ticket(), support.a_ticket()
    assert support.merge(target.id, part.id, part.id) == support.merge(target.id, part.id)


def test_nothing_is_changed_when_the_counts_differ(support: Support, monkeypatch: pytest.MonkeyPatch) -> None:
    target, part = support.a_ticket(tags=["a"]), support.a_ticket(tags=["b"])
    join = merging._join

    def forgetful(session: Any, *arguments: Any) -> None:
        join(session, *arguments)
        arguments[1].tags = ["a"]

    monkeypatch.setattr(merging, "_join", forgetful)
    with refused() as refusal:
        support.merge(target.id, part.id)
    assert refusal.code == grpc.StatusCode.INTERNAL
    assert support.get(part.id) == part
    assert len(support.messages(part.id)) == 1


def test_a_merged_ticket_takes_no_note_and_no_answer(support: Support) -> None:
    target, part = support.a_ticket(), support.a_ticket()
    support.merge(target.id, part.id)
    for attempt in (support.note, support.answer):
        with refused() as refusal:
            attempt(part.id, "Lost?")
        assert refusal.reason == "TICKET_MERGED"


def leave(support: Support) -> None:
    """Let the answers that wait be taken, as notifications would."""
    with database.transaction() as session:
        session.execute(update(TicketMessage).where(TicketMessage.delivery_state == 1).values(delivery_state=2))


def same(one: ticket_pb2.Ticket, other: ticket_pb2.Ticket) -> bool:
    """Whether two tickets differ in nothing but the version."""
    copies = ticket_pb2.Ticket(), ticket_pb2.Ticket()
    for copy, ticket in zip(copies, (one, other), strict=True):
        copy.CopyFrom(ticket)
        copy.ClearField("etag")
        copy.ClearField("update_time")
    return copies[0] == copies[1]


@dataclass
class Expected:
    """What a ticket has of its own, as a test thinks."""

    state: int
    tags: set[str]
    people: set[str]
    messages: set[str]
    parent: str = ""


class Book:
    """All tickets of one example, with what should be true of them."""

    def __init__(self, support: Support) -> None:
        self.support = support
        self.tickets: dict[str, ticket_pb2.Ticket] = {}
        self.expected: dict[str, Expected] = {}

    def open(self, number: int, state: int, tags: set[str], people: set[str]) -> None:
        requester = f"customer{number % 2}@shop.example"
        ticket = self.support.a_ticket(
            f"text {number}", state=state, tags=tags, participants=others(*people), requester_address=requester
        )
        self.tickets[ticket.id] = ticket
        first = {message.id for message in self.support.messages(ticket.id)}
        self.expected[ticket.id] = Expected(state, set(tags), people | {requester}, first)

    def root(self, ticket_id: str) -> str:
        while parent := self.expected[ticket_id].parent:
            ticket_id = parent
        return ticket_id

    def whole(self, ticket_id: str) -> list[Expected]:
        inside = [one for one, it in self.expected.items() if it.parent == ticket_id]
        return [self.expected[ticket_id], *(it for one in inside for it in self.whole(one))]

    def merge(self, target: str, part: str) -> None:
        there, here = self.expected[target], self.expected[part]
        if target == part or there.parent or here.parent not in ("", target):
            with refused():
                self.support.merge(target, part)
            return
        self.support.merge(target, part)
        if not here.parent and here.state in (NEW, OPEN) and there.state not in (NEW, OPEN):
            there.state = OPEN
        here.parent = target

    def unmerge(self, ticket_id: str) -> None:
        here = self.expected[ticket_id]
        if not here.parent:
            with refused():
                self.support.unmerge(ticket_id)
            return
        self.support.unmerge(ticket_id)
        here.parent = ""

    def say(self, ticket_id: str) -> None:
        message = self.support.customer_says(self.tickets[ticket_id], "more")
        root = self.root(ticket_id)
        for one in {ticket_id, root}:
            if self.expected[one].state not in (NEW, OPEN):
                self.expected[one].state = OPEN
        self.expected[ticket_id].messages.add(message.id)

    def check(self) -> None:
        listed_now = self.support.tickets.ListTickets(tickets_pb.ListTicketsRequest(page_size=1000)).tickets
        now = {ticket.id: ticket for ticket in listed_now}
        for ticket_id, it in self.expected.items():
            found = now[ticket_id]
            listed = [message.id for message in self.support.messages(ticket_id)]
            assert found.message_count == len(listed)
            if it.parent:
                assert (found.state, found.merged_into_id, listed) == (MERGED, it.parent, [])
                continue
            whole = self.whole(ticket_id)
            assert (found.state, found.merged_into_id) == (it.state, "")
            assert sorted(listed) == sorted(set[str]().union(*(one.messages for one in whole)))
            assert set(found.tags) == set[str]().union(*(one.tags for one in whole))
            addresses = {found.requester_address, *people(found)}
            assert addresses == set[str]().union(*(one.people for one in whole))


TICKETS = 4
FIELDS = st.tuples(
    st.sampled_from([NEW, PENDING, SOLVED]),
    st.sets(st.sampled_from(["a", "b", "c"])),
    st.sets(st.sampled_from(["jon@shop.example", "eva@shop.example", "customer0@shop.example"])),
)
NUMBERS = st.integers(0, TICKETS - 1)
STEPS = st.one_of(
    st.tuples(st.just("merge"), NUMBERS, NUMBERS),
    st.tuples(st.just("unmerge"), NUMBERS),
    st.tuples(st.just("say"), NUMBERS),
)


@given(st.lists(FIELDS, min_size=TICKETS, max_size=TICKETS), st.lists(STEPS, min_size=4, max_size=10), st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_merges_keeps_everything_once_and_can_be_undone(
    support: Support, fields: list[Any], steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    book = Book(support)
    for number, (state, tags, addresses) in enumerate(fields):
        book.open(number, state, tags, addresses)
    ids = list(book.tickets)
    for name, *numbers in steps:
        getattr(book, name)(*(ids[number] for number in numbers))
        book.check()
    merged = [one for one in ids if book.expected[one].parent]
    for one in data.draw(st.permutations(merged)):
        book.unmerge(one)
    book.check()
    for one, before in book.tickets.items():
        if (len(book.expected[one].messages), book.expected[one].state) == (1, before.state):
            assert same(support.get(one), before)
