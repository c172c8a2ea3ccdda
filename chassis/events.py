"""Event types and their messages: the option `(denda.options.v1.event_type)` of a message names its event."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from google.protobuf.message import Message

import denda
from denda.options.v1 import options_pb2


def event_type(message: Message | type[Message]) -> str:
    """The event's type, which is its routing key: `contacts.person.updated.v1`. Raises TypeError for other messages."""
    name = message.DESCRIPTOR.GetOptions().Extensions[options_pb2.event_type]
    if not name:
        raise TypeError(f"{message.DESCRIPTOR.full_name} is not an event: it has no event_type option")
    return name


def message_class(name: str) -> type[Message]:
    """The message that travels as this type of event. Raises LookupError when no contract has it."""
    return event_classes()[name]


@cache
def event_classes() -> Mapping[str, type[Message]]:
    """Every event of the contracts by its type."""
    found: dict[str, type[Message]] = {}
    for module in pkgutil.walk_packages(denda.__path__, "denda."):
        if module.name.endswith("_pb2"):
            found |= _events_of(importlib.import_module(module.name))
    return found


def _events_of(module: object) -> dict[str, type[Message]]:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Message)]
    return {name: kind for kind in kinds if (name := kind.DESCRIPTOR.GetOptions().Extensions[options_pb2.event_type])}
