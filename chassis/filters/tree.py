"""The tree of a filter: what the parser makes of the text. `str()` of any part is filter text again."""

import re
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

# A leaf is a Restriction after parsing and a Test after checking.
Leaf_co = TypeVar("Leaf_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written: the text between its unescaped stars, and whether it stood in quotes."""

    pieces: tuple[str, ...]
    quoted: bool = True
    position: int = field(default=1, compare=False)

    def __str__(self) -> str:
        if not self.quoted:
            return "*".join(self.pieces)
        return '"' + "*".join(piece.translate(_ESCAPES) for piece in self.pieces) + '"'


_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "*": "\\*", "\n": "\\n", "\t": "\\t", "\r": "\\r"})

_PLAIN_NAME = re.compile(r"(?!(?i:and|or|not)\b)[^\W\d]\w*")

# What `x:*` compares with.
STAR = Literal(("", ""), quoted=False)


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or the name of a function: `attributes.city`."""

    names: tuple[str, ...]
    position: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return ".".join(name if _PLAIN_NAME.fullmatch(name) else str(Literal((name,))) for name in self.names)

    @property
    def dotted(self) -> str:
        """The names joined by dots, as schemas spell them."""
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments: `opened("spring", "30d")`."""

    function: Path
    arguments: tuple[Literal, ...] = ()

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Restriction:
    """A comparison, or with no operator a field or function that is true or false by itself."""

    operand: Path | Call
    operator: str = ""
    value: Literal = STAR

    def __str__(self) -> str:
        if not self.operator:
            return str(self.operand)
        space = "" if self.operator == ":" else " "
        return f"{self.operand}{space}{self.operator}{space}{self.value}"


@dataclass(frozen=True, slots=True)
class And(Generic[Leaf_co]):
    """All terms hold; none at all is the empty filter, which everything fits."""

    terms: tuple["Tree[Leaf_co]", ...]

    def __str__(self) -> str:
        return " AND ".join(map(_grouped, self.terms))


@dataclass(frozen=True, slots=True)
class Or(Generic[Leaf_co]):
    """At least one term holds."""

    terms: tuple["Tree[Leaf_co]", ...]

    def __str__(self) -> str:
        return " OR ".join(map(_grouped, self.terms))


@dataclass(frozen=True, slots=True)
class Not(Generic[Leaf_co]):
    """The term does not hold, be it that a value is missing."""

    term: "Tree[Leaf_co]"

    def __str__(self) -> str:
        return f"NOT ({self.term})" if isinstance(self.term, Not) else f"NOT {_grouped(self.term)}"


Tree: TypeAlias = Leaf_co | And[Leaf_co] | Or[Leaf_co] | Not[Leaf_co]
Expr: TypeAlias = Tree[Restriction]


def _grouped(term: Tree[Leaf_co]) -> str:
    return f"({term})" if isinstance(term, And | Or) else str(term)
