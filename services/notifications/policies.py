"""The policy of a channel: how often and when campaigns may write. Transactional messages are not held up by it."""

from zoneinfo import available_timezones

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.errors import InvalidArgument
from services.notifications.models import Policy
from services.notifications.states import Channel


def policy_of(session: Session, channel: Channel) -> Policy:
    """The policy of a channel; where none was set, one that limits nothing."""
    found = session.get(Policy, int(channel))
    return found or Policy(
        channel=int(channel), frequency_cap=0, cap_days=0, quiet_from="", quiet_until="", default_time_zone=""
    )


def set_policy(session: Session, policy: Policy) -> Policy:
    """Replace the policy of its channel. Raises InvalidArgument for half of a pair and for unknown time zones."""
    if bool(policy.frequency_cap) != bool(policy.cap_days):
        raise InvalidArgument(
            "policy.cap_days", "a cap needs both a number of messages and a number of days; 0 and 0 mean none"
        )
    if bool(policy.quiet_from) != bool(policy.quiet_until):
        raise InvalidArgument("policy.quiet_until", "quiet hours need a beginning and an end; both empty mean none")
    if policy.quiet_from and policy.quiet_from == policy.quiet_until:
        raise InvalidArgument("policy.quiet_until", "quiet hours that begin and end at the same time would never end")
    if policy.default_time_zone and policy.default_time_zone not in available_timezones():
        raise InvalidArgument("policy.default_time_zone", f"there is no time zone {policy.default_time_zone!r}")
    values = {column.name: getattr(policy, column.name) for column in Policy.__table__.columns}
    changed = {name: value for name, value in values.items() if name != "channel"}
    session.execute(insert(Policy).values(values).on_conflict_do_update(index_elements=["channel"], set_=changed))
    return policy
