"""Sending files to ImportPeople, and reading what became of them."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from tests.contacts.conftest import Contacts

EMAIL, PHONE, EXTERNAL_ID = (
    pb.ImportPlan.KEY_EMAIL,
    pb.ImportPlan.KEY_PHONE,
    pb.ImportPlan.KEY_EXTERNAL_ID,
)


def plan(key: pb.ImportPlan.Key.ValueType = EMAIL, **changes: Any) -> pb.ImportPlan:
    fields: dict[str, Any] = {"import_id": str(uuid4()), "key": key, "file_name": "people.csv"}
    return pb.ImportPlan(**(fields | changes))


def messages(wanted: pb.ImportPlan, file: bytes, piece: int = 1 << 20) -> Iterator[pb.ImportPeopleRequest]:
    yield pb.ImportPeopleRequest(plan=wanted)
    for start in range(0, len(file), piece):
        yield pb.ImportPeopleRequest(chunk=file[start : start + piece])


def send(contacts: Contacts, file: str | bytes, wanted: pb.ImportPlan | None = None, piece: int = 1 << 20) -> pb.Import:
    raw = file.encode() if isinstance(file, str) else file
    return contacts.imports.ImportPeople(messages(wanted or plan(), raw, piece))


def counts(run: pb.Import) -> tuple[int, int, int, int, int]:
    return run.rows_read, run.created, run.updated, run.unchanged, run.failed


def errors(contacts: Contacts, run: pb.Import) -> list[tuple[int, str, str]]:
    answer = contacts.imports.ListImportErrors(pb.ListImportErrorsRequest(import_id=run.id))
    return [(error.line, error.column, error.reason) for error in answer.errors]


def people(contacts: Contacts, filter_text: str = "") -> list[Any]:
    return list(contacts.people.ListPeople(people_pb.ListPeopleRequest(filter=filter_text, page_size=1000)).people)
