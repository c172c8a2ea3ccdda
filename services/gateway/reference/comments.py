"""The comments of the contracts, which `make proto` keeps beside the generated modules."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# Where the parts of a descriptor are in its source's locations (descriptor.proto).
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_MESSAGES, NESTED_ENUMS = 2, 3, 4
ENUM_VALUES = METHODS = 2
Place = tuple[int, ...]


def comment(full_name: str) -> str:
    """What the contract says of a service, a method, a message, a field, an enum or a value; "" for nothing."""
    return _comments().get(full_name, "")


@cache
def _comments() -> dict[str, str]:
    packed = files("denda").joinpath("contracts.binpb").read_bytes()
    found: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(packed).file:
        said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        found |= {name: " ".join(said[place].split()) for name, place in _names(file) if said.get(place)}
    return found


def _names(file: FileDescriptorProto) -> Iterator[tuple[str, Place]]:
    for number, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield name, (SERVICES, number)
        yield from _parts(name, service.method, (SERVICES, number, METHODS))
    for number, message in enumerate(file.message_type):
        yield from _message(message, f"{file.package}.{message.name}", (MESSAGES, number))
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, f"{file.package}.{enum.name}", (ENUMS, number))


def _message(message: Any, name: str, place: Place) -> Iterator[tuple[str, Place]]:
    yield name, place
    yield from _parts(name, message.field, (*place, FIELDS))
    for number, nested in enumerate(message.nested_type):
        yield from _message(nested, f"{name}.{nested.name}", (*place, NESTED_MESSAGES, number))
    for number, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", (*place, NESTED_ENUMS, number))


def _enum(enum: Any, name: str, place: Place) -> Iterator[tuple[str, Place]]:
    yield name, place
    yield from _parts(name, enum.value, (*place, ENUM_VALUES))


def _parts(name: str, parts: Any, place: Place) -> Iterator[tuple[str, Place]]:
    return ((f"{name}.{part.name}", (*place, number)) for number, part in enumerate(parts))
