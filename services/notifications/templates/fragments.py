"""Templates taken to pieces: most are text, merge fields and conditions, and need no interpreter for each.

The text between the fields is encoded once. A template with loops or variables has no pieces and is rendered by
Liquid; where there are pieces, they give what Liquid gives, and what is not simple is asked of Liquid.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from liquid import BoundTemplate, Markup, Node, RenderContext, escape
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path, StringLiteral
from liquid.builtin.expressions.logical import GeExpression, GtExpression, LeExpression, LtExpression
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.expression import Expression
from liquid.stringify import to_liquid_string

from services.notifications.quoted import SAFE
from services.notifications.templates.liquid import MissingField, liquid_errors

COMPARISONS: Mapping[type[Expression], Callable[[float, float], bool]] = {
    GtExpression: operator.gt,
    GeExpression: operator.ge,
    LtExpression: operator.lt,
    LeExpression: operator.le,
}
_ABSENT = object()
# What the filter `default` replaces; comparing with `in` would take 0 for False.
_EMPTY_TYPES = (str, list, dict)


class Field(NamedTuple):
    """A merge field's place; `default` is encoded already, None where there is none."""

    name: str
    default: bytes | None


class Output(NamedTuple):
    """A place whose expression Liquid evaluates."""

    expression: Expression


class Comparison(NamedTuple):
    """A field compared with a number, `points > 100`."""

    name: str
    compare: Callable[[float, float], bool]
    number: float


class Choice(NamedTuple):
    """What is there under a condition; `name` is set where it only asks for a field."""

    name: str
    comparison: Comparison | None
    condition: Expression
    pieces: "Sequence[Piece]"


class Branch(NamedTuple):
    """The first choice whose condition holds, else what is there otherwise."""

    choices: Sequence[Choice]
    otherwise: "Sequence[Piece]"


Piece = bytes | Field | Output | Branch
Encode = Callable[[str], bytes]


class _NotSimpleError(Exception):
    """The template needs Liquid."""


def taken_apart(template: BoundTemplate, encode: Encode) -> Sequence[Piece] | None:
    """The template's pieces, its text encoded; None where it is not simple enough."""
    try:
        return _pieces(template.nodes, encode)
    except _NotSimpleError:
        return None


def filled(pieces: Sequence[Piece], template: BoundTemplate, fields: Mapping[str, Any], encode: Encode) -> bytes:
    """The pieces with these fields, each encoded, joined. Raises MissingField and RenderError."""
    with liquid_errors():
        out: list[bytes] = []
        _Filling(template, fields, encode, out).add(pieces)
        return b"".join(out)


class _Filling:
    def __init__(self, template: BoundTemplate, fields: Mapping[str, Any], encode: Encode, out: list[bytes]) -> None:
        self._template = template
        self._fields = fields
        self._encode = encode
        self._out = out
        self._autoescape = template.env.autoescape

    @cached_property
    def _context(self) -> RenderContext:
        return RenderContext(self._template, globals=self._template.make_globals(self._fields))

    def add(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if piece.__class__ is bytes:
                self._out.append(piece)
            elif piece.__class__ is Field:
                self._out.append(self._value(piece))
            elif isinstance(piece, Output):
                value = piece.expression.evaluate(self._context)
                self._out.append(self._encode(to_liquid_string(value, self._autoescape)))
            elif isinstance(piece, Branch):
                self.add(self._chosen(piece))

    def _value(self, field: Field) -> bytes:
        value = self._fields.get(field.name, _ABSENT)
        if field.default is not None and _is_empty(value):
            return field.default
        if value is _ABSENT:
            raise MissingField(field.name)
        if value.__class__ is str:
            return self._encode(escape(value) if self._autoescape and not SAFE.fullmatch(value) else value)
        return self._encode(value if value.__class__ is Markup else to_liquid_string(value, self._autoescape))

    def _chosen(self, branch: Branch) -> Sequence[Piece]:
        for choice in branch.choices:
            if self._holds(choice):
                return choice.pieces
        return branch.otherwise

    def _holds(self, choice: Choice) -> bool:
        if choice.name:
            value = self._fields.get(choice.name)
            return value is not None and value is not False
        if choice.comparison:
            name, compare, number = choice.comparison
            value = self._fields.get(name)
            if value.__class__ is int or value.__class__ is float:
                return compare(value, number)
        return bool(choice.condition.evaluate(self._context))


def _is_empty(value: object) -> bool:
    return value is _ABSENT or value is None or value is False or (isinstance(value, _EMPTY_TYPES) and not value)


def _pieces(nodes: Sequence[Node], encode: Encode) -> Sequence[Piece]:
    found: list[Piece] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            found.append(encode(node.text))
        elif isinstance(node, OutputNode):
            found.append(_output(node.expression, encode))
        elif isinstance(node, IfNode) and not node.blank:
            found.append(_branch(node, encode))
        else:
            raise _NotSimpleError
    return found


def _output(expression: Expression, encode: Encode) -> Piece:
    if isinstance(expression, FilteredExpression) and isinstance(expression.left, Path):
        name, filters = _name(expression.left), expression.filters or []
        if name and not filters:
            return Field(name, None)
        if name and len(filters) == 1 and filters[0].name == "default" and len(filters[0].args or []) == 1:
            literal = getattr(filters[0].args[0], "value", None)
            if isinstance(literal, StringLiteral):
                # Liquid trusts what the template itself says and does not escape it.
                return Field(name, encode(literal.value))
    return Output(expression)


def _branch(node: IfNode, encode: Encode) -> Branch:
    blocks = [(node.condition, node.consequence), *[(each.expression, each.block) for each in node.alternatives]]
    choices = [
        Choice(_asked(condition), _compared(condition), condition, _pieces(block.nodes, encode))
        for condition, block in blocks
    ]
    return Branch(choices, _pieces(node.default.nodes, encode) if node.default else [])


def _asked(condition: Expression) -> str:
    """The field that a condition asks for, when that is all it does."""
    asked = condition.expression if isinstance(condition, BooleanExpression) else condition
    return _name(asked) if isinstance(asked, Path) else ""


def _compared(condition: Expression) -> Comparison | None:
    """What a condition compares with what number, when that is all it does."""
    compared = condition.expression if isinstance(condition, BooleanExpression) else condition
    for kind, compare in COMPARISONS.items():
        if isinstance(compared, kind):
            left, right = compared.children()
            if isinstance(left, Path) and _name(left) and isinstance(right, IntegerLiteral | FloatLiteral):
                return Comparison(_name(left), compare, right.value)
    return None


def _name(path: Path) -> str:
    return path.path[0] if len(path.path) == 1 and isinstance(path.path[0], str) else ""
