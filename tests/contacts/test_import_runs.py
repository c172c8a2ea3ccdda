"""Imports that are interrupted, repeated, or sent at the same time."""

import time
from collections.abc import Iterator
from uuid import uuid4

import grpc
import pytest

from denda.contacts.v1 import imports_service_pb2 as pb
from services.contacts.imports import batches
from tests.contacts.conftest import Contacts, refused
from tests.contacts.files import counts, errors, messages, people, plan, send


class ClientDiedError(Exception):
    """What the client in these tests dies of."""


def interrupted(wanted: pb.ImportPlan, file: bytes, contacts: Contacts, rows: int) -> Iterator[pb.ImportPeopleRequest]:
    """Sends half a file, waits until so many rows are written, and dies."""
    yield from messages(wanted, file[: len(file) // 2], piece=200)
    while rows_written(contacts, wanted) < rows:
        time.sleep(0.01)
    raise ClientDiedError


def rows_written(contacts: Contacts, wanted: pb.ImportPlan) -> int:
    """How far an import is; -1 before it has begun."""
    try:
        return contacts.imports.GetImport(pb.GetImportRequest(id=wanted.import_id)).rows_read
    except grpc.RpcError:
        return -1


def let_go(contacts: Contacts, wanted: pb.ImportPlan) -> pb.Import:
    """The import, once the server has noticed that its client is gone."""
    code = None
    while code is not grpc.StatusCode.FAILED_PRECONDITION:
        with refused() as refusal:
            send(contacts, "email,given_name\n", wanted)
        code = refusal.code
    return contacts.imports.GetImport(pb.GetImportRequest(id=wanted.import_id))


def test_an_interrupted_import_goes_on_where_it_stopped(contacts: Contacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", 10)
    rows = [f'p{number}@x.test,"P\n{number}"\n' if number % 7 else "wrong,\n" for number in range(100)]
    file = ("email,given_name\n" + "".join(rows)).encode()
    wanted = plan()
    with pytest.raises(grpc.RpcError):
        contacts.imports.ImportPeople(interrupted(wanted, file, contacts, 20))
    before = let_go(contacts, wanted)
    assert before.state == pb.Import.STATE_RUNNING
    assert 20 <= before.rows_read < 100
    with refused() as refusal:
        send(contacts, file.replace(b"p3@", b"q3@"), wanted)
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    with refused() as refusal:
        send(contacts, file[:100], wanted)
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    run = send(contacts, file, wanted, piece=333)
    assert counts(run) == (100, 85, 0, 0, 15)
    assert len(errors(contacts, run)) == 15
    assert len(people(contacts)) == 85


def test_a_finished_import_that_is_sent_again_answers_its_report(contacts: Contacts) -> None:
    wanted, file = plan(), "email\na@x.test\nb@x.test\n"
    first = send(contacts, file, wanted)
    assert send(contacts, file, wanted) == first
    for other, code in (
        ("email\na@x.test\nc@x.test\n", grpc.StatusCode.FAILED_PRECONDITION),
        (f"{file}c@x.test\n", grpc.StatusCode.FAILED_PRECONDITION),
        ("email\na@x.test\n", grpc.StatusCode.FAILED_PRECONDITION),
    ):
        with refused() as refusal:
            send(contacts, other, wanted)
        assert refusal.code is code
    wanted.dry_run = True
    with refused() as refusal:
        send(contacts, file, wanted)
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert contacts.imports.GetImport(pb.GetImportRequest(id=wanted.import_id)) == first


def test_the_same_import_twice_at_the_same_time_is_refused(contacts: Contacts) -> None:
    wanted = plan()
    refusals: list[grpc.StatusCode | None] = []

    def meanwhile() -> Iterator[pb.ImportPeopleRequest]:
        yield pb.ImportPeopleRequest(plan=wanted)
        yield pb.ImportPeopleRequest(chunk=b"email\na@x.test\n")
        while rows_written(contacts, wanted) < 0:
            time.sleep(0.01)
        with refused() as refusal:
            send(contacts, "email\na@x.test\n", wanted)
        refusals.append(refusal.code)

    assert counts(contacts.imports.ImportPeople(meanwhile())) == (1, 1, 0, 0, 0)
    assert refusals == [grpc.StatusCode.ABORTED]


def test_a_fifth_file_at_the_same_time_waits_for_its_turn(contacts: Contacts) -> None:
    wanted = [plan() for _ in range(4)]
    refusals: list[grpc.StatusCode | None] = []

    def nested(number: int) -> Iterator[pb.ImportPeopleRequest]:
        """The next file is sent while this one is open."""
        yield pb.ImportPeopleRequest(plan=wanted[number])
        yield pb.ImportPeopleRequest(chunk=b"email\na@x.test\n")
        while rows_written(contacts, wanted[number]) < 0:
            time.sleep(0.01)
        if number + 1 < len(wanted):
            contacts.imports.ImportPeople(nested(number + 1))
        else:
            with refused() as refusal:
                send(contacts, "email\n")
            refusals.append(refusal.code)

    contacts.imports.ImportPeople(nested(0))
    assert refusals == [grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert counts(send(contacts, "email\nb@x.test\n")) == (1, 1, 0, 0, 0)


def test_an_import_that_is_not_there_is_not_found(contacts: Contacts) -> None:
    missing = str(uuid4())
    with refused() as refusal:
        contacts.imports.GetImport(pb.GetImportRequest(id=missing))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    with refused() as refusal:
        contacts.imports.ListImportErrors(pb.ListImportErrorsRequest(import_id=missing))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
