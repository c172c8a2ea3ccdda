from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifications.quiet import QuietHours, is_quiet, next_allowed, zone
from tests.notifications.things import at

PLACES = [
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Africa/Cairo",
]
TIMES = st.times().map(lambda time: f"{time:%H:%M}")
# Both changes of the clocks of all these places lie in these years.
MOMENTS = st.floats(0, 3 * 366 * 86400).map(lambda seconds: at("2024-01-01T00:00Z") + timedelta(seconds=seconds))
NIGHT = QuietHours("21:00", "08:00")


@settings(deadline=None)
@given(MOMENTS, st.sampled_from(PLACES), TIMES, TIMES)
def test_the_next_moment_is_allowed_and_none_before_it_is(moment: datetime, name: str, start: str, end: str) -> None:
    place, hours = ZoneInfo(name), QuietHours(start, end)
    allowed = next_allowed(moment, place, hours)
    assert allowed >= moment
    assert allowed - moment < timedelta(hours=49)
    assert not is_quiet(allowed, place, hours)
    if allowed > moment:
        before = moment
        while before < allowed:
            assert is_quiet(before, place, hours)
            before += timedelta(minutes=7)
        assert is_quiet(allowed - timedelta(microseconds=1), place, hours)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-02T12:00+00:00", "2026-03-02T12:00+00:00"),
        ("2026-03-02T20:30+00:00", "2026-03-03T07:00+00:00"),
        ("2026-03-02T03:00+00:00", "2026-03-02T07:00+00:00"),
        # In the night to 29 March the clocks of Madrid go forward, to 25 October back.
        ("2026-03-28T22:00+00:00", "2026-03-29T06:00+00:00"),
        ("2026-10-24T22:00+00:00", "2026-10-25T07:00+00:00"),
        ("2026-03-02T07:00+00:00", "2026-03-02T07:00+00:00"),
        ("2026-03-02T20:00+00:00", "2026-03-03T07:00+00:00"),
    ],
)
def test_a_night_in_madrid_ends_at_eight_by_the_clock_on_the_wall(moment: str, expected: str) -> None:
    assert next_allowed(at(moment), ZoneInfo("Europe/Madrid"), NIGHT) == at(expected)


def test_an_end_that_the_clocks_skip_is_the_moment_after_the_change() -> None:
    allowed = next_allowed(at("2026-03-29T00:30+00:00"), ZoneInfo("Europe/Madrid"), QuietHours("22:00", "02:30"))
    assert allowed == at("2026-03-29T01:00+00:00")


def test_no_quiet_hours_hold_nothing_up() -> None:
    moment = at("2026-03-02T02:00+00:00")
    assert next_allowed(moment, ZoneInfo("UTC"), QuietHours()) == moment
    assert next_allowed(moment, ZoneInfo("UTC"), QuietHours("08:00", "08:00")) == moment


@pytest.mark.parametrize(
    ("name", "default", "expected"),
    [
        ("Europe/Madrid", "", "Europe/Madrid"),
        ("Mars/Olympus", "Asia/Tokyo", "Asia/Tokyo"),
        ("", "", "UTC"),
        ("../etc/passwd", "Europe", "UTC"),
    ],
)
def test_a_zone_that_is_not_known_is_the_default(name: str, default: str, expected: str) -> None:
    assert zone(name, default).key == expected
