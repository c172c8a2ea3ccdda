"""Lists: what filters find, in what order, and by which indexes, on the first page as on the hundredth."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from benchmarks.tickets import FILL, FILTER
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as pb
from services.support.models import database
from tests.support.conftest import AGENT, OTHER_AGENT, Support, counted_statements, refused

PRIORITY, CREATED = ticket_pb2.TICKET_ORDER_PRIORITY, ticket_pb2.TICKET_ORDER_CREATED


def pages(support: Support, filter_text: str = "", size: int = 3, **options: Any) -> list[str]:
    """The subjects of all pages."""
    found, token = [], ""
    while True:
        request = pb.ListTicketsRequest(filter=filter_text, page_size=size, page_token=token, **options)
        page = support.tickets.ListTickets(request)
        found += [ticket.subject for ticket in page.tickets]
        token = page.next_page_token
        if not token:
            return found


def test_words_are_found_in_subjects_and_in_what_was_said(support: Support) -> None:
    support.a_ticket("The blue one is broken.", subject="A cup")
    said = support.a_ticket("Hello", subject="A plate")
    support.customer_says(said, "It's broken, too: write to ane@shop.example")
    support.note(support.a_ticket("Hello", subject="A vase").id, "Broken by us")
    assert set(support.found('text("broken")')) == {"A cup", "A plate", "A vase"}
    assert support.found('text("BLUE brok")') == ["A cup"]
    assert support.found('text("blu broken")') == []
    assert support.found('text("cup")') == ["A cup"]
    assert support.found('text("ane@shop.example")') == ["A plate"]
    assert support.found('text("broken") AND NOT text("it\'s")') == ["A vase", "A cup"]


@pytest.mark.parametrize("harmless", ["!!!", "a & | !b", "B:plate", "'", "it's (", "<->", "%"])
def test_signs_in_a_search_have_no_meaning(support: Support, harmless: str) -> None:
    support.a_ticket(subject="A plate")
    assert support.found(f'text("{harmless}")') == []


@pytest.mark.parametrize("wrong", ["", "   ", "\\\\", "x" * 3000])
def test_a_search_without_words_is_refused(support: Support, wrong: str) -> None:
    with refused() as refusal:
        support.found(f'text("{wrong}")')
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("filter",))


def test_mentions_and_mine(support: Support) -> None:
    support.note(support.a_ticket(subject="a").id, "Look at this", OTHER_AGENT, AGENT)
    support.note(support.a_ticket(subject="b").id, "And at this", AGENT)
    support.a_ticket(subject="c", assignee_id=AGENT)
    assert support.found(f'mentions("{AGENT}")') == ["b", "a"]
    assert support.found(f'mentions("{OTHER_AGENT}")') == ["a"]
    assert support.found("mine()") == ["c"]
    assert support.found("NOT mine()") == ["b", "a"]


def test_every_field_of_the_contract_can_be_asked_for(support: Support) -> None:
    queue = support.a_queue("Parcels")
    person = "018f0000-0000-7000-8000-00000000000a"
    ticket = support.a_ticket(
        subject="a",
        queue_id=queue.id,
        assignee_id=AGENT,
        tags=["parcel"],
        requester_id=person,
        requester_name="Ane Etxeberria",
        campaign_id=person,
        priority=ticket_pb2.PRIORITY_HIGH,
        source=ticket_pb2.SOURCE_SMS,
    )
    support.a_ticket(subject="b")
    for asked in (
        f'id = "{ticket.id}"',
        f"number = {ticket.number}",
        'subject = "a"',
        'state = "NEW" AND priority = "HIGH"',
        'source = "SMS"',
        'queue = "Parcels"',
        f'queue_id = "{queue.id}"',
        f'assignee = "{AGENT}"',
        'tags:"parcel"',
        f'requester = "{person}"',
        'requester_address = "Ane@shop.example" AND requester_name = "Ane*"',
        f'campaign = "{person}"',
        f'customer_spoke_last = true AND create_time <= "{ticket.create_time.ToJsonString()}"',
        f'last_message_time = "{ticket.last_message_time.ToJsonString()}"',
    ):
        assert support.found(asked) == ["a"], asked


@pytest.mark.parametrize(
    "odd", ["it's", "100%", "%(x)s", "back\\slash", "$1", "{a,b}", "'; DROP TABLE ticket; --", "ñ"]
)
def test_a_value_is_no_part_of_the_statement(support: Support, odd: str) -> None:
    support.a_ticket(subject=odd, tags=[odd])
    support.a_ticket(subject="other")
    said = odd.replace("\\", "\\\\")
    assert support.found(f'subject = "{said}" AND tags:"{said}"') == [odd]
    assert support.found(f'text("{said}") OR subject = "other"', page_size=1) == ["other"]


def test_the_most_urgent_come_first_and_of_these_the_one_that_waits_longest(support: Support) -> None:
    made = [
        support.a_ticket(subject=f"{name} {number}", priority=priority)
        for number in range(3)
        for name, priority in (("low", ticket_pb2.PRIORITY_LOW), ("urgent", ticket_pb2.PRIORITY_URGENT))
    ]
    support.customer_says(made[1], "Still waiting")
    expected = ["urgent 1", "urgent 2", "urgent 0", "low 0", "low 1", "low 2"]
    assert pages(support, order=PRIORITY) == expected
    assert pages(support, order=PRIORITY, size=1) == expected


def test_pages_of_any_order_have_each_ticket_once(support: Support) -> None:
    subjects = [support.a_ticket(subject=f"ticket {number}").subject for number in range(7)]
    assert pages(support) == subjects[::-1]
    assert pages(support, order=CREATED, size=2) == subjects[::-1]


def test_participants_are_looked_for_by_one_statement_where_there_are_any(support: Support) -> None:
    people = [ticket_pb2.Participant(address=f"person{number}@shop.example", person_id=AGENT) for number in range(3)]
    for number in range(6):
        support.a_ticket(
            participants=people if number % 2 else [], subject="alone" if number % 2 == 0 else "in company"
        )
    for filter_text, expected in (("", [people, []] * 3), ('subject = "alone"', [[]] * 3)):
        with counted_statements() as others, sent() as statements, sent("lookup") as lookups:
            found = support.tickets.ListTickets(pb.ListTicketsRequest(filter=filter_text)).tickets
        assert [list(ticket.participants) for ticket in found] == expected
        assert found[0] == support.get(found[0].id)
        assert (len(statements), len(lookups), others) == (1, int(people in expected), [])


def plans(support: Support, filter_text: str, depth: int = 5, **options: Any) -> list[str]:
    """How PostgreSQL finds the first page of a list and one further down."""
    request = pb.ListTicketsRequest(filter=filter_text, page_size=20, **options)
    found = []
    for number in range(depth):
        explained, page = explained_list(support, request)
        if number in (0, depth - 1):
            found.append(explained)
        assert page.next_page_token, "the list is too short"
        request.page_token = page.next_page_token
    return found


def explained_list(support: Support, request: pb.ListTicketsRequest) -> tuple[str, pb.ListTicketsResponse]:
    with sent() as statements:
        page = support.tickets.ListTickets(request)
    ((statement, values),) = statements
    rows = database.planned(f"EXPLAIN {statement}", values)
    return "\n".join(line for (line,) in rows), page


@contextmanager
def sent(way: str = "planned") -> Iterator[list[tuple[Any, ...]]]:
    """The statements that are sent on a way of the database inside the block, each with its values."""
    statements: list[tuple[Any, ...]] = []
    send = getattr(database, way)

    def note(*statement: Any) -> list[tuple[Any, ...]]:
        statements.append(statement)
        rows: list[tuple[Any, ...]] = send(*statement)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, way, note)
        yield statements


@pytest.fixture
def many(support: Support) -> Support:
    """Twenty thousand tickets with a message each."""
    fill, analyse = FILL.format(count=20_000).rsplit(";", 1)
    say = """
        INSERT INTO ticket_message (id, ticket_id, author, text, mentioned_ids)
        SELECT gen_random_uuid(), id, 1, 'word' || number % 1000, ARRAY['agent ' || number % 1000]
        FROM ticket"""
    with database.transaction() as session:
        session.execute(text(fill))
        session.execute(text(say))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(analyse))
        connection.execute(text("ANALYZE ticket_message"))
    return support


def test_lists_go_by_their_indexes_at_any_depth(many: Support) -> None:
    indexed: tuple[tuple[str, dict[str, Any], str], ...] = (
        (FILTER, {}, "ticket_queue_idx"),
        ("", {}, "ticket_recent_idx"),
        ("", {"order": PRIORITY}, "ticket_urgency_idx"),
        ("", {"order": CREATED}, "ticket_pkey"),
        ('queue = "Queue 2" AND state = "OPEN"', {"order": PRIORITY}, "ticket_queue_urgency_idx"),
        ('assignee = "agent 3" AND state = "OPEN"', {}, "ticket_assignee_idx"),
    )
    for filter_text, options, index in indexed:
        for plan in plans(many, filter_text, **options):
            assert f"using {index} on ticket" in plan, plan
            assert "Sort" not in plan, plan
            assert "Seq Scan" not in plan, plan


def test_searches_go_by_their_indexes(many: Support) -> None:
    for filter_text, index in (
        ('text("word77")', "ticket_message_words_idx"),
        ('text("word77")', "ticket_words_idx"),
        ('mentions("agent 77")', "ticket_message_mentioned_idx"),
        ('requester_address = "customer77@shop.example"', "ticket_address_idx"),
    ):
        plan, page = explained_list(many, pb.ListTicketsRequest(filter=filter_text))
        assert page.tickets
        assert index in plan, plan
        assert "Seq Scan on ticket" not in plan, plan
