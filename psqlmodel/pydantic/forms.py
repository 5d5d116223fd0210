"""Forms: a model in one shape as a TypedDict, which Pydantic validates, shows and describes. Sends nothing.

A TypedDict holds what was set and nothing else: a value that is missing is no None. Forms are made once for each class
and shape, and kept by the mapper.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Required

from pydantic import ConfigDict
from typing_extensions import TypedDict  # Pydantic knows no other before Python 3.12

from psqlmodel.errors import ConfigurationError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.versions import is_system
from psqlmodel.pydantic.fields import annotations_of, field_of, or_none, with_default
from psqlmodel.pydantic.shapes import ANY, Purpose, Shape, named
from psqlmodel.schema.wanted import automatic_identity

if TYPE_CHECKING:
    from psqlmodel.model.relations import RelationInfo

_NAMES = {"any": "Input", "create": "Create", "update": "Update", "read": "Read"}


class Nested:
    """Stands for the form of related objects, which is asked for when a schema is made: classes lead in circles."""

    def __init__(self, relation: RelationInfo, shape: Shape) -> None:
        self.relation = relation
        self.shape = shape

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(output_form(self.relation.target, self.shape))


def input_form(mapper: Mapper, shape: Shape) -> Any:
    """Return the form of outside data for new objects of a class, or for changes of one."""
    return _kept(mapper, ("input", shape), lambda: _input_form(mapper, shape))


def output_form(mapper: Mapper, shape: Shape) -> Any:
    """Return the form in which objects of a class are shown."""
    return _kept(mapper, ("output", shape), lambda: _output_form(mapper, shape))


def shown_columns(mapper: Mapper, shape: Shape) -> list[Column[Any]]:
    """Return the columns that a shape shows."""
    return [column for column in mapper.columns if not is_system(column) and _chosen(mapper, column, shape)]


def _kept(mapper: Mapper, key: Any, make: Any) -> Any:
    found = mapper.forms.get(key)
    return mapper.forms.setdefault(key, make()) if found is None else found


# --- what comes in ----------------------------------------------------------------------------------------------


def _input_form(mapper: Mapper, shape: Shape) -> Any:
    _check_names(mapper, (*(shape.include or ()), *shape.exclude))
    annotations = annotations_of(mapper)
    relations = [path.relation for path in shape.relations or ()]
    given_by_relation = {key for relation in relations if relation.outgoing for key in relation.local_keys}
    fields: dict[str, Any] = {}
    for column in _taken(mapper, shape):
        field = field_of(mapper, column, annotations[column.key])
        if shape.purpose != "update":
            field = with_default(field, column)
        needed = shape.purpose != "update" and column.key not in given_by_relation and _is_needed(mapper, column)
        fields[column.key] = Required[field] if needed else NotRequired[field]
    for path in shape.relations or ():
        fields[path.relation.key] = NotRequired[_taken_relation(path, shape)]
    return _typed_dict(mapper, shape.name or f"{mapper.name}{_NAMES[shape.purpose]}", fields)


def _taken(mapper: Mapper, shape: Shape) -> Iterable[Column[Any]]:
    """Give the columns that outside data may set."""
    for column in mapper.columns:
        if column.generated is not None or column.identity == "ALWAYS" or not _chosen(mapper, column, shape):
            continue
        if shape.include is not None or not _is_reserved(mapper, column, shape):
            yield column


def _is_reserved(mapper: Mapper, column: Column[Any], shape: Shape) -> bool:
    """Tell whether the program or the database sets the column, unless the shape names it."""
    if column.version:
        return True
    if shape.purpose == "update":
        return column.primary_key
    return shape.purpose == "create" and column.primary_key and not _is_needed(mapper, column)


def _is_needed(mapper: Mapper, column: Column[Any]) -> bool:
    """Tell whether a row needs a value for the column that nothing else makes."""
    given = column.has_default() or column.server_default is not None or column.pg_type.serial
    return not (column.nullable or given or automatic_identity(mapper, column))


def _taken_relation(path: Any, shape: Shape) -> Any:
    """Return the type of related objects that data brings: the key that leads to their parent is not part of them."""
    relation = path.relation
    leads_back = [] if relation.outgoing or relation.secondary is not None else [c.key for c in relation.remote]
    purpose: Purpose = "create" if shape.purpose == "create" else "any"
    inner = Shape(purpose, exclude=leads_back, relations=path.includes, name=_nested_name(path, leads_back, purpose))
    cls: Any = relation.target.cls
    target: Any = Annotated[cls, inner]
    if relation.many:
        return list[target]
    optional = not relation.outgoing or all(column.nullable for column in relation.local)
    return or_none(target) if optional else target


def _nested_name(path: Any, leads_back: list[str], purpose: str) -> str | None:
    """Return a name that tells it from the form of the class by itself, where it differs."""
    if not leads_back and not path.includes:
        return None
    relation = path.relation
    return f"{relation.mapper.name}{relation.key.title().replace('_', '')}{_NAMES[purpose]}"


# --- what goes out ----------------------------------------------------------------------------------------------


def _output_form(mapper: Mapper, shape: Shape) -> Any:
    _check_names(mapper, (*(shape.include or ()), *shape.exclude))
    annotations = annotations_of(mapper)
    fields: dict[str, Any] = {}
    for column in shown_columns(mapper, shape):
        fields[column.key] = field_of(mapper, column, annotations[column.key])
    for path in shape.relations or ():
        fields[path.relation.key] = _shown_relation(path.relation, nested_shape(path))
    described = {"required": list(fields)}  # of a row. A new object may have less, and no relation is promised
    if shape.shows_what_is_loaded:
        for relation in mapper.relations.values():
            fields[relation.key] = _shown_relation(relation, ANY)
    fields = {key: NotRequired[field] for key, field in fields.items()}
    default = mapper.name if shape.purpose == "any" else f"{mapper.name}{_NAMES[shape.purpose]}"
    return _typed_dict(mapper, shape.name or default, fields, described)


def nested_shape(path: Any) -> Shape:
    """Return the shape of related objects that a shape shows by this path."""
    relation = path.relation
    name = f"{relation.target.name}With{'And'.join(_title(p.relation.key) for p in path.includes)}"
    return Shape("read", relations=path.includes, name=name if path.includes else None)


def _title(key: str) -> str:
    return key.title().replace("_", "")


def _shown_relation(relation: RelationInfo, shape: Shape) -> Any:
    nested: Any = Annotated[Any, Nested(relation, shape)]
    return list[nested] if relation.many else or_none(nested)


# --- both -------------------------------------------------------------------------------------------------------


def _chosen(mapper: Mapper, column: Column[Any], shape: Shape) -> bool:
    names = (column.key, column.name)
    if shape.include is not None and not any(named(item) in names for item in shape.include):
        return False
    return not any(named(item) in names for item in shape.exclude)


def _check_names(mapper: Mapper, items: Iterable[Any]) -> None:
    for item in items:
        if not mapper.has_column(item):
            hint = did_you_mean(named(item), list(mapper.attributes))
            raise ConfigurationError(f"a Shape of {mapper.name} names {named(item)!r}, which is no column of it{hint}")


def _typed_dict(mapper: Mapper, name: str, fields: dict[str, Any], described: dict[str, Any] | None = None) -> Any:
    make: Any = TypedDict  # type checkers want the fields spelled out
    form = make(name, fields)
    form.__module__ = mapper.cls.__module__
    form.__doc__ = mapper.comment
    form.__pydantic_config__ = ConfigDict(extra="forbid", title=name, json_schema_extra=described)
    return form
