"""Make docs/api.md from the comments of the contracts, which are the API's manual. Run by `make docs`."""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from generate import CONTRACTS, write_image
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from denda.options.v1 import options_pb2

PAGE = CONTRACTS.parent / "docs" / "api.md"
HEAD = """# The API

Made from the comments of the contracts in `proto/` by `make docs`; do not edit it here. Every service serves
reflection, so `grpcurl` shows the same. A call carries `authorization: Bearer …`, a token of `denda token`; each RPC
names the roles of which one is enough, and ROLE_ADMIN always is. Errors carry `google.rpc` details: which field, what
was wrong, what would be right.
"""
# Where the parts of a descriptor are in its source's locations (descriptor.proto).
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_MESSAGES, NESTED_ENUMS = 2, 3, 4
ENUM_VALUES = METHODS = 2
Comments = dict[tuple[int, ...], str]


def reference() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "contracts.binpb"
        write_image(image)
        files = [file for file in FileDescriptorSet.FromString(image.read_bytes()).file if _is_ours(file)]
    parts = [HEAD]
    for package, group in groupby(sorted(files, key=_order), key=lambda file: file.package):
        parts.append(f"## {package}\n")
        for file in group:
            parts += _file(file)
    return "\n".join(parts).rstrip() + "\n"


def _is_ours(file: FileDescriptorProto) -> bool:
    return file.package.startswith("denda.") and file.package != "denda.options.v1"


def _order(file: FileDescriptorProto) -> tuple[str, bool, str]:
    """By package, and in it the services before what they speak of."""
    return file.package, not file.service, file.name


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}
    for number, service in enumerate(file.service):
        yield from _service(service, (SERVICES, number), comments)
    for number, message in enumerate(file.message_type):
        yield from _message(message, (MESSAGES, number), comments, "")
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, (ENUMS, number), comments, "")


def _service(service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {service.name}\n"
    yield f"{_flowing(comments[path])}\n"
    for number, method in enumerate(service.method):
        yield _method(method)
        yield f"{_flowing(comments[(*path, METHODS, number)])}\n"


def _method(method: MethodDescriptorProto) -> str:
    asked = ("stream " if method.client_streaming else "") + _short(method.input_type)
    answered = ("stream " if method.server_streaming else "") + _short(method.output_type)
    access = method.options.Extensions[options_pb2.access]
    roles = ", ".join(options_pb2.Role.Name(role) for role in access.roles)
    told = [f"`{method.name}({asked}) → {answered}`", "public" if access.public else roles or "ROLE_ADMIN"]
    return f"#### {method.name}\n\n{' · '.join(told)}\n"


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments, within: str) -> Iterator[str]:
    if message.options.map_entry:
        return
    name = within + message.name
    yield f"### {name}\n"
    if said := comments.get(path):
        yield f"{_flowing(said)}\n"
    if event := message.options.Extensions[options_pb2.event_type]:
        yield f"Event `{event}`.\n"
    if message.field:
        maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
        rows = (
            (f"`{field.name}`", _type(field, maps), comments.get((*path, FIELDS, number), ""))
            for number, field in enumerate(message.field)
        )
        yield _table(("field", "type", "meaning"), rows)
    for number, nested in enumerate(message.nested_type):
        yield from _message(nested, (*path, NESTED_MESSAGES, number), comments, f"{name}.")
    for number, enum in enumerate(message.enum_type):
        yield from _enum(enum, (*path, NESTED_ENUMS, number), comments, f"{name}.")


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments, within: str) -> Iterator[str]:
    yield f"### {within}{enum.name}\n"
    if said := comments.get(path):
        yield f"{_flowing(said)}\n"
    rows = (
        (f"`{value.name}`", str(value.number), comments.get((*path, ENUM_VALUES, number), ""))
        for number, value in enumerate(enum.value)
    )
    yield _table(("value", "number", "meaning"), rows)


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    kind = _short(field.type_name) or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if entry := maps.get(kind.rpartition(".")[2]):
        return f"map of {_type(entry.field[0], {})} to {_type(entry.field[1], {})}"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"{'repeated ' if repeated else ''}{kind}"


def _short(full_name: str) -> str:
    """`Campaign.State` of `.denda.campaigns.v1.Campaign.State`; other packages keep their names."""
    parts = full_name.lstrip(".").split(".")
    return ".".join(parts[3:]) if parts[0] == "denda" else ".".join(parts)


def _flowing(comment: str) -> str:
    """A comment as one paragraph of Markdown."""
    return " ".join(line.strip() for line in comment.splitlines())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *((*row[:-1], _flowing(row[-1]).replace("|", "\\|")) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference())
    sys.stdout.write(f"{PAGE.relative_to(CONTRACTS.parent)} is up to date.\n")
