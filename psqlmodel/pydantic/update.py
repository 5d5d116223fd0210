"""Update: changes of an object as they came from outside: what was set, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from psqlmodel.pydantic.shapes import UPDATE

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel

M = TypeVar("M", bound="PSQLModel")


class Update(Mapping[str, Any], Generic[M]):
    """Validated changes of an object: a frozen mapping of what was set. What was not set is not there, and is no None.

    `Update[Hero]` is a type for Pydantic: every column may be set, except the key, the version and generated columns.
    `hero.update_from(patch)` applies it. `model` is the class.

        def change(hero_id: int, patch: Update[Hero], session: Sessions) -> Hero:
            return found(session.get(Hero, hero_id)).update_from(patch)
    """

    __slots__ = ("_values", "model")

    def __init__(self, model: type[M], values: Mapping[str, Any]) -> None:
        self.model = model
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Update of {self.model.__name__}: {', '.join(self._values) or 'nothing'}>"  # values may be secret

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from psqlmodel.pydantic import schemas  # it imports Pydantic

        return schemas.schema_of(source, handler, UPDATE)
