"""Live lists: who watches a filter is told of each ticket that comes to match it, changes, or matches no more.

One thread a process looks for changes five times a second while anybody watches. It asks the database once for each
distinct filter which of the changed tickets match, however many watch it. What a watcher has not taken yet is kept
ticket by ticket, the latest of each; one that falls too far behind is sent away and goes on after its cursor.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import DBAPIError, OperationalError

from chassis.errors import DendaError, Internal, ResourceExhausted
from chassis.runner import forever
from services.support import recent
from services.support.criteria import ORDERS, Order
from services.support.models import Ticket, database

PERIOD = timedelta(milliseconds=200)
MOST_CURRENT = 1_000
MOST_WAITING = 10_000
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Sight:
    """A ticket as it was seen, and whether it matched then."""

    ticket: Ticket
    matches: bool


@dataclass(frozen=True, slots=True)
class News:
    """What a watcher is told; without a ticket it says that all that was there already is told."""

    ticket: Ticket | None
    left: bool
    cursor: str


class Watcher:
    """Somebody who watches a filter; `has_list` if tickets are on their list of which this stream has not told."""

    def __init__(self, condition: ColumnElement[bool], *, has_list: bool) -> None:
        self.condition = condition
        compiled = condition.compile(dialect=database.engine.dialect)
        self.key = f"{compiled} {compiled.params}"
        self._has_list = has_list
        self._told: dict[UUID, tuple[int, bool]] = {}
        self._cursor = ""
        self._changed = threading.Condition()
        self._waiting: dict[UUID, Sight] = {}
        self._reached = ""
        self._over = False
        self._problem: DendaError | None = None

    def offer(self, sights: Iterable[Sight], reached: str) -> None:
        """Have these told; whoever knows them has missed nothing up to the cursor."""
        with self._changed:
            for sight in sights:
                # The latest goes to the end, since cursors must never run ahead of what was told.
                self._waiting.pop(sight.ticket.id, None)
                self._waiting[sight.ticket.id] = sight
            self._reached = reached
            if len(self._waiting) > MOST_WAITING:
                self._problem = ResourceExhausted("Too slow; go on after the last cursor.", reason="TOO_SLOW")
            self._changed.notify()

    def leave(self) -> None:
        """End the watch: the watcher is gone."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def fail(self, problem: DendaError) -> None:
        """End the watch with an error."""
        with self._changed:
            self._problem = problem
            self._changed.notify()

    def wait(self) -> list[News] | None:
        """What is new, as soon as there is something; None when the watch is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over or self._problem)
            if self._problem:
                raise self._problem
            if self._over:
                return None
            sights, self._waiting = self._waiting, {}
            reached = self._reached
        return self.told(sights.values(), reached)

    def told(self, sights: Iterable[Sight], reached: str) -> list[News]:
        """What of it is news. The last carries the new cursor: with one of the others, the rest would be missed."""
        news = [News(sight.ticket, not sight.matches, self._cursor) for sight in sights if self._is_news(sight)]
        self._cursor = reached
        if news:
            news[-1] = News(news[-1].ticket, news[-1].left, reached)
        return news

    def _is_news(self, sight: Sight) -> bool:
        """Whether it differs from what was told; an older sight, of before the list was read, does not count."""
        version, shown = self._told.get(sight.ticket.id, (-1, self._has_list))
        newer = sight.ticket.version > version
        if sight.ticket.version < version or not (sight.matches != shown or (sight.matches and newer)):
            return False
        self._told[sight.ticket.id] = sight.ticket.version, sight.matches
        return True


class _Round:
    """The looking for changes from when the first watcher comes until the last one is gone."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.position = recent.horizon()
        self._seen: set[int] = set()
        self._stop = threading.Event()

    def start(self) -> None:
        """Look for changes in a thread of its own."""
        arguments = ("watch-tickets", self.look, self._stop, PERIOD)
        threading.Thread(target=forever, args=arguments, name="watch-tickets", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Tell the watchers what has changed since the last look."""
        position, changes = recent.since(self.position)
        batches = _batches(ticket_id for seq, ticket_id in changes.items() if seq not in self._seen)
        for number, ids in enumerate(batches, start=1):
            self._show(ids, recent.cursor_of(position if number == len(batches) else self.position))
        self.position, self._seen = position, set(changes)

    def _show(self, ids: Sequence[UUID], reached: str) -> None:
        found = _tickets(ids)
        by_filter: dict[str, list[Watcher]] = {}
        for watcher in self.watchers:
            by_filter.setdefault(watcher.key, []).append(watcher)
        for alike in by_filter.values():
            _offer(alike, found, reached)


_lock = threading.Lock()
_round: _Round | None = None


@contextmanager
def _joined(watcher: Watcher) -> Iterator[int]:
    """The watcher among those who are told of changes; from which horizon on it is."""
    global _round
    with _lock:
        here = _round
        if here is None:
            here = _round = _Round()
            here.start()
        here.watchers = [*here.watchers, watcher]
        position = here.position
    try:
        yield position
    finally:
        with _lock:
            here.watchers = [other for other in here.watchers if other is not watcher]
            if not here.watchers:
                here.stop()
                _round = None


def news(watcher: Watcher, *, include_current: bool, cursor: str) -> Iterator[News]:
    """What is there now, if asked; what changed since the cursor; then each change, until the watcher leaves.

    Raises InvalidArgument for a cursor that is too old, and ResourceExhausted for a watcher that is too slow.
    """
    since = recent.position_of(cursor) if cursor else None
    with _joined(watcher) as position:
        watcher.told((), cursor)
        if include_current:
            yield from watcher.told(_current(watcher.condition), cursor)
        if since is not None:
            _, changes = recent.since(since)
            for ids in _batches(changes.values()):
                yield from watcher.told(_sights(watcher.condition, _tickets(ids)), cursor)
        reached = recent.cursor_of(position)
        watcher.told((), reached)
        yield News(None, False, reached)
        while (more := watcher.wait()) is not None:
            yield from more


def _current(condition: ColumnElement[bool]) -> list[Sight]:
    with database.transaction() as session:
        newest = select(Ticket).where(condition).order_by(*ORDERS[Order.RECENT]).limit(MOST_CURRENT)
        return [Sight(ticket, True) for ticket in session.scalars(newest)]


def _offer(alike: Sequence[Watcher], found: Sequence[Ticket], reached: str) -> None:
    """Have those who watch the same filter told; one that PostgreSQL cannot evaluate ends with its watchers alone."""
    try:
        sights = _sights(alike[0].condition, found)
    except OperationalError:
        raise
    except DBAPIError:
        for watcher in alike:
            watcher.fail(Internal("The filter cannot be evaluated."))
        return
    for watcher in alike:
        watcher.offer(sights, reached)


def _batches(ids: Iterable[UUID]) -> list[Sequence[UUID]]:
    each = list(dict.fromkeys(ids))
    return [each[start : start + BATCH] for start in range(0, len(each), BATCH)]


def _tickets(ids: Sequence[UUID]) -> Sequence[Ticket]:
    with database.transaction() as session:
        return session.scalars(select(Ticket).where(Ticket.id.in_(ids))).all()


def _sights(condition: ColumnElement[bool], found: Sequence[Ticket]) -> list[Sight]:
    """Tickets with whether they match, as PostgreSQL says."""
    ids = [ticket.id for ticket in found]
    with database.transaction() as session:
        matching = set(session.scalars(select(Ticket.id).where(Ticket.id.in_(ids), condition)))
    return [Sight(ticket, ticket.id in matching) for ticket in found]
