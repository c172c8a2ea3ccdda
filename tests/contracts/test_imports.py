"""Who may know whom: chassis knows no service, no service knows another, no capability knows its doors."""

from pathlib import Path

from tests.kit.repository import ROOT, imports_of, python_files, services

# Rooms that speak with the outside or translate for those that do; everything else in a service is a capability or
# a table.
DOORS = {"rpc", "events", "jobs", "translate", "values", "clients", "service", "settings", "providers", "migrations"}
OUTSIDE = ("flask", "pika", "google.protobuf", "grpc_health", "grpc_status")


def named(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def test_the_chassis_imports_no_service() -> None:
    wrong = [
        (str(path), name) for path in python_files("chassis") for name in imports_of(path) if named(name, ("services",))
    ]
    assert wrong == []


def test_the_chassis_knows_no_contract_of_a_service_but_identitys() -> None:
    allowed = ("denda.options", "denda.identity", "denda.types", "denda.events")
    wrong = [
        (str(path), name)
        for path in python_files("chassis")
        for name in imports_of(path)
        if name.startswith("denda.") and not named(name, allowed)
    ]
    assert wrong == []


def test_no_service_imports_another() -> None:
    everyone = {path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").exists()}
    wrong = []
    for service in everyone - {"cli"}:
        others = tuple(f"services.{other}" for other in everyone - {service})
        wrong += [
            (str(p), name) for p in python_files(f"services/{service}") for name in imports_of(p) if named(name, others)
        ]
    assert wrong == []


def is_capability(path: Path) -> bool:
    """Whether a file of a service is neither door nor wiring: its first part below the service names the room."""
    room = path.parts[2].removesuffix(".py")
    return room not in DOORS


def test_no_capability_sees_a_request_of_its_doors() -> None:
    wrong = []
    for service in services():
        own = f"denda.{service}."
        for path in filter(is_capability, python_files(f"services/{service}")):
            seen = [n for n in imports_of(path) if named(n, OUTSIDE) or (n.startswith(own) and "_service_pb2" in n)]
            wrong += [(str(path), name) for name in seen]
    assert wrong == []


def test_only_capabilities_that_ask_other_services_know_grpcs_errors() -> None:
    wrong = [
        str(path)
        for service in services()
        for path in filter(is_capability, python_files(f"services/{service}"))
        if "grpc" in set(imports_of(path)) and f"services.{service}.clients" not in set(imports_of(path))
    ]
    assert wrong == []
