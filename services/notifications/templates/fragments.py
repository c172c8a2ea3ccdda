"""Templates taken to pieces: most are text, merge fields and simple conditions, and need no interpreter for each.

The text between the fields is encoded once. What is not so simple has no pieces and is rendered by Liquid; where
there are pieces, they give what Liquid gives.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from liquid import BoundTemplate, Markup, Node, escape
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path, StringLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.stringify import to_liquid_string

from services.notifications.quoted import SAFE
from services.notifications.templates.liquid import MissingField

_ABSENT = object()
# What the filter `default` replaces; comparing with `in` would take 0 for False.
_EMPTY_TYPES = (str, list, dict)


class Field(NamedTuple):
    """A merge field's place; `default` is encoded already, None where there is none."""

    name: str
    default: bytes | None


class Branch(NamedTuple):
    """What is there when a field is, and what else."""

    name: str
    there: "Sequence[Piece]"
    otherwise: "Sequence[Piece]"


Piece = bytes | Field | Branch
Encode = Callable[[str], bytes]


class _NotSimple(Exception):
    """The template needs Liquid."""


def taken_apart(template: BoundTemplate, encode: Encode) -> Sequence[Piece] | None:
    """The template's pieces, its text encoded; None where it is not simple enough."""
    try:
        return _pieces(template.nodes, encode, autoescape=template.env.autoescape)
    except _NotSimple:
        return None


def filled(pieces: Sequence[Piece], fields: Mapping[str, Any], encode: Encode, *, autoescape: bool) -> list[bytes]:
    """The pieces with these fields, each encoded, to be joined. Raises MissingField."""
    out: list[bytes] = []
    for piece in pieces:
        if piece.__class__ is bytes:
            out.append(piece)
        elif piece.__class__ is Field:
            out.append(_value(piece, fields, encode, autoescape=autoescape))
        else:
            assert isinstance(piece, Branch)
            value = fields.get(piece.name)
            chosen = piece.otherwise if value is None or value is False else piece.there
            out += filled(chosen, fields, encode, autoescape=autoescape)
    return out


def _value(field: Field, fields: Mapping[str, Any], encode: Encode, *, autoescape: bool) -> bytes:
    value = fields.get(field.name, _ABSENT)
    if field.default is not None and _is_empty(value):
        return field.default
    if value is _ABSENT:
        raise MissingField(field.name)
    if value.__class__ is str:
        return encode(escape(value) if autoescape and not SAFE.fullmatch(value) else value)
    return encode(value if value.__class__ is Markup else to_liquid_string(value, autoescape))


def _is_empty(value: object) -> bool:
    return value is _ABSENT or value is None or value is False or (isinstance(value, _EMPTY_TYPES) and not value)


def _pieces(nodes: Sequence[Node], encode: Encode, *, autoescape: bool) -> Sequence[Piece]:
    found: list[Piece] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            found.append(encode(node.text))
        elif isinstance(node, OutputNode):
            found.append(_field(node, encode, autoescape=autoescape))
        elif isinstance(node, IfNode):
            found.append(_branch(node, encode, autoescape=autoescape))
        else:
            raise _NotSimple
    return found


def _field(node: OutputNode, encode: Encode, *, autoescape: bool) -> Piece:
    expression = node.expression
    if isinstance(expression, FilteredExpression):
        if isinstance(expression.left, StringLiteral) and not expression.filters:
            return encode(expression.left.value)
        if isinstance(expression.left, Path):
            return Field(_name(expression.left), _default(expression, encode, autoescape=autoescape))
    raise _NotSimple


def _default(expression: FilteredExpression, encode: Encode, *, autoescape: bool) -> bytes | None:
    if not expression.filters:
        return None
    [only, *more] = expression.filters
    if only.name != "default" or more or len(only.args) != 1:
        raise _NotSimple
    literal = getattr(only.args[0], "value", None)
    if not isinstance(literal, StringLiteral):
        raise _NotSimple
    # Liquid trusts what the template itself says and does not escape it.
    return encode(to_liquid_string(Markup(literal.value) if autoescape else literal.value, autoescape))


def _branch(node: IfNode, encode: Encode, *, autoescape: bool) -> Branch:
    condition = node.condition.expression if isinstance(node.condition, BooleanExpression) else node.condition
    if not isinstance(condition, Path) or node.alternatives or node.blank:
        raise _NotSimple
    otherwise = _block(node.default, encode, autoescape=autoescape) if node.default else []
    return Branch(_name(condition), _block(node.consequence, encode, autoescape=autoescape), otherwise)


def _block(block: BlockNode, encode: Encode, *, autoescape: bool) -> Sequence[Piece]:
    return _pieces(block.nodes, encode, autoescape=autoescape)


def _name(path: Path) -> str:
    if len(path.path) != 1 or not isinstance(path.path[0], str):
        raise _NotSimple
    return path.path[0]
