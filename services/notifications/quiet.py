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
    """The next time the local clock shows the end of the quiet hours, later than `moment`."""
    local = moment.astimezone(place)
    end = time.fromisoformat(hours.end)
    for days in (0, 1, 2):
        day = (local + timedelta(days=days)).date()
        for fold in (0, 1):
            found = datetime.combine(day, end, place).replace(fold=fold).astimezone(UTC)
            if found > moment:
                return found
    raise AssertionError("the clock shows every time of day within two days")
