"""Schemas: what Pydantic does with a model class, and the methods of models that call Pydantic. Sends nothing.

Outside data is validated by the form of its shape and becomes a new object; an object is taken as it is: rows from the
database are never validated.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError, PydanticSerializationUnexpectedValue, SchemaValidator, core_schema

from psqlmodel.errors import ConfigurationError
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import Instance
from psqlmodel.pydantic.forms import input_form, output_form
from psqlmodel.pydantic.shapes import ANY, Shape
from psqlmodel.pydantic.showing import shown
from psqlmodel.pydantic.update import Update

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel

M = TypeVar("M", bound="PSQLModel")


def schema_of(source: Any, handler: Any, shape: Shape = ANY) -> core_schema.CoreSchema:
    """Return Pydantic's schema of a model class, or of `Update[…]` of one.

    Raises `ConfigurationError` for anything else, `NotMappedError` for a class without `@table`.
    """
    if source is Update or typing.get_origin(source) is Update:
        return _schema_of_changes(_updated(source), handler, shape)
    if not (isinstance(source, type) and issubclass(source, Instance)):
        raise ConfigurationError(
            f"a Shape stands beside a model class, Annotated[Hero, Shape(…)], not beside {source!r}"
        )
    return _schema_of_objects(mapper_of(source), handler, shape)


def validate(cls: type[M], data: Any, relations: Iterable[Any]) -> M:
    """Return a new object from outside data: a mapping, or JSON as text or bytes."""
    chosen = tuple(relations)
    validator = _validator(mapper_of(cls), Shape(relations=chosen) if chosen else ANY)
    as_json = isinstance(data, str | bytes | bytearray)
    result: M = validator.validate_json(data) if as_json else validator.validate_python(data)
    return result


def dump(obj: PSQLModel, choice: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return an object as a dictionary: what `shown` gives for a choice, with these options of `dump_python`."""
    found: dict[str, Any] = _form_adapter(obj).dump_python(shown(obj, ANY, **choice), **options)
    return found


def dump_json(obj: PSQLModel, choice: dict[str, Any], options: dict[str, Any]) -> str:
    """Return an object as JSON: what `shown` gives for a choice, with these options of `dump_json`."""
    return _form_adapter(obj).dump_json(shown(obj, ANY, **choice), **options).decode()


# --- objects ----------------------------------------------------------------------------------------------------


def _schema_of_objects(mapper: Mapper, handler: Any, shape: Shape) -> core_schema.CoreSchema:
    if shape.purpose == "update":
        raise ConfigurationError(f"changes of a {mapper.name} are no {mapper.name}: write Update[{mapper.name}]")
    return core_schema.no_info_wrap_validator_function(
        _accepting(mapper.cls, _without_rows(mapper, shape)),
        handler.generate_schema(input_form(mapper, shape)),
        serialization=core_schema.plain_serializer_function_ser_schema(
            _showing(mapper.cls, shape),
            info_arg=True,
            return_schema=handler.generate_schema(output_form(mapper, shape)),
        ),
    )


def _without_rows(mapper: Mapper, shape: Shape) -> Callable[[], dict[str, Any]]:
    """Return what makes the relations of a new object to which data brings nothing: its row is new, so they are empty.

    Else an answer that shows them would fail for data that leaves them out, and only for that.
    """
    if shape.purpose != "create":
        return dict
    relations = [path.relation for path in shape.relations or ()]
    given = [(relation.key, relation.many) for relation in relations if not relation.outgoing]
    return lambda: {key: [] if many else None for key, many in given}


def _accepting(
    cls: type[PSQLModel], without_rows: Callable[[], dict[str, Any]]
) -> Callable[[Any, Callable[[Any], Any]], Any]:
    def accept(value: Any, validated: Callable[[Any], Any]) -> Any:
        if isinstance(value, cls):
            return value
        if isinstance(value, Instance):
            kinds = {"expected": cls.__name__, "given": type(value).__name__}
            raise PydanticCustomError("model_class", "Input should be a {expected}, not a {given}", kinds)
        return cls(**{**without_rows(), **validated(value)})

    accept.__name__ = cls.__name__  # errors tell it
    return accept


def _showing(cls: type[PSQLModel], shape: Shape) -> Callable[[Any, Any], Any]:
    def show(value: Any, info: Any) -> Any:
        if not isinstance(value, cls):
            raise PydanticSerializationUnexpectedValue(f"Expected a {cls.__name__}, not a {type(value).__name__}")
        return shown(value, shape, include=info.include, exclude=info.exclude)

    return show


# --- changes ----------------------------------------------------------------------------------------------------


def _updated(source: Any) -> Mapper:
    arguments = typing.get_args(source)
    if not arguments or isinstance(arguments[0], TypeVar):
        raise ConfigurationError("Update needs the class that it changes: Update[Hero]")
    return mapper_of(arguments[0])


def _schema_of_changes(mapper: Mapper, handler: Any, shape: Shape) -> core_schema.CoreSchema:
    if shape.relations:
        raise ConfigurationError(f"Update[{mapper.name}] changes columns; change its relations on the object")
    if shape.purpose != "update":
        shape = Shape("update", include=shape.include, exclude=shape.exclude, name=shape.name)
    form = handler.generate_schema(input_form(mapper, shape))

    def accept(value: Any, validated: Callable[[Any], Any]) -> Any:
        if isinstance(value, Update) and issubclass(value.model, mapper.cls):
            return value
        return Update(mapper.cls, validated(value))

    accept.__name__ = f"Update[{mapper.name}]"  # errors tell it
    return core_schema.no_info_wrap_validator_function(
        accept, form, serialization=core_schema.plain_serializer_function_ser_schema(dict, return_schema=form)
    )


# --- made once -------------------------------------------------------------------------------------------------


def _validator(mapper: Mapper, shape: Shape) -> SchemaValidator:
    """Return the validator of a class in a shape, made once; its errors name the class."""
    kept: dict[Any, Any] = mapper.forms
    key = ("validator", shape)
    if key not in kept:
        cls: Any = mapper.cls
        annotation: Any = Annotated[cls, shape]
        schema = TypeAdapter(annotation).core_schema
        kept[key] = SchemaValidator(schema, core_schema.CoreConfig(title=mapper.name))
    found: SchemaValidator = kept[key]
    return found


def _form_adapter(obj: PSQLModel) -> TypeAdapter[Any]:
    kept: dict[Any, Any] = type(obj).__mapper__.forms
    if "shown" not in kept:
        kept["shown"] = TypeAdapter(output_form(type(obj).__mapper__, ANY))
    found: TypeAdapter[Any] = kept["shown"]
    return found
