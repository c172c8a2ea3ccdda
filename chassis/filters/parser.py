"""Text to tree: the grammar is in grammar.lark, this file builds the tree from what it finds."""

import re
from functools import lru_cache
from typing import cast

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args

from chassis.filters.errors import FilterError
from chassis.filters.tree import STAR, And, Call, Expr, Literal, Not, Or, Path, Restriction

MOST_CHARACTERS = 10_000
MOST_NESTING = 50

_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "*": "*"}
_NESTING = {"LPAR": 1, "RPAR": -1}
_KEYWORDS = {"AND", "OR", "NOT"}
# What an author calls the terminals of the grammar, in the order in which they are offered.
_WORDS = {
    "NAME": "a name",
    "STRING": "a text in quotes",
    "PLAIN": "a number or date",
    "OPERATOR": "an operator such as = or >=",
    "HAS": ":",
    "COMMA": "a comma",
    "RPAR": ")",
    "AND": "AND",
    "OR": "OR",
}


@lru_cache(maxsize=500)
def parse(text: str) -> Expr:
    """The tree of a filter. Raises FilterError when it is too long, nested too deeply, or not in the language.

    Programs ask with the same filters again and again, and parsing one takes as long as all else that a list costs.
    """
    if len(text) > MOST_CHARACTERS:
        raise FilterError(MOST_CHARACTERS + 1, f"a filter has at most {MOST_CHARACTERS:,} characters")
    if unfit := re.search("[\0\ud800-\udfff]", text):
        raise FilterError(unfit.start() + 1, "this character cannot be part of a text")
    parser = _LARK.parse_interactive(text)
    nesting = 0
    try:
        for token in parser.iter_parse():
            nesting += _NESTING.get(token.type, 0)
            if nesting > MOST_NESTING:
                raise FilterError(_position(token), f"parentheses are nested more than {MOST_NESTING} deep")
        return cast("Expr", parser.feed_eof())  # type: ignore[no-untyped-call]  # lark left its types out here
    except UnexpectedInput as error:
        raise _syntax_error(error, text) from None


@v_args(inline=True)
class _Builder(Transformer[Token, Expr]):
    def start(self, expression: Expr | None = None) -> Expr:
        return And(()) if expression is None else expression

    def conjunction(self, *terms: Expr) -> Expr:
        return And(terms)

    def disjunction(self, *terms: Expr) -> Expr:
        return Or(terms)

    def negation(self, term: Expr) -> Expr:
        return Not(term)

    def restriction(self, operand: Path | Call, operator: str = "", value: Literal = STAR) -> Restriction:
        return Restriction(operand, str(operator), value)

    def call(self, function: Path, *arguments: Literal | None) -> Call:
        return Call(function, tuple(argument for argument in arguments if argument))

    def path(self, *names: Token) -> Path:
        return Path(tuple("*".join(_literal(name).pieces) for name in names), _position(names[0]))

    def literal(self, token: Token) -> Literal:
        return _literal(token)

    def star(self) -> Literal:
        return STAR


_LARK = Lark.open("grammar.lark", rel_to=__file__, parser="lalr", transformer=_Builder())


def _literal(token: Token) -> Literal:
    """The value that a token stands for: escapes undone, split where an unescaped star stood."""
    if token.type != "STRING":
        return Literal((str(token),), quoted=False, position=_position(token))
    pieces = [""]
    for part in re.finditer(r"\\(.)|(\*)|[^\\*]+", token[1:-1], re.DOTALL):
        escaped, star = part.groups()
        if star:
            pieces.append("")
        elif escaped and escaped not in _ESCAPED:
            raise FilterError(_position(token) + 1 + part.start(), rf"there is no escape \{escaped}")
        else:
            pieces[-1] += _ESCAPED[escaped] if escaped else part.group()
    return Literal(tuple(pieces), position=_position(token))


def _position(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _syntax_error(error: UnexpectedInput, text: str) -> FilterError:
    if isinstance(error, UnexpectedToken):
        position, expected = _position(error.token), error.expected
        found = str(error.token)[:64]
    else:
        position, expected = cast("int", error.pos_in_stream) + 1, getattr(error, "allowed", set[str]())
        found = re.findall(r"\w+|.", text[position - 1 : position + 63])[0]
    wanted = "one of: " + ", ".join(words for terminal, words in _WORDS.items() if terminal in expected)
    if not found:
        return FilterError(len(text) + 1, f"the filter ends too early; expected {wanted}")
    if found in {'"', "'"}:
        return FilterError(position, "the closing quote of this text is missing")
    if found.upper() in _KEYWORDS - {found}:
        return FilterError(position, f"{found!r} must be written in capital letters")
    return FilterError(position, f"{found!r} cannot stand here; expected {wanted}")
