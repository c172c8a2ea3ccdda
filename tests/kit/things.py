"""Rows with a column of each type, to try filters on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, Integer, Text, create_engine, exists, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from chassis.db import new_metadata
from chassis.filters import Field, Function, Schema, Type, parse, to_sql


class Base(DeclarativeBase):
    metadata = new_metadata()


class Thing(Base):
    """A column of each type, and a JSONB object whose keys are not always of their declared type."""

    __tablename__ = "thing"
    __table_args__ = (
        Index("thing_name_idx", "name", postgresql_ops={"name": "text_pattern_ops"}),
        Index(
            "thing_attributes_idx",
            "attributes",
            postgresql_using="gin",
            postgresql_ops={"attributes": "jsonb_path_ops"},
        ),
        Index("thing_tags_idx", "tags", postgresql_using="gin"),
        Index("thing_age_idx", "age"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    email: Mapped[str | None]
    age: Mapped[int | None]
    score: Mapped[Decimal | None]
    active: Mapped[bool | None]
    born: Mapped[date | None]
    seen: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    state: Mapped[str | None]
    owner: Mapped[UUID | None]
    attributes: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


TWIN = aliased(Thing)
JSON_TYPES = {
    "word": Type.STRING,
    "number": Type.NUMBER,
    "flag": Type.BOOLEAN,
    "day": Type.DATE,
    "moment": Type.TIMESTAMP,
    "list": Type.LIST,
}
THINGS = Schema(
    fields={
        "name": Field(Type.STRING, Thing.name),
        "email": Field(Type.STRING, Thing.email, normalise=str.casefold),
        "age": Field(Type.NUMBER, Thing.age),
        "score": Field(Type.NUMBER, Thing.score),
        "active": Field(Type.BOOLEAN, Thing.active),
        "born": Field(Type.DATE, Thing.born),
        "seen": Field(Type.TIMESTAMP, Thing.seen),
        "tags": Field(Type.LIST, Thing.tags),
        "state": Field(Type.ENUM, Thing.state, values=("ACTIVE", "LOST")),
        "owner": Field(Type.ID, Thing.owner),
    },
    functions={
        "length": Function(
            (),
            Type.NUMBER,
            lambda: func.length(Thing.name, type_=Integer),
            lambda it: None if it["name"] is None else len(it["name"]),
        ),
        "named": Function(
            (Type.STRING, Type.DURATION),
            Type.BOOLEAN,
            lambda name, _=None: exists().where(TWIN.id == Thing.id, TWIN.name == name),
            lambda it, name, _=None: it["name"] == name,
            optional=1,
        ),
    },
    open_fields=lambda: {f"attributes.{key}": Field(kind, Thing.attributes, key) for key, kind in JSON_TYPES.items()},
)


@contextmanager
def things_in(url: str) -> Iterator[Session]:
    """A session on a database with the table, in a time zone that repeats an hour in autumn."""
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1), connect_args={"options": "-c timezone=Europe/Madrid"}
    )
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def fill(session: Session, records: Sequence[Mapping[str, Any]]) -> None:
    """Make the records the only rows, numbered from 0."""
    session.rollback()
    session.execute(insert(Thing), [{"id": number, **record} for number, record in enumerate(records)])


def found(session: Session, filter_text: str) -> set[int]:
    """The rows that PostgreSQL finds."""
    return set(session.scalars(select(Thing.id).where(to_sql(parse(filter_text), THINGS))))
