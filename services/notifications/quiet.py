"""Quiet hours: between two local times nothing is sent, whatever the clocks of the place are doing.

The zone's rules come from zoneinfo. A local time that a change of clocks skips is the moment after the change,
one that comes twice is the first of the two.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """Local times `21:00` and `08:00`; no quiet hours where both are empty or the same."""

    start: str = ""
    end: str = ""

    def __bool__(self) -> bool:
        return bool(self.start and self.end and self.start != self.end)


@lru_cache(maxsize=1024)
def zone(name: str, default: str = "") -> ZoneInfo:
    """The time zone of this name, else the default, else UTC."""
    for candidate in (name, default):
        try:
            return ZoneInfo(candidate)
        except (KeyError, OSError, ValueError):
            # In this order: an unknown name, a name that is a folder's, an empty or impossible one.
            continue
    return ZoneInfo("UTC")


def is_quiet(moment: datetime, place: ZoneInfo, hours: QuietHours) -> bool:
    """Whether it is quiet there at this moment."""
    if not hours:
        return False
    local = moment.astimezone(place).time()
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    return start <= local < end if start < end else local >= start or local < end


def next_allowed(moment: datetime, place: ZoneInfo, hours: QuietHours) -> datetime:
    """The first moment from `moment` on at which it is not quiet there, in UTC."""
    allowed = moment
    while is_quiet(allowed, place, hours):
        allowed = _end_of_quiet(allowed, place, hours)
    return allowed.astimezone(UTC)


def _end_of_quiet(moment: datetime, place: ZoneInfo, hours: QuietHours) -> datetime:
    """The next time the local clock shows the end of the quiet hours or jumps over it, later than `moment`."""
    local = moment.astimezone(place)
    end = time.fromisoformat(hours.end)
    for days in (0, 1, 2):
        wall = datetime.combine((local + timedelta(days=days)).date(), end, place)
        first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
        # Of a time that comes twice the second is later; one that never comes has them the other way round.
        found = [first, second] if first <= second else [_jump(second, first, place)]
        later = [each for each in found if each > moment]
        if later:
            return later[0]
    raise AssertionError("the clock shows every time of day within two days")


def _jump(before: datetime, after: datetime, place: ZoneInfo) -> datetime:
    """The moment between two at which the clocks of the place go forward."""
    low, high = int(before.timestamp()), int(after.timestamp())
    offset = before.astimezone(place).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, place).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
