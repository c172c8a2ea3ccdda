"""The rules of protovalidate on a field: as keywords of JSON Schema, and in words."""

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

NUMBERS = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
TEXTS = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
FORMATS = ("uuid", "email", "uri", "hostname")
LISTS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}


@cache
def rules_of(field: FieldDescriptor) -> Any:
    """The `FieldRules` of a field; empty where it has none."""
    extension: Any = validate_pb2.field
    return field.GetOptions().Extensions[extension]


def may_be_nothing(field: FieldDescriptor) -> bool:
    """Whether rules are meant only for values that are not zero."""
    return bool(rules_of(field).ignore == validate_pb2.IGNORE_IF_ZERO_VALUE)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request without the field is refused: it is said to be required, or no rule takes its zero value."""
    rules = rules_of(field)
    if rules.required:
        return True
    known = keywords(rules)
    if field.is_repeated:
        return bool(known.get("minItems", 0) > 0)
    if may_be_nothing(field) or field.has_presence:
        return False
    if field.enum_type:
        return 0 in rules.enum.not_in
    pattern = known.get("pattern")
    unmatched = pattern is not None and not re.search(pattern, "")
    return unmatched or known.get("minLength", 0) > 0 or "format" in known or known.get("minimum", 0) > 0


def keywords(rules: Any) -> dict[str, Any]:
    """What rules say, in JSON Schema's words; what it has no words for is left out."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    said = getattr(rules, kind)
    found: dict[str, Any] = {}
    for names in {"string": (TEXTS,), "repeated": (LISTS,), "int32": (NUMBERS,), "uint32": (NUMBERS,)}.get(kind, ()):
        found |= {word: getattr(said, name) for name, word in names.items() if said.HasField(name)}
    if kind == "string" and (form := said.WhichOneof("well_known")) in FORMATS:
        found["format"] = form
    return found


def examples(field: FieldDescriptor) -> list[Any]:
    """The values that the contract itself gives as examples, as JSON has them."""
    rules = rules_of(field)
    kind = rules.WhichOneof("type")
    if kind == "repeated":
        rules = rules.repeated.items
        kind = rules.WhichOneof("type")
    said = getattr(rules, kind) if kind else None
    # Enums are left out: buf's linter stumbles over their examples.
    shown = list(said.example) if said is not None and hasattr(said, "example") and not field.enum_type else []
    return [b64encode(one).decode() if isinstance(one, bytes) else one for one in shown]


def enum_names(field: FieldDescriptor) -> list[str]:
    """The values of an enum that the rules let through."""
    rules = rules_of(field)
    known: Any = field.enum_type
    said = (rules.repeated.items if field.is_repeated else rules).enum
    allowed = set(getattr(said, "in")) or {value.number for value in known.values}
    return [value.name for value in known.values if value.number in allowed - set(said.not_in)]


def in_words(field: FieldDescriptor) -> list[str]:
    """The rules of a field, each as a few words."""
    rules = rules_of(field)
    found = ["required"] if is_required(field) else []
    found += _words(keywords(rules))
    if rules.WhichOneof("type") == "repeated":
        found += [f"each {words}" for words in _words(keywords(rules.repeated.items))]
    return found


def _words(known: dict[str, Any]) -> Iterator[str]:
    if "format" in known:
        yield {"uuid": "a UUID", "uri": "a URI"}.get(known["format"], f"of the form {known['format']}")
    yield from _range(known.get("minLength"), known.get("maxLength"), "characters")
    yield from _range(known.get("minimum"), known.get("maximum"), "")
    yield from _range(known.get("minItems"), known.get("maxItems"), "items")
    if "pattern" in known:
        yield f"matches {known['pattern']}"
    if known.get("uniqueItems"):
        yield "no two the same"


def _range(least: int | None, most: int | None, unit: str) -> Iterator[str]:
    if least and most:
        yield f"{least:,} to {most:,} {unit}".strip()
    elif least is not None and (most is not None or least):
        yield f"at least {least:,} {unit}".strip() if most is None else f"{least:,} to {most:,} {unit}".strip()
    elif most is not None:
        yield f"at most {most:,} {unit}".strip()
