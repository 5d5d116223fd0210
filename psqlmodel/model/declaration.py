"""Declarations: from the body of a class to its columns and relations. Runs when classes are made; knows no table."""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any, ClassVar, ForwardRef

from psqlmodel.errors import MappingError, PSQLModelError
from psqlmodel.model.fields import Column, FieldAnnotation, Relation
from psqlmodel.model.resolution import read_annotation
from psqlmodel.model.state import UNSET
from psqlmodel.model.versions import as_version
from psqlmodel.query.nodes import TableSource
from psqlmodel.types import PgType, from_annotation, varchar

RESERVED = frozenset(
    {
        *("to_dict", "from_dict", "update_from_dict", "update_from", "validate", "model_dump", "model_dump_json"),
        *("save", "delete"),
    }
)


_VALUE, _TEXT = 1, 4  # annotationlib.Format, without the import: a class whose names all exist does not need it


class Field:
    """One declared field: its `Column` or `Relation`, and the annotation, evaluated as far as names were known."""

    __slots__ = ("annotation", "declared")

    def __init__(self, declared: Column[Any] | Relation[Any], annotation: Any) -> None:
        self.declared = declared
        self.annotation = annotation


class _Names(dict[str, Any]):
    """The names that an annotation sees; one that is missing is a forward reference."""

    def __init__(self, *scopes: Mapping[str, Any]) -> None:
        super().__init__()
        self._scopes = scopes

    def __missing__(self, name: str) -> Any:
        for scope in self._scopes:
            if name in scope:
                return scope[name]
        return ForwardRef(name)


def declared_fields(owner: str, namespace: dict[str, Any], frame: FrameType) -> tuple[dict[str, Field], dict[str, Any]]:
    """Split the namespace of a model class into its fields and what remains of it.

    Raises `MappingError` for a field that can't be one.
    """
    scopes = (namespace, frame.f_locals, frame.f_globals, vars(builtins))
    fields = _fields_of(owner, namespace, scopes, plain=True)
    for key in fields:
        if key.startswith("_") or key in RESERVED:
            raise MappingError(f"{owner}.{key}: the name is reserved; choose another and give the column name={key!r}")
    remaining = {key: value for key, value in namespace.items() if key not in fields}
    return fields, remaining


def annotations_in(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations of a class by its namespace, in their order: values or texts.

    From Python 3.14 on a class body has a function that makes them. Where that knows a name not yet, all of them are
    texts, as `from __future__ import annotations` makes them. Raises what an annotation raises in both ways.
    """
    written: Mapping[str, Any] | None = namespace.get("__annotations__")
    if written is not None:
        return written
    evaluate = namespace.get("__annotate_func__")
    if evaluate is None:
        return {}
    try:
        return evaluate(_VALUE)  # type: ignore[no-any-return]
    except Exception:
        import annotationlib  # type: ignore[import-not-found,unused-ignore]  # Python 3.14

        return annotationlib.call_annotate_function(evaluate, _TEXT)  # type: ignore[no-any-return,unused-ignore]


def _fields_of(
    owner: str, namespace: Mapping[str, Any], scopes: tuple[Mapping[str, Any], ...], *, plain: bool
) -> dict[str, Field]:
    annotations = annotations_in(namespace)
    names = _Names(_enclosed_by(namespace), *scopes)
    fields: dict[str, Field] = {}
    for key in [*annotations, *(key for key in namespace if key not in annotations)]:
        field = _field(owner, key, namespace.get(key, UNSET), annotations.get(key, UNSET), names, plain=plain)
        if field is not None:
            fields[key] = field
    return fields


def _field(owner: str, key: str, value: Any, annotation: Any, names: _Names, *, plain: bool) -> Field | None:
    if annotation is UNSET:
        return Field(value, UNSET) if isinstance(value, Column | Relation) else None
    found = _evaluate(annotation, names)
    if isinstance(found, FieldAnnotation):
        declared: Any = value if isinstance(value, found.field) else found.field(**_as_default(found.field, value))
        return Field(declared, _evaluate(found.item, names))
    if isinstance(value, Column | Relation):
        return Field(value, found)
    if not plain or key.startswith("_") or _is_class_variable(annotation, found):
        return None
    return Field(Column(**_as_default(Column, value)), found)


def _as_default(field: type, value: Any) -> dict[str, Any]:
    return {} if value is UNSET or field is Relation else {"default": value}


def _is_class_variable(annotation: Any, found: Any) -> bool:
    return found is ClassVar or typing.get_origin(found) is ClassVar or "ClassVar" in str(annotation)


def _enclosed_by(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the annotations of a class see of the functions around it: from Python 3.14 on they are a closure."""
    evaluate: Any = namespace.get("__annotate_func__")
    cells: Iterable[Any] = getattr(evaluate, "__closure__", None) or ()
    names = evaluate.__code__.co_freevars if cells else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True) if _is_filled(cell)}


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where the function has not come that far
    except ValueError:
        return False
    return True


def _evaluate(annotation: Any, names: _Names) -> Any:
    """Return what an annotation means; it stays as it is where it can't be evaluated."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        found = eval(annotation, {}, names)  # noqa: S307 - source text of the user's own class
    except Exception:
        return annotation
    # In quotes, and again by `from __future__ import annotations`.
    return _evaluate(found, names) if isinstance(found, str) and found != annotation else found


# --- from fields to the columns of one table ------------------------------------------------------------------------


def make_attributes(
    cls: type, source: TableSource
) -> tuple[dict[str, Column[Any]], dict[str, Column[Any]], dict[str, Relation[Any]]]:
    """Return the bound columns, the declarations behind them, and the relations of a class, its bases included.

    Raises `MappingError` where a column has no usable type or two columns share a name.
    """
    attributes: dict[str, Column[Any]] = {}
    declared: dict[str, Column[Any]] = {}
    relations: dict[str, Relation[Any]] = {}
    for key, field in inherited_fields(cls).items():
        if isinstance(field.declared, Relation):
            relations[key] = _relation(field)
        else:
            declared[key] = field.declared
            attributes[key] = _bound(cls, key, field, source)
    names = [column.name for column in attributes.values()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise MappingError(f"{cls.__name__}: several attributes are mapped to the column {sorted(twice)[0]!r}")
    if not attributes:
        raise MappingError(
            f"{cls.__name__} has no columns: declare one such as id: Column[int] = Column(primary_key=True)"
        )
    return attributes, declared, relations


def inherited_fields(cls: type) -> dict[str, Field]:
    """Return the fields of a class and its bases."""
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        own = base.__dict__.get("__fields__")
        if own is None:
            module = vars(_module(base))
            own = _fields_of(base.__name__, base.__dict__, (base.__dict__, module, vars(builtins)), plain=False)
        fields.update(own)
    return fields


def _module(cls: type) -> Any:
    import sys

    return sys.modules.get(cls.__module__, builtins)


def _relation(field: Field) -> Relation[Any]:
    declared: Any = field.declared
    if field.annotation is not UNSET:
        read_annotation(declared, field.annotation)
    return declared  # type: ignore[no-any-return]


def _bound(cls: type, key: str, field: Field, source: TableSource) -> Column[Any]:
    declared: Any = field.declared
    annotation, optional = without_none(field.annotation)
    pg_type = declared.type if declared.type is not None else _infer(cls, key, annotation)
    if declared.max_len is not None and declared.type is None and pg_type.name in ("text", "varchar"):
        pg_type = varchar(declared.max_len)
    nullable = declared.nullable if declared.nullable is not None else optional
    bound: Column[Any] = declared.bind(source, key, pg_type, nullable=nullable and not declared.primary_key)
    return as_version(cls.__name__, bound) if bound.version else bound


def _infer(cls: type, key: str, annotation: Any) -> PgType[Any]:
    if isinstance(annotation, PgType):
        return annotation
    if annotation is UNSET:
        raise MappingError(f"{cls.__name__}.{key} has no type: annotate it ({key}: Column[int]) or give Column(type=…)")
    try:
        return from_annotation(annotation)
    except PSQLModelError as error:
        raise MappingError(f"{cls.__name__}.{key}: {error}") from None


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Return an annotation without its `| None`, and whether it had one."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    optional = len(parts) < len(typing.get_args(annotation))
    if len(parts) == 1:
        part = parts[0]
        return part, optional
    union: Any = parts[0]
    for part in parts[1:]:
        union = union | part
    return union, optional
