"""Graphs of objects in one flush: trees, circles, one-to-one, and unique values that change hands."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import (
    Column,
    Engine,
    ForeignKey,
    Index,
    OrphanError,
    PSQLModel,
    Relation,
    RelationError,
    Select,
    Unique,
    table,
)

from .both import Both, Statements
from .models import Node
from .rows import plain


@table("crews")
class Department(PSQLModel):
    id: int = Column(primary_key=True)
    boss_id: int | None = Column(foreign_key="sailors.id")
    boss: Relation[Staff | None] = Relation(foreign_keys="boss_id")
    staff: Relation[list[Staff]] = Relation(foreign_keys="department_id")


@table("sailors")
class Staff(PSQLModel):
    id: int = Column(primary_key=True)
    department_id: int = Column(foreign_key="crews.id")
    department: Relation[Department] = Relation()
    badge: Relation[Badge | None] = Relation()


@table("badges")
class Badge(PSQLModel):
    id: int = Column(primary_key=True)
    code: str = Column(unique=True, max_len=40)
    number: int | None = Column(unique=True)
    staff_id: int | None = Column(foreign_key="sailors.id", unique=True)
    staff: Relation[Staff | None] = Relation()


@table("stamps")
class Stamp(PSQLModel):
    id: int = Column(primary_key=True)
    email: str = Column(unique=True, check="email LIKE '%@%'")


@table("hens", constraints=[ForeignKey(["egg_id"], "eggs", ["id"], initially_deferred=True)])
class Hen(PSQLModel):
    id: int = Column(primary_key=True)
    egg_id: int = Column()
    egg: Relation[Egg] = Relation(foreign_keys="egg_id")


@table("eggs", constraints=[ForeignKey(["hen_id"], "hens", ["id"], deferrable=True)])
class Egg(PSQLModel):
    id: int = Column(primary_key=True)
    hen_id: int = Column()
    hen: Relation[Hen] = Relation(foreign_keys="hen_id")


@table("causes")
class Cause(PSQLModel):
    id: int = Column(primary_key=True)
    effect_id: int = Column(foreign_key="effects.id")
    effect: Relation[Effect] = Relation(foreign_keys="effect_id")


@table("effects")
class Effect(PSQLModel):
    id: int = Column(primary_key=True)
    cause_id: int = Column(foreign_key="causes.id")
    cause: Relation[Cause] = Relation(foreign_keys="cause_id")


@table("pages")
class Page(PSQLModel):
    id: int = Column(primary_key=True)
    lines: Relation[list[Line]] = Relation(orphans="delete")


@table("page_lines")
class Line(PSQLModel):
    id: int = Column(primary_key=True)
    page_id: int = Column(foreign_key="pages.id", on_delete="CASCADE")
    text: str = Column()
    page: Relation[Page] = Relation()


@table("graph_offers", indexes=[Index("title", unique=True, where="gone IS NULL")])
class Offer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str]
    gone: Column[str | None] = Column()
    instead_id: Column[int | None] = Column(foreign_key="graph_offers.id")
    instead: Relation["Offer | None"] = Relation()


@table("graph_steps", constraints=[Unique("page_id", "place")])
class Step(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    page_id: Column[int] = Column(foreign_key="pages.id")
    place: Column[int]


@table("graph_covers")
class Cover(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    page_id: Column[int] = Column(foreign_key="pages.id", unique=True)


@table("graph_titles", constraints=[Unique("page_id", initially_deferred=True)])
class Title(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    page_id: Column[int] = Column(foreign_key="pages.id")


@pytest.fixture(autouse=True)
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all(
        [Department, Staff, Badge, Stamp, Page, Line, Hen, Egg, Cause, Effect, Offer, Step, Cover, Title]
    )


async def test_a_tree_is_written_level_by_level(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        leaves = [[Node(name=f"leaf {i}{j}") for j in range(3)] for i in range(3)]
        root = Node(name="root", children=[Node(name=f"child {i}", children=leaves[i]) for i in range(3)])
        session.add(root)
        await session.commit()
    assert statements.verbs == ["INSERT"] * 3
    assert (
        both.value("SELECT count(*) FROM nodes a JOIN nodes b ON b.id = a.parent_id WHERE b.parent_id = %s", root.id)
        == 9
    )


async def test_re_parenting_is_one_update_and_both_sides_agree(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        leaf = Node(name="leaf")
        first, second = Node(name="first", children=[leaf]), Node(name="second", children=[])
        session.add_all([first, second])
        await session.commit()
        statements.clear()
        second.children.append(leaf)
        assert leaf.parent is second
        assert first.children == []
        await session.commit()
        assert statements.verbs == ["UPDATE"]
        assert both.value("SELECT parent_id FROM nodes WHERE name = 'leaf'") == second.id


async def test_rows_of_one_table_may_refer_to_each_other(both: Both) -> None:
    async with both.session() as session:
        a = Node(name="a")
        b = Node(name="b", parent=a)
        a.parent = b
        session.add(a)
        await session.commit()
    assert both.column("SELECT parent_id FROM nodes ORDER BY name") == [b.id, a.id]


async def test_a_circle_of_two_tables_is_closed_by_an_update(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        department = Department()
        boss = Staff(department=department)
        department.boss = boss
        session.add(department)
        await session.commit()
        assert statements.verbs == ["INSERT", "INSERT", "UPDATE"]
        assert both.value("SELECT boss_id FROM crews") == boss.id
        statements.clear()
        session.delete(department)
        session.delete(boss)
        await session.commit()
        assert statements.sent
        assert both.value("SELECT count(*) FROM crews") == 0


async def test_rows_of_a_circle_may_have_keys_that_were_set_after_add(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        department, boss = Department(), Staff()
        session.add_all([department, boss])
        department.boss, boss.department = boss, department
        department.id, boss.id = 7, 8
        await session.commit()
        assert statements.verbs == ["INSERT", "INSERT", "UPDATE"]
        assert (department.boss_id, boss.department_id) == (8, 7)
        assert await session.get(Department, 7) is department
    assert both.value("SELECT boss_id FROM crews WHERE id = 7") == 8


async def test_and_of_one_that_refers_to_itself(both: Both) -> None:
    async with both.session() as session:
        first, second = Node(name="first"), Node(name="second")
        session.add_all([first, second])
        first.parent, second.parent = second, first
        first.id, second.id = 11, 12
        await session.commit()
        assert (first.parent_id, second.parent_id) == (12, 11)
    assert both.column("SELECT parent_id FROM nodes ORDER BY id") == [12, 11]


async def test_a_circle_without_a_gap_is_closed_where_its_keys_are_deferrable(both: Both) -> None:
    async with both.session() as session:
        hen = Hen(egg=Egg())
        hen.egg.hen = hen
        session.add(hen)
        await session.commit()
        assert (hen.egg_id, hen.egg.hen_id) == (hen.egg.id, hen.id)
    assert both.value("SELECT count(*) FROM hens JOIN eggs ON eggs.id = egg_id AND hen_id = hens.id") == 1


async def test_a_circle_without_a_gap_is_an_error_that_names_it(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        cause = Cause(effect=Effect())
        cause.effect.cause = cause
        session.add(cause)
        with pytest.raises(RelationError, match=r"part of a circle of new objects and \w+\.\w+_id can't be NULL"):
            await session.commit()
        await session.rollback()


async def test_one_to_one_partners_may_be_exchanged(both: Both) -> None:
    async with both.session() as session:
        department = Department()
        ada = Staff(department=department, badge=Badge(code="a"))
        bob = Staff(department=department, badge=Badge(code="b"))
        session.add_all([ada, bob])
        await session.commit()
        first, second = ada.badge, bob.badge
        ada.badge, bob.badge = bob.badge, ada.badge
        await session.commit()
        assert (first.staff, second.staff) == (bob, ada)
    assert both.column("SELECT staff_id FROM badges ORDER BY code") == [bob.id, ada.id]


async def test_a_new_partner_takes_the_place_of_the_old_one(both: Both) -> None:
    async with both.session() as session:
        ada = Staff(department=Department(), badge=Badge(code="old"))
        session.add(ada)
        await session.commit()
        ada.badge = Badge(code="new")
        await session.commit()
    assert both.column("SELECT staff_id FROM badges ORDER BY code") == [ada.id, None]


async def test_a_new_row_takes_over_the_unique_value_of_a_deleted_one(both: Both) -> None:
    async with both.session() as session:
        old = Stamp(email="a@x")
        session.add(old)
        await session.commit()
        session.delete(old)
        new = Stamp(email="a@x")
        session.add(new)
        await session.commit()
    assert both.column("SELECT id FROM stamps") == [new.id]


@pytest.mark.parametrize("how", ["marked", "deleted", "marked, and refers to the new one"])
async def test_a_new_row_takes_the_place_of_another_in_a_partial_index(both: Both, how: str) -> None:
    async with both.session() as session:
        old = Offer(title="ink")
        session.add(old)
        await session.commit()
        new = Offer(title="ink")
        session.add(new)
        if how == "deleted":
            session.delete(old)
        else:
            old.gone = "yes"
        if "refers" in how:
            old.instead = new
        plan = str(plain(session).plan())
        await session.commit()
        assert plan.index("DELETE" if how == "deleted" else "UPDATE") < plan.index("INSERT")
    rows = both.sql("SELECT id, gone, instead_id FROM graph_offers ORDER BY gone NULLS FIRST")
    expected = [(new.id, None, None), (old.id, "yes", new.id if "refers" in how else None)]
    assert [tuple(row) for row in rows] == expected[: 1 if how == "deleted" else 2]


async def test_a_row_that_has_another_place_in_a_partial_index_is_written_once(both: Both) -> None:
    async with both.session() as session:
        ink = Offer(title="ink")
        session.add(ink)
        await session.commit()
        ink.gone = "yes"
        pens = Offer(title="pens")
        session.add(pens)
        assert str(plain(session).plan()).count("UPDATE") == 1
        await session.commit()
        pens.gone = "yes"  # a flush of the same shape, where the values do clash
        session.add(Offer(title="pens"))
        await session.commit()
    assert both.column("SELECT title FROM graph_offers WHERE gone IS NULL") == ["pens"]


async def test_a_new_row_takes_over_the_primary_key_of_a_deleted_one(both: Both) -> None:
    async with both.session() as session:
        old = Node(id=7, name="old")
        session.add(old)
        await session.commit()
        session.delete(old)
        new = Node(id=7, name="new")
        session.add(new)
        await session.commit()
        assert await session.get(Node, 7) is new
    assert both.value("SELECT name FROM nodes WHERE id = 7") == "new"


@pytest.mark.parametrize("key", ["code", "number"])
async def test_two_rows_may_swap_unique_values(both: Both, key: str) -> None:
    async with both.session() as session:
        first, second = Badge(code="a", number=1), Badge(code="b", number=2)
        session.add_all([first, second])
        await session.commit()
        before = (getattr(first, key), getattr(second, key))
        setattr(first, key, before[1])
        setattr(second, key, before[0])
        await session.commit()
    assert both.column(f"SELECT {key} FROM badges ORDER BY id") == [before[1], before[0]]


async def test_rows_swap_their_places_within_a_parent(both: Both) -> None:
    async with both.session() as session:
        page, other = Page(), Page()
        session.add_all([page, other])
        await session.flush()
        steps = [Step(page_id=page.id, place=place) for place in (1, 2, 3)]
        away = [Step(page_id=page.id, place=4), Step(page_id=other.id, place=4)]
        session.add_all([*steps, *away])
        await session.commit()
        steps[0].place, steps[1].place, steps[2].place = 2, 3, 1
        await session.commit()
        assert both.sql("SELECT page_id, place FROM graph_steps WHERE place < 4 ORDER BY id") == [
            (page.id, 2),
            (page.id, 3),
            (page.id, 1),
        ]
        away[0].page_id, away[1].page_id = other.id, page.id  # nothing else can stand there for the moment
        with pytest.raises(RelationError, match=r"take over \(page_id, place\) from each other.*initially_deferred"):
            await session.commit()
        await session.rollback()
    assert both.column("SELECT place FROM graph_steps ORDER BY id") == [2, 3, 1, 4, 4]


@pytest.mark.parametrize(("model", "swapped"), [(Cover, False), (Title, True)])
async def test_one_to_one_relations_swap_where_the_constraint_waits(both: Both, model: Any, swapped: bool) -> None:
    async with both.session() as session:
        pages = [Page(), Page()]
        session.add_all(pages)
        await session.flush()
        one, two = model(page_id=pages[0].id), model(page_id=pages[1].id)
        session.add_all([one, two])
        await session.commit()
        one.page_id, two.page_id = two.page_id, one.page_id
        if swapped:
            await session.commit()
        else:
            with pytest.raises(RelationError, match="nothing else can stand there meanwhile"):
                await session.commit()
            await session.rollback()
        assert (one.page_id < two.page_id) is not swapped
    found = both.column(f"SELECT page_id FROM {model.__source__.name} ORDER BY id")
    assert (found == sorted(found)) is not swapped


async def test_a_unique_value_moves_along_a_chain(both: Both) -> None:
    async with both.session() as session:
        stamps = [Stamp(email=f"{n}@x") for n in range(5)]
        session.add_all(stamps)
        await session.commit()
        for n, stamp in enumerate(stamps):
            stamp.email = f"{n + 1}@x"
        session.add(Stamp(email="0@x"))
        await session.commit()
    assert both.column("SELECT email FROM stamps ORDER BY email") == [f"{n}@x" for n in range(6)]


async def test_primary_keys_may_move_but_not_be_swapped(both: Both) -> None:
    async with both.session() as session:
        a, b = Node(id=1, name="a"), Node(id=2, name="b")
        session.add_all([a, b])
        await session.commit()
        a.id, b.id = 2, 3
        await session.commit()
        assert await session.get(Node, 2) is a
        assert await session.get(Node, 3) is b
        a.id, b.id = 3, 2
        with pytest.raises(RelationError, match="swap primary keys"):
            await session.commit()
        await session.rollback()
    assert both.column("SELECT name FROM nodes ORDER BY id") == ["a", "b"]


async def test_a_child_that_needs_its_parent_can_not_be_left_alone(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        department = Department(staff=[Staff(), Staff()])
        session.add(department)
        await session.commit()
        lonely = department.staff.pop()
        statements.clear()
        with pytest.raises(OrphanError, match="department_id can't be NULL") as caught:
            await session.commit()
        assert caught.value.object is lonely
        assert statements.sent == []
        await session.rollback()
        assert len(department.staff) == 2
        assert lonely.department is department


async def test_an_orphan_of_a_nullable_key_is_set_free(both: Both) -> None:
    async with both.session() as session:
        root = Node(name="root", children=[Node(name="child")])
        session.add(root)
        await session.commit()
        child = root.children.pop()
        await session.commit()
        assert child.parent_id is None
    assert both.value("SELECT count(*) FROM nodes WHERE parent_id IS NULL") == 2


async def test_orphans_are_deleted_where_the_relation_says_so(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        page = Page(lines=[Line(text="a"), Line(text="b"), Line(text="c")])
        session.add(page)
        await session.commit()
        kept, moved, gone = page.lines
        other = Page(lines=[moved])
        session.add(other)
        page.lines.remove(gone)
        await session.commit()
        assert page.lines == [kept]
        assert other.lines == [moved]
    assert both.column("SELECT text FROM page_lines ORDER BY text") == ["a", "b"]


async def test_a_list_that_is_replaced_deletes_what_is_not_in_it(both: Both) -> None:
    async with both.session() as session:
        page = Page(lines=[Line(text="a"), Line(text="b")])
        session.add(page)
        await session.commit()
        page.lines = [page.lines[1], Line(text="c")]
        await session.commit()
    assert both.column("SELECT text FROM page_lines ORDER BY text") == ["b", "c"]


async def test_a_moved_child_survives_the_deletion_of_its_old_parent(both: Both) -> None:
    async with both.session() as session:
        leaf = Node(name="leaf")
        old, new = Node(id=1, name="old", children=[leaf]), Node(id=2, name="new", children=[])
        session.add_all([old, new])
        await session.commit()
        leaf.parent = new
        session.delete(old)
        await session.commit()
        assert new.children == [leaf]
    assert both.column("SELECT name FROM nodes ORDER BY name") == ["leaf", "new"]


async def test_select_after_a_graph_gives_the_same_objects(both: Both) -> None:
    async with both.session() as session:
        root = Node(name="root", children=[Node(name="child")])
        session.add(root)
        await session.commit()
        found = await session.exec(Select(Node).OrderBy(Node.id)).all()
        assert found == [root, root.children[0]]
