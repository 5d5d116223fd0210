"""Idioms of other ORMs and how they are said here: what docs/coming-from.md shows. Ours are run, in their order.

python -m tests.docs.idioms        writes the page
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"

SETUP = """
from psqlmodel import (
    AsyncSession, Alias, Case, Column, Count, Delete, Exists, Func, Insert, PSQLModel, Relation, SQL, Select, Session,
    Sum, Update, create_async_engine, create_engine, table,
)

@table("teams")
class Team(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(unique=True)
    heroes: Relation[list["Hero"]] = Relation()

@table("heroes")
class Hero(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(index=True)
    age: Column[int | None] = Column()
    team_id: Column[int | None] = Column(foreign_key="teams.id")
    team: Relation[Team | None] = Relation()

engine = create_engine()
engine.create_all([Team, Hero])
session = Session(engine)
name, rows = "Ann", [{"name": "Zoe"}, {"name": "Yul"}]
"""

ORMS = ("SQLAlchemy", "SQLModel", "Django", "Tortoise")


@dataclass(frozen=True)
class Idiom:
    """What is wanted, how it is said here, and in the other ORMs (in the order of `ORMS`; "" is left out)."""

    what: str
    ours: str
    theirs: tuple[str, str, str, str]


IDIOMS = [
    Idiom(
        "add, and save",
        'session.add(Hero(name="Ann", team=Team(name="Red"))); session.commit()',
        (
            'session.add(Hero(name="Ann", team=Team(name="Red"))); session.commit()',
            'session.add(Hero(name="Ann", team=Team(name="Red"))); session.commit()',
            'Hero.objects.create(name="Ann", team=Team.objects.create(name="Red"))',
            'await Hero.create(name="Ann", team=await Team.create(name="Red"))',
        ),
    ),
    Idiom(
        "by key, or None",
        "hero = session.get(Hero, 1)",
        (
            "session.get(Hero, 1)",
            "session.get(Hero, 1)",
            "Hero.objects.filter(pk=1).first()",
            "await Hero.get_or_none(id=1)",
        ),
    ),
    Idiom(
        "where, order, limit",
        "session.exec(Select(Hero).Where(Hero.age > 18).OrderBy(Hero.name.Desc()).Limit(5)).all()",
        (
            "session.scalars(select(Hero).where(Hero.age > 18).order_by(Hero.name.desc()).limit(5)).all()",
            "session.exec(select(Hero).where(Hero.age > 18).order_by(col(Hero.name).desc()).limit(5)).all()",
            'Hero.objects.filter(age__gt=18).order_by("-name")[:5]',
            'await Hero.filter(age__gt=18).order_by("-name").limit(5)',
        ),
    ),
    Idiom(
        "the one row, or an error",
        "session.exec(Select(Hero).Where(Hero.name == name)).one()",
        (
            "session.scalars(select(Hero).where(Hero.name == name)).one()",
            "session.exec(select(Hero).where(Hero.name == name)).one()",
            "Hero.objects.get(name=name)",
            "await Hero.get(name=name)",
        ),
    ),
    Idiom(
        "the first, or None",
        "session.exec_one(Select(Hero).OrderBy(Hero.id))",
        (
            "session.scalars(select(Hero).order_by(Hero.id)).first()",
            "session.exec(select(Hero).order_by(Hero.id)).first()",
            'Hero.objects.order_by("id").first()',
            'await Hero.all().order_by("id").first()',
        ),
    ),
    Idiom(
        "or, not, in, null",
        "session.exec(Select(Hero).Where((Hero.age == None) | ~Hero.id.In([7, 8]))).all()",
        (
            "select(Hero).where(or_(Hero.age.is_(None), not_(Hero.id.in_([7, 8]))))",
            "select(Hero).where(or_(col(Hero.age).is_(None), not_(col(Hero.id).in_([7, 8]))))",
            "Hero.objects.filter(Q(age=None) | ~Q(id__in=[7, 8]))",
            "Hero.filter(Q(age=None) | ~Q(id__in=[7, 8]))",
        ),
    ),
    Idiom(
        "text that contains",
        'session.exec(Select(Hero).Where(Hero.name.ILike("%an%"))).all()',
        (
            'select(Hero).where(Hero.name.ilike("%an%"))',
            'select(Hero).where(col(Hero.name).ilike("%an%"))',
            'Hero.objects.filter(name__icontains="an")',
            'Hero.filter(name__icontains="an")',
        ),
    ),
    Idiom(
        "single columns",
        "session.exec(Select(Hero.id, Hero.name)).all()",
        (
            "session.execute(select(Hero.id, Hero.name)).all()",
            "session.exec(select(Hero.id, Hero.name)).all()",
            'Hero.objects.values_list("id", "name")',
            'await Hero.all().values_list("id", "name")',
        ),
    ),
    Idiom(
        "count",
        "session.exec_scalar(Select(Count()).From(Hero))",
        (
            "session.scalar(select(func.count()).select_from(Hero))",
            "session.exec(select(func.count()).select_from(Hero)).one()",
            "Hero.objects.count()",
            "await Hero.all().count()",
        ),
    ),
    Idiom(
        "group, having",
        "session.exec(Select(Hero.team_id, Count()).GroupBy(Hero.team_id).Having(Count() > 0)).all()",
        (
            "select(Hero.team_id, func.count()).group_by(Hero.team_id).having(func.count() > 0)",
            "select(Hero.team_id, func.count()).group_by(Hero.team_id).having(func.count() > 0)",
            'Hero.objects.values("team_id").annotate(n=Count("id")).filter(n__gt=0)',
            'Hero.annotate(n=Count("id")).group_by("team_id").filter(n__gt=0).values("team_id", "n")',
        ),
    ),
    Idiom(
        "order by what is computed",
        "n = Count(); session.exec(Select(Hero.team_id, n).GroupBy(Hero.team_id).OrderBy(n.Desc())).all()",
        (
            "n = func.count(); select(Hero.team_id, n).group_by(Hero.team_id).order_by(n.desc())",
            "n = func.count(); select(Hero.team_id, n).group_by(Hero.team_id).order_by(n.desc())",
            'Hero.objects.values("team_id").annotate(n=Count("id")).order_by("-n")',
            'Hero.annotate(n=Count("id")).group_by("team_id").order_by("-n").values("team_id", "n")',
        ),
    ),
    Idiom(
        "those that have one such",
        "session.exec(Select(Team).Where(Exists(Select(Hero).Where(Hero.team_id == Team.id, Hero.age > 18)))).all()",
        (
            "select(Team).where(Team.heroes.any(Hero.age > 18))",
            "select(Team).where(Team.heroes.any(Hero.age > 18))",
            "Team.objects.filter(heroes__age__gt=18).distinct()",
            "Team.filter(heroes__age__gt=18).distinct()",
        ),
    ),
    Idiom(
        "join, condition on the other table",
        'session.exec(Select(Hero).Join(Hero.team).Where(Team.name == "Red")).all()',
        (
            'select(Hero).join(Hero.team).where(Team.name == "Red")',
            'select(Hero).join(Team).where(Team.name == "Red")',
            'Hero.objects.filter(team__name="Red")',
            'Hero.filter(team__name="Red")',
        ),
    ),
    Idiom(
        "load a to-many relation with the objects",
        "session.exec(Select(Team).Include(Team.heroes)).all()",
        (
            "select(Team).options(selectinload(Team.heroes))",
            "select(Team).options(selectinload(Team.heroes))",
            'Team.objects.prefetch_related("heroes")',
            'await Team.all().prefetch_related("heroes")',
        ),
    ),
    Idiom(
        "only a part of it",
        "session.exec(Select(Team).Include(Team.heroes.Where(Hero.age > 18).OrderBy(Hero.id).Limit(3))).all()",
        (
            "",
            "",
            'Prefetch("heroes", queryset=Hero.objects.filter(age__gt=18))',
            'Prefetch("heroes", queryset=Hero.filter(age__gt=18))',
        ),
    ),
    Idiom(
        "change an object",
        "hero = session.get(Hero, 1); hero.age = 20; session.commit()",
        (
            "hero.age = 20; session.commit()",
            "hero.age = 20; session.add(hero); session.commit()",
            'hero.age = 20; hero.save(update_fields=["age"])',
            'hero.age = 20; await hero.save(update_fields=["age"])',
        ),
    ),
    Idiom(
        "change many rows at once",
        "session.exec(Update(Hero).Set(age=Hero.age + 1).Where(Hero.age != None))",
        (
            "session.execute(update(Hero).values(age=Hero.age + 1).where(Hero.age.is_not(None)))",
            "session.exec(update(Hero).values(age=Hero.age + 1).where(col(Hero.age).is_not(None)))",
            'Hero.objects.exclude(age=None).update(age=F("age") + 1)',
            'await Hero.exclude(age=None).update(age=F("age") + 1)',
        ),
    ),
    Idiom(
        "delete",
        "session.delete(session.get(Hero, 1)); session.rollback()",
        ("session.delete(hero)", "session.delete(hero)", "hero.delete()", "await hero.delete()"),
    ),
    Idiom(
        "get or create",
        'team, made = session.get_or_create(Team, name="Red")',
        ("", "", 'Team.objects.get_or_create(name="Red")', 'await Team.get_or_create(name="Red")'),
    ),
    Idiom(
        "insert or update",
        'session.upsert([Team(name="Red")], on=Team.name)',
        (
            'insert(Team).values(name="Red").on_conflict_do_update(index_elements=["name"], set_={…})',
            'insert(Team).values(name="Red").on_conflict_do_update(index_elements=["name"], set_={…})',
            'Team.objects.update_or_create(name="Red")',
            'await Team.update_or_create(name="Red")',
        ),
    ),
    Idiom(
        "many rows",
        "session.bulk_insert(rows, model=Hero)",
        (
            "session.execute(insert(Hero), rows)",
            "session.exec(insert(Hero), params=rows)",
            "Hero.objects.bulk_create(Hero(**row) for row in rows)",
            "await Hero.bulk_create([Hero(**row) for row in rows])",
        ),
    ),
    Idiom(
        "a part that may fail",
        "with session.begin_nested(): session.add(Hero(name='Eva'))",
        (
            "with session.begin_nested(): …",
            "with session.begin_nested(): …",
            "with transaction.atomic(): …",
            "async with in_transaction(): …",
        ),
    ),
    Idiom(
        "lock a row",
        "session.exec(Select(Hero).Where(Hero.id == 1).ForUpdate()).all()",
        (
            "select(Hero).where(Hero.id == 1).with_for_update()",
            "select(Hero).where(Hero.id == 1).with_for_update()",
            "Hero.objects.select_for_update().get(pk=1)",
            "await Hero.select_for_update().get(id=1)",
        ),
    ),
    Idiom(
        "many rows, little memory",
        "for hero in session.stream(Select(Hero), batch=100): print(end='')",
        (
            "session.scalars(select(Hero).execution_options(yield_per=100))",
            "session.exec(select(Hero).execution_options(yield_per=100))",
            "Hero.objects.iterator(chunk_size=100)",
            "",
        ),
    ),
    Idiom(
        "SQL by hand, into objects",
        'session.exec(SQL("SELECT * FROM heroes WHERE name = {name}", name=name).Into(Hero)).all()',
        (
            'session.scalars(select(Hero).from_statement(text("SELECT … WHERE name = :name")), {"name": name})',
            'session.exec(select(Hero).from_statement(text("SELECT … WHERE name = :name")), params={"name": name})',
            'Hero.objects.raw("SELECT … WHERE name = %s", [name])',
            'await Hero.raw("SELECT …")',
        ),
    ),
    Idiom(
        "the SQL of a query",
        "print(Select(Hero).Where(Hero.id == 1), end='')",
        (
            "print(select(Hero).where(Hero.id == 1))",
            "print(select(Hero).where(Hero.id == 1))",
            "print(Hero.objects.filter(id=1).query)",
            "print(Hero.filter(id=1).sql())",
        ),
    ),
]

DIFFERENT = {
    "SQLAlchemy": [
        "There is no `Mapped`, `mapped_column` and `relationship`: `Column[int]` is the annotation and the declaration,"
        ' `Relation[list["Hero"]]` finds its keys and its opposite by the foreign keys.',
        "Objects stay readable after `commit()`; nothing expires and is read again. `session.refresh(hero)` reads.",
        "A flush writes many rows in one statement, whatever they are; one commit of a few objects is one round trip.",
        "In a synchronous session an unloaded relation is loaded for all objects of its result with one query. In an"
        " `AsyncSession` reading it raises `NotLoadedError`, never `MissingGreenlet`.",
        "`execute` and `scalars` are one verb here: `exec` gives objects for a model and rows for columns.",
        "A pending change that would be lost at the end of a session is a warning.",
    ],
    "SQLModel": [
        "Models are no Pydantic classes: loading rows validates nothing. [Pydantic](pydantic.md) takes them as"
        " they are, and `Create[Hero]`, `Update[Hero]`, `Read[Hero]` are what you would write beside `Hero`.",
        "`select`, `where` and `order_by` begin with a capital: `Select(Hero).Where(…)`.",
        "`session.refresh(hero)` after a commit is not needed: keys and defaults are on the object.",
        "`col()` is `Col()`, and only needed in the plain spelling: see [type checkers](typing.md).",
    ],
    "Django": [
        "There are no managers: a session executes queries, and holds the transaction. Changes are written by"
        " `session.commit()`, all of them, only what was changed.",
        "Lookups are expressions: `age__gt=18` is `Hero.age > 18`, `team__name` is a join along `Hero.team`.",
        "`select_related` and `prefetch_related` are both `Include`; nothing is loaded twice.",
        "A query is executed when `session.exec` gets it, once; it can be kept and executed again.",
        "There are no migrations; [`psqlmodel check`](command.md) says what differs, and a tool of your choice changes"
        " it.",
    ],
    "Tortoise": [
        "What is awaited is the session: `await session.exec(Select(Hero).Where(…))`. The same without `await` runs"
        " in a synchronous `Session`.",
        "Relations are declared on both sides as `Relation[…]`; `hero.team` is loaded by `Include` or `session.load`.",
        "`in_transaction()` is what a session is anyway; parts that may fail stand in `begin_nested()`.",
    ],
}


def page() -> str:
    """Return the page."""
    lines = [
        "# Coming from another ORM",
        "",
        "Each idiom side by side. The column on the right is run by the tests, on the models of SQLModel's tutorial:",
        "teams and heroes. Under an `AsyncSession` it is the same, awaited.",
        "",
    ]
    for number, orm in enumerate(ORMS):
        lines += [f"## {orm}", "", f"| | {orm} | psqlmodel |", "|---|---|---|"]
        for idiom in IDIOMS:
            theirs = idiom.theirs[number]
            if theirs:
                lines.append(f"| {idiom.what} | `{_cell(theirs)}` | `{_cell(idiom.ours)}` |")
        lines += ["", "What is different:", "", *(f"- {each}" for each in DIFFERENT[orm]), ""]
    lines += ["Programs of psqlmodel 0.9: [from psqlmodel 0.9](from-psqlmodel-0.9.md).", ""]
    return "\n".join(lines)


def _cell(code: str) -> str:
    return code.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
