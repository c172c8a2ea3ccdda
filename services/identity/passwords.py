"""Passwords: argon2id with the parameters of OWASP's password storage cheat sheet (19 MiB, two passes).

A hash takes some 25 ms and is made outside of transactions. At most four are made at once, so that a flood of
log-ins costs the machine no more than that much memory.
"""

import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_at_once = threading.BoundedSemaphore(4)
# What an unknown user's password is compared with, so that the answer takes as long as for a known one.
NOBODYS = _hasher.hash(secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """The password as it is stored: salted, with its parameters."""
    with _at_once:
        return _hasher.hash(_normalised(password))


def is_password(password_hash: str, password: str) -> bool:
    """Whether the hash was made of this password; takes the same time for both answers."""
    with _at_once:
        try:
            return _hasher.verify(password_hash, _normalised(password))
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _normalised(password: str) -> str:
    # Keyboards differ in how they compose ñ; RFC 8265 §4.2 asks for NFC.
    return unicodedata.normalize("NFC", password)
