"""What is sent again when its connection proves dead, and what never is."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import CommitOutcomeUnknown, ConnectionLost
from psqlmodel.core.beginning import Beginning
from psqlmodel.core.transaction import execute
from psqlmodel.steps import Copy, Release, Statement

from .script import NOTHING, Script, workspace


def lost(seconds: float | None, statement: str | None = "…") -> ConnectionLost:
    error = ConnectionLost("lost", statement=statement)
    error.seconds = seconds
    return error


def kinds(script: Script) -> list[str]:
    return [type(request).__name__ for request in script.sent]


def ready(**options: Any) -> Any:
    made = workspace(**options)
    made.catalog.read_committed = True
    return made


SENT_AGAIN = ["Statement", "Release", "Statement"]


def test_a_read_is_sent_again_once() -> None:
    work = ready()
    script = Script(lost(0.1), NOTHING, NOTHING)
    script.run(execute(work, Statement("SELECT 1", purpose="query")))
    assert kinds(script) == SENT_AGAIN
    assert isinstance(script.sent[1], Release)
    assert script.sent[1].discard
    assert not work.transaction.begun

    script = Script(lost(0.1), NOTHING, lost(0.1), NOTHING)
    with pytest.raises(ConnectionLost):
        script.run(execute(work, Statement("SELECT 1", purpose="query")))
    assert kinds(script) == [*SENT_AGAIN, "Release"]


@pytest.mark.parametrize("seconds", [None, 1.5])
def test_what_ran_for_long_or_found_no_server_is_not_sent_again(seconds: float | None) -> None:
    for purpose in ("query", "flush"):
        script = Script(lost(seconds), NOTHING)
        with pytest.raises(ConnectionLost):
            script.run(execute(ready(), Statement("SELECT 1", purpose=purpose)))
        assert kinds(script) == ["Statement", "Release"]


def test_the_first_statement_of_a_transaction_is_sent_again_with_begin() -> None:
    work = ready()
    script = Script(lost(0.1), NOTHING, NOTHING)
    statement = Statement("INSERT INTO t VALUES (1)", purpose="flush")
    script.run(execute(work, statement))
    assert kinds(script) == SENT_AGAIN
    assert script.sent[2] is statement
    assert (statement.prelude, statement.once) == ("BEGIN", False)
    assert work.transaction.begun

    script = Script(lost(0.1), NOTHING)
    with pytest.raises(ConnectionLost):
        script.run(execute(work, Statement("INSERT INTO t VALUES (2)", purpose="flush")))
    assert kinds(script) == ["Statement", "Release"]


def test_settings_are_sent_again_but_not_what_follows_them() -> None:
    work = ready(beginning=Beginning(lock_timeout=1))
    script = Script(lost(0.1), NOTHING, NOTHING, lost(0.1), NOTHING)
    with pytest.raises(ConnectionLost):
        script.run(execute(work, Statement("INSERT INTO t VALUES (1)", purpose="flush")))
    assert script.sent[0] is script.sent[2]
    assert kinds(script) == [*SENT_AGAIN, "Statement", "Release"]


@pytest.mark.parametrize(
    "request_", [Statement("INSERT …; COMMIT", purpose="raw"), Copy("t", [], [], iter(()))], ids=["raw", "copy"]
)
def test_sql_by_hand_and_rows_are_sent_once(request_: Statement | Copy) -> None:
    script = Script(lost(0.1), NOTHING)
    with pytest.raises(ConnectionLost):
        script.run(execute(ready(), request_))
    assert script.sent[0] is request_
    assert request_.once
    assert kinds(script)[1:] == ["Release"]


def test_a_whole_transaction_is_sent_once() -> None:
    work = ready()
    work.transaction.alone = True
    statement = Statement("INSERT INTO t VALUES (1)", purpose="flush")
    script = Script(lost(0.1), NOTHING, NOTHING)
    with pytest.raises(CommitOutcomeUnknown):
        script.run(execute(work, statement))
    assert (statement.prelude, statement.once) == ("", True)
    assert kinds(script) == ["Statement", "Release", "Release"]


def test_a_whole_transaction_that_was_not_sent_is_no_riddle() -> None:
    work = ready()
    work.transaction.alone = True
    script = Script(lost(None, None), NOTHING)
    with pytest.raises(ConnectionLost) as caught:
        script.run(execute(work, Statement("INSERT INTO t VALUES (1)", purpose="flush")))
    assert type(caught.value) is ConnectionLost
