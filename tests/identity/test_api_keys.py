"""API keys: the secret is shown once, gives tokens with the key's roles, and stops when it is revoked."""

from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from chassis.settings import settings
from denda.identity.v1 import tokens_service_pb2, user_pb2
from denda.identity.v1 import users_service_pb2 as pb
from denda.options.v1.options_pb2 import ROLE_MARKETER, ROLE_SERVICE
from services.identity.models import ApiKey, database
from tests.conftest import FrozenClock
from tests.identity.conftest import Identity, bearer


def create(identity: Identity, frozen_clock: FrozenClock, **lives: float) -> pb.CreateApiKeyResponse:
    key = user_pb2.ApiKey(display_name="Shop", roles=[ROLE_MARKETER])
    if lives:
        key.expire_time.FromDatetime(frozen_clock.moment + timedelta(**lives))
    return identity.users.CreateApiKey(pb.CreateApiKeyRequest(api_key=key), metadata=identity.as_admin())


def exchange(identity: Identity, secret: str) -> tokens_service_pb2.ExchangeApiKeyResponse:
    return identity.tokens.ExchangeApiKey(tokens_service_pb2.ExchangeApiKeyRequest(secret=secret))


def is_refused(identity: Identity, secret: str) -> bool:
    with pytest.raises(grpc.RpcError) as caught:
        exchange(identity, secret)
    return caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def revoke(identity: Identity, key_id: str) -> user_pb2.ApiKey:
    return identity.users.RevokeApiKey(pb.RevokeApiKeyRequest(id=key_id), metadata=identity.as_admin())


def listed(identity: Identity) -> list[user_pb2.ApiKey]:
    return list(identity.users.ListApiKeys(pb.ListApiKeysRequest(), metadata=identity.as_admin()).api_keys)


def test_a_key_gives_tokens_with_its_roles(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, frozen_clock)
    token = exchange(identity, made.secret).access_token
    me = identity.tokens.WhoAmI(tokens_service_pb2.WhoAmIRequest(), metadata=bearer(token))
    assert me.subject == f"key:{made.api_key.id}"
    assert me.display_name == "Shop"
    assert list(me.roles) == [ROLE_MARKETER]


def test_the_secret_is_recognisable_and_stored_nowhere(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, frozen_clock)
    assert made.secret.startswith("denda_")
    assert made.secret.startswith(made.api_key.prefix)
    assert len(made.secret) - len(made.api_key.prefix) >= 32
    with database.transaction() as session:
        stored = session.scalars(select(ApiKey)).one()
        assert made.secret not in str(
            {column.name: getattr(stored, column.name) for column in ApiKey.__table__.columns}
        )


def test_listed_keys_tell_when_they_were_used(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, frozen_clock)
    assert not listed(identity)[0].HasField("last_use_time")
    exchange(identity, made.secret)
    (key,) = listed(identity)
    used = Timestamp()
    used.FromDatetime(frozen_clock.moment)
    assert key.last_use_time == used


def test_a_revoked_key_and_its_tokens_stop_working(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, frozen_clock)
    token = exchange(identity, made.secret).access_token
    identity.keys.verify(token)
    frozen_clock.advance(seconds=1)
    revoked = revoke(identity, made.api_key.id)
    assert is_refused(identity, made.secret)
    frozen_clock.advance(seconds=16)
    with pytest.raises(Exception, match="revoked"):
        identity.keys.verify(token)
    assert revoke(identity, made.api_key.id) == revoked


def test_an_expired_key_is_refused(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, frozen_clock, hours=1)
    assert exchange(identity, made.secret).access_token
    frozen_clock.advance(hours=1)
    assert is_refused(identity, made.secret)


def test_a_key_that_would_be_expired_from_the_start_is_refused(identity: Identity, frozen_clock: FrozenClock) -> None:
    with pytest.raises(grpc.RpcError, match="expire_time"):
        create(identity, frozen_clock, hours=-1)


def test_an_unknown_secret_is_refused(identity: Identity) -> None:
    assert is_refused(identity, "denda_never-heard-of")


def test_an_unknown_key_cannot_be_revoked(identity: Identity) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        revoke(identity, str(uuid4()))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_key_that_the_services_share_makes_a_service(identity: Identity) -> None:
    token = exchange(identity, settings().service_key.get_secret_value()).access_token
    me = identity.tokens.WhoAmI(tokens_service_pb2.WhoAmIRequest(), metadata=bearer(token))
    assert me.subject == "service:denda"
    assert list(me.roles) == [ROLE_SERVICE]


def test_an_empty_service_key_lets_nobody_in(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_SERVICE_KEY", "")
    settings.cache_clear()
    try:
        assert is_refused(identity, "x")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
