"""UsersService: staff users and API keys; the contract is denda/identity/v1/users_service.proto."""

from sqlalchemy import select

from chassis.errors import InvalidArgument
from chassis.ids import parse_id
from chassis.moments import moment_of
from chassis.paging import paginate
from chassis.server import Call
from denda.identity.v1 import user_pb2
from denda.identity.v1 import users_service_pb2 as pb
from denda.identity.v1 import users_service_pb2_grpc as grpc_pb
from services.identity import api_keys, translate, users
from services.identity.models import ApiKey, User, database
from services.identity.passwords import hash_password

CHANGEABLE = ("display_name", "roles", "disabled")


class UsersServicer(grpc_pb.UsersServiceServicer):
    """Only administrators get past the door, as the contract says."""

    def CreateUser(self, request: pb.CreateUserRequest, context: Call) -> user_pb2.User:
        password_hash = hash_password(request.password)
        with database.transaction() as session:
            user = users.create_user(
                session,
                email=request.user.email,
                display_name=request.user.display_name,
                roles=request.user.roles,
                disabled=request.user.disabled,
                password_hash=password_hash,
                request_id=parse_id(request.request_id, "request_id") if request.request_id else None,
            )
            return translate.user_to_proto(user)

    def GetUser(self, request: pb.GetUserRequest, context: Call) -> user_pb2.User:
        with database.transaction() as session:
            return translate.user_to_proto(users.user_by_id(session, parse_id(request.id)))

    def ListUsers(self, request: pb.ListUsersRequest, context: Call) -> pb.ListUsersResponse:
        with database.transaction() as session:
            rows, token = paginate(session, select(User), [User.id], request, fingerprint="users")
            return pb.ListUsersResponse(users=[translate.user_to_proto(row) for (row,) in rows], next_page_token=token)

    def UpdateUser(self, request: pb.UpdateUserRequest, context: Call) -> user_pb2.User:
        changed = _changed_fields(request)
        wanted = request.user
        with database.transaction() as session:
            user = users.update_user(
                session,
                parse_id(wanted.id, "user.id"),
                etag=wanted.etag,
                display_name=wanted.display_name if "display_name" in changed else None,
                roles=wanted.roles if "roles" in changed else None,
                disabled=wanted.disabled if "disabled" in changed else None,
            )
            return translate.user_to_proto(user)

    def SetPassword(self, request: pb.SetPasswordRequest, context: Call) -> pb.SetPasswordResponse:
        password_hash = hash_password(request.password)
        with database.transaction() as session:
            users.set_password(session, parse_id(request.id), password_hash)
        return pb.SetPasswordResponse()

    def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Call) -> pb.CreateApiKeyResponse:
        wanted = request.api_key
        expires = moment_of(wanted.expire_time, "api_key.expire_time") if wanted.HasField("expire_time") else None
        with database.transaction() as session:
            key, secret = api_keys.create_api_key(
                session, display_name=wanted.display_name, roles=wanted.roles, expires=expires
            )
            return pb.CreateApiKeyResponse(api_key=translate.api_key_to_proto(key), secret=secret)

    def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Call) -> pb.ListApiKeysResponse:
        with database.transaction() as session:
            rows, token = paginate(session, select(ApiKey), [ApiKey.id], request, fingerprint="api_keys")
            return pb.ListApiKeysResponse(
                api_keys=[translate.api_key_to_proto(row) for (row,) in rows], next_page_token=token
            )

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Call) -> user_pb2.ApiKey:
        with database.transaction() as session:
            return translate.api_key_to_proto(api_keys.revoke_api_key(session, parse_id(request.id)))


def _changed_fields(request: pb.UpdateUserRequest) -> set[str]:
    """The fields to change: those of the mask, or without one those that are set (AIP-134)."""
    named = set(request.update_mask.paths)
    if not named:
        return {field.name for field, _ in request.user.ListFields()} & set(CHANGEABLE)
    if named == {"*"}:
        return set(CHANGEABLE)
    if unknown := sorted(named - set(CHANGEABLE)):
        raise InvalidArgument("update_mask", f"{unknown[0]!r} cannot be changed; these can: {', '.join(CHANGEABLE)}")
    return named
