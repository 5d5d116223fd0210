"""Shapes: which columns and relations of a model outside data may have, and which are shown. Imports no Pydantic yet.

A model class itself is a type for Pydantic. `Create[Hero]` and `Read[Hero]` are the same class with another shape, so
that the value is a `Hero`, for type checkers too; `Annotated[Hero, Shape(…)]` is one of your own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from psqlmodel.errors import ConfigurationError

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.path import RelationPath

M = TypeVar("M", bound="PSQLModel")
Purpose: TypeAlias = Literal["any", "create", "read", "update"]


class Shape:
    """Which columns and relations of a model a type has.

    Parameters:
        purpose: `"create"` takes no key, version or column that the database makes; `"read"` shows columns only;
            `"any"` takes keys, too, and shows whatever relations are loaded.
        include: the columns, by name or attribute, and no relation; by default all that the purpose has.
        exclude: columns to leave out: `[Hero.password]`.
        relations: these are part of it: data may bring them, and what is shown must have them loaded. Paths go deeper:
            `Hero.team.Include(Team.city)`.
        name: the name in JSON schema and OpenAPI.

    Raises `ConfigurationError` for a purpose that there is not, and for what is no column or relation.

        HeroWithTeam = Annotated[Hero, Shape("read", relations=[Hero.team], name="HeroWithTeam")]
    """

    def __init__(
        self,
        purpose: Purpose = "any",
        *,
        include: Iterable[Any] | None = None,
        exclude: Iterable[Any] = (),
        relations: Iterable[RelationPath] | None = None,
        name: str | None = None,
    ) -> None:
        if purpose not in ("any", "create", "read", "update"):
            raise ConfigurationError(f'a Shape is for "any", "create", "read" or "update", not for {purpose!r}')
        self.purpose = purpose
        self.include = None if include is None else tuple(include)
        self.exclude = tuple(exclude)
        self.relations = None if relations is None else tuple(relations)
        self.name = name
        paths = None if self.relations is None else tuple(map(_path_key, self.relations))
        names = None if self.include is None else tuple(map(named, self.include))
        self._key = purpose, names, tuple(map(named, self.exclude)), paths, name
        self._hash = hash(self._key)  # once: it is asked for with every object that is shown

    @property
    def shows_what_is_loaded(self) -> bool:
        """Whether all relations that are loaded are shown: nothing was chosen."""
        return self.purpose == "any" and self.relations is None and self.include is None

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Shape) else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Shape({self.purpose!r}{'' if self.name is None else f', name={self.name!r}'})"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from psqlmodel.pydantic import schemas  # it imports Pydantic

        return schemas.schema_of(source, handler, self)


def named(item: Any) -> str:
    """Return the name of a column, which is given as text or as attribute.

    Raises `ConfigurationError` for anything else.
    """
    name = item if isinstance(item, str) else getattr(item, "key", None)
    if not isinstance(name, str):
        raise ConfigurationError(f"a Shape takes columns by name or attribute (Hero.name), not {item!r}")
    return name


def _path_key(path: Any) -> tuple[Any, ...]:
    relation = getattr(path, "relation", None)
    if relation is None:
        raise ConfigurationError(f"a Shape takes relations as attributes (Hero.team), not {path!r}")
    return relation.mapper, relation.key, *map(_path_key, path.includes)


ANY = Shape()
UPDATE = Shape("update")

# What the database makes is not taken: keys, versions, generated columns. The value is a new object.
Create: TypeAlias = Annotated[M, Shape("create")]
# The columns, and no relation. The value is an object.
Read: TypeAlias = Annotated[M, Shape("read")]
