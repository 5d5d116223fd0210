"""Outside: what a model does with data from outside: the methods that need Pydantic, and the dataclass protocol.

Models do not import Pydantic: `psqlmodel.pydantic`, an extra, is found by its name when one of these is used. Nothing
here sends a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal, Self, get_origin

from psqlmodel.errors import ConfigurationError
from psqlmodel.model.state import UNSET, raw_name

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column
    from psqlmodel.model.mapper import Mapper
    from psqlmodel.model.path import RelationPath


class Outside:
    """The methods that models have for outside data."""

    __slots__ = ()

    @classmethod
    def validate(cls, data: Mapping[str, Any] | str | bytes, *, relations: Iterable[RelationPath] = ()) -> Self:
        """Return a new object from outside data, validated by Pydantic: types, NULL, and the constraints of columns.

        Parameters: `data` is a mapping, or JSON as text or bytes; an object of the class is returned as it is.
        `relations` are those that the data may bring: `[User.orders]`. Columns that the database generates, versions
        and unknown names are refused. Raises Pydantic's own `ValidationError`, with every error that it found.

            user = User.validate({"name": "Ada"})
        """
        found: Self = _schemas().validate(cls, data, relations)
        return found

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Any = None,
        exclude: Any = None,
        exclude_none: bool = False,
        strict: bool = False,
    ) -> dict[str, Any]:
        """Return what is loaded as a dictionary, loaded relations as dictionaries in it; sends no query.

        Parameters: `mode="json"` gives values that JSON has; `include` and `exclude` are those of Pydantic: names, or
        for what is deeper a dictionary (`{"orders": {"__all__": {"id"}}}`). With `strict`, or in a strict session, a
        relation that is not loaded raises `NotLoadedError`; else it is left out. The way back is not taken: in
        `user.orders` an order has no `user`.

            user.model_dump(mode="json", exclude={"password"})
        """
        choice = {"strict": strict, "include": include, "exclude": exclude}
        found: dict[str, Any] = _schemas().dump(self, choice, {"mode": mode, "exclude_none": exclude_none})
        return found

    def model_dump_json(
        self,
        *,
        indent: int | None = None,
        include: Any = None,
        exclude: Any = None,
        exclude_none: bool = False,
        strict: bool = False,
    ) -> str:
        """Return what `model_dump(mode="json")` gives, as JSON text.

        user.model_dump_json(indent=2)
        """
        choice = {"strict": strict, "include": include, "exclude": exclude}
        text: str = _schemas().dump_json(self, choice, {"indent": indent, "exclude_none": exclude_none})
        return text

    def update_from(self, patch: Mapping[str, Any] | Any) -> Self:
        """Set what a patch sets, and nothing else; returns the object.

        `patch` is an `Update[User]`, any mapping, or an object of Pydantic's `BaseModel`, of which what was not set is
        left alone. Raises `TypeError` for something else, or changes of another class; `AttributeError` for a name that
        does not exist, and sets nothing then.

            user.update_from({"name": "Ada"})
        """
        obj: Any = self
        updated: Self = obj.update_from_dict(_set_values(obj, patch))
        return updated

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Tell Pydantic how to validate, show and describe the class."""
        return _schemas().schema_of(source, handler)


def _set_values(obj: Any, patch: Any) -> Mapping[str, Any]:
    model = getattr(patch, "model", None) if isinstance(patch, Mapping) else None
    if isinstance(model, type) and not isinstance(obj, model):
        raise TypeError(f"{type(obj).__name__}.update_from() got changes of a {model.__name__}")
    if isinstance(patch, Mapping):
        return patch
    names = getattr(patch, "model_fields_set", None)  # Pydantic's BaseModel
    if names is None:
        kind = type(patch).__name__
        raise TypeError(f"update_from() takes an Update, a mapping or a BaseModel of Pydantic, not a {kind}")
    return {name: getattr(patch, name) for name in names}


def _schemas() -> Any:
    try:
        return import_module("psqlmodel.pydantic.schemas")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pydantic":
            raise
        raise ConfigurationError("this needs Pydantic: pip install 'psqlmodel[pydantic]'") from None


class AsDataclass:
    """The attribute `__dataclass_fields__`, by which the standard library, and FastAPI, know a class with fields.

    Of a class it gives its columns; of an object those that are loaded, so that `dataclasses.asdict` sends no query.
    """

    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        mapper = owner.__dict__.get("__mapper__")
        if mapper is None:
            raise AttributeError("__dataclass_fields__")
        fields = mapper.forms.get("dataclass")
        if fields is None:
            fields = mapper.forms["dataclass"] = _dataclass_fields(mapper)
        if instance is None:
            return fields
        own = instance.__dict__
        return {key: field for key, field in fields.items() if key in own or raw_name(key) in own}


def _dataclass_fields(mapper: Any) -> dict[str, Any]:
    import dataclasses  # 10 ms, for those who ask

    columns = mapper.attributes.items()
    fields = [(key, column.pg_type.python, dataclasses.field(default=None)) for key, column in columns]
    made: Any = dataclasses.make_dataclass(mapper.name, fields)
    found: dict[str, Any] = made.__dataclass_fields__
    return found


class DataclassOptions:
    """What `__dataclass_params__` says to `pprint`: nothing was generated."""

    init = repr = eq = order = unsafe_hash = frozen = slots = False
    match_args = kw_only = weakref_slot = False


def signature_of(mapper: Mapper) -> Any:
    """Return the signature of a model's constructor, as `inspect` has it: a keyword for each column and relation.

    Nothing is resolved for it: a relation is shown by the name of its class. Attributes whose names are none in
    Python's grammar are left to `**others`.
    """
    import inspect  # for those who ask

    from psqlmodel.model.declaration import inherited_fields

    written = inherited_fields(mapper.cls)
    columns = mapper.attributes.items()
    shown = {key: (_of_column(column, written[key].annotation), column.default) for key, column in columns}
    shown |= {key: (_of_relation(relation.declared), UNSET) for key, relation in mapper.relations.items()}
    keyword, others = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter("others", inspect.Parameter.VAR_KEYWORD)
    parameters = [
        inspect.Parameter(key, keyword, default=default, annotation=annotation)
        for key, (annotation, default) in shown.items()
        if key.isidentifier() and not iskeyword(key)
    ]
    return inspect.Signature(parameters if len(parameters) == len(shown) else [*parameters, others])


def _of_column(column: Column[Any], written: Any) -> Any:
    held: Any = column.pg_type.python
    if isinstance(written, type) or get_origin(written) is not None:
        return written
    return held | None if column.nullable else held


def _of_relation(declared: Any) -> Any:
    target = getattr(declared.target, "__forward_arg__", declared.target)
    name = target if isinstance(target, str) else getattr(target, "__name__", "Any")
    return f"list[{name}]" if declared.many else f"{name} | None"
