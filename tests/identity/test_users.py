"""Staff users: created once, changed under an etag, and never without an enabled administrator."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import event

from denda.identity.v1 import tokens_service_pb2, user_pb2
from denda.identity.v1 import users_service_pb2 as pb
from denda.options.v1.options_pb2 import ROLE_ADMIN, ROLE_MARKETER, ROLE_VIEWER
from services.identity.models import database
from services.identity.users import ensure_admin
from tests.conftest import FrozenClock
from tests.identity.conftest import Identity, bearer

PASSWORD = "a long enough one"


def create(
    identity: Identity, email: str = "ana@denda.example", request_id: str = "", **fields: object
) -> user_pb2.User:
    user = user_pb2.User(email=email, **fields)  # type: ignore[arg-type]
    request = pb.CreateUserRequest(user=user, password=PASSWORD, request_id=request_id)
    return identity.users.CreateUser(request, metadata=identity.as_admin())


def update(identity: Identity, user: user_pb2.User, *paths: str) -> user_pb2.User:
    request = pb.UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths))
    return identity.users.UpdateUser(request, metadata=identity.as_admin())


def administrator(identity: Identity) -> user_pb2.User:
    return next(u for u in every_user(identity) if ROLE_ADMIN in u.roles)


def every_user(identity: Identity) -> list[user_pb2.User]:
    return list(identity.users.ListUsers(pb.ListUsersRequest(), metadata=identity.as_admin()).users)


def test_a_user_is_created_and_read_back(identity: Identity) -> None:
    made = create(identity, "Ana@Denda.Example", display_name="Ana", roles=[ROLE_MARKETER, ROLE_VIEWER])
    assert made.email == "ana@denda.example"
    assert identity.users.GetUser(pb.GetUserRequest(id=made.id), metadata=identity.as_admin()) == made
    assert identity.log_in(made.email, PASSWORD).access_token


def test_an_email_belongs_to_one_user(identity: Identity) -> None:
    create(identity)
    with pytest.raises(grpc.RpcError) as caught:
        create(identity, "ANA@denda.example")
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_a_repeated_request_id_returns_the_first_user(identity: Identity) -> None:
    request_id = str(uuid4())
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: create(identity, request_id=request_id), range(4)))
    assert len({user.id for user in made}) == 1
    assert create(identity, "other@denda.example", request_id=request_id).id == made[0].id


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        ({"email": "ana@denda.example"}, "short", "password"),
        ({"email": "not an email"}, PASSWORD, "user.email"),
        ({}, PASSWORD, "user.email"),
        ({"email": "ana@denda.example", "roles": [99]}, PASSWORD, "user.roles"),
    ],
)
def test_a_wrong_request_names_the_field(
    identity: Identity, user: dict[str, object], password: str, field: str
) -> None:
    request = pb.CreateUserRequest(user=user_pb2.User(**user), password=password)  # type: ignore[arg-type]
    with pytest.raises(grpc.RpcError) as caught:
        identity.users.CreateUser(request, metadata=identity.as_admin())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(field)


def test_a_request_id_that_is_no_uuid_is_refused(identity: Identity) -> None:
    with pytest.raises(grpc.RpcError, match="request_id"):
        create(identity, request_id="again")


def test_users_are_listed_page_by_page_in_the_order_of_creation(identity: Identity) -> None:
    made = [create(identity, f"user{number}@denda.example").id for number in range(5)]
    listed: list[str] = []
    token = ""
    while True:
        request = pb.ListUsersRequest(page_size=2, page_token=token)
        page = identity.users.ListUsers(request, metadata=identity.as_admin())
        listed += [user.id for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert listed[1:] == made


def test_a_page_of_users_costs_one_query_however_long_it_is(identity: Identity) -> None:
    admin = identity.as_admin()
    for number in range(5):
        create(identity, f"user{number}@denda.example")
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        assert len(identity.users.ListUsers(pb.ListUsersRequest(), metadata=admin).users) == 6
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    assert len([statement for statement in statements if "staff_user" in statement]) == 1


def test_a_user_that_is_not_there_is_not_found(identity: Identity) -> None:
    nobody, admin = str(uuid4()), identity.as_admin()
    with pytest.raises(grpc.RpcError) as read:
        identity.users.GetUser(pb.GetUserRequest(id=nobody), metadata=admin)
    with pytest.raises(grpc.RpcError) as changed:
        identity.users.SetPassword(pb.SetPasswordRequest(id=nobody, password=PASSWORD), metadata=admin)
    assert {read.value.code(), changed.value.code()} == {grpc.StatusCode.NOT_FOUND}


def test_only_the_fields_of_the_mask_change(identity: Identity) -> None:
    made = create(identity, display_name="Ana", roles=[ROLE_VIEWER])
    changed = update(identity, user_pb2.User(id=made.id, display_name="Ane", disabled=True), "display_name")
    assert (changed.display_name, list(changed.roles), changed.disabled) == ("Ane", [ROLE_VIEWER], False)
    assert changed.etag != made.etag
    assert list(update(identity, user_pb2.User(id=made.id), "roles").roles) == []


def test_without_a_mask_what_is_set_changes(identity: Identity) -> None:
    made = create(identity, display_name="Ana", roles=[ROLE_VIEWER])
    changed = update(identity, user_pb2.User(id=made.id, disabled=True))
    assert (changed.display_name, list(changed.roles), changed.disabled) == ("Ana", [ROLE_VIEWER], True)


def test_a_field_that_cannot_change_is_named(identity: Identity) -> None:
    made = create(identity)
    with pytest.raises(grpc.RpcError, match="'email' cannot be changed"):
        update(identity, user_pb2.User(id=made.id, email="new@denda.example"), "email")


def test_a_stale_etag_is_refused(identity: Identity) -> None:
    made = create(identity)
    update(identity, user_pb2.User(id=made.id, display_name="Ane", etag=made.etag), "display_name")
    with pytest.raises(grpc.RpcError) as caught:
        update(identity, user_pb2.User(id=made.id, display_name="Ana", etag=made.etag), "display_name")
    assert caught.value.code() is grpc.StatusCode.ABORTED


def test_a_disabled_user_is_out_within_half_a_minute(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity, roles=[ROLE_VIEWER])
    session = identity.log_in(made.email, PASSWORD)
    identity.keys.verify(session.access_token)
    frozen_clock.advance(seconds=1)
    update(identity, user_pb2.User(id=made.id, disabled=True), "disabled")
    frozen_clock.advance(seconds=16)
    with pytest.raises(Exception, match="revoked"):
        identity.keys.verify(session.access_token)
    with pytest.raises(grpc.RpcError, match="session is over"):
        identity.tokens.RefreshSession(tokens_service_pb2.RefreshSessionRequest(refresh_token=session.refresh_token))


def test_other_roles_make_old_tokens_worthless_and_the_session_goes_on(
    identity: Identity, frozen_clock: FrozenClock
) -> None:
    made = create(identity, roles=[ROLE_MARKETER])
    session = identity.log_in(made.email, PASSWORD)
    frozen_clock.advance(seconds=1)
    update(identity, user_pb2.User(id=made.id, roles=[ROLE_VIEWER]), "roles")
    frozen_clock.advance(seconds=16)
    with pytest.raises(Exception, match="revoked"):
        identity.keys.verify(session.access_token)
    renewed = identity.tokens.RefreshSession(
        tokens_service_pb2.RefreshSessionRequest(refresh_token=session.refresh_token)
    )
    assert identity.keys.verify(renewed.access_token).roles == {ROLE_VIEWER}


def test_a_new_password_ends_the_sessions_and_works_at_once(identity: Identity, frozen_clock: FrozenClock) -> None:
    made = create(identity)
    session = identity.log_in(made.email, PASSWORD)
    frozen_clock.advance(seconds=1)
    admin = identity.as_admin()
    identity.users.SetPassword(pb.SetPasswordRequest(id=made.id, password="another long one"), metadata=admin)
    again = identity.log_in(made.email, "another long one")
    frozen_clock.advance(seconds=16)
    with pytest.raises(Exception, match="revoked"):
        identity.keys.verify(session.access_token)
    identity.keys.verify(again.access_token)
    with pytest.raises(grpc.RpcError, match="session is over"):
        identity.tokens.RefreshSession(tokens_service_pb2.RefreshSessionRequest(refresh_token=session.refresh_token))
    with pytest.raises(grpc.RpcError, match="wrong"):
        identity.log_in(made.email, PASSWORD)


@pytest.mark.parametrize("change", ["roles", "disabled"])
def test_the_last_administrator_stays(identity: Identity, change: str) -> None:
    last = administrator(identity)
    with pytest.raises(grpc.RpcError, match="last enabled administrator") as caught:
        update(identity, user_pb2.User(id=last.id, disabled=change == "disabled"), change)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_two_administrators_who_demote_each_other_at_once_leave_one(identity: Identity) -> None:
    first = administrator(identity)
    second = create(identity, roles=[ROLE_ADMIN])
    metadata = identity.as_admin()

    def demote(user: user_pb2.User) -> bool:
        request = pb.UpdateUserRequest(user=user_pb2.User(id=user.id), update_mask=FieldMask(paths=["roles"]))
        try:
            identity.users.UpdateUser(request, metadata=metadata)
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(demote, [first, second])) == 1


def test_there_is_a_first_administrator_only_once(identity: Identity) -> None:
    with database.transaction() as session:
        assert ensure_admin(session) is None


def test_a_viewer_may_not_touch_users(identity: Identity) -> None:
    made = create(identity, roles=[ROLE_VIEWER])
    viewer = bearer(identity.log_in(made.email, PASSWORD).access_token)
    with pytest.raises(grpc.RpcError) as caught:
        identity.users.ListUsers(pb.ListUsersRequest(), metadata=viewer)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
