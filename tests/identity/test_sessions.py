"""Sessions: each refresh token works once, a copied one ends the session, log-out ends it too."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from denda.identity.v1 import tokens_service_pb2 as pb
from services.identity import jobs
from services.identity.models import LoginSession, database
from tests.conftest import FrozenClock
from tests.identity.conftest import Identity


def refresh(identity: Identity, token: str) -> pb.Session:
    return identity.tokens.RefreshSession(pb.RefreshSessionRequest(refresh_token=token))


def is_over(identity: Identity, token: str) -> bool:
    with pytest.raises(grpc.RpcError) as caught:
        refresh(identity, token)
    return caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_refresh_token_carries_the_session_on(identity: Identity) -> None:
    first = identity.log_in()
    second = refresh(identity, first.refresh_token)
    assert second.refresh_token != first.refresh_token
    assert identity.keys.verify(second.access_token).subject == identity.keys.verify(first.access_token).subject
    assert refresh(identity, second.refresh_token).access_token


def test_a_used_refresh_token_ends_the_session_and_its_access_tokens(
    identity: Identity, frozen_clock: FrozenClock
) -> None:
    first = identity.log_in()
    second = refresh(identity, first.refresh_token)
    identity.keys.verify(second.access_token)
    frozen_clock.advance(seconds=1)
    assert is_over(identity, first.refresh_token)
    assert is_over(identity, second.refresh_token)
    frozen_clock.advance(seconds=16)
    with pytest.raises(Exception, match="revoked"):
        identity.keys.verify(second.access_token)


def test_of_two_uses_at_once_one_wins(identity: Identity) -> None:
    token = identity.log_in().refresh_token

    def use(_: int) -> bool:
        try:
            return bool(refresh(identity, token).access_token)
        except grpc.RpcError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(8))) == 1


def test_logging_out_ends_the_session_and_can_be_repeated(identity: Identity) -> None:
    token = identity.log_in().refresh_token
    for _ in range(2):
        identity.tokens.LogOut(pb.LogOutRequest(refresh_token=token))
    assert is_over(identity, token)
    identity.tokens.LogOut(pb.LogOutRequest(refresh_token="never heard of"))


def test_another_session_of_the_user_lives_on_after_a_log_out(identity: Identity) -> None:
    here, there = identity.log_in(), identity.log_in()
    identity.tokens.LogOut(pb.LogOutRequest(refresh_token=here.refresh_token))
    assert refresh(identity, there.refresh_token).access_token


def test_a_session_ends_after_thirty_days_however_active(identity: Identity, frozen_clock: FrozenClock) -> None:
    token = identity.log_in().refresh_token
    for _ in range(29):
        frozen_clock.advance(days=1)
        token = refresh(identity, token).refresh_token
    frozen_clock.advance(days=1)
    assert is_over(identity, token)


def test_an_unknown_refresh_token_is_refused(identity: Identity) -> None:
    assert is_over(identity, "forged")


def test_sessions_that_are_over_are_pruned(identity: Identity, frozen_clock: FrozenClock) -> None:
    identity.log_in()
    frozen_clock.advance(days=20)
    identity.log_in()
    frozen_clock.advance(days=11)
    jobs.prune()
    with database.transaction() as session:
        assert session.query(LoginSession).count() == 1
