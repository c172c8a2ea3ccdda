"""Liquid as templates know it: strict about merge fields, limited in what a rendering may cost.

A field may be absent where a template says what then: by `| default: …`, or by asking for it in an `if`.
Anywhere else its absence is an error, never an empty space in a message.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from liquid import BoundTemplate, Environment, FalsyStrictUndefined, Node, RenderContext
from liquid.ast import ConditionalBlockNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path
from liquid.builtin.expressions.logical import (
    EqExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    NeExpression,
)
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError, LiquidSyntaxError, UndefinedError
from liquid.expression import Expression

# What Denda itself puts into every campaign message.
SYSTEM_FIELDS = frozenset({"unsubscribe_url", "preferences_url"})
# Names that begin so are made by the compiler: links and the pixel.
INTERNAL = "_"


class _Absent(FalsyStrictUndefined):
    """A merge field that is not there: false, replaced by `default`, and an error elsewhere."""

    force_liquid_default = True


class _Environment(Environment):
    context_depth_limit = 20
    loop_iteration_limit = 10_000
    local_namespace_limit = 1_000_000
    output_stream_limit = 5_000_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        # Templates stand alone: there are no others to include.
        for tag in ("include", "render"):
            self.tags.pop(tag, None)


HTML = _Environment(undefined=_Absent, autoescape=True)
TEXT = _Environment(undefined=_Absent, autoescape=False)


class TemplateError(Exception):
    """What is wrong with a template's source, and in which line; 0 where no line can be named."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


class RenderError(Exception):
    """A template that is right in itself cannot be rendered with these merge fields."""


class MissingField(RenderError):
    """A merge field that the template needs is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the merge field {name} is missing")
        self.name = name


def parse(source: str, environment: Environment) -> BoundTemplate:
    """The parsed template. Raises TemplateError for bad syntax and for filters that do not exist."""
    try:
        template = environment.from_string(source)
    except LiquidError as error:
        raise TemplateError(_line_of(error, source), _words_of(error)) from None
    for name, spans in template.analyze(include_partials=False).filters.items():
        if name not in environment.filters:
            raise TemplateError(source.count("\n", 0, spans[0].index) + 1, f"there is no filter {name!r}")
    return template


def render(template: BoundTemplate, fields: Mapping[str, Any]) -> str:
    """The text with these merge fields. Raises MissingField, or RenderError when a limit is passed."""
    with liquid_errors():
        return template.render(fields)


@contextmanager
def liquid_errors() -> Iterator[None]:
    """Let what Liquid raises while rendering come out as MissingField or RenderError."""
    try:
        yield
    except UndefinedError as error:
        raise MissingField(str(error.message).removesuffix(" is undefined").strip("'")) from None
    except LiquidError as error:
        raise RenderError(_words_of(error)) from None


@dataclass
class Uses:
    """The merge fields of a template: those that everybody needs, and those that may be absent."""

    required: set[str] = field(default_factory=set)
    optional: set[str] = field(default_factory=set)

    def add(self, template: BoundTemplate) -> None:
        """Take in the fields of one more part."""
        _Walk(self, RenderContext(template)).nodes(template.nodes, frozenset(), set())
        self.optional -= self.required


@dataclass
class _Walk:
    uses: Uses
    context: RenderContext

    def nodes(self, nodes: Iterable[Node], guarded: frozenset[str], local: set[str]) -> None:
        for node in nodes:
            if isinstance(node, IfNode | UnlessNode):
                self._condition_of(node, guarded, local)
                continue
            if isinstance(node, ConditionalBlockNode):
                self._condition(node.expression, guarded, local)
                self.nodes([node.block], guarded | _asked_for(node.expression), local)
                continue
            for expression in node.expressions():
                self._expression(expression, guarded, local)
            inner = local | {str(name) for name in node.block_scope()}
            self.nodes(node.children(self.context, include_partials=False), guarded, inner)
            local |= {str(name) for name in node.template_scope()}

    def _condition_of(self, node: IfNode | UnlessNode, guarded: frozenset[str], local: set[str]) -> None:
        self._condition(node.condition, guarded, local)
        asked = _asked_for(node.condition) if isinstance(node, IfNode) else frozenset()
        self.nodes([node.consequence], guarded | asked, local)
        self.nodes(node.alternatives, guarded, local)
        if node.default:
            # `unless x … else` knows in the else branch that x is there.
            otherwise = _asked_for(node.condition) if isinstance(node, UnlessNode) else frozenset()
            self.nodes([node.default], guarded | otherwise, local)

    def _condition(self, expression: Expression, guarded: frozenset[str], local: set[str]) -> None:
        """Take in a condition: a bare field, or one that is compared for equality, may be absent."""
        if isinstance(expression, Path):
            self._field(expression, local, needed=False)
            self._parts(expression, guarded, local)
        elif isinstance(expression, BooleanExpression):
            self._condition(expression.expression, guarded, local)
        elif isinstance(
            expression,
            LogicalAndExpression | LogicalOrExpression | LogicalNotExpression | EqExpression | NeExpression,
        ):
            # What `and` has asked for is there on its right side.
            known = guarded | (_asked_for(expression.left) if isinstance(expression, LogicalAndExpression) else set())
            for child in expression.children():
                self._condition(child, known, local)
        else:
            self._expression(expression, guarded, local)

    def _expression(self, expression: Expression, guarded: frozenset[str], local: set[str]) -> None:
        if isinstance(expression, FilteredExpression) and isinstance(expression.left, Path):
            filters = expression.filters or []
            defaulted = bool(filters) and filters[0].name == "default"
            self._field(expression.left, local, needed=not defaulted and _root(expression.left) not in guarded)
            self._parts(expression.left, guarded, local)
            for each in filters:
                for child in each.children():
                    self._expression(child, guarded, local)
            return
        if isinstance(expression, Path):
            self._field(expression, local, needed=_root(expression) not in guarded)
        self._parts(expression, guarded, local)

    def _parts(self, expression: Expression, guarded: frozenset[str], local: set[str]) -> None:
        for child in expression.children():
            self._expression(child, guarded, local)

    def _field(self, path: Path, local: set[str], *, needed: bool) -> None:
        name = _root(path)
        if name not in local and name not in SYSTEM_FIELDS and not name.startswith(INTERNAL):
            (self.uses.required if needed else self.uses.optional).add(name)


def _root(path: Path) -> str:
    return str(path.path[0])


def _asked_for(expression: Expression) -> frozenset[str]:
    """Fields that are surely there when the condition holds."""
    if isinstance(expression, BooleanExpression):
        return _asked_for(expression.expression)
    if isinstance(expression, LogicalAndExpression):
        return _asked_for(expression.left) | _asked_for(expression.right)
    if isinstance(expression, Path):
        return frozenset({_root(expression)})
    if isinstance(expression, EqExpression):
        return frozenset({_root(side) for side in expression.children() if isinstance(side, Path)})
    return frozenset()


def _line_of(error: LiquidError, source: str) -> int:
    found = error.context()
    if found:
        return int(found[0])
    # An error without a place is one at the end: something was never closed.
    return source.count("\n") + 1 if isinstance(error, LiquidSyntaxError) else 0


def _words_of(error: LiquidError) -> str:
    return str(error.message).replace("found end of expression", "found the end of the template")
