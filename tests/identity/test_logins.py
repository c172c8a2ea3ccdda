"""Log-in: the right password gets in, the wrong one learns nothing and waits longer each time."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import select

from chassis.errors import ResourceExhausted
from denda.identity.v1 import tokens_service_pb2 as pb
from denda.identity.v1 import user_pb2, users_service_pb2
from denda.options.v1.options_pb2 import ROLE_ADMIN, ROLE_VIEWER
from services.identity import throttle
from services.identity.models import LoginFailure, User, database
from services.identity.rpc.tokens import network_of
from tests.conftest import FrozenClock
from tests.identity.conftest import ADMIN, Identity, bearer


def refusal(identity: Identity, email: str = ADMIN, password: str = "wrong") -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        identity.log_in(email, password)
    return caught.value


def fail(identity: Identity, times: int, email: str = ADMIN) -> None:
    for _ in range(times):
        assert refusal(identity, email).code() is grpc.StatusCode.UNAUTHENTICATED


def wait_named_in(error: Any) -> timedelta:
    status = rpc_status.from_call(error)
    assert status is not None
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return timedelta(seconds=info.retry_delay.seconds)
    raise AssertionError(f"no RetryInfo in {status}")


def test_the_first_administrator_logs_in_with_the_password_that_was_shown(
    identity: Identity, frozen_clock: FrozenClock
) -> None:
    session = identity.log_in()
    caller = identity.keys.verify(session.access_token)
    assert caller.subject.startswith("user:")
    assert caller.roles == {ROLE_ADMIN}
    assert caller.expires - caller.issued == timedelta(minutes=15)


def test_the_email_may_be_written_in_capitals(identity: Identity) -> None:
    assert identity.log_in(ADMIN.upper()).access_token


def test_an_access_token_stops_after_a_quarter_of_an_hour(identity: Identity, frozen_clock: FrozenClock) -> None:
    token = identity.log_in().access_token
    frozen_clock.advance(minutes=14, seconds=59)
    assert identity.tokens.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(token)).roles == [ROLE_ADMIN]
    frozen_clock.advance(seconds=1)
    with pytest.raises(grpc.RpcError, match="expired") as caught:
        identity.tokens.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(token))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_who_i_am_names_me_and_my_roles(identity: Identity, frozen_clock: FrozenClock) -> None:
    session = identity.log_in()
    me = identity.tokens.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(session.access_token))
    assert me.display_name == "Administrator"
    assert me.expire_time == session.expire_time


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(identity: Identity) -> None:
    known, unknown, unwritable = (refusal(identity, email) for email in (ADMIN, "who@denda.example", "not an email"))
    assert {error.code() for error in (known, unknown, unwritable)} == {grpc.StatusCode.UNAUTHENTICATED}
    assert known.details() == unknown.details() == unwritable.details() == "Email or password is wrong."


def test_an_unknown_user_costs_a_password_check_as_well(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def is_password(password_hash: str, _password: str) -> bool:
        checked.append(password_hash)
        return True

    monkeypatch.setattr("services.identity.rpc.tokens.is_password", is_password)
    refusal(identity, "who@denda.example")
    assert len(checked) == 1
    assert checked[0].startswith("$argon2id$")


def test_an_unknown_user_is_slowed_down_like_a_known_one(identity: Identity, frozen_clock: FrozenClock) -> None:
    fail(identity, 6, "who@denda.example")
    assert refusal(identity, "who@denda.example").code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_repeated_failures_are_told_to_wait_longer_each_time(identity: Identity, frozen_clock: FrozenClock) -> None:
    fail(identity, throttle.TOGETHER.free)
    waits = []
    for _ in range(12):
        fail(identity, 1)
        error = refusal(identity)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        waits.append(wait_named_in(error))
        frozen_clock.advance(seconds=waits[-1].total_seconds())
    assert waits == sorted(waits)
    assert waits[1] > waits[0]
    assert max(waits) <= throttle.TOGETHER.longest + timedelta(seconds=1)


def test_the_right_password_waits_too_and_then_clears_the_count(identity: Identity, frozen_clock: FrozenClock) -> None:
    fail(identity, throttle.TOGETHER.free + 1)
    assert refusal(identity, password=identity.admin_password).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    frozen_clock.advance(seconds=2)
    assert identity.log_in().access_token
    fail(identity, throttle.TOGETHER.free)
    assert identity.log_in().access_token


def test_attempts_made_while_waiting_do_not_extend_the_wait(identity: Identity, frozen_clock: FrozenClock) -> None:
    fail(identity, throttle.TOGETHER.free + 1)
    before = wait_named_in(refusal(identity))
    for _ in range(20):
        refusal(identity)
    assert wait_named_in(refusal(identity)) == before


def test_guessing_in_parallel_gains_nothing(identity: Identity, frozen_clock: FrozenClock) -> None:
    with ThreadPoolExecutor(16) as pool:
        errors = list(pool.map(lambda _: refusal(identity).code(), range(32)))
    assert errors.count(grpc.StatusCode.UNAUTHENTICATED) == throttle.TOGETHER.free + 1


def test_an_address_that_tries_many_users_is_slowed_down(frozen_clock: FrozenClock, identity: Identity) -> None:
    for number in range(throttle.ADDRESS.free + 1):
        fail(identity, 1, f"user{number}@denda.example")
    assert refusal(identity, "another@denda.example").code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_strangers_slow_a_user_down_elsewhere_but_not_at_a_known_place(
    identity: Identity, frozen_clock: FrozenClock
) -> None:
    for number in range(throttle.NAME.free + 1):
        with database.transaction() as session:
            throttle.begin_attempt(session, ADMIN, f"192.0.2.{number}", known_place=False)
    with database.transaction() as session, pytest.raises(ResourceExhausted):
        throttle.begin_attempt(session, ADMIN, "198.51.100.1", known_place=False)
    with database.transaction() as session:
        throttle.begin_attempt(session, ADMIN, "198.51.100.1", known_place=True)


def test_a_place_is_known_after_a_log_in_from_there(identity: Identity, frozen_clock: FrozenClock) -> None:
    identity.log_in()
    for number in range(throttle.NAME.free + 1):
        with database.transaction() as session:
            throttle.begin_attempt(session, ADMIN, f"192.0.2.{number}", known_place=False)
    assert identity.log_in().access_token


def test_failures_are_forgotten_after_a_day(identity: Identity, frozen_clock: FrozenClock) -> None:
    fail(identity, throttle.TOGETHER.free)
    frozen_clock.advance(days=1, seconds=1)
    fail(identity, throttle.TOGETHER.free)
    assert identity.log_in().access_token


def test_the_counters_tell_no_names_and_no_addresses(identity: Identity) -> None:
    refusal(identity)
    with database.transaction() as session:
        keys = session.scalars(select(LoginFailure.key)).all()
    assert len(keys) == 3
    assert not any(re.search(rb"admin|127", key) for key in keys)


def test_a_disabled_user_does_not_get_in_and_cannot_be_told_from_an_unknown_one(identity: Identity) -> None:
    made = identity.users.CreateUser(
        users_service_pb2.CreateUserRequest(
            user=user_pb2.User(email="ana@denda.example", roles=[ROLE_VIEWER], disabled=True),
            password="long enough pass",
        ),
        metadata=identity.as_admin(),
    )
    assert made.disabled
    assert refusal(identity, "ana@denda.example", "long enough pass").details() == "Email or password is wrong."


def test_a_password_is_the_same_however_the_keyboard_composes_it(identity: Identity) -> None:
    identity.users.CreateUser(
        users_service_pb2.CreateUserRequest(
            user=user_pb2.User(email="ana@denda.example"), password="contrase\u00f1a larga"
        ),
        metadata=identity.as_admin(),
    )
    assert identity.log_in("ana@denda.example", "contrasen\u0303a larga").access_token


def test_an_outdated_hash_is_renewed_at_log_in(identity: Identity) -> None:
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(identity.admin_password)
    with database.transaction() as session:
        session.scalars(select(User)).one().password_hash = old
    identity.log_in()
    with database.transaction() as session:
        assert "m=19456" in session.scalars(select(User)).one().password_hash


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:192.0.2.7:50000", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50000", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2::9]:50001", "2001:db8:1:2::/64"),
        ("unix:", "unix"),
    ],
)
def test_the_place_of_a_call_is_its_network(peer: str, network: str) -> None:
    assert network_of(peer) == network


def test_an_email_with_a_nul_character_is_as_wrong_as_any_other(identity: Identity) -> None:
    assert refusal(identity, "admin\0@denda.example").code() is grpc.StatusCode.UNAUTHENTICATED
