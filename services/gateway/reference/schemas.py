"""Messages as JSON Schema (2020-12), in the JSON that Protocol Buffers prescribe."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from services.gateway.reference.comments import comment
from services.gateway.reference.rules import enum_names, examples, is_required, keywords, may_be_nothing, rules_of

Schema = dict[str, Any]
BIG: Schema = {"type": "string", "pattern": "^-?[0-9]{1,19}$"}
TYPES: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.TYPE_INT64: BIG | {"format": "int64"},
    FieldDescriptor.TYPE_UINT64: BIG,
}
WELL_KNOWN: dict[str, Schema] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string", "pattern": "^-?[0-9]+([.][0-9]{1,9})?s$"},
    "FieldMask": {"type": "string"},
    "Struct": {"type": "object"},
}
LISTS = {"minItems", "maxItems", "uniqueItems"}


def name_of(message: Any) -> str:
    """A message's name among the components: `contacts.v1.Person`."""
    return str(message.full_name).removeprefix("denda.")


def reference_to(message: Any) -> Schema:
    """The place of a message's schema in the document."""
    return {"$ref": f"#/components/schemas/{name_of(message)}"}


def components(messages: Iterable[Any]) -> dict[str, Schema]:
    """The schemas of messages and of all that they hold, by name."""
    found: dict[str, Schema] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if name_of(message) in found:
            continue
        found[name_of(message)] = message_schema(message)
        waiting += [kind for field in message.fields if (kind := _structure(field))]
    return dict(sorted(found.items()))


def message_schema(message: Any, *, without: Iterable[str] = (), partial: bool = False) -> Schema:
    """A message as an object, without some of its fields; in a `partial` one no field is required."""
    fields = [field for field in message.fields if field.name not in set(without)]
    schema: Schema = {"type": "object", "properties": {field.json_name: field_schema(field) for field in fields}}
    if required := [field.json_name for field in fields if is_required(field) and not partial]:
        schema["required"] = required
    schema["additionalProperties"] = False
    return _described(schema, message.full_name)


def field_schema(field: FieldDescriptor) -> Schema:
    """A field's schema with its rules and what the contract says of it."""
    entry = field.message_type
    if entry and entry.GetOptions().map_entry:
        schema: Schema = {"type": "object", "additionalProperties": field_schema(entry.fields_by_name["value"])}
    elif field.is_repeated:
        bounds = keywords(rules_of(field))
        schema = {"type": "array", "items": _one(field) | keywords(rules_of(field).repeated.items)} | bounds
    else:
        schema = _one(field) | keywords(rules_of(field))
    if may_be_nothing(field) and schema.get("type") == "string":
        schema = {"anyOf": [schema, {"const": ""}]}
    if shown := examples(field):
        schema["examples"] = [shown] if field.is_repeated else shown
    return _described(schema, field.full_name)


def kind_of(field: FieldDescriptor) -> str:
    """A field's type in a word or two, for people."""
    entry: Any = field.message_type
    if entry and entry.GetOptions().map_entry:
        return f"map of {kind_of(entry.fields_by_name['value'])}"
    if field.enum_type:
        one = "one of " + ", ".join(enum_names(field))
    elif entry:
        one = {"Timestamp": "time", "Struct": "object"}.get(entry.name, entry.name)
    else:
        schema = TYPES[field.type]
        one = "64-bit number in a string" if "pattern" in schema else str(schema["type"])
    return f"list of {one}" if field.is_repeated else one


def _one(field: FieldDescriptor) -> Schema:
    """The schema of one value of a field."""
    if field.enum_type:
        return {"type": "string", "enum": enum_names(field)}
    if structure := _structure(field):
        return reference_to(structure)
    if field.message_type:
        return dict(WELL_KNOWN.get(field.message_type.name, {}))
    return dict(TYPES[field.type])


def _structure(field: FieldDescriptor) -> Any:
    """The message that a field holds and that is a component of its own, or None."""
    kind: Any = field.message_type
    if kind and kind.GetOptions().map_entry:
        return _structure(kind.fields_by_name["value"])
    return kind if kind and not kind.full_name.startswith("google.protobuf.") else None


def _described(schema: Schema, full_name: str) -> Schema:
    said = comment(full_name)
    return schema | {"description": said} if said else schema
