"""Changes from outside: what was set is set, and what was not is left alone."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from psqlmodel import Select
from psqlmodel.pydantic import Shape, Update
from tests.database.both import Both

from .models import Hero, Team


def patch_of(data: Any) -> Update[Hero]:
    adapter: TypeAdapter[Update[Hero]] = TypeAdapter(Update[Hero])
    return adapter.validate_python(data)


def test_a_patch_has_what_was_set() -> None:
    patch = patch_of({"age": None, "name": "Ada"})
    assert dict(patch) == {"age": None, "name": "Ada"}
    assert ("age" in patch, "mood" in patch, len(patch)) == (True, False, 2)
    assert repr(patch) == "<Update of Hero: name, age>"  # no values
    assert repr(patch_of({})) == "<Update of Hero: nothing>"
    assert patch.model is Hero
    assert TypeAdapter(Update[Hero]).validate_python(patch) is patch


@pytest.mark.parametrize(
    ("data", "place", "kind"),
    [
        ({"name": None}, "name", "string_type"),
        ({"name": "A"}, "name", "string_too_short"),
        ({"id": 3}, "id", "extra_forbidden"),
        ({"version": 3}, "version", "extra_forbidden"),
        ({"upper": "X"}, "upper", "extra_forbidden"),
        ({"team": None}, "team", "extra_forbidden"),
    ],
)
def test_a_patch_is_validated(data: Any, place: str, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        patch_of(data)
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((place,), kind)]


async def test_what_is_set_is_written_and_nothing_else(both: Both) -> None:
    async with both.session() as session:
        await session.add(Hero(name="Ada", age=3, secret="x"))
        await session.commit()
        both.statements.clear()
        hero = await session.exec(Select(Hero)).one()
        assert hero.update_from(patch_of({"age": None})) is hero
        await session.commit()
        (update,) = both.statements.of("flush")
        assert '"age"' in update
        assert '"secret"' not in update
    assert both.sql("SELECT name, age, secret, version FROM pyd_heroes")[0] == ("Ada", None, "x", 2)


async def test_an_empty_patch_writes_nothing(both: Both) -> None:
    async with both.session() as session:
        await session.add(Hero(name="Ada"))
        await session.commit()
        both.statements.clear()
        hero = await session.exec(Select(Hero)).one()
        hero.update_from(patch_of({}))
        await session.commit()
        assert both.statements.of("flush") == []


def test_a_mapping_and_a_model_of_pydantic_are_patches_too() -> None:
    class Change(BaseModel):
        age: int | None = None
        secret: str | None = None

    hero = Hero(name="Ada", age=3, secret="x")
    assert hero.update_from({"name": "Grace"}).name == "Grace"
    hero.update_from(Change(age=None))
    assert (hero.age, hero.secret) == (None, "x")
    hero.update_from(Change())
    assert hero.secret == "x"


def test_what_is_no_patch_is_refused() -> None:
    hero = Hero(name="Ada")
    with pytest.raises(TypeError, match=r"Team\.update_from\(\) got changes of a Hero"):
        Team(name="x").update_from(patch_of({"name": "Ada"}))
    with pytest.raises(TypeError, match="takes an Update, a mapping or a BaseModel"):
        hero.update_from([("name", "x")])
    with pytest.raises(AttributeError, match="nam"):
        hero.update_from({"age": 3, "nam": "x"})
    assert "age" not in hero.to_dict()


def test_a_patch_of_ones_own() -> None:
    adapter = TypeAdapter(Annotated[Update[Hero], Shape(include=[Hero.age, Hero.version])])
    assert dict(adapter.validate_python({"version": 3})) == {"version": 3}
    with pytest.raises(ValidationError, match="extra_forbidden"):
        adapter.validate_python({"name": "Ada"})
