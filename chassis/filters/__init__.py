"""The filter language of every list, segment and rule: AIP-160 with functions; docs/filters.md is for its users.

    PEOPLE = Schema(
        fields={
            "city": Field(Type.STRING, Person.city),
            "state": Field(Type.ENUM, Person.state, values=("ACTIVE", "LOST")),
            "attributes.age": Field(Type.NUMBER, Person.attributes, key="age"),  # a key of a JSONB column
            "email": Field(Type.STRING, Person.email, normalise=str.casefold),   # stored in lower case
        },
        functions={"opened": Function((Type.STRING, Type.DURATION), Type.BOOLEAN, sql=opened_sql, optional=1)},
        open_fields=lambda: {"attributes.income": Field(Type.NUMBER, Person.attributes, key="income")},
    )
    expr = parse('city = "Bilbo" AND attributes.age >= 30 AND NOT opened("spring", "30d")')
    session.scalars(select(Person).where(to_sql(expr, PEOPLE)))
    matches(expr, PEOPLE, {"city": "Bilbo", "attributes": {"age": 31}})

A filter that is wrong raises FilterError, an InvalidArgument on the field "filter".
"""

from chassis.filters.checker import check
from chassis.filters.errors import FilterError
from chassis.filters.parser import parse
from chassis.filters.python import matches, predicate
from chassis.filters.schema import Field, Function, Schema, Type
from chassis.filters.sql import to_sql
from chassis.filters.tree import Expr
from chassis.filters.values import stored_time

__all__ = [
    "Expr",
    "Field",
    "FilterError",
    "Function",
    "Schema",
    "Type",
    "check",
    "matches",
    "parse",
    "predicate",
    "stored_time",
    "to_sql",
]
