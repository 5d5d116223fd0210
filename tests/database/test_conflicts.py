"""Versions: two sessions that write one row, by a counter, a timestamp and `xmin`; who lost is told."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import Alias, Column, Engine, MappingError, ObjectStateError, PSQLModel, Select, StaleObjectError, table

from .both import Both, Statements
from .versioned import File, Folder, Member, Sheet, Stamped, Team, make_tables

EVERY = pytest.mark.parametrize("model", [Sheet, Stamped, File])


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


async def made(both: Both, *objects: Any) -> None:
    async with both.session(auto_commit=True) as session:
        session.add_all(objects)


def version_of(obj: Any) -> Any:
    return getattr(obj, type(obj).__mapper__.version.key)


# --- who comes second loses -------------------------------------------------------------------------------------------


@EVERY
async def test_an_update_over_someone_elses_is_refused(both: Both, model: Any) -> None:
    await made(both, model(id=1, title="old"))
    async with both.session() as mine, both.session() as theirs:
        ours, same = await mine.get(model, 1), await theirs.get(model, 1)
        same.title = "theirs"
        await theirs.commit()
        ours.title = "mine"
        with pytest.raises(StaleObjectError, match="in the version that was read") as caught:
            await mine.commit()
        assert caught.value.objects == (ours,)
        assert caught.value.changes == ({"title": "mine"},)
        await mine.rollback()
        assert ours.title == "old"
    assert both.column(f"SELECT title FROM {model.__mapper__.table}") == ["theirs"]


@EVERY
async def test_a_deletion_of_someone_elses_change_is_refused(both: Both, model: Any) -> None:
    await made(both, model(id=1, title="old"), model(id=2, title="two"))
    async with both.session() as mine, both.session() as theirs:
        ours = [await mine.get(model, 1), await mine.get(model, 2)]
        (await theirs.get(model, 2)).title = "theirs"
        await theirs.commit()
        for obj in ours:
            mine.delete(obj)
        with pytest.raises(StaleObjectError, match=r"DELETE of .* did not find 1 of 2") as caught:
            await mine.commit()
        assert caught.value.objects == (ours[1],)
    assert both.value(f"SELECT count(*) FROM {model.__mapper__.table}") == 2


@EVERY
async def test_the_losers_among_many_are_named_in_one_statement(both: Both, statements: Statements, model: Any) -> None:
    await made(both, *(model(id=n, title=f"t{n}") for n in range(1, 101)))
    async with both.session() as mine, both.session() as theirs:
        ours = await (await mine.exec(Select(model).OrderBy(model.id))).all()
        for key in (7, 50):
            (await theirs.get(model, key)).title = "theirs"
        theirs.delete(await theirs.get(model, 99))
        await theirs.commit()
        for obj in ours:
            obj.title += "!"
        statements.clear()
        with pytest.raises(StaleObjectError, match="3 of 100") as caught:
            await mine.flush()
        assert {obj.id for obj in caught.value.objects} == {7, 50, 99}
        assert statements.verbs == ["UPDATE"]


@EVERY
async def test_many_changes_are_one_statement_and_versions_are_fresh(
    both: Both, statements: Statements, model: Any
) -> None:
    objects = [model(id=n, title=f"t{n}") for n in range(1, 51)]
    async with both.session() as session:
        session.add_all(objects)
        await session.commit()
        first = [version_of(obj) for obj in objects]
        for again in ("a", "b"):
            for obj in objects:
                obj.title = again
            statements.clear()
            await session.commit()
            assert statements.verbs == ["UPDATE"]
        assert not set(first) & {version_of(obj) for obj in objects}
        for obj in objects:
            session.delete(obj)
        statements.clear()
        await session.commit()
        assert statements.verbs == ["DELETE"]
    assert both.value(f"SELECT count(*) FROM {model.__mapper__.table}") == 0


@EVERY
async def test_versions_follow_a_rollback(both: Both, model: Any) -> None:
    obj = model(id=1, title="old")
    async with both.session() as session:
        session.add(obj)
        await session.commit()
        before = version_of(obj)
        obj.title = "new"
        await session.flush()
        await session.rollback()
        assert (obj.title, version_of(obj)) == ("old", before)
        obj.title = "newer"
        await session.commit()
        assert version_of(obj) != before


@EVERY
async def test_versions_follow_a_savepoint(both: Both, model: Any) -> None:
    obj = model(id=1, title="old")
    async with both.session() as session:
        session.add(obj)
        await session.flush()
        before = version_of(obj)
        with pytest.raises(KeyError):
            async with begin_nested(session):
                obj.title = "new"
                await session.flush()
                raise KeyError
        assert (obj.title, version_of(obj)) == ("old", before)
        obj.title = "newer"
        await session.commit()


class begin_nested:
    """A savepoint of either session, awaited."""

    def __init__(self, session: Any) -> None:
        self._session = getattr(session, "raw", session)
        self._block = self._session.begin_nested()

    async def __aenter__(self) -> None:
        if hasattr(self._block, "__aenter__"):
            await self._block.__aenter__()
        else:
            self._block.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        if hasattr(self._block, "__aexit__"):
            await self._block.__aexit__(*error)
        else:
            self._block.__exit__(*error)


# --- what a version is ------------------------------------------------------------------------------------------------


async def test_a_counter_begins_at_one_and_counts(both: Both) -> None:
    sheet = Sheet(title="a")
    async with both.session() as session:
        session.add(sheet)
        await session.flush()
        assert sheet.version == 1
        sheet.title = "b"
        await session.commit()
        assert sheet.version == 2
    assert both.column("SELECT version FROM sheets") == [2]


async def test_nothing_changed_is_no_new_version(both: Both, statements: Statements) -> None:
    await made(both, Sheet(id=1, title="a"))
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
        sheet.title = "b"
        sheet.title = "a"
        statements.clear()
        await session.commit()
        assert statements.sent == []
        assert sheet.version == 1


async def test_a_version_from_a_form_is_checked(both: Both) -> None:
    await made(both, Sheet(id=1, title="a"))
    form = {"title": "from the form", "version": 1}
    both.sql("UPDATE sheets SET title = 'someone else', version = 2")
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
        sheet.update_from_dict(form)
        with pytest.raises(StaleObjectError):
            await session.commit()
        sheet.update_from_dict({"title": "from the form", "version": 2})
        await session.commit()
        assert (sheet.title, sheet.version) == ("from the form", 3)


async def test_a_version_alone_is_checked_too(both: Both) -> None:
    await made(both, Sheet(id=1, title="a"), Sheet(id=2, title="b"))
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
        sheet.version = 9
        with pytest.raises(StaleObjectError):
            await session.commit()


async def test_xmin_alone_is_checked_too(both: Both) -> None:
    await made(both, File(id=1, title="a"))
    async with both.session() as session:
        file = await session.get(File, 1)
        file.xmin = "3"
        with pytest.raises(StaleObjectError):
            await session.commit()
        before = file.xmin
        file.title = "b"
        await session.commit()
        assert file.xmin != before


async def test_a_detached_object_brings_its_version(both: Both) -> None:
    await made(both, Sheet(id=1, title="a"))
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
    sheet.title = "offline"
    both.sql("UPDATE sheets SET version = 2")
    async with both.session() as session:
        session.add(sheet)
        with pytest.raises(StaleObjectError) as caught:
            await session.commit()
        await session.refresh(sheet)
        sheet.update_from_dict(caught.value.changes[0])
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT title, version FROM sheets")] == [("offline", 3)]


async def test_an_object_without_known_version_is_not_written(both: Both) -> None:
    files = [File(title="a")]
    async with both.session() as session:
        await session.bulk_insert(files)  # brings no xmin
        session.add(files[0])
        files[0].title = "b"
        with pytest.raises(ObjectStateError, match="does not know its version"):
            await session.flush()
        await session.rollback()


@pytest.mark.parametrize("model", [Sheet, File])
async def test_a_version_that_is_set_to_none_is_not_passed_over(both: Both, model: Any) -> None:
    await made(both, model(id=1, title="a"))
    async with both.session() as session:
        obj = await session.get(model, 1)
        setattr(obj, model.__mapper__.version.key, None)
        obj.title = "b"
        with pytest.raises(ObjectStateError, match="does not know its version"):
            await session.flush()
        await session.rollback()


async def test_bulk_work_counts_versions_on(both: Both) -> None:
    sheets = [Sheet(title="a"), Sheet(title="b")]
    async with both.session() as session:
        await session.bulk_insert(sheets)
        sheets[0].title = "c"
        await session.bulk_update(sheets)
        await session.commit()
        session.add(sheets[1])
        sheets[1].title = "d"
        with pytest.raises(StaleObjectError):
            await session.commit()
    rows = both.sql("SELECT title, version FROM sheets ORDER BY id")
    assert [tuple(row) for row in rows] == [("c", 2), ("b", 2)]


async def test_xmin_in_queries_of_all_kinds(both: Both) -> None:
    await made(both, Folder(id=1, name="f"), File(id=1, title="a", folder_id=1), File(id=2, title="b", folder_id=1))
    async with both.session() as session:
        other = Alias(File, "other")
        folder = await (await session.exec(Select(Folder).Include(Folder.files))).one()
        assert [file.xmin is not None for file in folder.files] == [True, True]
        pair = await (await session.exec(Select(File, other).Join(other, other.id > File.id))).one()
        assert [file.id for file in pair] == [1, 2]
        assert len(await session.exec(Select(File).Distinct())) == 2
        assert len(await session.exec(Select(File).Where(File.id == 1).Union(Select(File)))) == 2
        assert (await session.exec_scalar(Select(File.xmin).Where(File.id == 1))) == pair[0].xmin
        copied = File.from_dict(pair[0].to_dict() | {"id": 3})
        session.add(copied)
        await session.commit()
        assert copied.xmin != pair[0].xmin


async def test_rows_that_the_database_changed_in_this_transaction_are_no_conflict(both: Both) -> None:
    folder = Folder(id=1, name="f")
    await made(both, folder, File(id=1, title="a", folder_id=1), File(id=2, title="b", folder_id=1))
    async with both.session() as session:
        first, second = await session.get(File, 1), await session.get(File, 2)
        before = first.xmin
        session.delete(await session.get(Folder, 1))
        await session.flush()  # ON DELETE SET NULL writes the files
        first.title = "c"
        session.delete(second)
        await session.flush()
        await session.rollback()
        assert (first.title, first.folder_id, first.xmin) == ("a", 1, before)
        first.title = "d"
        await session.commit()
    assert both.column("SELECT title FROM files ORDER BY id") == ["d", "b"]


@pytest.mark.parametrize("model", [Sheet, File])
async def test_values_that_are_handed_over_in_one_flush_are_no_conflict(both: Both, model: Any) -> None:
    await made(both, *(model(id=n, title="t", code=f"c{n}") for n in (1, 2, 3)))
    async with both.session() as session:
        one, two, three = [await session.get(model, n) for n in (1, 2, 3)]
        one.code, two.code = two.code, one.code  # a swap
        three.title = "u"
        session.add(model(id=4, title="new", code="c3"))
        session.delete(three)
        await session.commit()
        two.title = "v"
        await session.commit()
    found = [tuple(row) for row in both.sql(f"SELECT id, code FROM {model.__mapper__.table} ORDER BY id")]
    assert found == [(1, "c2"), (2, "c1"), (4, "c3")]


async def test_rows_that_refer_to_each_other_are_compared_before_they_go(both: Both, statements: Statements) -> None:
    teams = [Team(name=name) for name in "ab"]
    for team in teams:
        team.lead = Member(name=team.name, team=team)
    async with both.session() as session:
        session.add_all(teams)
        await session.commit()
        objects = [*teams, *(team.lead for team in teams)]
        both.sql("UPDATE members SET version = 9 WHERE name = 'b'")
        for obj in objects:
            session.delete(obj)
        with pytest.raises(StaleObjectError, match='DELETE of "members" did not find 1 of 2') as caught:
            await session.commit()
        assert caught.value.objects == (objects[3],)
        await session.refresh(objects[3])
        for obj in objects:
            session.delete(obj)
        statements.clear()
        await session.commit()
        assert statements.verbs == ["SELECT", "SELECT", "WITH"]
    assert both.value("SELECT count(*) FROM teams") == 0


# --- refresh and keep -------------------------------------------------------------------------------------------------


async def test_refresh_keeps_changes_on_top_of_fresh_values(both: Both) -> None:
    await made(both, Sheet(id=1, title="old", body="old", data={"n": 1}))
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
        sheet.title = "mine"
        sheet.data["n"] = 2
        both.sql("UPDATE sheets SET title = 'theirs', body = 'theirs', version = 5")
        await session.refresh(sheet, keep_changes=True)
        assert (sheet.title, sheet.body, sheet.data, sheet.version) == ("mine", "theirs", {"n": 2}, 5)
        await session.commit()
    rows = both.sql("SELECT title, body, data->>'n', version FROM sheets")
    assert [tuple(row) for row in rows] == [("mine", "theirs", "2", 6)]


async def test_refresh_keeps_a_link_that_was_changed(both: Both) -> None:
    await made(both, Folder(id=1, name="a"), Folder(id=2, name="b"), File(id=1, title="t", folder_id=1))
    async with both.session() as session:
        file, target = await session.get(File, 1), await session.get(Folder, 2)
        file.folder = target
        both.sql("UPDATE files SET title = 'theirs'")
        await session.refresh(file, keep_changes=True)
        assert file.folder is target
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT title, folder_id FROM files")] == [("theirs", 2)]


# --- fresh rows -------------------------------------------------------------------------------------------------------


def _rename(file: Any) -> None:
    file.title = "mine"


def _edit_in_place(sheet: Any) -> None:
    sheet.data["n"] = 2


@pytest.mark.parametrize(
    ("model", "change"), [(Sheet, _rename), (Stamped, _rename), (File, _rename), (Sheet, _edit_in_place)]
)
async def test_a_fresh_row_does_not_excuse_a_change_that_was_made_before_it(
    both: Both, model: Any, change: Any
) -> None:
    """A query without autoflush brings the row of an object that has changes: the version stays, the flush tells."""
    more = {"data": {"n": 1}} if model is Sheet else {}
    await made(both, model(id=1, title="old", **more))
    async with both.session() as mine, both.session() as theirs:
        ours = await mine.get(model, 1)
        change(ours)
        (await theirs.get(model, 1)).title = "theirs"
        await theirs.commit()
        with mine.no_autoflush():
            assert await mine.exec(Select(model)).all() == [ours]
        with pytest.raises(StaleObjectError):
            await mine.commit()
        await mine.rollback()
        await mine.refresh(ours)
        change(ours)
        await mine.commit()


async def test_a_fresh_row_does_not_excuse_a_deletion_or_a_new_link(both: Both) -> None:
    await made(both, File(id=1, title="one"), File(id=2, title="two"), Folder(id=1, name="a"))
    for file, act in ((1, "delete"), (2, "link")):
        async with both.session() as session:
            ours, folder = await session.get(File, file), await session.get(Folder, 1)
            if act == "delete":
                session.delete(ours)
            else:
                ours.folder = folder
            both.sql("UPDATE files SET title = 'theirs'")
            with session.no_autoflush():
                _ = await session.exec(Select(File)).all()
            with pytest.raises(StaleObjectError):
                await session.commit()
            await session.rollback()


async def test_a_fresh_row_brings_the_version_of_an_object_without_changes(both: Both) -> None:
    await made(both, Sheet(id=1, title="old", data={"n": 1}))
    async with both.session() as session:
        sheet = await session.get(Sheet, 1)
        assert sheet.data == {"n": 1}  # handed out, and not edited
        both.sql("UPDATE sheets SET title = 'theirs', version = 5")
        _ = await session.exec(Select(Sheet)).all()
        sheet.body = "mine"
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT title, body, version FROM sheets")] == [("theirs", "mine", 6)]


# --- declarations -----------------------------------------------------------------------------------------------------


def test_what_can_not_be_a_version_is_refused() -> None:
    with pytest.raises(MappingError, match="an integer or a timestamp"):

        @table("a")
        class A(PSQLModel):
            id: Column[int] = Column(primary_key=True)
            version: Column[str] = Column(version=True)

    with pytest.raises(MappingError, match="not NULL"):

        @table("b")
        class B(PSQLModel):
            id: Column[int] = Column(primary_key=True)
            version: Column[int | None] = Column(version=True)

    with pytest.raises(MappingError, match="several version columns: one, two"):

        @table("c")
        class C(PSQLModel):
            id: Column[int] = Column(primary_key=True)
            one: Column[int] = Column(version=True)
            two: Column[int] = Column(version=True)

    with pytest.raises(MappingError, match='write optimistic="xmin"'):

        @table("d", optimistic="ctid")
        class D(PSQLModel):
            id: Column[int] = Column(primary_key=True)

    with pytest.raises(MappingError, match="the version is version already"):

        @table("e", optimistic="xmin")
        class E(PSQLModel):
            id: Column[int] = Column(primary_key=True)
            version: Column[int] = Column(version=True)
