"""Every event of the contracts is published by its service and heard by somebody."""

import ast

import pytest

from chassis.events import event_classes
from tests.kit.doors import service_named
from tests.kit.repository import python_files, services, tree_of

EVENTS = sorted(event_classes().items())


def made_in(service: str) -> set[str]:
    """Names of the messages that a service's code makes."""
    calls = (node for path in python_files(f"services/{service}") for node in ast.walk(tree_of(path)))
    functions = [node.func for node in calls if isinstance(node, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in functions}


def test_there_are_events() -> None:
    assert EVENTS


@pytest.mark.parametrize(("name", "message"), EVENTS)
def test_the_event_has_a_publisher(name: str, message: type) -> None:
    assert message.__name__ in made_in(name.partition(".")[0])


@pytest.mark.parametrize(("name", "message"), EVENTS)
def test_the_event_has_a_subscriber(name: str, message: type) -> None:
    assert [service for service in services() if message in service_named(service).handlers] != []


@pytest.mark.parametrize(("name", "message"), EVENTS)
def test_the_events_name_is_service_resource_past_tense_version(name: str, message: type) -> None:
    service, _resource, fact, version = name.split(".")
    assert message.DESCRIPTOR.full_name.startswith(f"denda.{service}.{version}.")  # type: ignore[attr-defined]
    assert fact.endswith(("ed", "sent", "made"))
