"""Cells to a row as it is staged: normalised, or a fault with the column that is to blame."""

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from chassis.ids import new_id_text
from services.contacts.attributes import Value
from services.contacts.imports.lines import Row
from services.contacts.imports.plan import FIELDS, Columns, Plan

# Where the cells of a staged row lie: line, fresh id, the fields, attributes as JSON, consents as a bit each.
_LINE, _ID, _FIRST_FIELD = 0, 1, 2
_EXTERNAL_ID = _FIRST_FIELD + FIELDS.index("external_id")
_ATTRIBUTES = _FIRST_FIELD + len(FIELDS)
_CONSENTS = _ATTRIBUTES + 1
_WIDTH = _CONSENTS + 1

# What the text format of COPY wants written otherwise.
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
# A value as JSON; all but lists without the detour of json.dumps, which makes an encoder each time.
_AS_JSON: dict[type[Value], Callable[[Any], str]] = {
    str: encode_basestring,
    bool: json.dumps,
    int: repr,
    float: repr,
    list: json.dumps,
}
_YES = frozenset({"yes", "true", "1", "y", "x"})


class Staged(NamedTuple):
    """A row that is ready to be written: its line, what tells people apart, and all of it as COPY reads it."""

    line: int
    key: str
    external_id: str
    text: str


class FaultError(Exception):
    """A row that cannot be taken: its line, the column to blame (or empty), and the reason."""

    def __init__(self, line: int, column: str, reason: str) -> None:
        super().__init__(reason)
        self.line, self.column, self.reason = line, column, reason


def reader(plan: Plan, columns: Columns) -> Callable[[Row], Staged]:
    """What makes a row of this file a staged one; it raises FaultError. Made once, since it runs for each row."""
    simple = [(one, _FIRST_FIELD + FIELDS.index(one.field)) for one in columns.taken if one.field in FIELDS]
    # The names of attributes are plain, so that they can be written as they are.
    open_ones = [(one, f'"{one.field.partition(".")[2]}":') for one in columns.taken if one.field not in FIELDS]
    key = _FIRST_FIELD + FIELDS.index(plan.key)
    consented = _consents(columns)

    def read(row: Row) -> Staged:
        line, cells, _ = row
        _require_whole(row, columns.width)
        staged, attributes = [""] * _WIDTH, list[str]()
        try:
            for column, slot in simple:
                if cell := cells[column.index].strip():
                    staged[slot] = column.convert(cell)
            for column, label in open_ones:
                if cell := cells[column.index].strip():
                    value = column.convert(cell)
                    attributes.append(label + _AS_JSON[type(value)](value))
        except ValueError as error:
            raise FaultError(line, column.name, str(error)) from None
        if not staged[key]:
            raise FaultError(line, plan.key, "is empty, so nobody can tell who this is")
        staged[_LINE], staged[_ID], staged[_CONSENTS] = str(line), new_id_text(), consented(cells)
        staged[_ATTRIBUTES] = "{" + ",".join(attributes) + "}"
        return Staged(line, staged[key].lower(), staged[_EXTERNAL_ID], _as_copied(staged))

    return read


def _require_whole(row: Row, width: int) -> None:
    if row.problem:
        raise FaultError(row.line, "", row.problem)
    if len(row.cells) != width:
        raise FaultError(row.line, "", f"has {len(row.cells)} cells where the header has {width}")


def _consents(columns: Columns) -> Callable[[list[str]], str]:
    """The consents of a row, a bit each in the order of the plan."""
    everybody = sum(1 << bit for bit, index in enumerate(columns.consents) if index is None)
    asked = [(1 << bit, index) for bit, index in enumerate(columns.consents) if index is not None]

    def consented(cells: list[str]) -> str:
        found = everybody
        for bit, index in asked:
            if cells[index].strip().lower() in _YES:
                found |= bit
        return str(found)

    return consented


def _as_copied(cells: list[str]) -> str:
    """A line for COPY; the cells of nearly all rows can be joined as they are."""
    line = "\t".join(cells)
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") >= len(cells):
        line = "\t".join(cell.translate(_ESCAPES) for cell in cells)
    return line + "\n"
