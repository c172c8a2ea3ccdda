"""Imports through the door: whole files, wrong rows and wrong files."""

import csv
from io import StringIO
from typing import Any

import grpc
import pytest
from sqlalchemy import select, text

from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1.consent_service_pb2 import ListConsentsRequest
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.contacts.imports import batches
from services.contacts.models import Import, database
from tests.contacts.conftest import Contacts, refused
from tests.contacts.files import EXTERNAL_ID, PHONE, counts, errors, people, plan, send

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_a_file_becomes_people(contacts: Contacts) -> None:
    contacts.define(city="text", visits="number", member="boolean", born="date", likes="list")
    file = (
        "email,phone,given_name,family_name,language,time_zone,tags,"
        "city,attributes.visits,member,born,likes,Shoe size\r\n"
        'Ane@Shop.EXAMPLE,944 000 000,Ane,"Etxe, Zubi",ES-es,Europe/Madrid,vip; new;vip,Bilbo,3,yes,1995-02-28,'
        '"tea;bread",38\r\n'
        "\r\n"
        "jon@shop.example,,Jon,,,,,,,,,,\r\n"
    )
    run = send(contacts, file, plan(default_region="ES"), piece=7)
    assert counts(run) == (2, 2, 0, 0, 0)
    assert (run.state, list(run.ignored_columns)) == (pb.Import.STATE_FINISHED, ["Shoe size"])
    ane, jon = people(contacts)
    assert [one.value for one in ane.addresses] == ["Ane@shop.example", "+34944000000"]
    assert (ane.display_name, ane.language, list(ane.tags)) == ("Ane Etxe, Zubi", "es-ES", ["vip", "new"])
    assert list(ane.attributes["likes"]) == ["tea", "bread"]
    assert (ane.attributes["visits"], ane.attributes["member"], ane.attributes["born"]) == (3, True, "1995-02-28")
    assert (jon.given_name, dict(jon.attributes)) == ("Jon", {})


def test_cells_arrive_as_they_were_written(contacts: Contacts) -> None:
    contacts.define(note="text", likes="list")
    note = 'tab\there, "two"\nlines\r\nand C:\\new\\N'
    likes = ['a "b"', "c\\d", "e\tf"]
    tags = ["a\\b", '"q"', "{x,y}", "NULL"]
    with StringIO() as file:
        writer = csv.writer(file)
        writer.writerow(["email", "given_name", "external_id", "tags", "note", "likes"])
        writer.writerow(["a@x.test", "\\N", "C:\\new", ";".join(tags), note, ";".join(likes)])
        writer.writerow(["b@x.test", "", "", "", "\\.", ""])
        run = send(contacts, file.getvalue())
    assert counts(run) == (2, 2, 0, 0, 0)
    one, other = people(contacts)
    assert (one.given_name, one.external_id, list(one.tags)) == ("\\N", "C:\\new", tags)
    assert (one.attributes["note"], list(one.attributes["likes"])) == (note, likes)
    assert (other.given_name, list(other.tags), dict(other.attributes)) == ("", [], {"note": "\\."})


def test_a_mapping_says_what_columns_mean(contacts: Contacts) -> None:
    contacts.define(city="text")
    mapping = {"Correo": "email", "Nombre": "given_name", "Ciudad": "attributes.city"}
    run = send(contacts, "Correo;Nombre;Ciudad;email\na@x.test;Ane;Bilbo;z\n", plan(mapping=mapping, delimiter=";"))
    assert (counts(run), list(run.ignored_columns)) == ((1, 1, 0, 0, 0), ["email"])
    assert people(contacts, 'city = "Bilbo"')[0].given_name == "Ane"


def test_a_wrong_row_is_reported_with_line_and_column_and_stops_nothing_else(contacts: Contacts) -> None:
    contacts.define(age="number")
    file = (
        b"email,given_name,age,language\n"
        b"good@shop.example,Good,3,eu\n"
        b"not-an-address,A,3,eu\n"
        b"b@shop.example,B,old,eu\n"
        b"c@shop.example,C,3,klingonese\n"
        b"d@shop.example,D\n"
        b"e@shop.example,E,3,eu,more\n"
        b",F,3,eu\n"
        b'g@shop.example,"G\nG",3,eu\n'
        b"h@shop.example,H\0,3,eu\n"
        b"i@shop.example," + b"I" * 201 + b",3,eu\n"
        b'j@shop.example,J"J,3,eu\n'
        b'k@shop.example,"K"K,3,eu\n'
        b"l@shop.example,L,3,eu\n"
    )
    run = send(contacts, file)
    assert counts(run) == (13, 4, 0, 0, 9)
    assert [(line, column) for line, column, _ in errors(contacts, run)] == [
        (3, "email"),
        (4, "age"),
        (5, "language"),
        (6, ""),
        (7, ""),
        (8, "email"),
        (11, ""),
        (12, "given_name"),
        (14, ""),
    ]
    assert contacts.found("") == ["G G", "Good", 'J"J', "L"]


def test_a_ten_megabyte_cell_is_one_wrong_row(contacts: Contacts) -> None:
    file = b"email,given_name\na@x.test,A\nb@x.test," + b"x" * 10_000_000 + b"\nc@x.test,C\n"
    run = send(contacts, file)
    assert counts(run) == (3, 2, 0, 0, 1)
    assert [line for line, _, _ in errors(contacts, run)] == [3]
    assert contacts.found("") == ["A", "C"]


def test_a_quote_that_is_never_closed_costs_one_row(contacts: Contacts) -> None:
    rows = "".join(f"p{number}@x.test,P{number}\n" for number in range(3000))
    run = send(contacts, f'email,given_name\na@x.test,"A\n{rows}')
    assert counts(run) == (3001, 3000, 0, 0, 1)
    ((line, _, reason),) = errors(contacts, run)
    assert line == 2
    assert "quote is not closed" in reason


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"", "is empty"),
        (b"\xff\xfe" + "email\na@x.test\n".encode("utf-16-le"), "UTF-16"),
        ("email\na@x.test\n".encode("utf-16-be"), "UTF-16"),
        ("email,name\na@x.test,Iñaki\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xF1)"),
        ("email,señal\n".encode("latin-1"), "line 1"),
        (b"email,em\0ail\n", "NUL"),
        (b"email,name,name\n", "several columns are called 'name'"),
        (b"name,town\n", "no column of the file fills 'email'"),
        (b'email,"name\n', "quote"),
        (b"email\ra@x.test\rb@x.test\r", "carriage return"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(contacts: Contacts, file: bytes, told: str) -> None:
    wanted = plan()
    with refused() as refusal:
        send(contacts, file, wanted)
    assert refusal.code is INVALID
    assert told in refusal.message
    assert people(contacts) == []
    run = contacts.imports.GetImport(pb.GetImportRequest(id=wanted.import_id))
    assert run.state == pb.Import.STATE_FAILED
    assert told in run.error
    # The same id may be used for the repaired file.
    assert counts(send(contacts, "email\na@x.test\n", wanted)) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mapping": {"email": "email", "town": "attributes.town"}}, "plan.mapping"),
        ({"mapping": {"email": "email", "nothing": "given_name"}}, "plan.mapping"),
        ({"mapping": {"email": "email", "town": "email"}}, "plan.mapping"),
        ({"mapping": {"email": "email", "town": "shoe_size"}}, "plan.mapping"),
        ({"default_region": "XX"}, "plan.default_region"),
        ({"delimiter": '"'}, "plan.delimiter"),
        ({"key": EXTERNAL_ID}, "plan.key"),
        ({"consents": [pb.ImportConsent(purpose="news", channel=CHANNEL_EMAIL, column="no")]}, "plan.mapping"),
        ({"consents": [pb.ImportConsent(purpose="news", channel=CHANNEL_EMAIL)] * 2}, "plan.consents"),
        ({"import_id": "x"}, "import_id"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(contacts: Contacts, changes: dict[str, Any], field: str) -> None:
    with refused() as refusal:
        send(contacts, "email,town\na@x.test,Bilbo\n", plan(**changes))
    assert refusal.code is INVALID
    assert any(blamed.endswith(field) for blamed in refusal.fields), refusal


def test_a_file_without_a_plan_is_refused(contacts: Contacts) -> None:
    with refused() as refusal:
        contacts.imports.ImportPeople(iter([pb.ImportPeopleRequest(chunk=b"email\n")]))
    assert (refusal.code, refusal.fields) == (INVALID, ("plan",))


def test_people_who_are_there_are_changed_by_what_a_row_says(contacts: Contacts) -> None:
    contacts.define(city="text", age="number")
    made = contacts.a_person(
        "Ane@x.test", "+34944000000", given_name="Ane", language="eu", tags=["old"], attributes={"city": "A", "age": 3}
    )
    same = contacts.a_person("jon@x.test", given_name="Jon", tags=["a", "b"])
    file = (
        "email,phone,given_name,language,tags,city\n"
        "ANE@x.test,+34944000001,Miren,,new;old,B\njon@x.test,,Jon,,b,\nnew@x.test,,New,,,\n"
    )
    run = send(contacts, file)
    assert counts(run) == (3, 1, 1, 1, 0)
    ane = contacts.people.GetPerson(people_pb.GetPersonRequest(id=made.id))
    assert (ane.given_name, ane.language, list(ane.tags)) == ("Miren", "eu", ["old", "new"])
    assert dict(ane.attributes) == {"city": "B", "age": 3}
    # The file's number is the one that is used now, the older one stays behind it.
    assert [one.value for one in ane.addresses] == ["Ane@x.test", "+34944000001", "+34944000000"]
    assert ane.etag != made.etag
    assert contacts.people.GetPerson(people_pb.GetPersonRequest(id=same.id)) == same


def test_a_file_that_is_imported_again_changes_nothing(contacts: Contacts) -> None:
    consents = [pb.ImportConsent(purpose="news", channel=CHANNEL_EMAIL)]
    file = "email,given_name,external_id,phone\na@x.test,A,1,+34944000000\nb@x.test,B,2,\n"
    first = send(contacts, file, plan(consents=consents))
    before = people(contacts)
    again = send(contacts, file, plan(consents=consents))
    assert (counts(first), counts(again)) == ((2, 2, 0, 0, 0), (2, 0, 0, 2, 0))
    assert people(contacts) == before


@pytest.mark.parametrize("batch_rows", [1, 2, 5000])
def test_a_later_row_with_the_same_key_changes_what_the_earlier_one_made(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", batch_rows)
    file = "email,given_name,family_name\na@x.test,A,One\nb@x.test,B,\nA@X.test,C,\na@x.test,,Two\nb@x.test,B,\n"
    for dry_run in (True, False):
        run = send(contacts, file, plan(dry_run=dry_run))
        assert counts(run)[:2] == (5, 2)
    assert counts(run) == (5, 2, 2, 1, 0)
    assert sorted(one.display_name for one in people(contacts)) == ["B", "C Two"]


def test_an_address_of_several_people_cannot_be_a_key(contacts: Contacts) -> None:
    for _ in range(2):
        contacts.a_person("home@x.test", given_name="Family")
    run = send(contacts, "email,given_name\nHome@x.test,A\nother@x.test,B\n")
    assert counts(run) == (2, 1, 0, 0, 1)
    assert errors(contacts, run) == [(2, "email", "several people have this email; import by another key")]


def test_a_row_is_refused_once_however_much_is_wrong_with_it(contacts: Contacts) -> None:
    for _ in range(2):
        contacts.a_person("home@x.test")
    contacts.a_person("a@x.test", external_id="1")
    run = send(contacts, "email,external_id\nb@x.test,2\nhome@x.test,1\nHome@x.test,2\nc@x.test,2\n")
    assert counts(run) == (4, 1, 0, 0, 3)
    assert [(line, column) for line, column, _ in errors(contacts, run)] == [
        (3, "email"),
        (4, "email"),
        (5, "external_id"),
    ]


def test_two_addresses_of_one_person_are_one_person(contacts: Contacts) -> None:
    made = contacts.a_person("a@x.test", "b@x.test", given_name="A")
    run = send(contacts, "email,given_name\na@x.test,B\nb@x.test,C\n")
    assert counts(run) == (2, 0, 2, 0, 0)
    assert contacts.people.GetPerson(people_pb.GetPersonRequest(id=made.id)).given_name == "C"


def test_an_external_id_of_somebody_else_is_a_wrong_row(contacts: Contacts) -> None:
    contacts.a_person("a@x.test", external_id="1")
    run = send(contacts, "email,external_id\nb@x.test,1\nc@x.test,2\nd@x.test,2\na@x.test,9\n")
    assert counts(run) == (4, 1, 1, 0, 2)
    assert [(line, column) for line, column, _ in errors(contacts, run)] == [(2, "external_id"), (4, "external_id")]
    assert sorted(one.external_id for one in people(contacts)) == ["2", "9"]


def test_people_are_recognised_by_phone_or_external_id(contacts: Contacts) -> None:
    contacts.a_person("+34944000000", external_id="1", given_name="A")
    assert counts(send(contacts, "phone,given_name\n+34 944 000 000,B\n", plan(PHONE))) == (1, 0, 1, 0, 0)
    assert counts(send(contacts, "external_id,email\n1,new@x.test\n", plan(EXTERNAL_ID))) == (1, 0, 1, 0, 0)
    (one,) = people(contacts)
    assert (one.given_name, len(one.addresses)) == ("B", 2)


def test_a_dry_run_reports_and_writes_nothing(contacts: Contacts) -> None:
    contacts.a_person("a@x.test", given_name="A")
    wanted = plan(dry_run=True, consents=[pb.ImportConsent(purpose="news", channel=CHANNEL_EMAIL)])
    run = send(contacts, "email,given_name\na@x.test,B\nb@x.test,B\nwrong,C\n", wanted)
    assert counts(run) == (3, 1, 1, 0, 1)
    assert run.dry_run
    assert errors(contacts, run)[0][:2] == (4, "email")
    assert contacts.found("") == ["A"]
    assert contacts.found('consented("news", "email")') == []


def test_consent_comes_with_the_file_and_never_overturns_a_withdrawal(contacts: Contacts) -> None:
    gone, there = contacts.a_person("gone@x.test", given_name="Gone"), contacts.a_person("there@x.test")
    contacts.withdraw(gone.id, "news")
    contacts.grant(there.id, "news")
    consents = [
        pb.ImportConsent(
            purpose="news", channel=CHANNEL_EMAIL, column="ok", basis="contract", evidence_detail="Shop form"
        ),
        pb.ImportConsent(purpose="service", channel=CHANNEL_EMAIL),
    ]
    file = "email,given_name,ok\ngone@x.test,Gone,yes\nthere@x.test,There,1\nnew@x.test,New,X\nno@x.test,No,no\n"
    run = send(contacts, file, plan(consents=consents))
    assert (counts(run), run.withdrawn_kept) == ((4, 2, 2, 0, 0), 1)
    assert contacts.found('consented("news", "email")') == ["New", "There"]
    assert contacts.found('withdrawn("news", "email")') == ["Gone"]
    assert len(contacts.found('consented("service", "email")')) == 4
    (new,) = people(contacts, 'given_name = "New"')
    ledger = contacts.consents.ListConsents(ListConsentsRequest(person_id=new.id)).consents
    entry = next(one for one in ledger if one.purpose == "news")
    assert (entry.basis, entry.evidence.source) == ("contract", "import")
    assert entry.evidence.detail == "Shop form · people.csv, line 4"
    # Grants that are new to the ledger concern nobody else.
    assert len(contacts.doors.events("contacts")) == 1


def test_imports_are_listed_the_last_one_first_page_by_page(contacts: Contacts) -> None:
    sent = [send(contacts, f"email\nane{number}@shop.example\n").id for number in range(3)]
    first = contacts.imports.ListImports(pb.ListImportsRequest(page_size=2))
    rest = contacts.imports.ListImports(pb.ListImportsRequest(page_size=2, page_token=first.next_page_token))
    assert [run.id for run in (*first.imports, *rest.imports)] == sent[::-1]
    assert [run.created for run in rest.imports] == [1]


def test_a_list_of_imports_reads_by_an_index(contacts: Contacts) -> None:
    fill = """
        INSERT INTO import (id, file_name, state, dry_run, plan_digest, lines_digest, create_time)
        SELECT gen_random_uuid(), 'people.csv', 2, false, '', '', now() - n * interval '1 hour'
        FROM generate_series(1, 5000) n"""
    with database.transaction() as session:
        session.execute(text(fill))
        session.execute(text("ANALYZE import"))
        newest_first = select(Import).order_by(Import.create_time.desc(), Import.id.desc()).limit(51)
        plan = "\n".join(
            session.scalars(text(f"EXPLAIN {newest_first.compile(compile_kwargs={'literal_binds': True})}"))
        )
    assert "import_newest_idx" in plan, plan
