"""The writer of JSON trees says what json_format says, for every contract and for types that no contract has yet."""

import math
from typing import Any

import pytest
from google.api import distribution_pb2, httpbody_pb2, monitored_resource_pb2
from google.protobuf import duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from google.type import color_pb2  # type: ignore[import-untyped]  # the stubs lack it
from hypothesis import given, settings
from hypothesis import strategies as st

from denda.contacts.v1.person_pb2 import Person
from services.gateway.rest.bindings import bindings
from services.gateway.rest.trees import tree_of

STRANGERS: list[type[Message]] = [
    color_pb2.Color,
    distribution_pb2.Distribution,
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    httpbody_pb2.HttpBody,
    monitored_resource_pb2.MonitoredResourceMetadata,
    wrappers_pb2.Int64Value,
]
KINDS = [*{binding.rpc.response.DESCRIPTOR.full_name: binding.rpc.response for binding in bindings()}.values()]
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    **{kind: st.integers(*bounds) for kind, bounds in INTEGERS.items()},
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Timestamp": st.builds(
        timestamp_pb2.Timestamp,
        seconds=st.integers(-62_135_596_800, 253_402_300_799),
        nanos=st.sampled_from([0, 1, 1_000, 999_000_000, 999_999_999]),
    ),
    "google.protobuf.Duration": st.builds(
        duration_pb2.Duration, seconds=st.integers(0, 315_576_000_000), nanos=st.sampled_from([0, 5_000_000, 7])
    ),
    "google.protobuf.FieldMask": st.builds(
        field_mask_pb2.FieldMask, paths=st.lists(st.sampled_from(["a", "given_name", "person.tags"]))
    ),
    "google.protobuf.Struct": st.builds(
        lambda fields: struct_pb2.Struct(fields={name: _value(value) for name, value in fields.items()}),
        st.dictionaries(st.text(), PLAIN, max_size=3),
    ),
}


def _value(plain: Any) -> struct_pb2.Value:
    match plain:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=plain)
        case float():
            return struct_pb2.Value(number_value=plain)
        case str():
            return struct_pb2.Value(string_value=plain)
        case list():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=map(_value, plain)))
    fields = {name: _value(value) for name, value in plain.items()}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))


def _values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type:
        known = KNOWN.get(field.message_type.full_name)
        return _messages(GetMessageClass(field.message_type), depth - 1) if known is None else known
    if field.enum_type:
        return st.sampled_from([*field.enum_type.values_by_number, 77])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    return SCALARS.get(field.cpp_type, st.text(max_size=8))


@st.composite
def _messages(draw: st.DrawFn, kind: type[Message], depth: int = 4) -> Message:
    """A message with any of its fields set, to any value; `google.protobuf.Any` is left out."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if field.message_type and (depth == 0 or field.message_type.full_name == "google.protobuf.Any"):
            continue
        if not draw(st.booleans()):
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            for key, item in draw(st.dictionaries(st.text(max_size=4), _values(value, depth), max_size=2)).items():
                getattr(message, field.name)[key] = item
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_values(field, depth), max_size=2)))
        elif field.message_type:
            getattr(message, field.name).CopyFrom(draw(_values(field, depth)))
        else:
            setattr(message, field.name, draw(_values(field, depth)))
    return message


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([*KINDS, *STRANGERS]).flatmap(_messages))
def test_every_message_is_written_as_json_format_writes_it(message: Message) -> None:
    assert tree_of(message) == MessageToDict(message, always_print_fields_with_no_presence=True)


def test_a_value_that_json_cannot_hold_is_refused() -> None:
    person = Person()
    person.attributes.fields["odd"].number_value = math.nan
    with pytest.raises(ValueError, match="no such number"):
        tree_of(person)
