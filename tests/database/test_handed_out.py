"""Values that were handed out and never changed, at the end of a session: they stay, and edits after it are seen."""

from __future__ import annotations

import pytest

from psqlmodel import UncommittedChangesWarning

from .both import Both
from .models import Order, User
from .rows import rows


async def test_what_was_handed_out_stays_and_is_compared_when_it_comes_back(both: Both) -> None:
    async with both.session() as session:
        users = [User(id=n, name=f"u{n}", data={"n": n}, labels=["a"]) for n in range(1, 301)]
        session.add_all(users)
        await session.commit()
        held = users[0].data
    assert users[0].data is held
    held["n"] = "edited after the session"
    users[1].labels.append("b")
    async with both.session() as session:
        session.add_all(users)
        both.statements.clear()
        await session.commit()
        assert both.statements.verbs == ["UPDATE", "UPDATE"]
    assert rows(both, "SELECT data ->> 'n', labels FROM users WHERE id < 4 ORDER BY id") == [
        ("edited after the session", ["a"]),
        ("2", ["a", "b"]),
        ("3", ["a"]),
    ]


async def test_an_edit_that_nobody_committed_is_told_and_taken_back(both: Both) -> None:
    user = User(id=1, name="u", data={"n": 1})
    with pytest.warns(UncommittedChangesWarning, match="1 changed User"):
        async with both.session() as session:
            session.add(user)
            await session.commit()
            user.data["n"] = 2
    assert user.data == {"n": 1}


async def test_a_graph_with_values_of_every_kind_is_written_as_it_is(both: Both) -> None:
    """Its columns are dumped once, before the first statement: keys come later, and some rows lack some columns."""
    texts = ["plain", 'quo"te', "back\\slash", "{br,ace}", "", "NULL", " ", "ü\n"]
    users = [
        User(id=n, name=text, data=None if n % 2 else {"t": text}, labels=[text], orders=[Order(note=text), Order()])
        for n, text in enumerate(texts * 40, 1)
    ]
    async with both.session() as session:
        session.add_all(users)
        await session.commit()
    wanted = [(n, text, None if n % 2 else text, [text]) for n, text in enumerate(texts * 40, 1)]
    assert rows(both, "SELECT id, name, data ->> 't', labels FROM users ORDER BY id") == wanted
    notes = rows(both, "SELECT user_id, array_agg(note ORDER BY id) FROM orders GROUP BY user_id ORDER BY user_id")
    assert notes == [(n, [text, None]) for n, text in enumerate(texts * 40, 1)]
