"""Pages: every row once, in order, however rows come and go; the same cost at any depth; tokens of no other list."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Date, DateTime, Engine, Index, create_engine, event, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from chassis.db import new_metadata
from chassis.errors import InvalidArgument
from chassis.paging import paginate
from chassis.signing import sign

START = datetime(2026, 3, 29, tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = new_metadata()


class Visit(Base):
    """Rows with many equal times, so that the id must decide."""

    __tablename__ = "visit"
    __table_args__ = (Index("visit_order_idx", "at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    day: Mapped[date] = mapped_column(Date)
    price: Mapped[Decimal]
    name: Mapped[str]


@dataclass
class Request:
    page_size: int = 0
    page_token: str = ""


@pytest.fixture(scope="module")
def engine(make_database: Callable[[str], str]) -> Iterator[Engine]:
    engine = create_engine(make_database("paging").replace("postgresql://", "postgresql+psycopg://", 1))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def a_visit(number: int) -> dict[str, Any]:
    at = START + timedelta(seconds=number // 7, microseconds=number // 3)
    price = Decimal(number % 11) / 4
    return {"id": UUID(int=number), "at": at, "day": at.date(), "price": price, "name": f"ñ'{number % 5}"}


def visits(session: Session, count: int) -> None:
    session.execute(insert(Visit), [a_visit(number) for number in range(count)])


def walk(session: Session, keys: tuple[Any, ...], size: int) -> Iterator[list[Visit]]:
    """All pages, one after the other."""
    request = Request(page_size=size)
    while True:
        rows, request.page_token = paginate(session, select(Visit), keys, request, fingerprint="all")
        yield [visit for (visit,) in rows]
        if not request.page_token:
            return


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("key", ["at", "day", "price", "name"])
def test_walking_the_pages_shows_every_row_once_and_in_order(session: Session, key: str, descending: bool) -> None:
    visits(session, 100)
    columns = (getattr(Visit, key), Visit.id)
    keys = tuple(column.desc() for column in columns) if descending else columns
    seen = [visit.id for page in walk(session, keys, 7) for visit in page]
    assert seen == list(session.scalars(select(Visit.id).order_by(*keys)))
    assert len(seen) == 100


def test_rows_that_come_or_go_between_pages_move_no_other_row(session: Session) -> None:
    visits(session, 60)
    pages = walk(session, (Visit.at, Visit.id), 20)
    first = next(pages)
    session.execute(
        insert(Visit), [a_visit(1) | {"id": UUID(int=1000 + n), "at": START - timedelta(1)} for n in range(9)]
    )
    session.delete(first[-1])
    session.flush()
    rest = [visit.id.int for page in pages for visit in page]
    assert rest == list(range(20, 60))


def test_a_full_last_page_has_no_token(session: Session) -> None:
    visits(session, 40)
    assert [len(page) for page in walk(session, (Visit.id,), 20)] == [20, 20]
    rows, token = paginate(session, select(Visit).where(Visit.name == "x"), (Visit.id,), Request(), fingerprint="")
    assert (rows, token) == ([], "")


def test_rows_have_the_columns_of_the_statement_only(session: Session) -> None:
    visits(session, 3)
    rows, _ = paginate(session, select(Visit.name, Visit.id), (Visit.at, Visit.id), Request(), fingerprint="")
    assert rows[1]._asdict() == {"name": "ñ'1", "id": UUID(int=1)}


def test_page_sizes_have_a_default_and_a_limit(session: Session) -> None:
    visits(session, 30)
    statement = select(Visit)
    assert len(paginate(session, statement, (Visit.id,), Request(0), fingerprint="", default=5)[0]) == 5
    assert len(paginate(session, statement, (Visit.id,), Request(100), fingerprint="", most=20)[0]) == 20
    with pytest.raises(InvalidArgument, match="page_size: "):
        paginate(session, statement, (Visit.id,), Request(-1), fingerprint="")


def test_a_token_of_another_filter_or_order_is_refused(session: Session) -> None:
    visits(session, 30)
    _, token = paginate(session, select(Visit), (Visit.at, Visit.id), Request(5), fingerprint="a")
    for keys, fingerprint in [
        ((Visit.at, Visit.id), "b"),
        ((Visit.id,), "a"),
        ((Visit.at.desc(), Visit.id.desc()), "a"),
    ]:
        with pytest.raises(InvalidArgument, match="page_token: belongs to another"):
            paginate(session, select(Visit), keys, Request(5, token), fingerprint=fingerprint)


def test_a_token_that_was_not_made_here_is_refused(session: Session) -> None:
    visits(session, 30)
    _, token = paginate(session, select(Visit), (Visit.id,), Request(5), fingerprint="a")
    for forged in ("x", "5", token[:-1], token.swapcase(), sign("unsubscribe", b'["",1]')):
        with pytest.raises(InvalidArgument, match="page_token: is not a token"):
            paginate(session, select(Visit), (Visit.id,), Request(5, forged), fingerprint="a")


def test_keys_of_mixed_direction_are_a_mistake_in_the_program(session: Session) -> None:
    visits(session, 30)
    keys = (Visit.at.desc(), Visit.id)
    with pytest.raises(TypeError, match="all ascending or all descending"):
        list(walk(session, keys, 5))


@pytest.mark.parametrize("descending", [False, True])
def test_a_deep_page_is_read_from_the_index_alone(engine: Engine, session: Session, descending: bool) -> None:
    """Neither a sort nor a filter over skipped rows: the index begins at the page."""
    session.execute(
        text(
            "INSERT INTO visit SELECT gen_random_uuid(), timestamptz '2026-01-01' + n * interval '1 second',"
            " date '2026-01-01', 1, 'x' FROM generate_series(1, 20000) n"
        )
    )
    session.execute(text("ANALYZE visit"))
    order = (Visit.at.desc(), Visit.id.desc()) if descending else (Visit.at, Visit.id)
    request = Request(1000)
    for _ in range(10):
        _, request.page_token = paginate(session, select(Visit), order, request, fingerprint="")
    plan = explained(engine, lambda: paginate(session, select(Visit), order, request, fingerprint=""), session)
    limit = plan["Plans"][0]
    assert plan["Node Type"] == "Limit"
    assert limit["Node Type"] == "Index Scan"
    assert limit["Index Name"] == "visit_order_idx"
    assert "ROW" in limit["Index Cond"]
    assert "Filter" not in limit
    assert limit["Actual Rows"] == 1001


def explained(engine: Engine, run: Callable[[], object], session: Session) -> dict[str, Any]:
    """The plan of the last statement that `run` executes."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", remember)
    run()
    event.remove(engine, "before_cursor_execute", remember)
    statement, parameters = seen[-1]
    explain = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
    plan: dict[str, Any] = explain.scalar_one()[0]["Plan"]
    return plan
