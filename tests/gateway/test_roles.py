"""Every call of every contract, tried with every role through both doors: what the contract forbids is refused."""

import importlib
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from uuid import uuid4

import grpc
import pytest
from flask.testing import FlaskClient
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from chassis import client
from denda.options.v1 import options_pb2
from services import PORTS, address
from services.gateway.app import create_app
from services.gateway.rest.bindings import bindings
from tests.kit.doors import Doors
from tests.kit.repository import ROOT
from tests.kit.tokens import a_token

ROLES = [name for name in options_pb2.Role.keys() if name != "ROLE_UNSPECIFIED"]  # noqa: SIM118 - not a dict
SERVICES = [name for name in PORTS if name not in ("identity", "gateway")]
# Long enough to be refused, which happens at once; an open stream would go on for ever.
SECONDS = 2.0
VARIABLE = re.compile(r"\{[^}]*\}")
DENIED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}


def methods() -> Iterator[MethodDescriptor]:
    for proto in sorted((ROOT / "proto" / "denda").rglob("*_service.proto")):
        name = proto.relative_to(ROOT / "proto").with_suffix("").as_posix().replace("/", ".")
        contract = importlib.import_module(f"{name}_pb2")
        for service in contract.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def expected(method: MethodDescriptor, role: str | None) -> grpc.StatusCode | None:
    """How the contract has the call refused; None where it lets it in."""
    access = method.GetOptions().Extensions[options_pb2.access]
    if access.public:
        return None
    if role is None:
        return grpc.StatusCode.UNAUTHENTICATED
    allowed = {options_pb2.Role.Name(number) for number in access.roles} | {"ROLE_ADMIN"}
    return None if role in allowed else grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def open_doors(serve: Callable[..., Doors]) -> Doors:
    return serve(*SERVICES)


@pytest.mark.parametrize("role", [None, *ROLES])
def test_grpc_refuses_what_the_contract_forbids(open_doors: Doors, role: str | None) -> None:
    wrong = [
        (method.full_name, expected(method, role), code)
        for method in methods()
        if (code := called(method, role)) != expected(method, role)
    ]
    assert wrong == []


def called(method: MethodDescriptor, role: str | None) -> grpc.StatusCode | None:
    """The refusal of a call with an empty request; None for every other answer."""
    service = method.full_name.split(".")[1]
    channel = client.plain_channel(address(service))
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = [("authorization", f"Bearer {a_token(role)}")] if role else []
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, shape)(path, request.SerializeToString, response.FromString)
    asked = iter([request()]) if method.client_streaming else request()
    try:
        answer = call(asked, timeout=SECONDS, metadata=metadata)
        if method.server_streaming:
            next(iter(answer), None)
            answer.cancel()
    except grpc.RpcError as error:
        return error.code() if error.code() in DENIED else None
    return None


@pytest.mark.parametrize("role", [None, *ROLES])
def test_rest_refuses_what_the_contract_forbids(open_doors: Doors, role: str | None) -> None:
    browser = create_app().test_client()
    statuses = {
        None: None,
        grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
        grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    }
    wrong = []
    for binding in bindings():
        wanted = statuses[expected(binding.rpc.descriptor, role)]
        got = asked(browser, binding.verb, binding.place, role)
        if got != wanted:
            wrong.append((binding.rpc.path, wanted, got))
    assert wrong == []


def asked(browser: FlaskClient, verb: str, place: str, role: str | None) -> HTTPStatus | None:
    """The refusal of a request for something that is not there; None for every other answer."""
    path = VARIABLE.sub(lambda name: "CHANNEL_EMAIL" if name[0] == "{channel}" else str(uuid4()), place)
    headers = {"Authorization": f"Bearer {a_token(role)}"} if role else {}
    body: dict[str, str] | None = {} if verb in ("post", "put", "patch") else None
    # A stream answers when its first line is read, which nobody does here.
    with browser.open(path, method=verb.upper(), headers=headers, json=body, buffered=False) as answer:
        refused = answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        return HTTPStatus(answer.status_code) if refused else None
