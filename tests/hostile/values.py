"""The places where a value enters: each is a coroutine of a session and a text, which asserts that the text came whole.

`CASES` are those that every storable text passes; `PICKY` those where the server may refuse it, since it reads the text
by a syntax of its own (a pattern, a unit, a query). Nothing here is particular to one session kind.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from psqlmodel import (
    SQL,
    AnyOf,
    ArrayAgg,
    Case,
    Cast,
    Coalesce,
    Concat,
    DatabaseError,
    DateTrunc,
    Delete,
    Excluded,
    Exists,
    Extract,
    Func,
    Greatest,
    Insert,
    JsonbBuildObject,
    JsonbObjectAgg,
    JsonTable,
    Lag,
    Least,
    Length,
    Lower,
    Merge,
    Nested,
    Now,
    NullIf,
    Ordinality,
    QueryError,
    Replace,
    Row,
    Select,
    StringAgg,
    Substring,
    Text,
    Trim,
    Update,
    Upper,
    Value,
    Values,
    With,
    types,
)

from .models import Mood, Note, Thing

Work = Callable[[Any, str], Awaitable[None]]
CASES: dict[str, Work] = {}
PICKY: dict[str, Work] = {}
# Types that read a text by a syntax of their own.
TEXTUAL = [
    types.json, types.jsonb, types.xml, types.tsquery, types.tsvector, types.inet, types.cidr, types.macaddr,
    types.uuid, types.interval, types.timestamptz, types.bit, types.varbit, types.pg_lsn, types.money, types.numeric,
    types.point, types.int4range, types.datemultirange, types.hstore, types.bytea, types.char, types.name,
    types.text.array(),
]  # fmt: skip
KEY_LENGTH = 300  # characters; an index entry is limited to 2,704 bytes


def case(work: Work) -> Work:
    CASES[work.__name__] = work
    return work


def picky(work: Work) -> Work:
    PICKY[work.__name__] = work
    return work


async def _stored(session: Any, **values: Any) -> Thing:
    thing = Thing(**values)
    session.add(thing)
    await session.flush()
    return thing


async def _found(session: Any, condition: Any) -> bool:
    return await session.exec_scalar(Select(Thing.id).Where(condition)) is not None


# --- written and read back ---------------------------------------------------------------------------------------


@case
async def columns(session: Any, text: str) -> None:
    values = {
        "body": text, "short": text[:30], "folded": text, "tags": [text, None, "", text], "grid": [[text, text]],
        "data": {"k": text, text: [text, {text: None}]}, "document": [text, {text: text}],
        "pairs": {text: text, "n": None}, "mood": Mood.BACKSLASH, "raw": text.encode(errors="surrogatepass"),
    }  # fmt: skip
    thing = await _stored(session, **values)
    await session.refresh(thing)
    assert {name: getattr(thing, name) for name in values} == values


@case
async def changes(session: Any, text: str) -> None:
    thing = await _stored(session, body="x", tags=["x"], data={}, pairs={})
    thing.body = text
    thing.tags.append(text)
    thing.data[text] = text
    thing.pairs[text] = text
    await session.flush()
    await session.refresh(thing)
    assert (thing.body, thing.tags, thing.data, thing.pairs) == (text, ["x", text], {text: text}, {text: text})


@case
async def two_at_once(session: Any, text: str) -> None:
    session.add_all([Thing(body=text), Thing(body="x", notes=[Note(key=text[:KEY_LENGTH], title=None)])])
    await session.flush()
    note = await session.exec_one(Select(Note).Include(Note.thing).Where(Note.key == text[:KEY_LENGTH]))
    assert note.thing.body == "x"
    session.delete(note)
    await session.flush()


@case
async def keys(session: Any, text: str) -> None:
    key = text[:KEY_LENGTH]
    session.add(Note(key=key, title=key))
    await session.flush()
    note = await session.get(Note, key)
    assert await session.get_many(Note, [key]) == [note]
    assert (await session.get(Note, key, lock="update")).title == key


# --- conditions ----------------------------------------------------------------------------------------------------


@case
async def comparisons(session: Any, text: str) -> None:
    await _stored(session, body=text)
    for condition in (
        Thing.body == text,
        ~(Thing.body != text),
        Thing.body.In([text, "other"]),
        ~Thing.body.NotIn([text]),
        Thing.body.Between(text, text),
        Thing.body.StartsWith(text),
        Thing.body.EndsWith(text),
        Thing.body.Contains(text),
        Thing.body == AnyOf([text]),
        Row(Thing.body, Thing.body) == (text, text),
        Row(Thing.body, Thing.body).In([(text, text)]),
        Thing.body.IsNotDistinctFrom(text),
    ):
        assert await _found(session, condition)
    assert not await _found(session, Thing.body == text + "x")
    assert not await _found(session, Thing.body.StartsWith(text + "_"))
    assert not await _found(session, Thing.body.Contains("%" + text))


@case
async def patterns(session: Any, text: str) -> None:
    await _stored(session, body=text)
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    assert await _found(session, Thing.body.Like(escaped))
    assert not await _found(session, Thing.body.NotLike("%" + escaped))
    assert not await _found(session, Thing.body.NotILike(escaped))
    assert await _found(session, Thing.body.ILike(escaped + "%"))


@picky
async def bare_patterns(session: Any, text: str) -> None:
    await _stored(session, body="canary")
    _ = await session.exec(Select(Thing).Where(Thing.body.Like(text) | Thing.body.ILike(text)))


@picky
async def regular_expressions(session: Any, text: str) -> None:
    await _stored(session, body="canary")
    _ = await session.exec(Select(Thing).Where(Thing.body.Matches(text[:200]) | Thing.body.IMatches(text[:200])))


@case
async def documents(session: Any, text: str) -> None:
    await _stored(session, data={text: {text: text}}, document={text: text}, pairs={text: text})
    for condition in (
        Thing.data[text][text].text() == text,
        Thing.document[text].text() == text,
        Thing.data.HasKey(text),
        Thing.data.HasAnyKey([text, "x"]),
        Thing.data[text].HasAllKeys([text]),
        Thing.data.Contains({text: {text: text}}),
        Thing.data.ContainedBy({text: {text: text}, "more": text}),
        Thing.data[text] == {text: text},
        Thing.pairs[text] == text,
        Thing.pairs.HasKey(text),
    ):
        assert await _found(session, condition)


@case
async def arrays(session: Any, text: str) -> None:
    await _stored(session, tags=[text], grid=[[text]])
    for condition in (
        Thing.tags.Has(text),
        Thing.tags.Contains([text]),
        Thing.tags.ContainedBy([text, "x"]),
        Thing.tags.Overlaps(["x", text]),
        Thing.tags == [text],
        Thing.tags[1] == text,
        Thing.grid == [[text]],
    ):
        assert await _found(session, condition)


# --- expressions --------------------------------------------------------------------------------------------------


@case
async def expressions(session: Any, text: str) -> None:
    await _stored(session, body="x")
    for expression in (
        Value(text),
        Cast(text, types.text),
        Cast(text, types.varchar),
        Coalesce(None, text),
        NullIf(text, text + "x"),
        Greatest(text, text),
        Replace("x", Thing.body, text),
        Concat(text, ""),
        Case().When(Thing.body == text, "no").Else(text),
        Case(Thing.body).When(text, "no").When("x", text),
        Func.concat(text),
        Func.pg_catalog.concat(text),
        Text("%s::text", text),
        Text("%(x)s::text", {"x": text}),
        JsonbBuildObject(**{text: text})[text].text(),
    ):
        assert await session.exec_scalar(Select(expression).From(Thing)) == text
    assert await session.exec_scalar(Select(Upper(Lower(Trim(text)))).From(Thing)) is not None
    assert await session.exec_scalar(Select(Length(Substring(text, 1))).From(Thing)) == len(text)
    assert await session.exec_scalar(Select(Least(text, text)).From(Thing)) == text
    assert await session.exec_scalar(Select(Lag(Thing.body, 1, text).Over(order_by=Thing.id))) == text
    assert await session.exec_scalar(Select(JsonbObjectAgg(text, Thing.body))) == {text: "x"}


@case
async def aggregates(session: Any, text: str) -> None:
    session.add_all([Thing(body="a"), Thing(body="b")])
    await session.flush()
    assert await session.exec_scalar(Select(StringAgg(Thing.body, text).OrderBy(Thing.id))) == f"a{text}b"
    made = await session.exec_scalar(Select(ArrayAgg(Case().When(Thing.id > 0, text).Else("x"))).From(Thing))
    assert made == [text, text]


@case
async def queries_in_queries(session: Any, text: str) -> None:
    await _stored(session, body=text)
    named = With("named", Select(Thing.id, Thing.body).Where(Thing.body == text))
    assert await session.exec_scalar(Select(named.body)) == text
    inner = Select(Thing.body).Where(Thing.body == text).Subquery("inner_")
    assert await session.exec_scalar(Select(inner.body).Where(Exists(Select(Thing).Where(Thing.body == text)))) == text


@picky
async def units(session: Any, text: str) -> None:
    _ = await session.exec_scalar(Select(DateTrunc(text, Now())))


@picky
async def fields(session: Any, text: str) -> None:
    _ = await session.exec_scalar(Select(Extract(text, Now())))


@picky
async def text_search(session: Any, text: str) -> None:
    await _stored(session, words=text[:1000])


@picky
async def casts(session: Any, text: str) -> None:
    refused = None
    for query in [Select(Value(text).Cast(type_)) for type_ in TEXTUAL]:
        try:
            async with session.begin_nested():
                _ = await session.exec_scalar(query)
        except DatabaseError as error:
            refused = error
    if refused is not None:
        raise refused


# --- statements and verbs --------------------------------------------------------------------------------------------


@case
async def statements(session: Any, text: str) -> None:
    _ = await session.exec(Insert(Thing).Values(body=text, data={text: text}))
    assert await session.exec_scalar(Select(Thing.body)) == text
    _ = await session.exec(Update(Thing).Set(short=text[:30], body=Concat(Thing.body, text)).Where(Thing.body == text))
    assert await session.exec_scalar(Select(Thing.body)) == text + text
    _ = await session.exec(Delete(Thing).Where(Thing.body == text + text))
    assert await session.exec_scalar(Select(Thing.id)) is None


@case
async def conflicts(session: Any, text: str) -> None:
    key = text[:KEY_LENGTH]
    for title in ("x", key):
        insert = Insert(Note).Values(key=key, title=title)
        _ = await session.exec(insert.OnConflict(Note.key).DoUpdate(title=Excluded.title))
    assert await session.exec_scalar(Select(Note.title).Where(Note.key == key)) == key


@case
@pytest.mark.since(15)
async def merges(session: Any, text: str) -> None:
    key = text[:KEY_LENGTH]
    source = Select(Value(key).As("key")).Subquery("source")
    merge = Merge(Note).Using(source, Note.key == source.key)
    for title in ("x", key):
        _ = await session.exec(
            merge.WhenMatched(Note.title != key).Update(title=title).WhenNotMatched().Insert(key=source.key, title="x")
        )
    assert await session.exec_scalar(Select(Note.title).Where(Note.key == key)) == (key if key != "x" else "x")


@case
async def verbs(session: Any, text: str) -> None:
    key = text[:KEY_LENGTH]
    note, made = await session.get_or_create(Note, key=key, defaults={"title": key})
    assert made
    assert note.title == key
    written = await session.upsert([Note(key=key, title=key + "x")])
    assert written[0].title == key + "x"
    _ = await session.sync_set(
        Note, [Note(key=key, title="t"), Note(key=key + "2", title=None)], scope=Note.key.StartsWith(key)
    )
    assert (await session.merge(Note(key=key, title=key))).title == key
    await session.flush()
    assert await session.exec_scalar(Select(Note.title).Where(Note.key == key)) == key


@case
async def bulk(session: Any, text: str) -> None:
    things = [Thing(body=text, tags=[text], data={text: text}, pairs={text: text}, document=text) for _ in range(3)]
    assert await session.bulk_insert(things) == 3
    assert await session.bulk_insert([{"body": text}], model=Thing) == 1
    assert await session.bulk_update([Thing(id=thing.id, body=text + "x", tags=[text, text]) for thing in things]) == 3
    rows = await session.exec(Select(Thing).Where(Thing.body == text + "x"))
    assert [(row.tags, row.data, row.pairs, row.document) for row in rows] == [
        ([text, text], {text: text}, {text: text}, text)
    ] * 3
    tuples = [(thing.id, text) for thing in things]
    assert await session.bulk_upsert(tuples, model=Thing, columns=["id", "body"]) == 3
    assert await session.bulk_insert(tuples, model=Thing, columns=["id", "body"], on_conflict="ignore") == 0
    keys = [text[:KEY_LENGTH], text[:KEY_LENGTH] + "2"]
    assert await session.bulk_upsert([{"key": key, "title": key} for key in keys], model=Note) == 2
    assert await session.bulk_delete(keys, model=Note) == 2


@case
async def files(session: Any, text: str) -> None:
    thing = await _stored(session, body=text, tags=[text], document=text)
    columns = [Thing.id, Thing.body, Thing.tags, Thing.document]
    for format in ("csv", "binary", "arrow"):
        file = io.BytesIO()
        query = Select(*columns).Where((Thing.body == text) & (Thing.id == thing.id))
        assert await session.copy_to(query, file, format=format) == 1
        _ = file.seek(0)
        assert await session.bulk_delete([thing.id], model=Thing) == 1
        assert await session.copy_from(Thing, file, format=format, columns=columns if format == "binary" else None) == 1
        row = (await session.exec(Select(*columns).Where(Thing.id == thing.id)).all())[0]
        assert tuple(row) == (thing.id, text, [text], text)


@case
async def queues(session: Any, text: str) -> None:
    thing = await _stored(session, body=text)
    assert await session.claim(Thing, where=Thing.body == text) == [thing]


@case
async def streams(session: Any, text: str) -> None:
    session.add_all([Thing(body=text) for _ in range(3)])
    await session.flush()
    found = session.stream(Select(Thing).Where(Thing.body == text).OrderBy(Thing.id), batch=2)
    if inspect.isawaitable(found):
        found = await found
    if hasattr(found, "__aiter__"):
        assert [thing.body async for thing in found] == [text] * 3
    else:
        assert [thing.body for thing in found] == [text] * 3


@case
async def parallel(session: Any, text: str) -> None:
    first, second = await session.parallel_exec([Select(Value(text)), "SELECT 'x%s'"], max_workers=1)
    assert (first[0][0], second[0][0]) == (text, "x%s")


# --- SQL by hand ------------------------------------------------------------------------------------------------------


@case
async def raw_parameters(session: Any, text: str) -> None:
    for sql, params in (
        ("SELECT %s::text", [text]),
        ("SELECT %s", [text]),
        ("SELECT $1::text", (text,)),
        ("SELECT %(x)s || ''", {"x": text}),
        ("SELECT (%s::text[])[2]", [["", text]]),
        ("SELECT %s::jsonb #>> '{k,0}'", [{"k": [text], text: text}]),
        ("SELECT %s::text -- %s ' \n", [text]),
        ("SELECT CASE WHEN '%s %%(x)s' <> %s THEN %s END", ["\n", text]),
    ):
        assert await session.exec_scalar(sql, params) == text
    row = await session.exec_one("SELECT '%s' AS a, %s::text AS b, $$%s$$ AS c", [text])
    assert tuple(row) == ("%s", text, "%s")


@case
async def raw_writes(session: Any, text: str) -> None:
    _ = await session.exec("INSERT INTO hostile_things (body, tags) VALUES (%s, %s)", [text, [text, None]])
    assert await session.exec_scalar("SELECT tags FROM hostile_things WHERE body = %(b)s", {"b": text}) == [text, None]


# --- the transaction -------------------------------------------------------------------------------------------------


@case
async def locks(session: Any, text: str) -> None:
    await session.lock(text)
    assert await session.try_lock(text)


@case
async def settings(session: Any, text: str) -> None:
    session.settings = {"hostile.text": text, "application_name": "x"}
    assert await session.exec_scalar("SELECT current_setting('hostile.text')") == text


# --- tables of values, SQL by hand, pages --------------------------------------------------------------------------


@case
async def tables_of_values(session: Any, text: str) -> None:
    rows = Values("v", ["n", "body"], [(1, text), (2, None)])
    assert await session.exec_scalar(Select(rows.body).Where(rows.n == 1, rows.body == text)) == text
    given = Func.unnest(Cast([text, "x"], types.text.array())).AsTable("t", "body", ordinality="n")
    assert await session.exec_scalar(Select(given.body).Where(given.n == 1)) == text
    await _stored(session, body=text)
    assert await session.exec_scalar(Select(Text("%s::text IN (SELECT body FROM hostile_things)", text))) is True


@case
@pytest.mark.since(17)
async def rows_of_json(session: Any, text: str) -> None:
    inner = Nested("$.k", inner=(types.text, "$"))
    rows = JsonTable("j", [{"k": text}], "$[*]", k=types.text, n=Ordinality(), nested=inner)
    row = await session.exec_one(Select(rows.k, rows.inner))
    assert tuple(row) == (text, text)


@case
async def sql_by_hand(session: Any, text: str) -> None:
    thing = await _stored(session, body=text)
    assert await session.exec_scalar(SQL("SELECT {v}::text", v=text)) == text
    found = SQL("SELECT * FROM {table} WHERE {column} = {v} AND '{{' <> '}}'", table=Thing, column=Thing.body, v=text)
    assert thing in list(await session.exec(found.Into(Thing).Where(Thing.body == text)))


@case
async def pages(session: Any, text: str) -> None:
    session.add_all([Thing(short="pages", body=text), Thing(short="pages", body=text + "x"), Thing(short="pages")])
    await session.flush()
    query = Select(Thing).Where(Thing.short == "pages").OrderBy(Thing.body, Thing.short)
    seen, token = [], None
    while not seen or token is not None:
        page = await session.page(query, after=token, size=1)
        seen += [thing.body for thing in page]
        token = page.next
    assert sorted(seen, key=str) == sorted([text, text + "x", None], key=str)
    try:
        await session.page(query, after=text)  # no token of ours
    except QueryError:
        pass
    else:
        raise AssertionError("any text is a token")
