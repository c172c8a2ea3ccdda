"""Cells to a row as it is staged: normalised, or a fault with the column that is to blame."""

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from chassis.ids import new_id
from services.contacts.attributes import Value
from services.contacts.imports.lines import Row
from services.contacts.imports.plan import FIELDS, Columns, Plan

# A staged row: line, fresh id, key, the fields, attributes as JSON, consents as a bit each.
Staged = list[Any]
LINE, ID, KEY = 0, 1, 2
FIRST_FIELD = 3
EXTERNAL_ID, TAGS, EMAIL, PHONE = (
    FIRST_FIELD + FIELDS.index(name) for name in ("external_id", "tags", "email", "phone")
)
ATTRIBUTES = FIRST_FIELD + len(FIELDS)
CONSENTS = ATTRIBUTES + 1
WIDTH = CONSENTS + 1

_YES = frozenset({"yes", "true", "1", "y", "x"})


class FaultError(Exception):
    """A row that cannot be taken: its line, the column to blame (or empty), and the reason."""

    def __init__(self, line: int, column: str, reason: str) -> None:
        super().__init__(reason)
        self.line, self.column, self.reason = line, column, reason


def reader(plan: Plan, columns: Columns) -> Callable[[Row], Staged]:
    """What makes a row of this file a staged one; it raises FaultError. Made once, since it runs for each row."""
    simple = [(one, FIRST_FIELD + FIELDS.index(one.field)) for one in columns.taken if one.field in FIELDS]
    # The names of attributes are plain, so that they can be written as they are.
    open_ones = [(one, f'"{one.field.partition(".")[2]}":') for one in columns.taken if one.field not in FIELDS]
    key = FIRST_FIELD + FIELDS.index(plan.key)
    consented = _consents(columns)

    def read(row: Row) -> Staged:
        cells = row.cells
        _require_whole(row, columns.width)
        staged: Staged = [None] * WIDTH
        attributes: list[str] = []
        try:
            for column, slot in simple:
                if cell := cells[column.index].strip():
                    staged[slot] = column.convert(cell)
            for column, name in open_ones:
                if cell := cells[column.index].strip():
                    attributes.append(name + _json(column.convert(cell)))
        except ValueError as error:
            raise FaultError(row.line, column.name, str(error)) from None
        if staged[key] is None:
            raise FaultError(row.line, plan.key, "is empty, so nobody can tell who this is")
        staged[LINE], staged[ID], staged[KEY] = row.line, new_id(), staged[key].lower()
        staged[TAGS] = _array(staged[TAGS])
        staged[ATTRIBUTES] = "{" + ",".join(attributes) + "}"
        staged[CONSENTS] = consented(cells)
        return staged

    return read


def _require_whole(row: Row, width: int) -> None:
    if row.problem:
        raise FaultError(row.line, "", row.problem)
    if len(row.cells) != width:
        raise FaultError(row.line, "", f"has {len(row.cells)} cells where the header has {width}")


def _consents(columns: Columns) -> Callable[[list[str]], int]:
    """The consents of a row, a bit each in the order of the plan."""
    everybody = sum(1 << bit for bit, index in enumerate(columns.consents) if index is None)
    asked = [(1 << bit, index) for bit, index in enumerate(columns.consents) if index is not None]

    def consented(cells: list[str]) -> int:
        found = everybody
        for bit, index in asked:
            if cells[index].strip().lower() in _YES:
                found |= bit
        return found

    return consented


def _json(value: Value) -> str:
    """A value as JSON; all but lists without the detour of json.dumps, which makes an encoder each time."""
    match value:
        case str():
            return encode_basestring(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    return json.dumps(value)


def _array(values: list[str] | None) -> str | None:
    """A list as PostgreSQL writes an array of texts."""
    if not values:
        return None
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
