"""People through the door: what is kept, what is refused, and that lists stay cheap."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import text

from denda.contacts.v1 import people_service_pb2 as pb
from denda.contacts.v1.events_pb2 import PersonDeleted
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Address, AttributeDefinition, Person
from services.contacts.models import database
from tests.contacts.conftest import Contacts, counted_statements, person, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def update(contacts: Contacts, changed: Person, *paths: str) -> Person:
    return contacts.people.UpdatePerson(
        pb.UpdatePersonRequest(person=changed, update_mask=FieldMask(paths=paths) if paths else None)
    )


def test_a_person_is_kept_in_one_spelling(contacts: Contacts) -> None:
    contacts.define(city="text", age="number", member="boolean", birthday="date", likes="list")
    attributes = {"city": "Bilbo", "age": 31, "member": True, "birthday": "1995-02-28", "likes": ["tea", "bread"]}
    made = contacts.a_person(
        "+34 944 000 000",
        "Ana@Shop.EXAMPLE",
        given_name=" Ane ",
        family_name="Etxebarria",
        language="ES-es",
        time_zone="Europe/Madrid",
        tags=["vip", " vip ", "new"],
        attributes=attributes,
    )
    kept = contacts.people.GetPerson(pb.GetPersonRequest(id=made.id))
    assert kept == made
    assert (kept.given_name, kept.display_name, kept.language) == ("Ane", "Ane Etxebarria", "es-ES")
    assert [(one.kind, one.value) for one in kept.addresses] == [
        (Address.KIND_EMAIL, "Ana@shop.example"),
        (Address.KIND_PHONE, "+34944000000"),
    ]
    assert list(kept.tags) == ["vip", "new"]
    assert json_format.MessageToDict(kept.attributes) == attributes


def test_a_display_name_follows_the_names_unless_it_was_chosen(contacts: Contacts) -> None:
    shown = contacts.a_person(given_name="Ane", family_name="Zubi")
    shown.given_name = "Miren"
    shown = update(contacts, shown, "*")
    assert shown.display_name == "Miren Zubi"
    shown.display_name = "Mirentxu"
    shown = update(contacts, shown, "display_name")
    shown.family_name = "Lasa"
    assert update(contacts, shown, "family_name").display_name == "Mirentxu"
    assert update(contacts, Person(id=shown.id), "display_name").display_name == "Miren Lasa"


def test_every_wrong_field_is_named_at_once(contacts: Contacts) -> None:
    contacts.define(age="number")
    wrong = person(
        "not an address",
        "+1",
        language="klingonese",
        time_zone="Europe/Bilbao",
        given_name="A\0ne",
        attributes={"age": "old", "shoe_size": 42},
    )
    wrong.addresses[0].kind = Address.KIND_EMAIL
    with refused() as refusal:
        contacts.people.CreatePerson(pb.CreatePersonRequest(person=wrong))
    assert refusal.code is INVALID
    assert set(refusal.fields) == {
        "person.addresses[0].value",
        "person.addresses[1].value",
        "person.language",
        "person.time_zone",
        "person.given_name",
        "person.attributes.age",
        "person.attributes.shoe_size",
    }


def test_an_unknown_attribute_is_answered_with_those_that_exist(contacts: Contacts) -> None:
    contacts.define(city="text", age="number")
    with refused() as refusal:
        contacts.a_person(attributes={"town": "Bilbo"})
    assert refusal.fields == ("person.attributes.town",)
    assert "there are: age, city" in refusal.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 5),
        ("number", "5"),
        ("number", True),
        ("number", float("nan")),
        ("number", float("inf")),
        ("boolean", "yes"),
        ("date", "31.1.2026"),
        ("date", "2026-02-30"),
        ("date", "20260131"),
        ("list", "tea"),
        ("list", [1]),
        ("text", {"a": 1}),
        ("text", "a\0b"),
    ],
)
def test_a_value_of_another_type_is_refused(contacts: Contacts, kind: str, value: object) -> None:
    contacts.define(thing=kind)
    with refused() as refusal:
        contacts.a_person(attributes={"thing": value})
    assert (refusal.code, refusal.fields) == (INVALID, ("person.attributes.thing",))


def test_fictional_addresses_are_taken(contacts: Contacts) -> None:
    made = contacts.a_person("ane@shop.example", "ane@shop.test", "+1 202-555-0143", "+15550100")
    assert [one.value for one in made.addresses][2:] == ["+12025550143", "+15550100"]


def test_the_same_address_twice_is_kept_once_and_families_may_share_it(contacts: Contacts) -> None:
    first = contacts.a_person("Home@shop.example", "home@shop.example")
    second = contacts.a_person("home@shop.example")
    assert [one.value for one in first.addresses] == ["Home@shop.example"]
    assert second.addresses


def test_a_repeated_request_creates_nobody_new(contacts: Contacts) -> None:
    request = pb.CreatePersonRequest(person=person(given_name="Ane"), request_id=str(uuid4()))
    assert contacts.people.CreatePerson(request) == contacts.people.CreatePerson(request)
    assert contacts.found("") == ["Ane"]


def test_the_same_request_at_the_same_time_creates_one_person(contacts: Contacts) -> None:
    request = pb.CreatePersonRequest(person=person("a@x.test", given_name="Ane"), request_id=str(uuid4()))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: contacts.people.CreatePerson(request), range(8)))
    assert made == [made[0]] * 8
    assert contacts.found("") == ["Ane"]


def test_updates_at_the_same_time_lose_nothing(contacts: Contacts) -> None:
    contacts.define(**{f"a{number}": "number" for number in range(8)})
    made = contacts.a_person()

    def set_one(number: int) -> None:
        update(contacts, person(id=made.id, attributes={f"a{number}": number}), f"attributes.a{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(set_one, range(8)))
    kept = contacts.people.GetPerson(pb.GetPersonRequest(id=made.id))
    assert dict(kept.attributes) == {f"a{number}": number for number in range(8)}
    assert kept.etag == "9"


def test_a_database_that_comes_back_is_used_again(contacts: Contacts) -> None:
    made = contacts.a_person()
    with database.transaction() as session:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'denda-contacts'"
        session.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
    # Each connection that was lost costs one call, which the caller may repeat.
    answers = []
    for _ in range(20):
        with suppress(grpc.RpcError):
            answers.append(contacts.people.GetPerson(pb.GetPersonRequest(id=made.id)).id)
    assert len(answers) >= 10


def test_an_external_id_is_unique_and_may_be_taken_away(contacts: Contacts) -> None:
    first, second = contacts.a_person(external_id="K-1"), contacts.a_person()
    with refused() as refusal:
        contacts.a_person(external_id="K-1")
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    with refused() as refusal:
        update(contacts, Person(id=second.id, external_id="K-1"), "external_id")
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert "K-1" in refusal.message
    update(contacts, Person(id=first.id), "external_id")
    assert contacts.a_person(external_id="K-1").external_id == "K-1"


def test_an_update_changes_what_its_mask_names(contacts: Contacts) -> None:
    contacts.define(city="text", age="number")
    made = contacts.a_person("a@shop.example", given_name="Ane", tags=["x"], attributes={"city": "Bilbo", "age": 3})
    changed = person("b@shop.example", id=made.id, given_name="Miren", attributes={"city": "Donostia"})
    after = update(contacts, changed, "attributes.city", "tags")
    assert (after.given_name, list(after.tags), dict(after.attributes)) == ("Ane", [], {"city": "Donostia", "age": 3})
    after = update(contacts, changed)
    assert (after.given_name, after.addresses[0].value, after.attributes["age"]) == ("Miren", "b@shop.example", 3)
    after = update(contacts, Person(id=made.id), "attributes.age", "addresses")
    assert (dict(after.attributes), len(after.addresses)) == ({"city": "Donostia"}, 0)
    assert dict(update(contacts, Person(id=made.id), "attributes").attributes) == {}
    assert update(contacts, Person(id=made.id, given_name="Jone"), "*").given_name == "Jone"


def test_a_mask_that_names_nothing_real_is_refused(contacts: Contacts) -> None:
    made = contacts.a_person()
    with refused() as refusal:
        update(contacts, made, "shoe_size")
    assert (refusal.code, refusal.fields) == (INVALID, ("update_mask",))


def test_a_stale_etag_is_refused(contacts: Contacts) -> None:
    made = contacts.a_person(given_name="Ane")
    update(contacts, Person(id=made.id, given_name="Miren", etag=made.etag))
    with refused() as refusal:
        update(contacts, Person(id=made.id, given_name="Jone", etag=made.etag))
    assert refusal.code is grpc.StatusCode.ABORTED
    with refused() as refusal:
        contacts.people.DeletePerson(pb.DeletePersonRequest(id=made.id, etag=made.etag))
    assert refusal.code is grpc.StatusCode.ABORTED
    assert contacts.found("") == ["Miren"]


def test_a_deleted_person_leaves_nothing_and_everybody_hears_of_it(contacts: Contacts) -> None:
    made = contacts.a_person("a@shop.example")
    contacts.grant(made.id)
    contacts.people.DeletePerson(pb.DeletePersonRequest(id=made.id))
    with refused() as refusal:
        contacts.people.GetPerson(pb.GetPersonRequest(id=made.id))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert contacts.doors.events("contacts") == [PersonDeleted(person_id=made.id)]


def test_lists_are_paged_and_need_the_same_few_statements_at_any_size(contacts: Contacts) -> None:
    made = [contacts.a_person(f"p{number}@shop.example", given_name=f"{number}") for number in range(7)]
    contacts.people.ListPeople(pb.ListPeopleRequest(page_size=1))
    with counted_statements() as few:
        contacts.people.ListPeople(pb.ListPeopleRequest(page_size=1))
    with counted_statements() as many:
        first = contacts.people.ListPeople(pb.ListPeopleRequest(page_size=5))
    assert len(few) == len(many) <= 2
    rest = contacts.people.ListPeople(pb.ListPeopleRequest(page_size=5, page_token=first.next_page_token))
    assert [*first.people, *rest.people] == made
    assert rest.next_page_token == ""


@pytest.mark.parametrize("token", ["x", "AAAA", "a" * 3000])
def test_an_unknown_page_token_is_refused(contacts: Contacts, token: str) -> None:
    with refused() as refusal:
        contacts.people.ListPeople(pb.ListPeopleRequest(page_token=token))
    assert (refusal.code, refusal.fields) == (INVALID, ("page_token",))


def test_a_page_token_of_another_filter_is_refused(contacts: Contacts) -> None:
    for _ in range(2):
        contacts.a_person(language="eu")
    token = contacts.people.ListPeople(pb.ListPeopleRequest(page_size=1)).next_page_token
    with refused() as refusal:
        contacts.people.ListPeople(pb.ListPeopleRequest(page_token=token, filter='language = "eu"'))
    assert refusal.code is INVALID


def test_a_batch_of_people_leaves_out_who_is_not_there(contacts: Contacts) -> None:
    made = [contacts.a_person(f"p{number}@shop.example") for number in range(3)]
    ids = [one.id for one in made]
    with counted_statements() as statements:
        answer = contacts.people.BatchGetPeople(pb.BatchGetPeopleRequest(ids=[*ids, str(uuid4())]))
    assert sorted(answer.people, key=lambda one: one.id) == made
    assert len(statements) == 2


def test_attributes_keep_their_type(contacts: Contacts) -> None:
    contacts.define(city="text")
    attribute = AttributeDefinition(name="city", type=AttributeDefinition.TYPE_STRING, description="Where they live")
    contacts.people.DefineAttribute(pb.DefineAttributeRequest(attribute=attribute))
    (kept,) = contacts.people.ListAttributes(pb.ListAttributesRequest()).attributes
    assert kept.description == "Where they live"
    attribute.type = AttributeDefinition.TYPE_NUMBER
    with refused() as refusal:
        contacts.people.DefineAttribute(pb.DefineAttributeRequest(attribute=attribute))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION


def test_an_attribute_cannot_take_the_name_of_a_field(contacts: Contacts) -> None:
    with refused() as refusal:
        contacts.define(email="text")
    assert (refusal.code, refusal.fields) == (INVALID, ("attribute.name",))


def test_who_may_only_read_cannot_write(contacts: Contacts) -> None:
    viewer = contacts.doors.stub(PeopleServiceStub, "contacts", "viewer")
    assert list(viewer.ListPeople(pb.ListPeopleRequest()).people) == []
    with refused() as refusal:
        viewer.CreatePerson(pb.CreatePersonRequest(person=Person(given_name="Ane")))
    assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
    nobody = contacts.doors.stub(PeopleServiceStub, "contacts")
    with refused() as refusal:
        nobody.ListPeople(pb.ListPeopleRequest())
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
