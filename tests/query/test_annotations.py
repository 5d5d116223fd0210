"""Annotations of models in each way that Python keeps them; no database.

Values (up to Python 3.13), texts (`from __future__ import annotations`), and functions that are called when somebody
asks (from Python 3.14 on): there, names that come later need neither quotes nor the import.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from psqlmodel import MappingError

LATER = "from __future__ import annotations\n"
WAYS = pytest.mark.parametrize(
    "way",
    [
        LATER,
        pytest.param("", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="evaluated at once before 3.14")),
    ],
    ids=["texts", "functions"],
)
HEAD = "from datetime import datetime\nfrom typing import ClassVar\nfrom psqlmodel import *\n"


def ran(way: str, body: str) -> dict[str, Any]:
    """Run a module in which annotations are kept this way; return its names."""
    module = sys.modules["annotated_here"] = ModuleType("annotated_here")
    try:
        exec(compile(way + HEAD + body, "annotated_here.py", "exec", dont_inherit=True), vars(module))
    finally:
        del sys.modules["annotated_here"]
    return vars(module)


MODELS = """
@table("annotated_authors")
class Author(PSQLModel):
    id: int = Column(primary_key=True)
    name: str
    born: datetime | None = None
    kind: ClassVar[str] = "author"
    boss_id: int | None = Column(foreign_key="annotated_authors.id")
    boss: Author | None = Relation()
    books: Relation[list[Book]]

@table("annotated_books")
class Book(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    pages: Column[int | None]
    author_id: Column[int] = Column(foreign_key="annotated_authors.id")
    author: Relation[Author | None]
"""


@WAYS
def test_names_that_come_later(way: str) -> None:
    names = ran(way, MODELS)
    author = names["Author"](name="Ada", books=[names["Book"](pages=3)])
    assert author.books[0].author is author
    assert (author.kind, author.born, author.boss) == ("author", None, None)
    columns = {key: (c.pg_type.name, c.nullable) for key, c in names["Author"].__mapper__.attributes.items()}
    assert columns["born"] == ("timestamptz", True)
    assert columns["name"] == ("text", False)
    assert names["Book"].pages.nullable
    with pytest.raises(TypeError, match="unknown keyword 'nam'"):
        names["Author"](nam="x")


@WAYS
def test_classes_in_functions(way: str) -> None:
    names = ran(
        way,
        """
def make(Key):
    class Keyed(PSQLModel):
        id: Column[Key] = Column(primary_key=True)

    @table("annotated_ones")
    class One(Keyed):
        others: list[Other] = Relation()

    @table("annotated_others")
    class Other(Keyed):
        one_id: Column[Key] = Column(foreign_key="annotated_ones.id")
        one: One | None = Relation()

    return One, Other
One, Other = make(str)
""",
    )
    one = names["One"](id="a")
    assert names["Other"](one=one).one is one
    assert len(one.others) == 1
    assert names["Other"].one_id.pg_type.name == "text"


def test_what_a_function_around_the_function_knows() -> None:
    if sys.version_info < (3, 14):
        pytest.skip("an annotation sees the functions around its class from Python 3.14 on")
    names = ran(
        "",
        """
def outer(Key):
    def inner():
        @table("annotated_deep")
        class Deep(PSQLModel):
            id: Column[Key] = Column(primary_key=True)
            later: Relation[Later]
            later_id: Column[Key] = Column(foreign_key="annotated_later.id")
        return Deep
    return inner()
Deep = outer(str)
""",
    )
    assert names["Deep"].later_id.pg_type.name == "text"


@WAYS
def test_mixins_and_attributes_that_are_no_columns(way: str) -> None:
    names = ran(
        way,
        """
class Stamped:
    made: Column[datetime | None]
    note: str
    later: Unknown

@table("annotated_mixed")
class Mixed(Stamped, PSQLModel):
    id: Column[int] = Column(primary_key=True)
    _cache: dict[str, Nowhere] | None = None
""",
    )
    Mixed = names["Mixed"]
    assert list(Mixed.__mapper__.attributes) == ["made", "id"]
    mixed = Mixed(id=1)
    mixed.note, mixed.later = "announced by the mixin", 1
    assert (mixed.note, mixed._cache) == ("announced by the mixin", None)
    with pytest.raises(AttributeError, match="no column or relation 'notes'"):
        mixed.notes = "x"


@WAYS
def test_what_is_no_type_is_an_error(way: str) -> None:
    with pytest.raises(MappingError, match=r"^Odd\.what: "):
        ran(
            way,
            """
@table("annotated_odd")
class Odd(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    what: Column[object()]
""",
        )
    with pytest.raises(MappingError, match=r"Odd\.what"):
        ran(way, '@table("annotated_odder")\nclass Odd(PSQLModel):\n    id: int\n    what: Column[Missing]\n')


@WAYS
def test_a_union_that_typing_makes_by_an_import(way: str) -> None:
    names = ran(
        way,
        """
@table("annotated_spans")
class Span(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    numbers: Column[Range[int] | None]
    days: "Column[list[Later] | None]" = Column(type=types.jsonb)
""",
    )
    assert (names["Span"].numbers.pg_type.name, names["Span"].numbers.nullable) == ("int4range", True)
