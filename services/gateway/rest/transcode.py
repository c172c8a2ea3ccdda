"""HTTP to protobuf and back: path, query and body become a request message, a message becomes JSON.

JSON is that of https://protobuf.dev/programming-guides/json/: fields in lowerCamelCase (names as in the contract are
taken too), enums by name, 64-bit integers as strings, times as RFC 3339. Answers hold fields of no value as well.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from google.protobuf import field_mask_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from chassis.errors import InvalidArgument
from services.gateway.rest.bindings import Binding, Match, field_of
from services.gateway.rest.trees import tree_of

MASK = "update_mask"
# The server's own fields, which come back with a resource that was read, and the version that a change is meant for.
NOT_CHANGED = {"id", "etag", "create_time", "update_time"}
TRUTH = {"true": True, "false": False}
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# json_format tells the place by the texts of its errors only.
WITHIN = re.compile(r"Failed to parse (\w+) field: ")
UNKNOWN = re.compile(r'no field named "([^"]*)"')


def request_of(match: Match, query: Iterable[tuple[str, str]], body: bytes) -> Message:
    """The RPC's request. Raises InvalidArgument, with the field where one is at fault."""
    binding = match.binding
    request = binding.rpc.request()
    if binding.body:
        _take_body(request, binding, _json(body) if body else {})
    elif body:
        raise InvalidArgument("body", f"{binding.verb} {binding.template} takes none.")
    _take_path(request, match)
    _take_query(request, binding, query)
    return request


def json_of(message: Message) -> bytes:
    """A message as JSON in UTF-8, with every field that has a default."""
    return _JSON.encode(tree_of(message)).encode()


def query_fields(binding: Binding) -> list[tuple[str, FieldDescriptor]]:
    """What may be said in the query: the leaves of the request outside of path and body, by their JSON names."""
    if binding.body == "*":
        return []
    taken = {binding.body, *binding.variables}
    return list(_leaves(binding.rpc.descriptor.input_type, "", "", taken))


def _leaves(
    descriptor: Any, path: str, shown: str, taken: set[str], depth: int = 0
) -> Iterable[tuple[str, FieldDescriptor]]:
    for field in descriptor.fields:
        if path + field.name in taken or depth > 3:
            continue
        if not is_structure(field):
            yield shown + field.json_name, field
        elif not field.is_repeated:
            yield from _leaves(
                field.message_type, f"{path}{field.name}.", f"{shown}{field.json_name}.", taken, depth + 1
            )


def is_structure(field: FieldDescriptor) -> bool:
    """Whether a field has fields of its own; well-known types are written as one value."""
    return field.message_type is not None and not field.message_type.full_name.startswith("google.protobuf.")


def _take_body(request: Message, binding: Binding, tree: Any) -> None:
    if binding.body != "*":
        field = field_of(request.DESCRIPTOR, binding.body)
        assert field is not None
        # A message that is empty is still one that was sent.
        if field.message_type and not field.is_repeated and isinstance(tree, dict):
            getattr(request, binding.body).SetInParent()
        _derive_mask(request, binding, field, tree)
        tree = {binding.body: tree}
    if not isinstance(tree, dict):
        raise InvalidArgument("body", "must be a JSON object.")
    _parse(tree, request)


def _derive_mask(request: Message, binding: Binding, field: FieldDescriptor, tree: Any) -> None:
    """A PATCH changes what its body holds, so also what it sets to nothing, unless its query says otherwise."""
    mask = request.DESCRIPTOR.fields_by_name.get(MASK)
    if binding.verb != "PATCH" or mask is None or not isinstance(tree, dict):
        return
    known = {name: found.name for name in tree if (found := field_of(field.message_type, name)) and "." not in name}
    bound = {variable.removeprefix(f"{binding.body}.") for variable in binding.variables}
    paths = [name for name in known.values() if name not in NOT_CHANGED | bound]
    getattr(request, MASK).CopyFrom(field_mask_pb2.FieldMask(paths=paths))


def _take_path(request: Message, match: Match) -> None:
    for path, text in zip(match.binding.variables, match.values, strict=True):
        holder, _, name = path.rpartition(".")
        target = _value(request, holder) if holder else request
        inside = getattr(target, name)
        said = text if isinstance(inside, str) else _parsed(request, path, text)
        if inside and inside != said:
            raise InvalidArgument(path, "is one thing in the path and another in the body.")
        setattr(target, name, said)


def _parsed(request: Message, path: str, text: str) -> Any:
    """The value that a text stands for in a field of the request."""
    said = type(request)()
    _parse(_nested(path, text), said)
    return _value(said, path)


def _take_query(request: Message, binding: Binding, query: Iterable[tuple[str, str]]) -> None:
    values: dict[str, list[Any]] = {}
    fields: dict[str, FieldDescriptor] = {}
    for name, text in query:
        path, field = _parameter(binding, name)
        fields[path] = field
        values.setdefault(path, []).append(_scalar(field, text))
    for path, given in values.items():
        if len(given) > 1 and not fields[path].is_repeated:
            raise InvalidArgument(path, "is in the query more than once.")
        if path == MASK:
            request.ClearField(MASK)
        _parse(_nested(path, given if fields[path].is_repeated else given[0]), request)


def _parameter(binding: Binding, name: str) -> tuple[str, FieldDescriptor]:
    """The field that a query parameter names, and its path in the contract's names."""
    field = field_of(binding.rpc.descriptor.input_type, name)
    known = query_fields(binding)
    shown = next((shown for shown, leaf in known if leaf is field and shown.count(".") == name.count(".")), None)
    if field is None or shown is None:
        there = ", ".join(shown for shown, _ in known)
        raise InvalidArgument(name[:64], f"is no parameter of this call; there are: {there or 'none'}.")
    return _own_names(binding.rpc.descriptor.input_type, name), field


def _own_names(descriptor: Any, path: str) -> str:
    first, _, rest = path.partition(".")
    field = field_of(descriptor, first)
    assert field is not None
    return f"{field.name}.{_own_names(field.message_type, rest)}" if rest else field.name


def _scalar(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        if text not in TRUTH:
            raise InvalidArgument(field.name, "must be true or false.")
        return TRUTH[text]
    return text


def _nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _value(message: Message, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


def _parse(tree: dict[str, Any], message: Message) -> None:
    try:
        ParseDict(tree, message)
    except ParseError as error:
        raise _refusal(message.DESCRIPTOR, str(error)) from None
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        raise InvalidArgument("request", "does not have the shape that the contract says.") from None


def _refusal(descriptor: Any, told: str) -> InvalidArgument:
    """What is wrong and what would be right, of an error that json_format raised."""
    path = WITHIN.findall(told)
    field = _innermost(descriptor, path)
    if unknown := UNKNOWN.search(told):
        there: Any = field.message_type if field else descriptor
        names = ", ".join(known.json_name for known in there.fields)
        return InvalidArgument(".".join([*path, unknown[1][:64]]), f"is no field here; there are: {names or 'none'}.")
    return InvalidArgument(".".join(path) or "request", _wanted(field) if field else "is not as the contract says.")


def _innermost(descriptor: Any, path: Sequence[str]) -> FieldDescriptor | None:
    """The field that a path ends at, through lists too."""
    field: FieldDescriptor | None = None
    for name in path:
        field = field_of(descriptor, name)
        if field is None:
            return None
        descriptor = field.message_type
    return field


def _wanted(field: Any) -> str:
    if field.enum_type:
        names = [value.name for value in field.enum_type.values if not value.name.endswith("_UNSPECIFIED")]
        kind = f"one of {', '.join(names)}"
    elif field.message_type:
        kind = f"a {field.message_type.name} in the JSON of Protocol Buffers"
    else:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        kind = f"{'an' if name.startswith('i') else 'a'} {name}"
    return f"must be {'a list, each ' if field.is_repeated else ''}{kind}."


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("body", f"is not JSON in UTF-8: {error}"[:200]) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which readers could disagree when it has a name twice (RFC 8259 §4)."""
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("an object has a name twice")
    return tree


def _finite(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no JSON number")
