"""Where a database is not what models say, and what to do about each: a statement, or a word to the model. Pure.

A difference is harmless where the models work all the same: what only the database has, names, comments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from psqlmodel.query.quoting import qualified, quote, quote_literal
from psqlmodel.record import Record
from psqlmodel.schema.ddl import column_definition, create_enum, create_index, key_definition, unique_definition
from psqlmodel.schema.description import (
    CheckInfo,
    ColumnInfo,
    EnumInfo,
    ExcludeInfo,
    ForeignKeyInfo,
    IndexInfo,
    KeyInfo,
    TableInfo,
)
from psqlmodel.schema.inspect import type_of
from psqlmodel.types import PgType, resolve

T = TypeVar("T")


class Difference(Record):
    """One difference: in which table or type, what it is, what to do; `harmless` where the models work all the same."""

    where: str
    what: str
    remedy: str
    harmless: bool = False


def differences(
    wanted: Sequence[TableInfo],
    found: Sequence[TableInfo],
    guesses: Mapping[tuple[str | None, str, str], PgType[Any]] = MappingProxyType({}),
) -> list[Difference]:
    """Return what `found`, tables of a database, lacks of `wanted`, the same tables as the database would make them.

    Names of constraints and indexes are not compared, only what they do. `guesses` are the types of columns (by schema,
    table and name) that only follow from an annotation: there the database may say it more exactly.

        differences(run(make_on_trial(describe(mappers)), channel), run(inspect_tables(), channel))
    """
    there = {(table.schema, table.name): table for table in found}
    visible = {table.name: table for table in reversed(found)}
    made: list[Difference] = []
    compared: list[_Tables] = []
    for table in wanted:
        other = visible.get(table.name) if table.schema is None else there.get((table.schema, table.name))
        if other is None:
            made.append(_missing(table))
        else:
            compared.append(_Tables(table, other, guesses))
            made += compared[-1].compare()
    for tables in compared:  # at the end: the remedies work in the order in which they come
        made += tables.foreign_keys()
    return made


def enum_differences(wanted: Iterable[EnumInfo], found: Sequence[EnumInfo]) -> list[Difference]:
    """Return what the enum types of a database lack of those that models want."""
    made: list[Difference] = []
    for enum in wanted:
        name = qualified(enum.name, enum.schema)
        other = next((e for e in found if e.name == enum.name and enum.schema in (None, e.schema)), None)
        if other is None:
            made.append(Difference(enum.name, "the type is missing", create_enum(enum)))
            continue
        made += [
            Difference(enum.name, f"the label {label!r} is missing", f"ALTER TYPE {name} ADD VALUE {_literal(label)}")
            for label in enum.labels
            if label not in other.labels
        ]
        made += [
            Difference(enum.name, f"the label {label!r} is only in the database", "add a member: it can't be read yet")
            for label in other.labels
            if label not in enum.labels
        ]
    return made


def _missing(table: TableInfo) -> Difference:
    remedy = "engine.create_all([…]) makes it, with its indexes and constraints"
    return Difference(table.name, "the table is missing", remedy)


class _Tables:
    """The comparison of one table."""

    def __init__(
        self, wanted: TableInfo, found: TableInfo, guesses: Mapping[tuple[str | None, str, str], PgType[Any]]
    ) -> None:
        self.wanted = wanted
        self.found = found
        self.guesses = guesses
        self.name = wanted.name
        self.alter = f"ALTER TABLE {qualified(found.name, wanted.schema)}"

    def compare(self) -> Iterator[Difference]:
        yield from self._columns()
        yield from self._primary_key()
        yield from self._constraints()
        yield from self._indexes()
        if self.wanted.comment is not None and self.wanted.comment != self.found.comment:
            name = qualified(self.found.name, self.wanted.schema)
            remedy = f"COMMENT ON TABLE {name} IS {_literal(self.wanted.comment)}"
            yield Difference(self.name, "the comment is another", remedy, True)

    def foreign_keys(self) -> Iterator[Difference]:
        """Give the differences of foreign keys, which may need the keys of other tables."""
        yield from self._parts(
            self.wanted.foreign_keys,
            self.found.foreign_keys,
            self._foreign_key,
            "foreign key",
            lambda key: f"{self.alter} ADD {key_definition(key)}",
        )

    # --- columns --------------------------------------------------------------------------------------------

    def _columns(self) -> Iterator[Difference]:
        there = {column.name: column for column in self.found.columns}
        for column in self.wanted.columns:
            other = there.pop(column.name, None)
            if other is None:
                remedy = f"{self.alter} ADD COLUMN {column_definition(column)}"
                if not (column.nullable or column.default or column.identity or column.generated):
                    remedy += "  -- where there are rows: with a DEFAULT, or NULL until they have a value"
                yield Difference(self.name, f"the column {column.name} is missing", remedy)
            else:
                yield from self._column(column, other)
        for other in there.values():
            yield self._only_there(other)

    def _column(self, column: ColumnInfo, other: ColumnInfo) -> Iterator[Difference]:
        alter = f"{self.alter} ALTER COLUMN {quote(column.name)}"
        if self._text(column.type) != self._text(other.type):
            remedy = f"{alter} TYPE {column.type} USING {quote(column.name)}::{column.type}"
            what = f"the column {column.name} is {other.type}, the model says {column.type}"
            harmless = self._is_more_exact(column, other)
            yield Difference(self.name, what, f"{remedy}; or Column(type=…) in the model", harmless)
        if column.nullable != other.nullable:
            found, verb = ("may be NULL", "SET") if other.nullable else ("is NOT NULL", "DROP")
            what = f"the column {column.name} {found}, the model says otherwise"
            yield Difference(self.name, what, f"{alter} {verb} NOT NULL; or change the annotation")
        yield from self._maker(column, other, alter)

    def _is_more_exact(self, column: ColumnInfo, other: ColumnInfo) -> bool:
        """Tell whether the model only guesses the type, and the database's has the same Python values."""
        guess = self.guesses.get((self.wanted.schema, self.wanted.name, column.name))
        if guess is None or other.type_info is None:
            return False
        return resolve(guess, type_of(other.type_info)).python is guess.python

    def _maker(self, column: ColumnInfo, other: ColumnInfo, alter: str) -> Iterator[Difference]:
        """Compare what the database makes of a column that is not given."""
        if self._text(column.generated) != self._text(other.generated):
            what = f"the column {column.name} is generated otherwise: {other.generated or 'not at all'}"
            yield Difference(self.name, what, "drop the column and add it anew; or Column(generated=…) in the model")
        elif (column.identity or _is_serial(column)) and not (other.identity or other.default is not None):
            what = f"the column {column.name} gets no value by itself, the model says that it does"
            yield Difference(self.name, what, f"{alter} ADD GENERATED BY DEFAULT AS IDENTITY; or identity=False")
        elif _is_default(column) and self._text(column.default) != self._text(other.default):
            what = f"the column {column.name} has the default {other.default or 'NULL'}, not {column.default}"
            yield Difference(self.name, what, f"{alter} SET DEFAULT {column.default}")

    def _only_there(self, other: ColumnInfo) -> Difference:
        makes_itself = other.nullable or other.default is not None or other.identity or other.generated is not None
        what = f"the column {other.name} is only in the database"
        if makes_itself:
            return Difference(self.name, what, "declare it in the model, where it is wanted", True)
        remedy = f"declare it in the model; or {self.alter} ALTER COLUMN {quote(other.name)} DROP NOT NULL"
        return Difference(self.name, f"{what}, NOT NULL and without a default: no INSERT succeeds", remedy)

    # --- keys, constraints, indexes -------------------------------------------------------------------------

    def _primary_key(self) -> Iterator[Difference]:
        ours, theirs = self.wanted.primary_key, self.found.primary_key
        if ours is None or (theirs is not None and set(ours.columns) == set(theirs.columns)):
            return
        listed = f"({', '.join(map(quote, ours.columns))})"
        if theirs is None:
            unique = any(set(key.columns) == set(ours.columns) for key in self.found.uniques)
            yield Difference(
                self.name, "there is no primary key", f"{self.alter} ADD PRIMARY KEY {listed}", harmless=unique
            )
        else:
            there = ", ".join(theirs.columns)
            remedy = f"{self.alter} DROP CONSTRAINT {quote(theirs.name)}, ADD PRIMARY KEY {listed}"
            yield Difference(self.name, f"the primary key is ({there}), not ({', '.join(ours.columns)})", remedy)

    def _constraints(self) -> Iterator[Difference]:
        add = f"{self.alter} ADD "
        unique_indexes = {
            frozenset(_plain(each) for each in index.elements) for index in self.found.indexes if _whole(index)
        }
        uniques = [key for key in self.wanted.uniques if frozenset(key.columns) not in unique_indexes]
        yield from self._parts(
            uniques, self.found.uniques, _unique_key, "unique constraint", lambda key: add + unique_definition(key)
        )
        yield from self._parts(
            self.wanted.checks,
            self.found.checks,
            lambda check: self._text(check.condition),
            "CHECK",
            lambda check: f"{add}CONSTRAINT {quote(check.name)} CHECK ({check.condition})",
        )
        yield from self._parts(
            self.wanted.excludes,
            self.found.excludes,
            lambda exclude: self._text(exclude.definition),
            "EXCLUDE",
            lambda exclude: f"{add}CONSTRAINT {quote(exclude.name)} EXCLUDE {exclude.definition}",
        )

    def _indexes(self) -> Iterator[Difference]:
        by_constraint = {key.columns for key in self.found.uniques}
        wanted = [index for index in self.wanted.indexes if not (_whole(index) and _elements(index) in by_constraint)]
        yield from self._parts(
            wanted, self.found.indexes, self._index, "index", lambda index: create_index(self.wanted, index)
        )

    def _parts(
        self,
        wanted: Iterable[T],
        found: Iterable[T],
        key: Callable[[T], Hashable],
        kind: str,
        remedy: Callable[[T], str],
    ) -> Iterator[Difference]:
        """Compare parts that are the same where `key` gives the same of them."""
        there = {key(part): part for part in found}
        for part in wanted:
            if there.pop(key(part), None) is None:
                yield Difference(
                    self.name,
                    f"the {kind} {_shown(part)} is missing",
                    remedy(part),
                    isinstance(part, IndexInfo) and not part.unique,
                )
        for part in there.values():
            yield Difference(self.name, f"the {kind} {_shown(part)} is only in the database", _declared(part), True)

    def _foreign_key(self, key: ForeignKeyInfo) -> Hashable:
        return key.columns, key.table, key.remote, key.on_delete, key.on_update, key.deferrable

    def _index(self, index: IndexInfo) -> Hashable:
        elements = tuple(map(self._text, index.elements))
        return elements, index.unique, index.method, self._text(index.where), index.include

    def _text(self, sql: str | None) -> str | None:
        """Return SQL text without the schema of the table: on one side it is on the search path, on the other not."""
        if sql is None or self.found.schema is None:
            return sql
        return re.sub(rf'(?<!\w)"?{re.escape(self.found.schema)}"?\.', "", sql)


# --- parts --------------------------------------------------------------------------------------------------


def _unique_key(key: KeyInfo) -> Hashable:
    return frozenset(key.columns), key.nulls_distinct


def _whole(index: IndexInfo) -> bool:
    return index.unique and index.where is None


def _elements(index: IndexInfo) -> tuple[str, ...]:
    return tuple(map(_plain, index.elements))


def _plain(element: str) -> str:
    return element[1:-1].replace('""', '"') if element.startswith('"') and element.endswith('"') else element


def _is_serial(column: ColumnInfo) -> bool:
    return column.default is not None and column.default.startswith("nextval(")


def _is_default(column: ColumnInfo) -> bool:
    return column.default is not None and not _is_serial(column)


def _shown(part: Any) -> str:
    if isinstance(part, KeyInfo):
        return f"({', '.join(part.columns)})"
    if isinstance(part, ForeignKeyInfo):
        return f"({', '.join(part.columns)}) to {part.table}({', '.join(part.remote)})"
    if isinstance(part, CheckInfo):
        return f"({part.condition})"
    if isinstance(part, ExcludeInfo):
        return part.definition
    where = "" if part.where is None else f" WHERE {part.where}"
    return f"{'UNIQUE ' * part.unique}({', '.join(part.elements)}){where}"


def _declared(part: Any) -> str:
    names: dict[type, str] = {
        KeyInfo: "Unique",
        ForeignKeyInfo: "ForeignKey",
        CheckInfo: "Check",
        ExcludeInfo: "Exclude",
    }
    return f"declare it in the model, where it is wanted: {names.get(type(part), 'Index')}(…)"


def _literal(text: str) -> str:
    return quote_literal(text).strip()
