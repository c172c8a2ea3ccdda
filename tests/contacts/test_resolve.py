"""Who is behind an address: found, or created once however many calls meet."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from sqlalchemy import text

from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1.audience_service_pb2 import INELIGIBILITY_NO_CONSENT
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address, Person
from services.contacts import senders
from services.contacts.models import AddressKind, database
from tests.contacts.conftest import Contacts, counted_statements

Sender = pb.ResolvePeopleRequest.Sender
Resolved = pb.ResolvePeopleResponse.Resolved


def sender(value: str, name: str = "") -> Sender:
    kind = Address.KIND_EMAIL if "@" in value else Address.KIND_PHONE
    return Sender(kind=kind, value=value, display_name=name)


def resolve(contacts: Contacts, *senders: Sender) -> list[Resolved]:
    return list(contacts.people.ResolvePeople(pb.ResolvePeopleRequest(senders=senders)).people)


def person_of(contacts: Contacts, found: Resolved) -> Person:
    return contacts.people.GetPerson(pb.GetPersonRequest(id=found.person_id))


def test_a_known_sender_is_found_in_any_spelling(contacts: Contacts) -> None:
    ane = contacts.a_person("Ane@shop.example", "+34944000000", given_name="Ane", family_name="Zubi", language="eu")
    for found in resolve(contacts, sender("ANE@Shop.Example", "Somebody else"), sender("+34 944 000 000")):
        assert found == Resolved(person_id=ane.id, display_name="Ane Zubi", language="eu")


def test_an_unknown_sender_becomes_a_person_without_consent(contacts: Contacts) -> None:
    by_mail, by_phone = resolve(contacts, sender("jon@Shop.Example", "Jon\n  Lasa"), sender("+34 944 000 001"))
    assert by_mail.created
    assert by_phone.created
    jon = person_of(contacts, by_mail)
    assert (jon.display_name, [one.value for one in jon.addresses]) == ("Jon Lasa", ["jon@shop.example"])
    assert [one.value for one in person_of(contacts, by_phone).addresses] == ["+34944000001"]
    assert {one.ineligibility for one in contacts.walk()} == {INELIGIBILITY_NO_CONSENT}
    again = resolve(contacts, sender("jon@shop.example"))
    assert again == [Resolved(person_id=jon.id, display_name="Jon Lasa")]


def test_two_spellings_in_one_call_are_one_person(contacts: Contacts) -> None:
    first, second = resolve(contacts, sender("jon@shop.example", "Jon"), sender("JON@shop.example", "Jon Lasa"))
    assert first == second
    assert first.display_name == "Jon"


def test_who_did_not_write_is_found_and_not_created(contacts: Contacts) -> None:
    ane = contacts.a_person("ane@shop.example", given_name="Ane")
    copies = [Sender(kind=Address.KIND_EMAIL, value=f"{name}@shop.example", only_known=True) for name in ("ane", "jon")]
    known, stranger = resolve(contacts, *copies)
    assert known.person_id == ane.id
    assert stranger == Resolved(error="nobody has this address")
    named, wrote = resolve(contacts, copies[1], sender("jon@shop.example", "Jon"))
    assert named == wrote
    assert (wrote.created, wrote.display_name) == (True, "Jon")


def test_an_address_in_place_of_a_name_is_no_name(contacts: Contacts) -> None:
    (found,) = resolve(contacts, sender("jon@shop.example", "JON@shop.example"))
    assert person_of(contacts, found).display_name == ""


def test_an_impossible_address_says_so_and_spares_the_others(contacts: Contacts) -> None:
    wrong, nul, right = resolve(contacts, sender("jon@@shop"), sender("a\0b@shop.example"), sender("jon@shop.example"))
    assert (wrong.person_id, nul.person_id) == ("", "")
    assert "is not an email address" in wrong.error
    assert "NUL" in nul.error
    assert (right.created, right.error) == (True, "")


def test_of_a_shared_address_the_oldest_person_is_answered(contacts: Contacts) -> None:
    older = contacts.a_person("home@shop.example", given_name="Ane")
    contacts.a_person("home@shop.example", given_name="Jon")
    (found,) = resolve(contacts, sender("home@shop.example"))
    assert found.person_id == older.id


def test_calls_that_meet_make_one_person_for_each_address(contacts: Contacts) -> None:
    values = [f"new{number}@shop.example" for number in range(50)]
    # In opposite orders, so that calls would wait for each other if they locked as they come.
    orders = [values, values[::-1]] * 4

    def call(order: list[str]) -> dict[str, str]:
        found = resolve(contacts, *map(sender, order))
        return {value: one.person_id for value, one in zip(order, found, strict=True)}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, orders))
    assert all(answer == answers[0] for answer in answers)
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM person")) == len(values)


def test_five_hundred_senders_need_six_statements(contacts: Contacts) -> None:
    senders = [sender(f"new{number}@shop.example", f"Sender {number}") for number in range(500)]
    with counted_statements() as statements:
        assert all(one.created for one in resolve(contacts, *senders))
    assert len(statements) == 6
    with counted_statements() as statements:
        assert not any(one.created for one in resolve(contacts, *senders))
    assert len(statements) == 2


def test_a_plan_for_few_people_is_not_kept_for_many(contacts: Contacts) -> None:
    asked = [senders.Sender(AddressKind.EMAIL, f"new{number}@shop.example", "") for number in range(20)]
    read = text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'address'")
    with database.transaction() as session:
        senders.resolve(session, asked)
        session.execute(text("ANALYZE address"))
        for _ in range(10):
            senders.resolve(session, asked)
        # As after a large import that no statistics know of yet.
        session.execute(text("INSERT INTO person (id) SELECT gen_random_uuid() FROM generate_series(1, 5000)"))
        addresses = (
            "INSERT INTO address (person_id, kind, value, position) SELECT id, 1, id || '@x.example', 1 FROM person"
        )
        session.execute(text(addresses))
        before = session.scalar(read)
        senders.resolve(session, asked)
        assert session.scalar(read) == before


def test_only_services_may_resolve(contacts: Contacts) -> None:
    stub = contacts.doors.stub(PeopleServiceStub, "contacts", "agent")
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ResolvePeople(pb.ResolvePeopleRequest(senders=[sender("jon@shop.example")]))
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
