"""The demo's people are made up and always the same; what they bought is what the retailer published."""

import csv
import io
import re

import pytest

from services.cli.demo import content, households
from services.cli.demo.names import made_up

FICTION = re.compile(r"\+1\d{3}55501\d{2}|\+447700900\d{3}|\+3363998\d{4}|\+4917139200\d{2}")


def test_a_household_is_always_the_same_person() -> None:
    assert [made_up(number) for number in range(1, 200)] == [made_up(number) for number in range(1, 200)]


def test_nobody_real_can_be_reached() -> None:
    people = [made_up(number) for number in range(1, 2501)]
    assert [person.email for person in people if person.email and not person.email.endswith(".example")] == []
    assert [person.phone for person in people if person.phone and not FICTION.fullmatch(person.phone)] == []


def test_some_share_an_address_and_some_have_none() -> None:
    emails = [made_up(number).email for number in range(1, 501)]
    assert "" in emails
    assert 0 < len(emails) - len(set(emails)) < 50


def test_the_purchases_are_the_published_ones() -> None:
    pytest.importorskip("pyarrow")
    found = households.households()
    assert len(found) == 2469
    assert sum(household.total_spent for household in found) == pytest.approx(4_596_039.58)
    assert sum(household.baskets for household in found) == 155_848
    assert sum(bool(household.demographics) for household in found) == 801
    assert sum(household.coupons_redeemed for household in found) == 2102
    assert sum(household.coupons_redeemed > 0 for household in found) == 410
    rows = list(csv.DictReader(io.StringIO(households.to_csv(found).decode())))
    assert len(rows) == 2469
    assert set(rows[0]) >= {name for name, _, _ in content.ATTRIBUTES}


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(households, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(Exception, match=r"denda\[demo\]"):
        households.data_folder()
