"""Signing keys: rotated without breaking a living token, encrypted at rest, renewed when they cannot be read."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy import select

from chassis import auth
from chassis.errors import Unauthenticated
from chassis.settings import settings
from denda.identity.v1 import tokens_service_pb2 as pb
from services.identity import jobs, signing_keys
from services.identity.models import SigningKey, database
from tests.conftest import FrozenClock
from tests.identity.conftest import Identity


def published(identity: Identity) -> list[dict[str, str]]:
    answer = identity.tokens.GetKeys(pb.GetKeysRequest())
    return list(json.loads(answer.jwks_json)["keys"])


def test_published_keys_are_public_only(identity: Identity) -> None:
    (key,) = published(identity)
    assert key["kty"] == "OKP"
    assert key["crv"] == "Ed25519"
    assert "d" not in key


def test_stored_private_keys_cannot_be_read_without_the_secret_key(identity: Identity) -> None:
    identity.log_in()
    with database.transaction() as session:
        stored = session.scalars(select(SigningKey)).one()
        private = signing_keys.active_key(session).as_dict(private=True)["d"]
    assert str(private) not in stored.private_jwe
    assert "d" not in json.loads(stored.public_jwk)


def test_after_a_rotation_old_and_new_tokens_are_believed(identity: Identity, frozen_clock: FrozenClock) -> None:
    old = identity.log_in().access_token
    identity.keys.verify(old)
    answer = identity.tokens.RotateKeys(pb.RotateKeysRequest(), metadata=identity.as_admin())
    assert len(json.loads(answer.jwks_json)["keys"]) == 2
    frozen_clock.advance(seconds=2)
    new = identity.log_in().access_token
    assert identity.keys.verify(new).subject == identity.keys.verify(old).subject


def test_an_old_key_stays_published_until_its_last_token_has_expired(
    identity: Identity, frozen_clock: FrozenClock
) -> None:
    identity.tokens.RotateKeys(pb.RotateKeysRequest(), metadata=identity.as_admin())
    frozen_clock.advance(minutes=15)
    assert len(published(identity)) == 2
    frozen_clock.advance(minutes=5)
    assert len(published(identity)) == 1
    jobs.prune()
    with database.transaction() as session:
        assert len(session.scalars(select(SigningKey)).all()) == 1


def test_rotations_at_once_leave_one_active_key(identity: Identity) -> None:
    admin = identity.as_admin()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: identity.tokens.RotateKeys(pb.RotateKeysRequest(), metadata=admin), range(8))
        assert len(list(answers)) == 8
    with database.transaction() as session:
        assert len(session.scalars(select(SigningKey).where(SigningKey.active)).all()) == 1


def test_the_job_rotates_a_key_that_is_old_enough_once(identity: Identity, frozen_clock: FrozenClock) -> None:
    (before,) = published(identity)
    jobs.rotate()
    assert published(identity) == [before]
    frozen_clock.advance(days=30)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: jobs.rotate(), range(4)))
    assert len(published(identity)) == 2


def test_a_changed_secret_key_makes_a_new_signing_key(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = published(identity)
    monkeypatch.setenv("DENDA_SECRET_KEY", "another-secret-key-0123456789")
    settings.cache_clear()
    try:
        kids = {key["kid"] for key in published(identity)}
        assert before["kid"] in kids
        assert len(kids) == 2
        assert identity.log_in().access_token
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_forged_token_is_refused(identity: Identity, frozen_clock: FrozenClock) -> None:
    (key,) = published(identity)
    forger = OKPKey.generate_key("Ed25519", {"kid": key["kid"]})
    claims = {
        "iss": auth.ISSUER,
        "aud": auth.AUDIENCE,
        "sub": "user:ana",
        "roles": ["ROLE_ADMIN"],
        "iat": frozen_clock.moment.timestamp(),
        "exp": (frozen_clock.moment + timedelta(minutes=5)).timestamp(),
    }
    token = jwt.encode({"alg": auth.ALGORITHM, "kid": key["kid"]}, claims, forger, algorithms=[auth.ALGORITHM])
    with pytest.raises(Unauthenticated):
        identity.keys.verify(token)


def test_only_administrators_rotate(identity: Identity) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        identity.tokens.RotateKeys(pb.RotateKeysRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
