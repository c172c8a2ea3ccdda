"""The doors of the reference: the document for programs and the page for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import Blueprint, Response, json, render_template

from services import public_url
from services.gateway.reference.comments import comment
from services.gateway.reference.document import document, roles_of
from services.gateway.reference.examples import example, setting
from services.gateway.reference.rules import in_words
from services.gateway.reference.schemas import kind_of
from services.gateway.rest.bindings import Binding, bindings, field_of
from services.gateway.rest.transcode import is_structure, query_fields

reference = Blueprint("reference", __name__)

REMEMBERED = "public, max-age=300"
DEPTH = 3
PUBLIC = "none, it is public"


@dataclass(frozen=True)
class Part:
    """A parameter or a field, as the page shows it."""

    name: str
    place: str
    kind: str
    rules: str
    meaning: str


@dataclass(frozen=True)
class Call:
    """A method, as the page shows it."""

    name: str
    anchor: str
    verb: str
    template: str
    said: str
    roles: str
    streams: bool
    parts: list[Part]
    answers: list[Part]
    answer: str
    example: str


@reference.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    answer = Response(json.dumps(document()), mimetype="application/json")
    answer.headers["Cache-Control"] = REMEMBERED
    # It says nothing that the source does not, and tools in browsers read it.
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


@reference.get("/docs")
def page() -> str:
    """Every call, for people."""
    url = public_url()
    return render_template("reference.html", services=_services(url), setting=setting(url), url=url)


@cache
def _services(url: str) -> list[tuple[str, str, list[Call]]]:
    """Each service with what it is for and its calls."""
    found: dict[str, list[Call]] = {}
    for binding in bindings():
        found.setdefault(binding.rpc.descriptor.containing_service.full_name, []).append(_call(binding, url))
    # What is public comes last in its package: one logs in as somebody whom another call has made.
    order = sorted(found, key=lambda name: (name.rpartition(".")[0], found[name][0].roles == PUBLIC))
    return [(name.rpartition(".")[2], comment(name), found[name]) for name in order]


def _call(binding: Binding, url: str) -> Call:
    method = binding.rpc.descriptor
    answer: Any = method.output_type
    return Call(
        name=method.name,
        anchor=f"{method.containing_service.name}-{method.name}",
        verb=binding.verb,
        template=binding.place,
        said=comment(method.full_name),
        roles=", ".join(role.removeprefix("ROLE_").lower() for role in roles_of(binding)) or PUBLIC,
        streams=binding.rpc.streams,
        parts=list(_parts(binding)),
        answers=list(_fields(answer, "", "")),
        answer=answer.name,
        example=example(binding, url),
    )


def _parts(binding: Binding) -> Iterator[Part]:
    message: Any = binding.rpc.descriptor.input_type
    for path in binding.variables:
        yield _part(path.rpartition(".")[2], "path", field_of(message, path))
    for name, field in query_fields(binding):
        yield _part(name, "query", field)
    if binding.body == "*":
        yield from _fields(message, "", "body", set(binding.variables))
    elif binding.body:
        whole: Any = field_of(message, binding.body)
        yield from _fields(whole.message_type, "", "body")


def _fields(message: Any, before: str, place: str, skipped: set[str] | None = None, depth: int = 1) -> Iterator[Part]:
    for field in message.fields:
        if field.name in (skipped or ()):
            continue
        yield _part(before + field.json_name, place, field)
        if is_structure(field) and depth < DEPTH and not field.message_type.GetOptions().map_entry:
            within = f"{before}{field.json_name}{'[]' if field.is_repeated else ''}."
            yield from _fields(field.message_type, within, place, depth=depth + 1)


def _part(name: str, place: str, field: Any) -> Part:
    rules = [] if not place else in_words(field)
    return Part(name, place, kind_of(field), ", ".join(rules), comment(field.full_name))
