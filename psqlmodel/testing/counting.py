"""Counting: which statements a piece of code sends, and whether a loop sends one for each object.

`Watched` is a `with` block that traces engines and gives a `Sent`; `expect` and `refuse_repetition` judge it and raise
`AssertionError` with what was sent, and from where. Values are in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from psqlmodel.core.engine.tracing import End, in_engine
from psqlmodel.observe.trace import Trace, Traced

_NOT_COUNTED: Final = frozenset({"transaction", "catalog", "pool"})
_WIDTH: Final = 160


class Sent:
    """What was sent in a block, as far as it has come: all but BEGIN, COMMIT and the like, and what is asked of the
    catalog.

    `traces` are those of the engines: `print(sent.traces[0])` shows round trips, times and findings, too.
    """

    def __init__(self, traces: list[Trace]) -> None:
        self.traces = traces

    def __iter__(self) -> Iterator[Traced]:
        every = [each for trace in self.traces for each in trace if each.purpose not in _NOT_COUNTED]
        return iter(sorted(every, key=lambda each: each.begun))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def texts(self) -> list[str]:
        """The texts of the statements, without constants."""
        return [each.text for each in self]

    def __str__(self) -> str:
        return "\n".join([f"  {at}. {_line(each)}" for at, each in enumerate(self, 1)]) or "  (nothing was sent)"


class Watched:
    """A `with` block that notes what is sent through engines of either kind, or those of sessions; it gives the `Sent`.

    At its end `judge` looks at that and may raise; not where the block ends with an error.
    """

    def __init__(self, engines: Iterable[Any], judge: Callable[[Sent], None]) -> None:
        self._engines = [getattr(each, "engine", each) for each in engines]
        self._judge = judge
        self._ends: list[End] = []
        self._sent = Sent([])

    def __enter__(self) -> Sent:
        self._sent = Sent([Trace() for _ in self._engines])
        pairs = zip(self._engines, self._sent.traces, strict=True)
        self._ends = [in_engine(engine)(trace) for engine, trace in pairs]
        return self._sent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        for end, ended in zip(self._ends, self._sent.traces, strict=True):
            end()
            ended.finish()
        if error is None:
            self._judge(self._sent)


def expect(sent: Sent, count: int | None, at_most: int | None) -> None:
    """Raise `AssertionError` unless just so many statements were sent, or not more than that."""
    __tracebackhide__ = True
    found = len(sent)
    if count is not None and found != count:
        wanted = f"{count} statement{'' if count == 1 else 's'}"
    elif at_most is not None and found > at_most:
        wanted = f"{at_most} statement{'' if at_most == 1 else 's'} at most"
    else:
        return
    raise AssertionError(f"expected {wanted}, but {found} {'was' if found == 1 else 'were'} sent:\n{sent}")


def refuse_repetition(sent: Sent, times: int) -> None:
    """Raise `AssertionError` where a loop sent a query for each of more than `times` objects, two at least."""
    __tracebackhide__ = True
    found = [each for trace in sent.traces for each in trace.findings if each.kind == "N+1"]
    listed = "\n".join([f"  {each}" for each in found if len(each.statements) > times])
    if listed:
        raise AssertionError(f"objects are loaded one by one:\n{listed}")


def _line(each: Traced) -> str:
    text = " ".join(each.text.split())
    shown = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
    rows = "1 row" if each.rows == 1 else f"{each.rows} rows"
    return f"{shown}  [{rows}, {each.seconds * 1000:.1f} ms] {each.site or ''}".rstrip()
