"""Failed log-ins slow down whoever tries, in the database, so that every replica counts the same.

Counted are the user name, the address, and both together. An attempt counts as failed before the password is
looked at, so that guessing in parallel gains nothing; a good one is forgiven. The wait grows with each failure and
has a ceiling, attempts made while waiting do not extend it, and what strangers do to a user name elsewhere does
not concern a place from which its owner logged in lately: nobody can lock the owner out for good.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import ResourceExhausted
from chassis.settings import settings
from services.identity.models import LoginFailure

FORGET_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Rule:
    """After `free` failures each further one costs 1, 2, 4, … seconds, at most `longest`."""

    free: int
    longest: timedelta

    def delay(self, failures: int) -> timedelta:
        """The wait after so many failures."""
        beyond = failures - self.free
        return min(self.longest, timedelta(seconds=2 ** min(beyond - 1, 20))) if beyond > 0 else timedelta(0)


TOGETHER = Rule(free=5, longest=timedelta(minutes=15))
# An office shares an address, so it may fail more often.
ADDRESS = Rule(free=20, longest=timedelta(minutes=15))
# Against guesses from many addresses at once; short, since the owner waits as well.
NAME = Rule(free=20, longest=timedelta(minutes=1))


@dataclass(frozen=True)
class Attempt:
    """A log-in under way: the keys under which it is counted, each with its rule."""

    rules: dict[bytes, Rule]
    address_key: bytes


def place_digest(address: str) -> bytes:
    """An address as it is stored with a session, to be recognised and not to be read."""
    return _digest("place", address)


def begin_attempt(session: Session, name: str, address: str, *, known_place: bool) -> Attempt:
    """Count a log-in as failed for now. Raises ResourceExhausted, without counting, while there is a wait."""
    address_key = _digest("address", address)
    rules = {_digest("together", name, address): TOGETHER, address_key: ADDRESS}
    if not known_place:
        rules[_digest("name", name)] = NAME
    counters = _locked_counters(session, sorted(rules))
    wait = max(counter.blocked_until for counter in counters) - now()
    if wait > timedelta(0):
        seconds = int(wait.total_seconds()) + 1
        raise ResourceExhausted(
            f"There were too many failed log-ins; try again in {seconds} seconds.",
            reason="TOO_MANY_LOGINS",
            retry_after=timedelta(seconds=seconds),
            retry_after_seconds=str(seconds),
        )
    for counter in counters:
        _count(counter, rules[counter.key])
    return Attempt(rules, address_key)


def forgive(session: Session, attempt: Attempt) -> None:
    """The password was right: forget the name's failures, and take this attempt off the address's account."""
    for counter in _locked_counters(session, sorted(attempt.rules)):
        counter.blocked_until = now()
        # An address keeps its other failures: somebody who guesses could log in as himself now and then.
        counter.failures = max(0, counter.failures - 1) if counter.key == attempt.address_key else 0


def prune_failures(session: Session) -> None:
    """Forget failures that are a day old."""
    session.execute(delete(LoginFailure).where(LoginFailure.last_failed_at < now() - FORGET_AFTER))


def _locked_counters(session: Session, keys: list[bytes]) -> list[LoginFailure]:
    """The counters in one order, so that attempts at once wait for each other and do not deadlock."""
    start = {"failures": 0, "last_failed_at": now(), "blocked_until": now()}
    session.execute(insert(LoginFailure).values([{"key": key, **start} for key in keys]).on_conflict_do_nothing())
    rows = select(LoginFailure).where(LoginFailure.key.in_(keys)).order_by(LoginFailure.key)
    return list(session.scalars(rows.with_for_update().execution_options(populate_existing=True)))


def _count(counter: LoginFailure, rule: Rule) -> None:
    moment: datetime = now()
    recent = counter.last_failed_at > moment - FORGET_AFTER
    counter.failures = (counter.failures if recent else 0) + 1
    counter.last_failed_at = moment
    counter.blocked_until = moment + rule.delay(counter.failures)


def _digest(*what: str) -> bytes:
    key = settings().secret_key.get_secret_value().encode()
    return hmac.digest(key, "\0".join(("log-in", *what)).encode(), "sha256")[:16]
