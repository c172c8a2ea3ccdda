"""identity as an in-process server on a real database, called through its stubs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest

from chassis.auth import KeyRing
from chassis.server import bind, build_server
from chassis.service import Service
from denda.identity.v1 import tokens_service_pb2 as tokens_pb
from denda.identity.v1.tokens_service_pb2_grpc import TokensServiceStub
from denda.identity.v1.users_service_pb2_grpc import UsersServiceStub
from services.identity.users import ensure_admin

ADMIN = "admin@denda.example"
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True)
class Identity:
    """Stubs of a running identity and the password of its first administrator."""

    tokens: TokensServiceStub
    users: UsersServiceStub
    keys: KeyRing
    admin_password: str

    def log_in(self, email: str = ADMIN, password: str = "") -> tokens_pb.Session:
        return self.tokens.LogIn(tokens_pb.LogInRequest(email=email, password=password or self.admin_password))

    def as_admin(self) -> Metadata:
        """The metadata of an administrator's calls."""
        return bearer(self.log_in().access_token)


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def identity(migrated: Callable[[str], Service]) -> Iterator[Identity]:
    service = migrated("identity")
    with service.database.transaction() as session:
        password = ensure_admin(session)
    assert password
    with _served(service) as (channel, keys):
        yield Identity(TokensServiceStub(channel), UsersServiceStub(channel), keys, password)


@contextmanager
def _served(service: Service) -> Iterator[tuple[grpc.Channel, KeyRing]]:
    """The service on a port of its own; its door, like every other, asks it for the public keys."""
    keys = KeyRing(lambda: TokensServiceStub(channel).GetKeys(tokens_pb.GetKeysRequest()))
    server, _ = build_server(service, keys)
    port = bind(server, "127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, keys
    server.stop(0).wait()
