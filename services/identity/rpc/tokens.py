"""TokensService: log-in, sessions, keys; the contract is denda/identity/v1/tokens_service.proto."""

from ipaddress import ip_address, ip_network
from urllib.parse import unquote
from uuid import UUID

from sqlalchemy.orm import Session

from chassis.auth import caller
from chassis.errors import Unauthenticated
from chassis.moments import timestamp
from chassis.server import Call
from denda.identity.v1 import tokens_service_pb2 as pb
from denda.identity.v1 import tokens_service_pb2_grpc as grpc_pb
from denda.options.v1.options_pb2 import ROLE_SERVICE, Role
from services.identity import api_keys, revocations, sessions, signing_keys, throttle, tokens, translate, users
from services.identity.models import ApiKey, User, database
from services.identity.passwords import NOBODYS, hash_password, is_outdated, is_password

SERVICE_SUBJECT = "service:denda"


class TokensServicer(grpc_pb.TokensServiceServicer):
    """Log-in answers the same, after the same work, whether the user exists or not."""

    def LogIn(self, request: pb.LogInRequest, context: Call) -> pb.Session:
        place = network_of(context.peer())
        name = users.login_name(request.email)
        with database.transaction() as session:
            known_place = sessions.is_known_place(session, name, throttle.place_digest(place))
            attempt = throttle.begin_attempt(session, name, place, known_place=known_place)
            user = users.user_by_login_name(session, name)
        # Hashing takes a while, so it holds no transaction open.
        password_hash = user.password_hash if user else NOBODYS
        good = is_password(password_hash, request.password)
        if not good or user is None or user.disabled:
            raise _wrong_login()
        fresh_hash = hash_password(request.password) if is_outdated(password_hash) else password_hash
        with database.transaction() as session:
            user = users.user_by_id(session, user.id, for_update=True)
            if user.disabled or user.password_hash != password_hash:
                raise _wrong_login()
            user.password_hash = fresh_hash
            throttle.forgive(session, attempt)
            return _session_of(session, user, sessions.start_session(session, user, throttle.place_digest(place)))

    def RefreshSession(self, request: pb.RefreshSessionRequest, context: Call) -> pb.Session:
        with database.transaction() as session:
            continued = sessions.continue_session(session, request.refresh_token)
            answer = _session_of(session, *continued) if continued else None
        # Refused only after the commit, since a copied token has ended its session.
        if answer is None:
            raise Unauthenticated("The session is over; log in again.", reason="SESSION_OVER")
        return answer

    def LogOut(self, request: pb.LogOutRequest, context: Call) -> pb.LogOutResponse:
        with database.transaction() as session:
            sessions.end_session(session, request.refresh_token)
        return pb.LogOutResponse()

    def ExchangeApiKey(self, request: pb.ExchangeApiKeyRequest, context: Call) -> pb.ExchangeApiKeyResponse:
        with database.transaction() as session:
            if api_keys.is_service_key(request.secret):
                token = tokens.issue_token(session, SERVICE_SUBJECT, [ROLE_SERVICE])
            elif key := api_keys.use_api_key(session, request.secret):
                token = tokens.issue_token(session, f"key:{key.id}", key.roles)
            else:
                raise Unauthenticated("The API key is unknown, expired or revoked.", reason="API_KEY_INVALID")
        expire_time = timestamp(token.expires)
        return pb.ExchangeApiKeyResponse(access_token=token.text, expire_time=expire_time)

    def GetKeys(self, request: pb.GetKeysRequest, context: Call) -> pb.GetKeysResponse:
        with database.transaction() as session:
            return _keys(session)

    def RotateKeys(self, request: pb.RotateKeysRequest, context: Call) -> pb.GetKeysResponse:
        with database.transaction() as session:
            signing_keys.rotate_keys(session)
            return _keys(session)

    def WhoAmI(self, request: pb.WhoAmIRequest, context: Call) -> pb.WhoAmIResponse:
        known = caller()
        with database.transaction() as session:
            name = _display_name(session, known.subject)
        return pb.WhoAmIResponse(
            subject=known.subject,
            display_name=name,
            roles=[Role.ValueType(role) for role in sorted(known.roles)],
            expire_time=timestamp(known.expires),
        )


def network_of(peer: str) -> str:
    """The network a call comes from, of `ipv4:192.0.2.1:5000` or `ipv6:%5B2001:db8::1%5D:5000`.

    That is the address itself for IPv4 and its /64 for IPv6, of which a single caller has 2⁶⁴ addresses.
    """
    kind, _, rest = unquote(peer).partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind
    address = ip_address(rest.rpartition(":")[0].strip("[]").partition("%")[0])
    return str(address) if address.version == 4 else str(ip_network(f"{address}/64", strict=False))


def _wrong_login() -> Unauthenticated:
    return Unauthenticated("Email or password is wrong.", reason="LOGIN_FAILED")


def _session_of(session: Session, user: User, refresh_token: str) -> pb.Session:
    return translate.session_to_proto(tokens.issue_token(session, f"user:{user.id}", user.roles), refresh_token)


def _keys(session: Session) -> pb.GetKeysResponse:
    in_force = [translate.revocation_to_proto(row) for row in revocations.revocations_in_force(session)]
    return pb.GetKeysResponse(jwks_json=signing_keys.published_keys(session), revocations=in_force)


def _display_name(session: Session, subject: str) -> str:
    kind, _, name = subject.partition(":")
    if kind == "service":
        return "Denda"
    owner = session.get(User, UUID(name)) if kind == "user" else session.get(ApiKey, UUID(name))
    return owner.display_name if owner else ""
