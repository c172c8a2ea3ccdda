"""Properties of imports: any bytes can be sent, and neither pieces nor batches make a difference."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis.errors import InvalidArgument
from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from services.contacts.imports import batches
from services.contacts.imports.lines import MOST_ROW_BYTES, Row, Rows, header
from tests.contacts.conftest import Contacts

FILES = st.lists(
    st.sampled_from(
        [b"a", b",", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xff", "ñ".encode(), b"email", b";", b"\xef\xbb\xbf"]
    ),
    max_size=60,
).map(b"".join)


def cut(file: bytes, size: int) -> Iterator[bytes]:
    return (file[start : start + size] for start in range(0, len(file), size))


def read(file: bytes, size: int) -> tuple[list[Row], bytes] | str:
    rows = Rows(cut(file, size), ",")
    try:
        return list(rows), rows.digest()
    except InvalidArgument as error:
        return error.message


@settings(max_examples=100, deadline=None)
@given(FILES, st.integers(1, 20))
@example(b'a,"b\nc,d\ne,f', 3)
def test_any_bytes_are_read_the_same_in_pieces_of_any_size(file: bytes, size: int) -> None:
    assert read(file, size) == read(file, 1 << 20)


@given(st.lists(st.lists(st.text(max_size=8).filter(lambda cell: "\0" not in cell), min_size=2), max_size=8))
def test_what_the_csv_module_writes_is_read_again(table: list[list[str]]) -> None:
    import csv
    from io import StringIO

    file = StringIO(newline="")
    csv.writer(file).writerows(table)
    found = read(file.getvalue().encode("utf-8", "replace"), 7)
    assert isinstance(found, tuple)
    assert [row.problem for row in found[0]] == [""] * len(table)
    assert [len(row.cells) for row in found[0]] == [len(cells) for cells in table]


def test_rows_know_their_lines() -> None:
    file = b'h,i\n\n1,"a\nb"\n"c,\n2,d\r\n\xff,e\n3,f'
    found = read(file, 4)
    assert isinstance(found, tuple)
    assert [(row.line, bool(row.problem)) for row in found[0]] == [
        (1, False),
        (3, False),
        (5, True),
        (6, False),
        (7, True),
        (8, False),
    ]


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    rows = iter(Rows((b"x" * MOST_ROW_BYTES for _ in range(40)), ","))
    (row,) = rows
    assert "longer than" in row.problem


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    assert header(iter(Rows([b"\xef\xbb", b"\xbfemail\n"], ","))) == ["email"]


KEYS = st.sampled_from(["a@x.test", "A@X.test", "b@x.test", "c@x.test", "", "wrong"])
CELLS = st.sampled_from(["", "1", "2", "two words", "x\ny"])
TABLES = st.lists(st.tuples(KEYS, CELLS, CELLS, st.sampled_from(["", "7", "8", "9"])), max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, st.integers(1, 5))
@example([("a@x.test", "", "", "8"), ("a@x.test", "", "", "7"), ("b@x.test", "", "", "8")], 5)
@example([(f"{name}@x.test", "", "", id_) for name, id_ in ("a8", "b8", "b8", "a7")], 1)
@example([("a@x.test", "", "", ""), ("a@x.test", "", "", "8"), ("b@x.test", "", "", "8")], 1)
@example([("a@x.test", "", "", id_) for id_ in ("8", "", "7")] + [("b@x.test", "", "", "8")], 2)
def test_wherever_batches_end_the_result_is_that_of_one_row_after_the_other(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch, table: list[tuple[str, ...]], size: int
) -> None:
    file = "email,given_name,family_name,external_id\n" + "".join(
        ",".join(f'"{cell}"' for cell in row) + "\n" for row in table
    )
    expected, report = by_hand(table)
    for batch_rows in (size, 5000):
        monkeypatch.setattr(batches, "MOST_ROWS", batch_rows)
        contacts.doors.clean()
        run = send(contacts, file)
        assert (run.created, run.updated, run.unchanged, run.failed) == report
        answer = contacts.people.ListPeople(people_pb.ListPeopleRequest(page_size=1000))
        found = {
            person.addresses[0].value.lower(): (person.given_name, person.family_name, person.external_id)
            for person in answer.people
        }
        assert found == expected
        assert len(answer.people) == len(expected)


def send(contacts: Contacts, file: str) -> pb.Import:
    plan = pb.ImportPlan(import_id=str(uuid4()), key=pb.ImportPlan.KEY_EMAIL)
    parts = [pb.ImportPeopleRequest(plan=plan), pb.ImportPeopleRequest(chunk=file.encode())]
    return contacts.imports.ImportPeople(iter(parts))


def by_hand(table: list[tuple[str, ...]]) -> tuple[dict[str, Any], tuple[int, int, int, int]]:
    """What the rows come to, one after the other: the people, and how many were created, changed, same, refused."""
    people: dict[str, tuple[str, ...]] = {}
    created = updated = unchanged = failed = 0
    for email, *cells in table:
        key = email.lower()
        given_cells = tuple(" ".join(cell.split()) for cell in cells)
        before = people.get(key)
        taken = given_cells[2] and any(other[2] == given_cells[2] for name, other in people.items() if name != key)
        if "@" not in key or taken:
            failed += 1
            continue
        after = tuple(new or old for new, old in zip(given_cells, before or ("", "", ""), strict=True))
        people[key] = after
        created += before is None
        updated += before is not None and after != before
        unchanged += after == before
    return people, (created, updated, unchanged, failed)
