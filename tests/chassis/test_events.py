"""Every event of the contracts has a type of its own, which leads back to its message."""

import re

import pytest

from chassis.events import event_classes, event_type, message_class
from denda.contacts.v1.events_pb2 import PersonDeleted
from denda.contacts.v1.person_pb2 import Person


def test_a_message_and_its_class_know_their_event_type() -> None:
    assert event_type(PersonDeleted()) == event_type(PersonDeleted) == "contacts.person.deleted.v1"


def test_a_type_leads_to_its_message() -> None:
    assert message_class("contacts.person.deleted.v1") is PersonDeleted


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(TypeError, match="is not an event"):
        event_type(Person)
    with pytest.raises(LookupError):
        message_class("contacts.person.sneezed.v1")


def test_event_types_say_service_resource_past_tense_and_version() -> None:
    for name, kind in event_classes().items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+\.[a-z]+ed\.v\d+|[a-z]+\.[a-z_]+\.[a-z]+\.v\d+", name)
        assert kind.DESCRIPTOR.full_name.startswith(f"denda.{name.split('.')[0]}.v")


def test_no_two_messages_share_a_type() -> None:
    assert len({kind.DESCRIPTOR.full_name for kind in event_classes().values()}) == len(event_classes())
