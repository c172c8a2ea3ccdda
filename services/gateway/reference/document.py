"""The OpenAPI 3.1 document of every call that REST has."""

from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any

from denda.options.v1 import options_pb2
from services.gateway.problems import MEDIA_TYPE
from services.gateway.reference.comments import comment
from services.gateway.reference.schemas import (
    Schema,
    components,
    field_schema,
    message_schema,
    name_of,
    reference_to,
)
from services.gateway.rest.bindings import Binding, bindings, field_of
from services.gateway.rest.streams import EVENTS, LINES
from services.gateway.rest.transcode import MASK, query_fields

JSON = "application/json"
ABOUT = (
    "Denda's calls as JSON over HTTP, the same that its services answer by gRPC. Fields are in lowerCamelCase, enums "
    "by name, 64-bit integers in strings, times in RFC 3339. A PATCH changes the fields that its body has. Errors are "
    "problem details (RFC 9457)."
)
PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string", "description": "For programs to compare."},
        "retry_after": {"type": "integer", "description": "Seconds after which to try again."},
        "errors": {
            "type": "array",
            "description": "The fields at fault.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
HEADERS = {"X-Request-Id": {"description": "The id to ask about.", "schema": {"type": "string"}}}
REFUSALS = {
    "400": "The request is wrong, or does not suit the state of things.",
    "401": "Nobody knows who is calling.",
    "403": "The caller may not do this.",
    "404": "It is not there.",
    "409": "It is there already, or somebody else has changed it.",
    "429": "Too much, or too often.",
    "503": "A service is away for the moment.",
    "default": "Anything else.",
}


@cache
def document() -> Schema:
    """The whole document."""
    paths: dict[str, dict[str, Schema]] = {}
    for binding in bindings():
        paths.setdefault(binding.place, {})[binding.verb.lower()] = _operation(binding)
    services = {binding.rpc.descriptor.containing_service.full_name for binding in bindings()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Denda", "version": version("denda"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name.rpartition(".")[2], "description": comment(name)} for name in sorted(services)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": _schemas(),
            "responses": {code: _problem(meaning) for code, meaning in _named_refusals().items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of /v1/sessions or /v1/tokens."},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
            },
        },
    }


def roles_of(binding: Binding) -> list[str]:
    """The roles of which one is enough; [] where nobody needs to be known."""
    access = binding.rpc.descriptor.GetOptions().Extensions[options_pb2.access]
    if access.public:
        return []
    return [options_pb2.Role.Name(role) for role in sorted({options_pb2.ROLE_ADMIN, *access.roles})]


def _operation(binding: Binding) -> Schema:
    method = binding.rpc.descriptor
    said, roles = comment(method.full_name), roles_of(binding)
    operation: Schema = {
        "operationId": f"{method.containing_service.name}_{method.name}",
        "tags": [method.containing_service.name],
        "summary": said.partition(". ")[0].rstrip("."),
        "description": said,
        "parameters": list(_parameters(binding)),
        "responses": {"200": _answer(binding)}
        | {code: {"$ref": f"#/components/responses/{_named(code)}"} for code in REFUSALS},
        "security": [{"token": []}, {"key": []}] if roles else [],
        "x-roles": roles,
    }
    if body := body_schema(binding):
        operation["requestBody"] = {"required": "required" in body, "content": {JSON: {"schema": body}}}
    return operation


def _parameters(binding: Binding) -> Iterator[Schema]:
    message = binding.rpc.descriptor.input_type
    for path in binding.variables:
        field = field_of(message, path)
        assert field is not None
        yield {"name": path.rpartition(".")[2], "in": "path", "required": True, "schema": field_schema(field)}
    for name, field in query_fields(binding):
        yield {"name": name, "in": "query", "schema": field_schema(field), "description": comment(field.full_name)}


def body_schema(binding: Binding) -> Schema | None:
    """What the body of a request is; where a mask says what changes, anything may be left out."""
    message: Any = binding.rpc.descriptor.input_type
    if not binding.body:
        return None
    if binding.body == "*":
        return message_schema(message, without=binding.variables)
    field: Any = field_of(message, binding.body)
    if is_partial(binding):
        return message_schema(field.message_type, partial=True)
    return field_schema(field)


def is_partial(binding: Binding) -> bool:
    """Whether a body holds only what changes."""
    return binding.verb == "PATCH" and MASK in binding.rpc.descriptor.input_type.fields_by_name


def _answer(binding: Binding) -> Schema:
    shape = reference_to(binding.rpc.descriptor.output_type)
    if not binding.rpc.streams:
        return {"description": "Done.", "headers": HEADERS, "content": {JSON: {"schema": shape}}}
    failed = {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/Problem"}}}
    line = {"oneOf": [shape, failed], "description": "One line, or the data of one event; an error is the last."}
    return {
        "description": "Messages, one after the other.",
        "headers": HEADERS,
        "content": {LINES: {"schema": line}, EVENTS: {"schema": line}},
    }


def _schemas() -> dict[str, Schema]:
    """Answers, and what bodies refer to; the requests themselves stand where they are used."""
    roots = [binding.rpc.descriptor.output_type for binding in bindings()]
    requests: list[Any] = [binding.rpc.descriptor.input_type for binding in bindings() if binding.body]
    asked = components(requests)
    for request in requests:
        asked.pop(name_of(request), None)
    return components(roots) | asked | {"Problem": PROBLEM}


def _problem(meaning: str) -> Schema:
    shape = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": meaning, "headers": HEADERS, "content": {MEDIA_TYPE: shape}}


def _named(code: str) -> str:
    return "Problem" if code == "default" else f"Problem{code}"


def _named_refusals() -> dict[str, str]:
    return {_named(code): meaning for code, meaning in REFUSALS.items()}
