"""The rules of `google.api.http` in the contracts, checked and made ready to match (google/api/http.proto).

Not taken, and refused at the start: `**`, custom verbs, `response_body` and client streaming; no contract needs them.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import denda

VERBS = ("get", "put", "post", "delete", "patch")
VARIABLE = re.compile(r"\{([a-z0-9_.]+)(?:=\*)?\}")
# A colon begins the rule's own verb (`:launch`), so it is in no value.
VALUE = "([^/:]+)"


# Each is made once and is itself alone, which is quicker to look up than what it holds.
@dataclass(frozen=True, eq=False)
class Rpc:
    """What is needed to call a method."""

    descriptor: MethodDescriptor
    # `contacts`, which has the address.
    service: str
    path: str
    request: type[Message]
    response: type[Message]
    streams: bool


@dataclass(frozen=True)
class Binding:
    """One way to say an RPC in HTTP."""

    rpc: Rpc
    verb: str
    template: str
    # "*" for the whole request, the name of a field of it, or "" where there is no body.
    body: str
    # Paths of fields of the request, in the order of the template.
    variables: tuple[str, ...]
    pattern: re.Pattern[str]

    @property
    def place(self) -> str:
        """The template with plain names, `{id}` for `{person.id}`, so that it is the same place for every verb."""
        return VARIABLE.sub(lambda found: "{" + found[1].rpartition(".")[2] + "}", self.template)

    @property
    def segments(self) -> int:
        """How many slashes a path has that can match."""
        return self.template.count("/")


@dataclass(frozen=True)
class Match:
    """A binding, and the values that a path gave to its variables."""

    binding: Binding
    values: tuple[str, ...]


@cache
def bindings() -> tuple[Binding, ...]:
    """Every binding of every contract. Raises RuntimeError for a rule that this gateway cannot serve."""
    found: dict[tuple[str, str], Binding] = {}
    for method in _methods():
        for rule in _rules(method):
            binding = _binding(method, rule)
            key = (binding.verb, binding.pattern.pattern)
            if key in found:
                raise RuntimeError(f"{binding.rpc.path} and {found[key].rpc.path} share {binding.verb} {rule}.")
            found[key] = binding
    return tuple(found.values())


@cache
def _routes() -> dict[int, dict[str, list[Binding]]]:
    """Bindings by length and verb, the most literal first."""
    table: dict[int, dict[str, list[Binding]]] = {}
    for binding in sorted(bindings(), key=lambda binding: len(binding.variables)):
        table.setdefault(binding.segments, {}).setdefault(binding.verb, []).append(binding)
    return table


def find(verb: str, path: str) -> Match | None:
    """The binding that a request means."""
    for binding in _routes().get(path.count("/"), {}).get(verb, ()):
        if found := binding.pattern.fullmatch(path):
            return Match(binding, found.groups())
    return None


def verbs_of(path: str) -> list[str]:
    """The verbs that a path knows; none where nothing is there."""
    known = [verb for verb in _routes().get(path.count("/"), {}) if find(verb, path)]
    return sorted([*known, *(["HEAD"] if "GET" in known else [])])


def field_of(descriptor: Any, path: str) -> FieldDescriptor | None:
    """The field at a dotted path, each part by its name in the contract or in JSON."""
    first, _, rest = path.partition(".")
    field: FieldDescriptor | None = descriptor.fields_by_name.get(first) or descriptor.fields_by_camelcase_name.get(
        first
    )
    if field is None or not rest:
        return field
    return field_of(field.message_type, rest) if field.message_type and not field.is_repeated else None


def _methods() -> Iterator[MethodDescriptor]:
    for module in pkgutil.walk_packages(denda.__path__, "denda."):
        if module.name.endswith("_service_pb2"):
            contract = importlib.import_module(module.name)
            for service in contract.DESCRIPTOR.services_by_name.values():
                yield from service.methods


def _rules(method: MethodDescriptor) -> Iterator[http_pb2.HttpRule]:
    extension: Any = annotations_pb2.http
    options = method.GetOptions()
    if options.HasExtension(extension):
        rule: http_pb2.HttpRule = options.Extensions[extension]
        yield rule
        yield from rule.additional_bindings


def _binding(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Binding:
    verb = rule.WhichOneof("pattern") or ""
    if verb not in VERBS or method.client_streaming or rule.response_body:
        raise RuntimeError(f"{method.full_name} has a google.api.http rule that REST here does not know.")
    template: str = getattr(rule, verb)
    variables = tuple(VARIABLE.findall(template))
    named = [*variables, *([rule.body] if rule.body not in {"", "*"} else [])]
    if missing := [name for name in named if field_of(method.input_type, name) is None]:
        raise RuntimeError(f"{method.full_name}: its request has no field {missing[0]}, which {template} names.")
    literals = VARIABLE.split(template)[::2]
    if any(sign in "".join(literals) for sign in "{}*"):
        raise RuntimeError(f"{method.full_name}: {template} is not a path that REST here knows.")
    pattern = re.compile(VALUE.join(re.escape(literal) for literal in literals))
    return Binding(_rpc(method), verb.upper(), template, rule.body, variables, pattern)


@cache
def _rpc(method: MethodDescriptor) -> Rpc:
    service = method.containing_service
    return Rpc(
        descriptor=method,
        service=service.full_name.split(".")[1],
        path=f"/{service.full_name}/{method.name}",
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        streams=bool(method.server_streaming),
    )
