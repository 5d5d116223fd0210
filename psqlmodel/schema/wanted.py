"""Models → descriptions: the tables, types, extensions and schemas that mappers ask for. Pure.

Here are the rules that a model leaves unsaid: names of constraints, identity for integer keys, the types of
key columns, the tables between many-to-many relations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from psqlmodel.errors import MappingError
from psqlmodel.model.constraints import Check, Exclude, ForeignKey, Index, PrimaryKey, Unique
from psqlmodel.model.distribution import check_keys, check_types
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import quote
from psqlmodel.schema.description import (
    CheckInfo,
    ColumnInfo,
    DistributionInfo,
    EnumInfo,
    ExcludeInfo,
    ForeignKeyInfo,
    IndexInfo,
    KeyInfo,
    SchemaInfo,
    TableInfo,
)
from psqlmodel.schema.names import fingerprint, stable_name
from psqlmodel.schema.text import sql_text
from psqlmodel.types import PgType

T = TypeVar("T")

_INTEGERS = ("smallint", "integer", "bigint")
_SERIALS = {"smallserial": "smallint", "serial": "integer", "bigserial": "bigint"}
# "email DESC NULLS LAST", "lower(email) ASC": an element of an index with its order.
_ELEMENT = re.compile(r"(?is)^(?P<what>.+?)(?P<order>(?:\s+(?:ASC|DESC))?(?:\s+NULLS\s+(?:FIRST|LAST))?)$")


def describe(mappers: Iterable[Mapper]) -> SchemaInfo:
    """Return all that the tables of `mappers` need, in the order in which the mappers are given.

    Two mappers of one table are refused with `MappingError`, and so are two indexes of one name.
    """
    models = _Models(mappers)
    tables = [models.table(mapper) for mapper in models.mappers]
    junctions = _junctions(models)
    tables += junctions
    _check_names(tables)
    if any(mapper.distribution is not None for mapper in models.mappers):
        _check_distribution(models, junctions)
    types = [_innermost(column.type) for mapper in models.mappers for column in mapper.columns]
    enums = [_enum(type_) for type_ in types if type_.labels]
    schemas = [*(table.schema for table in tables), *(enum.schema for enum in enums)]
    return SchemaInfo(
        schemas=_distinct(schema for schema in schemas if schema != "public"),
        extensions=_distinct(type_.extension for type_ in types if type_.extension),
        enums=_distinct(enums),
        tables=tuple(tables),
    )


class _Models:
    """The mappers that are described together, so that a foreign key finds the model of the other table."""

    def __init__(self, mappers: Iterable[Mapper]) -> None:
        self.mappers = list(dict.fromkeys(mappers))
        self.by_table: dict[tuple[str | None, str], Mapper] = {}
        for mapper in self.mappers:
            other = self.by_table.setdefault((mapper.schema, mapper.table), mapper)
            if other is not mapper:
                raise MappingError(
                    f"{other.name} and {mapper.name} are both models of the table {mapper.source!r}: "
                    "make tables from one of them"
                )

    def find(self, near: Mapper, table: str) -> tuple[str | None, str, Mapper | None]:
        """Return schema, name and, where it is among the mappers, mapper of the table that a key names."""
        schema, _, name = table.rpartition(".")
        for key in ((schema or near.schema, name), (schema or None, name), (None, table)):
            if key in self.by_table:
                return key[0], key[1], self.by_table[key]
        if schema == "public" and (None, name) in self.by_table:
            return None, name, self.by_table[None, name]
        return schema or near.schema, name, None

    def table(self, mapper: Mapper) -> TableInfo:
        """Return the description of one mapper's table."""
        constraints = mapper.constraints
        return TableInfo(
            name=mapper.table,
            schema=mapper.schema,
            columns=tuple(self.column(mapper, column) for column in mapper.columns if not is_system(column)),
            primary_key=_primary_key(mapper),
            uniques=_uniques(mapper),
            foreign_keys=tuple(self.foreign_key(mapper, key) for key in mapper.foreign_keys if key.enforced),
            checks=_checks(mapper),
            excludes=tuple(_exclude(mapper, c) for c in constraints if isinstance(c, Exclude)),
            indexes=_indexes(mapper),
            comment=mapper.comment,
            distribution=_distribution(mapper),
        )

    def column(self, mapper: Mapper, column: Column[Any]) -> ColumnInfo:
        """Return the description of one column."""
        return ColumnInfo(
            name=_name(column),
            type=self.type_name(mapper, column),
            nullable=bool(column.nullable) and not column.primary_key,
            default=None if column.server_default is None else sql_text(column.server_default),
            identity=automatic_identity(mapper, column),
            generated=None if column.generated is None else sql_text(column.generated),
            comment=column.comment,
        )

    def type_name(self, mapper: Mapper, column: Column[Any]) -> str:
        """Return the SQL type; a guessed integer key takes the type of the column that it refers to."""
        type_ = _type(column)
        key = column.foreign_key
        if key is None or not type_.guess or type_.name not in _INTEGERS:
            return type_.name
        target = self.find(mapper, key.table)[2]
        if target is None:
            return type_.name
        remote = key_type(_remote(target, key)[0])
        return remote if remote in _INTEGERS else type_.name

    def foreign_key(self, mapper: Mapper, key: ForeignKey) -> ForeignKeyInfo:
        """Return the description of one foreign key."""
        schema, table, target = self.find(mapper, key.table)
        columns = tuple(_name(mapper.column(name)) for name in key.columns)
        remote = key.remote if target is None else tuple(map(_name, _remote(target, key)))
        return ForeignKeyInfo(
            name=key.name or stable_name("fk", mapper.table, *columns, table),
            columns=columns,
            table=table,
            remote=remote,
            schema=schema,
            on_delete=key.on_delete or "NO ACTION",
            on_update=key.on_update or "NO ACTION",
            deferrable=key.deferrable,
            initially_deferred=key.initially_deferred,
        )


def key_type(column: Column[Any]) -> str:
    """Return the SQL type of a column that refers to `column`: a serial key is an integer elsewhere."""
    type_ = _type(column)
    return _SERIALS.get(type_.name, type_.name)


# --- columns ------------------------------------------------------------------------------------------------


def _name(column: Column[Any]) -> str:
    name: str | None = column.name
    assert name is not None
    return name


def _type(column: Column[Any]) -> PgType[Any]:
    assert column.type is not None
    return column.type


def _remote(target: Mapper, key: ForeignKey) -> tuple[Column[Any], ...]:
    return tuple(target.column(name) for name in key.remote) if key.remote else target.primary_key


def automatic_identity(mapper: Mapper, column: Column[Any]) -> str:
    """Return the identity of a column: an integer that alone is the primary key, and that nothing gives a value, comes
    from the database.
    """
    if column.identity is not None:
        return column.identity
    gives_itself = column.has_default() or column.server_default is not None or column.generated is not None
    if not _is_key(mapper, column) or gives_itself or _in_foreign_key(mapper, _name(column)):
        return ""
    return "BY DEFAULT" if _type(column).name in _INTEGERS else ""


def _is_key(mapper: Mapper, column: Column[Any]) -> bool:
    """Tell whether the column alone is the primary key (by identity: `==` builds a condition)."""
    return len(mapper.primary_key) == 1 and mapper.primary_key[0] is column


def _in_foreign_key(mapper: Mapper, name: str) -> bool:
    return any(_name(mapper.column(own)) == name for key in mapper.foreign_keys for own in key.columns)


def _innermost(type_: PgType[Any] | None) -> PgType[Any]:
    assert type_ is not None
    while type_.element is not None:
        type_ = type_.element
    return type_


def _enum(type_: PgType[Any]) -> EnumInfo:
    return EnumInfo(type_.type_name, type_.labels, type_.schema)


# --- constraints and indexes --------------------------------------------------------------------------------


def _primary_key(mapper: Mapper) -> KeyInfo | None:
    columns = tuple(map(_name, mapper.primary_key))
    given = next((c.name for c in mapper.constraints if isinstance(c, PrimaryKey)), None)
    return KeyInfo(given or stable_name("pk", mapper.table), columns) if columns else None


def _uniques(mapper: Mapper) -> tuple[KeyInfo, ...]:
    found: dict[frozenset[str], KeyInfo] = {}
    for unique in (c for c in mapper.constraints if isinstance(c, Unique)):
        columns = tuple(_name(mapper.column(ref)) for ref in unique.columns)
        found[frozenset(columns)] = KeyInfo(
            unique.name or stable_name("uq", mapper.table, *columns),
            columns,
            unique.nulls_distinct,
            unique.deferrable,
            unique.initially_deferred,
        )
    for column in mapper.columns:
        if column.unique and not _is_key(mapper, column):
            name = _name(column)
            found.setdefault(frozenset((name,)), KeyInfo(stable_name("uq", mapper.table, name), (name,)))
    return tuple(found.values())


def _checks(mapper: Mapper) -> tuple[CheckInfo, ...]:
    own = [(column.check, _name(column), None) for column in mapper.columns if column.check is not None]
    # Not a number for those of the table: taking one away must not rename the others.
    whole = [(c.condition, "", c.name) for c in mapper.constraints if isinstance(c, Check)]
    found = []
    for condition, column_name, name in (*own, *whole):
        text = sql_text(condition)
        name = name or stable_name("ck", mapper.table, column_name or fingerprint(text))
        found.append(CheckInfo(name, text))
    return tuple(found)


def _exclude(mapper: Mapper, exclude: Exclude) -> ExcludeInfo:
    elements = [(_element(mapper, what), operator) for what, operator in exclude.elements]
    listed = ", ".join(f"{text} WITH {operator}" for (text, _), operator in elements)
    where = "" if exclude.where is None else f" WHERE ({sql_text(exclude.where)})"
    name = exclude.name or stable_name("ex", mapper.table, *(word for (_, word), _ in elements))
    return ExcludeInfo(name, f"USING {exclude.method} ({listed}){where}")


def _indexes(mapper: Mapper) -> tuple[IndexInfo, ...]:
    flagged = [c for c in mapper.columns if c.index and not c.unique and not _is_key(mapper, c)]
    single = [Index(_name(column)) for column in flagged]
    return _distinct(_index(mapper, index) for index in (*single, *mapper.indexes))


def _index(mapper: Mapper, index: Index) -> IndexInfo:
    elements = [_element(mapper, what, index.opclass) for what in index.columns]
    words = [word for _, word in elements]
    name = index.name or stable_name("uq" if index.unique else "ix", mapper.table, *words)
    return IndexInfo(
        name,
        tuple(text for text, _ in elements),
        unique=index.unique,
        method=index.method,
        where=None if index.where is None else sql_text(index.where),
        include=tuple(_name(mapper.column(ref)) for ref in index.include),
    )


def _element(mapper: Mapper, what: Any, opclass: str | None = None) -> tuple[str, str]:
    """Return an element of an index as SQL text, and the word that stands for it in the name of the index."""
    behind = "" if opclass is None else f" {quote(opclass)}"
    if not isinstance(what, str):
        if isinstance(what, Column):
            name = _name(mapper.column(what))
            return quote(name) + behind, name
        text = sql_text(what)
        return f"({text}){behind}", _word(text)
    if what in mapper.by_name or what in mapper.attributes or what.isidentifier():
        name = _name(mapper.column(what))
        return quote(name) + behind, name
    match = _ELEMENT.match(what.strip())
    assert match is not None
    inner, order = match["what"], " ".join(match["order"].upper().split())
    if order:
        text, word = _element(mapper, inner)
        return f"{text}{behind} {order}", word
    return f"({inner}){behind}", _word(inner)


def _word(expression: str) -> str:
    return re.sub(r"\W+", "_", expression).strip("_")


# --- distribution -------------------------------------------------------------------------------------------


def _distribution(mapper: Mapper) -> DistributionInfo | None:
    given = mapper.distribution
    if given is None:
        return None
    return DistributionInfo(None if given.column is None else _name(given.column), given.colocate_with)


def _check_distribution(models: _Models, junctions: Sequence[TableInfo]) -> None:
    """Refuse foreign keys that a cluster refuses, now that all tables are known."""
    for mapper in models.mappers:

        def target_of(key: ForeignKey, near: Mapper = mapper) -> Mapper | None:
            return models.find(near, key.table)[2]

        check_keys(mapper, target_of)
        for key in mapper.foreign_keys:
            target = target_of(key) if key.enforced else None
            ours, theirs = _spreading(mapper), None if target is None else _spreading(target)
            if target is not None and ours is not None and theirs is not None:
                check_types(mapper, target, _stored(models, mapper, ours), _stored(models, target, theirs))
    for table in junctions:
        for made in table.foreign_keys:
            far = models.by_table.get((made.schema, made.table))
            if far is not None and _spreading(far) is not None:
                raise MappingError(
                    f"{table.name} is the link table of {far.name}, which is distributed: write a model for it, with "
                    'distributed_by=… and keys that hold the distribution column, and pass it as secondary="…"'
                )


def _spreading(mapper: Mapper) -> Column[Any] | None:
    return None if mapper.distribution is None else mapper.distribution.column


def _stored(models: _Models, mapper: Mapper, column: Column[Any]) -> str:
    return _SERIALS.get(models.type_name(mapper, column), models.type_name(mapper, column))


# --- many-to-many -------------------------------------------------------------------------------------------


def _junctions(models: _Models) -> list[TableInfo]:
    """Return the tables between many-to-many relations that no model describes, each once."""
    found: dict[tuple[str | None, str], TableInfo] = {}
    for mapper in models.mappers:
        for relation in mapper.relations.values():
            if relation.declared.secondary is not None:
                junction = _junction(models, relation)
                if junction is not None:
                    found.setdefault((junction.schema, junction.name), junction)
    return list(found.values())


def _junction(models: _Models, relation: RelationInfo) -> TableInfo | None:
    link, ours, theirs = relation.secondary
    if isinstance(link, type):
        return None  # a model, which is described where it is given
    name, schema = link.name, link.schema
    pair = ((ours, relation.mapper, relation.local), (theirs, relation.target, relation.remote))
    # Sorted: the table is the same whichever of the two relations is described first.
    sides = sorted(pair, key=lambda side: [_name(column) for column in side[0]])
    columns = [
        ColumnInfo(_name(own), _key_type(models, mapper, key), nullable=False)
        for own_columns, mapper, keys in sides
        for own, key in zip(own_columns, keys, strict=True)
    ]
    backwards = tuple(map(_name, sides[1][0]))
    return TableInfo(
        name=name,
        schema=schema,
        columns=tuple(columns),
        primary_key=KeyInfo(stable_name("pk", name), tuple(column.name for column in columns)),
        foreign_keys=tuple(
            ForeignKeyInfo(
                name=stable_name("fk", name, *map(_name, own), mapper.table),
                columns=tuple(map(_name, own)),
                table=mapper.table,
                remote=tuple(map(_name, keys)),
                schema=mapper.schema,
                on_delete="CASCADE",
            )
            for own, mapper, keys in sides
        ),
        # The primary key serves one direction; this serves the other one, and deletes on its side.
        indexes=(IndexInfo(stable_name("ix", name, *backwards), tuple(map(quote, backwards))),),
    )


def _key_type(models: _Models, mapper: Mapper, column: Column[Any]) -> str:
    spelled = models.type_name(mapper, column)
    return _SERIALS.get(spelled, spelled)


# --- names --------------------------------------------------------------------------------------------------


def _check_names(tables: Sequence[TableInfo]) -> None:
    """Refuse two relations of one name: `IF NOT EXISTS` would leave the second one out silently."""
    seen: dict[tuple[str | None, str], str] = {}
    for table in tables:
        for name, what in _relation_names(table):
            if (table.schema, name) in seen:
                other = seen[table.schema, name]
                raise MappingError(f"{other} and {what} would both be called {name!r}: give one a name=")
            seen[table.schema, name] = what


def _relation_names(table: TableInfo) -> Iterator[tuple[str, str]]:
    yield table.name, f"the table {table.name}"
    keys = (*((table.primary_key,) if table.primary_key else ()), *table.uniques)
    for key in keys:
        yield key.name, f"a key of {table.name} ({', '.join(key.columns)})"
    for exclude in table.excludes:
        yield exclude.name, f"a constraint of {table.name} ({exclude.definition})"
    for index in table.indexes:
        where = "" if index.where is None else f" WHERE {index.where}"
        yield index.name, f"an index of {table.name} ({', '.join(index.elements)}){where}"


def _distinct(items: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(item for item in items if item is not None))
