"""Every RPC says who may call it, and every service's rooms are wired to its contract."""

import importlib
import inspect

import pytest

from chassis.access import Access, access_table
from tests.kit.doors import service_named
from tests.kit.repository import ROOT, services

PROTOS = sorted((ROOT / "proto" / "denda").rglob("*_service.proto"))


def test_every_rpc_declares_who_may_call_it() -> None:
    table: dict[str, Access] = {}
    for proto in PROTOS:
        name = proto.relative_to(ROOT / "proto").with_suffix("").as_posix().replace("/", ".")
        contract = importlib.import_module(f"{name}_pb2")
        table |= access_table(service.full_name for service in contract.DESCRIPTOR.services_by_name.values())
    assert [path for path, access in table.items() if not access.public and not access.roles] == []
    assert table


@pytest.mark.parametrize("name", services())
def test_every_rpc_of_a_service_is_implemented(name: str) -> None:
    service = service_named(name)
    written = {
        method
        for _, servicer in service.doors
        for method, function in inspect.getmembers(type(servicer), inspect.isfunction)
        if not function.__module__.endswith("_pb2_grpc")
    }
    contract = {
        method.name
        for module in service.contracts
        for rpc in module.DESCRIPTOR.services_by_name.values()
        for method in rpc.methods
    }
    assert contract - written == set()


@pytest.mark.parametrize("name", services())
def test_a_service_serves_all_its_contracts(name: str) -> None:
    served = {module.DESCRIPTOR.name for module in service_named(name).contracts}
    written = {path.relative_to(ROOT / "proto").as_posix() for path in PROTOS if path.parts[-3] == name}
    assert served == written
