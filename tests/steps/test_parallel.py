"""What parallel reads decide, by hand-written answers: parts that leave no gap, snapshots, which task is next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import Column, ParallelError, PSQLModel, Select, table
from psqlmodel.core.beginning import Beginning
from psqlmodel.core.parallel import snapshot
from psqlmodel.core.parallel.splitting import split
from psqlmodel.core.parallel.tasks import Tasks
from psqlmodel.steps import NO_COLUMNS, Rows, run


@table("step_parts")
class Part(PSQLModel):
    id: Column[int] = Column(primary_key=True)


class Script:
    """Answers each request with the next of the rows that were written by hand."""

    def __init__(self, *answers: list[tuple[Any, ...]]) -> None:
        self.answers = list(answers)
        self.sent: list[Any] = []

    def send(self, request: Any) -> Rows:
        self.sent.append(request)
        return Rows(self.answers.pop(0), NO_COLUMNS, 0)


def bounds(parts: list[Any]) -> list[list[Any]]:
    return [list(part.to_sql_params()[1]) for part in parts]


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(1, 8))
def test_ranges_of_keys_meet_and_hold_all(low: int, span: int, workers: int) -> None:
    script = Script([(False, 0, True, None)], [(low, low + span)])
    parts = run(split(Select(Part), workers), script)
    found = bounds(parts)
    assert 1 <= len(parts) <= min(4 * workers, span + 1)
    if len(parts) == 1:
        assert found == [[]]
        return
    uppers, lowers = [each[-1] for each in found[:-1]], [each[0] for each in found[1:]]
    assert uppers == lowers == sorted(set(lowers))
    assert low < lowers[0]
    assert lowers[-1] <= low + span
    sizes = [b - a for a, b in zip([low, *lowers], [*uppers, low + span + 1], strict=True)]
    assert max(sizes) - min(sizes) <= 1
    texts = [part.to_sql_params()[0] for part in parts]
    assert " IS NULL" in texts[0]
    assert not any(" IS NULL" in text for text in texts[1:])
    assert "<" not in texts[-1]


@given(st.integers(0, 10**7), st.integers(1, 8))
def test_ranges_of_blocks_meet_and_hold_all(blocks: int, workers: int) -> None:
    parts = run(split(Select(Part), workers), Script([(True, blocks, True, None)]))
    found = bounds(parts)
    assert len(parts) == max(1, min(4 * workers, blocks // 128))
    uppers, lowers = [each[-1] for each in found[:-1]], [each[0] for each in found[1:]]
    assert uppers == lowers
    cuts = [int(each.strip("()").split(",")[0]) for each in lowers]
    assert cuts == sorted(set(cuts))
    assert all(0 < cut < blocks for cut in cuts)


def test_the_snapshot_comes_before_the_settings() -> None:
    settings = Beginning(settings={"app.tenant": 7})
    script = Script([], [])
    assert run(snapshot.begin("00000003-1", settings), script) == "00000003-1"
    first, second = script.sent
    assert first.prelude == "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    assert first.text == "SET TRANSACTION SNAPSHOT '00000003-1'"
    assert second.args == ["app.tenant", "7"]


def test_an_identifier_is_quoted() -> None:
    script = Script([])
    run(snapshot.begin("'; DROP TABLE x", Beginning()), script)
    assert script.sent[0].text == "SET TRANSACTION SNAPSHOT '''; DROP TABLE x'"


def test_the_first_failure_stands_and_ends_the_rest() -> None:
    tasks = Tasks("task {} of this", [lambda _: 0] * 4)
    assert [tasks.next(), tasks.next()][1][0] == 1  # type: ignore[index]
    tasks.done(0, "a")
    tasks.failed(1, LookupError("first"))
    tasks.failed(0, LookupError("second"))
    assert tasks.next() is None
    with pytest.raises(ParallelError, match="task 1 of this failed: LookupError: first") as caught:
        tasks.results()
    assert caught.value.task == 1


def test_results_are_in_the_order_of_the_tasks() -> None:
    tasks = Tasks("task {} of this", [lambda _: 0] * 3)
    for number in (2, 0, 1):
        tasks.done(number, f"result {number}")
    assert tasks.results() == ["result 0", "result 1", "result 2"]
