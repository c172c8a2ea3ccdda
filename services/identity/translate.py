"""Rows to proto messages."""

from chassis.moments import timestamp
from denda.identity.v1 import tokens_service_pb2 as tokens_pb
from denda.identity.v1 import user_pb2
from denda.options.v1.options_pb2 import Role
from services.identity.models import ApiKey, Revocation, User
from services.identity.tokens import AccessToken


def user_to_proto(user: User) -> user_pb2.User:
    """A user, without the password."""
    return user_pb2.User(
        id=str(user.id),
        email=user.email,
        display_name=user.display_name,
        roles=[Role.ValueType(role) for role in user.roles],
        disabled=user.disabled,
        create_time=timestamp(user.created_at),
        update_time=timestamp(user.updated_at),
        etag=str(user.version),
    )


def api_key_to_proto(key: ApiKey) -> user_pb2.ApiKey:
    """An API key, without the secret."""
    return user_pb2.ApiKey(
        id=str(key.id),
        display_name=key.display_name,
        roles=[Role.ValueType(role) for role in key.roles],
        prefix=key.prefix,
        create_time=timestamp(key.created_at),
        expire_time=timestamp(key.expires_at),
        revoke_time=timestamp(key.revoked_at),
        last_use_time=timestamp(key.last_used_at),
    )


def session_to_proto(token: AccessToken, refresh_token: str) -> tokens_pb.Session:
    """What a log-in answers."""
    return tokens_pb.Session(access_token=token.text, expire_time=timestamp(token.expires), refresh_token=refresh_token)


def revocation_to_proto(revocation: Revocation) -> tokens_pb.Revocation:
    """A revocation, as the services read it."""
    return tokens_pb.Revocation(subject=revocation.subject, not_before=timestamp(revocation.not_before))
