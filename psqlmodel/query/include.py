"""Includes: which relations a query loads beside its objects. Here they are only kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.errors import QueryError

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.path import RelationPath

# What may be included: relations, paths of them, model classes. For type checkers a relation of the plain spelling is
# an object or a list of objects.
Includable: TypeAlias = "RelationPath | ModelPath | type[PSQLModel] | PSQLModel | list[Any] | None"


class ModelPath:
    """An include that names a model instead of a relation: where just one relation leads to it."""

    def __init__(self, target: Any, includes: tuple[Any, ...] = ()) -> None:
        self.target = target
        self.includes = includes

    def Include(self, *paths: Includable) -> ModelPath:
        """Load relations of these objects too."""
        return ModelPath(self.target, (*self.includes, *map(included, paths)))

    def __repr__(self) -> str:
        return str(getattr(self.target, "__name__", self.target))


def included(path: Any) -> Any:
    """Return what `Include` was given as a path; raise `QueryError` for what is none."""
    if isinstance(path, type) and hasattr(path, "__columns__"):
        return ModelPath(path)
    if isinstance(path, ModelPath) or (hasattr(path, "includes") and hasattr(path, "Include")):
        return path
    raise QueryError(f"Include takes relations such as User.orders, or model classes, not {path!r}")


def deepened(path: Any, below: Any) -> Any:
    """Return `path` with `below` included where its last chain of includes ends."""
    if not path.includes:
        return path.Include(below)
    *others, last = path.includes
    made = path.Include()
    made.includes = (*others, deepened(included(last), below))
    return made
