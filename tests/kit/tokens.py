"""Tokens of any role for tests, signed with a key that the doors in tests trust beside identity's own."""

import json
import time
from collections.abc import Callable

from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from chassis import auth
from chassis.auth import KeyRing
from denda.identity.v1 import tokens_service_pb2 as pb
from denda.options.v1 import options_pb2

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "tests"}, private=True)


def a_token(*roles: str, subject: str = "user:018f0000-0000-7000-8000-000000000001", minutes: int = 60) -> str:
    """A token with the roles as in options.proto, "marketer" or "ROLE_MARKETER"."""
    issued = int(time.time())
    names = [role if role.startswith("ROLE_") else f"ROLE_{role.upper()}" for role in roles]
    if unknown := [name for name in names if name not in options_pb2.Role.keys()]:  # noqa: SIM118 - not a dict
        raise ValueError(f"no such role: {unknown}")
    claims = {
        "iss": auth.ISSUER,
        "aud": auth.AUDIENCE,
        "sub": subject,
        "roles": names,
        "iat": issued,
        "exp": issued + 60 * minutes,
    }
    return jwt.encode({"alg": auth.ALGORITHM, "kid": "tests"}, claims, KEY, algorithms=[auth.ALGORITHM])


def trusting(identity: Callable[[], pb.GetKeysResponse]) -> KeyRing:
    """A key ring that trusts identity's keys and the tests' own."""

    def fetch() -> pb.GetKeysResponse:
        answer = identity()
        keys = json.loads(answer.jwks_json)["keys"] + KeySet([KEY]).as_dict(private=False)["keys"]
        return pb.GetKeysResponse(jwks_json=json.dumps({"keys": keys}), revocations=answer.revocations)

    return KeyRing(fetch)
