"""Traces: what was sent to the server in a block of a program, from where, how long it took, and what to change.

A `Trace` is an observer: it hears of each exchange. It keeps texts, counts and times; of values only a number that
tells whether two are the same, unless it was made to keep them. `findings` looks at what it kept, `report` shows it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.drivers.trips import expected
from psqlmodel.observe.findings import Finding, find
from psqlmodel.observe.plan import QueryPlan
from psqlmodel.observe.reads import Reads
from psqlmodel.observe.sites import Site, caller
from psqlmodel.observe.texts import redacted, tables_of, verb_of
from psqlmodel.steps import Copy

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import Exchange
    from psqlmodel.model.relations import RelationInfo

_EXPLAINABLE: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE"})
_PLANS: Final = 50  # the texts that took the longest
_SHOWN: Final = 200  # characters of a value


class Traced:
    """One statement of a trace.

    `number` counts from 1; `text` is the statement without constants, `raw` as it was sent; `purpose` is why the
    library sent it ("query", "flush", "load", "transaction", "catalog", "schema", "raw", "bulk"). `begun` is when, in
    seconds since the trace began, `seconds` how long the answer took, `round_trips` how often it was waited for; `rows`
    is what came or was written, `arguments` the number of values. `site` is the place in the program, where there is
    one; `session` a number for each session; `error` the name of the error's class. `open`: a transaction was open
    afterwards; `begins`: BEGIN came with it; `several`: it asks for several keys at once. `values` are the arguments as
    text, where the trace keeps them.
    """

    __slots__ = (
        "arguments",
        "begins",
        "begun",
        "error",
        "fingerprint",
        "number",
        "open",
        "purpose",
        "raw",
        "round_trips",
        "rows",
        "seconds",
        "session",
        "several",
        "site",
        "text",
        "values",
    )

    def __init__(self, exchange: Exchange, started: float, session: int, trips: int, keeps_values: bool) -> None:
        request = exchange.request
        args: Sequence[Any] = () if isinstance(request, Copy) else request.args
        self.number = 0
        self.raw = request.text
        self.text = self.raw if keeps_values else redacted(self.raw)
        self.purpose = request.purpose
        self.begun = exchange.begun - started
        self.seconds = exchange.seconds
        self.round_trips = trips
        self.rows = exchange.count
        self.arguments = len(args)
        self.fingerprint = _fingerprint(args)
        self.several = any(isinstance(value, list) and len(value) > 1 for value in args)
        self.values = tuple([_cut(repr(value)) for value in args]) if keeps_values else None
        self.site: Site | None = None
        self.session = session
        self.error = None if exchange.error is None else type(exchange.error).__name__
        self.begins = bool(request.prelude)
        self.open = exchange.error is None and bool(exchange.connection.in_transaction)

    @property
    def verb(self) -> str:
        """What it does, in one word: "SELECT", "INSERT", "COMMIT", …"""
        return verb_of(self.raw)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it names."""
        return tables_of(self.raw)

    @property
    def ended(self) -> float:
        """When its answer was there, in seconds since the trace began."""
        return self.begun + self.seconds

    def __repr__(self) -> str:
        return f"<Traced {self.number}: {self.text!r} at {self.site}>"


class Included:
    """A relation that a query for `objects` objects included, where, and whether anybody read it since."""

    __slots__ = ("moment", "objects", "read", "relation", "site")

    def __init__(self, relation: RelationInfo, objects: int, site: Site | None) -> None:
        self.relation = relation
        self.objects = objects
        self.site = site
        self.moment = time.perf_counter()
        self.read = False


class Gap:
    """A time in which a transaction was open and the server waited for the program."""

    __slots__ = ("after", "before", "begun", "seconds", "session")

    def __init__(self, session: int, begun: float, seconds: float, after: Traced, before: Traced | None) -> None:
        self.session = session
        self.begun = begun
        self.seconds = seconds
        self.after = after
        self.before = before


class Trace:
    """What a session or an engine sent in a block.

    `statements` are what was sent, in order; `print(trace)` shows them as a table (with rich where it is installed) and
    `trace.html("report.html")` writes a page. `findings` say what to change.

        with session.trace() as trace:
            for user in session.exec(Select(User)).all():
                session.exec(Select(Order).Where(Order.user_id == user.id)).all()
        print(trace)
    """

    def __init__(self, *, values: bool = False) -> None:
        self.statements: list[Traced] = []
        self.includes: list[Included] = []
        self.plans: dict[str, QueryPlan | str] = {}
        self.keeps_values = values
        self.started_at = time.time()
        self.elapsed = 0.0
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        self._sessions: dict[Any, int] = {}
        self._trips: dict[int, int] = {}
        self._reads = Reads()
        self._tails: list[Gap] = []

    # --- hearing ------------------------------------------------------------------------------------------------

    def sending(self, exchange: Exchange) -> None:
        """Note how many round trips it will take: only before it is sent that can be told."""
        self._trips[id(exchange)] = expected(exchange.connection, exchange.sent)

    def answered(self, exchange: Exchange) -> None:
        """Keep what came of it."""
        session = self._sessions.setdefault(exchange.channel, len(self._sessions) + 1)
        trips = self._trips.pop(id(exchange), 1)
        traced = Traced(exchange, self._started, session, trips, self.keeps_values)
        traced.site = caller()
        with self._lock:  # tasks in threads
            self.statements.append(traced)
            traced.number = len(self.statements)

    def included(self, relations: Sequence[RelationInfo], objects: int) -> list[Included]:
        """Keep what a query for so many objects included, and watch whether it is read."""
        site = caller()
        for relation in relations:
            self._reads.watch(relation)
        made = [Included(relation, objects, site) for relation in relations]
        self.includes += made
        return made

    def finish(self) -> None:
        """End the trace: what it kept does not change any more, but for plans that are added."""
        self.elapsed = time.perf_counter() - self._started
        for each in self.includes:
            each.read = self._reads.since(each.relation, each.moment)
        self._reads.close()
        self._tails = self._open_ends()
        self._sessions = {}

    def _open_ends(self) -> list[Gap]:
        last = {each.session: each for each in self.statements}
        still = {number for channel, number in self._sessions.items() if channel.connected}
        return [
            Gap(number, each.ended, self.elapsed - each.ended, each, None)
            for number, each in last.items()
            if each.open and number in still
        ]

    def explainable(self) -> Iterator[tuple[str, int]]:
        """Give the texts whose plans are wanted, with the number of their arguments; those that took longest first."""
        seconds: dict[tuple[str, int], float] = {}
        for each in self.statements:
            if each.verb in _EXPLAINABLE and each.purpose not in ("catalog", "transaction") and each.error is None:
                key = (each.raw, each.arguments)
                seconds[key] = seconds.get(key, 0.0) + each.seconds
        yield from sorted(seconds, key=lambda key: -seconds[key])[:_PLANS]

    def add_plan(self, text: str, plan: QueryPlan | str) -> None:
        """Take the plan of a text as it was sent, or why there is none."""
        if isinstance(plan, QueryPlan):
            plan = QueryPlan(plan.raw_answer, redacted(text), str if self.keeps_values else redacted)
        self.plans[text] = plan

    # --- looking ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.statements)

    def __iter__(self) -> Iterator[Traced]:
        return iter(self.statements)

    @property
    def round_trips(self) -> int:
        """How often the program waited for the server: a statement may take more than one trip."""
        return sum(each.round_trips for each in self.statements)

    @property
    def seconds(self) -> float:
        """The time that was spent waiting for answers."""
        return sum(each.seconds for each in self.statements)

    @property
    def rows(self) -> int:
        """The rows that came, and those that were written."""
        return sum(each.rows for each in self.statements)

    @property
    def gaps(self) -> list[Gap]:
        """The times in which a transaction was open and nothing was asked, in order."""
        found: list[Gap] = []
        last: dict[int, Traced] = {}
        for each in self.statements:
            before = last.get(each.session)
            if before is not None and before.open and not each.begins:
                found.append(Gap(each.session, before.ended, max(each.begun - before.ended, 0.0), before, each))
            last[each.session] = each
        return sorted([*found, *self._tails], key=lambda gap: gap.begun)

    @property
    def idle_in_transaction(self) -> float:
        """The seconds in which a transaction was open and the server waited for the program."""
        return sum(gap.seconds for gap in self.gaps)

    @property
    def findings(self) -> list[Finding]:
        """What to change, the most costly first."""
        return find(self)

    # --- showing ------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        from psqlmodel.observe.table import drawn

        return drawn(self, colours=sys.stdout.isatty())

    def __rich__(self) -> Any:
        from psqlmodel.observe.table import renderable

        return renderable(self)

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} statements, {self.round_trips} round trips>"

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write a report, one file that needs nothing else, and return where it is.

        It shows a timeline, the statements with their call sites and plans (where the trace was made with
        `plans=True`), and what to change. Values are in it only if the trace was made with `values=True`.

            trace.html("report.html")
        """
        from psqlmodel.observe.report import page

        target = Path(path)
        target.write_text(page(self), encoding="utf-8")
        return target


def _fingerprint(args: Sequence[Any]) -> int:
    """Return a number that is the same for the same values, and tells nothing of them."""
    try:
        return hash(tuple(args))
    except TypeError:
        return hash(repr(args))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
