"""Who may call which RPC: read once from the option `(denda.options.v1.access)` in the contract."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf import descriptor_pool

from denda.options.v1 import options_pb2


@dataclass(frozen=True)
class Access:
    """The roles that an RPC is open to; everyone where it is public."""

    roles: frozenset[options_pb2.Role.ValueType]
    public: bool

    def __str__(self) -> str:
        """The roles as somebody who lacks them is told."""
        *others, last = [options_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in sorted(self.roles)]
        return f"{', '.join(others)} or {last}" if others else last


def access_table(rpc_services: Iterable[str]) -> dict[str, Access]:
    """Access by method path, `/denda.contacts.v1.PeopleService/GetPerson`.

    Raises RuntimeError for an RPC that does not declare it: such a service must not start.
    """
    table: dict[str, Access] = {}
    for name in rpc_services:
        for method in descriptor_pool.Default().FindServiceByName(name).methods:
            options = method.GetOptions()
            if not options.HasExtension(options_pb2.access):
                raise RuntimeError(f"{method.full_name} does not say who may call it; add (denda.options.v1.access).")
            declared = options.Extensions[options_pb2.access]
            roles = frozenset(declared.roles) | {options_pb2.ROLE_ADMIN}
            table[f"/{name}/{method.name}"] = Access(roles, declared.public)
    return table
