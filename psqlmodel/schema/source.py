"""Descriptions of tables → the source of a module of typed models, relations included. Pure.

What models can't say (views, triggers, functions, partitions, domains) is left to SQL, and named in the module's
docstring.
"""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from psqlmodel.model.declaration import RESERVED
from psqlmodel.model.naming import singular
from psqlmodel.record import Record
from psqlmodel.schema.description import (
    ColumnInfo,
    EnumInfo,
    ExcludeInfo,
    ForeignKeyInfo,
    IndexInfo,
    KeyInfo,
    TableInfo,
)
from psqlmodel.schema.names import stable_name
from psqlmodel.schema.spelled import spell

Names = set[tuple[str, str]]
WIDTH = 120  # of a line

_WORD = re.compile(r"[^0-9A-Za-z_]+")
_TAKEN = {"PSQLModel", "Column", "Relation", "Any", "Enum", "Decimal", "UUID", "Check", "Index", "Unique", "ForeignKey"}
_SERIALS = {"int2": "smallserial", "int4": "serial", "int8": "bigserial"}


def models_of(tables: Sequence[TableInfo], enums: Sequence[EnumInfo] = ()) -> str:
    """Return the source of a module with a model for each table.

    Views and partitions are left out. Relations are named after their tables and columns; the module type-checks under
    mypy strict, and making its tables gives the same columns, defaults, keys, constraints and indexes.

        source = models_of(run(inspect_tables(schema="public"), channel), run(inspect_enums("public"), channel))
    """
    return _Module(tables, enums).source()


class _Link(Record):
    """A foreign key that two relations follow: `own` on the table that holds it, `other` on the one that it names."""

    key: ForeignKeyInfo
    child: TableInfo
    parent: TableInfo
    own: str
    other: str
    to_one: bool  # on both sides: the key is unique


class _Module:
    def __init__(self, tables: Sequence[TableInfo], enums: Sequence[EnumInfo]) -> None:
        whole = [table for table in tables if table.partition_of is None]
        self.tables = [table for table in whole if table.kind in ("table", "partitioned table") and table.columns]
        self.left_out = [table for table in tables if table not in self.tables]
        self.imports: Names = {("psqlmodel", "PSQLModel"), ("psqlmodel", "table")}
        self.enums = {(enum.schema or "", enum.name): enum for enum in enums if enum.labels}
        self.classes = _class_names([*self.tables, *self.enums.values()])
        self.enum_classes = {key: self.classes[id(enum)] for key, enum in self.enums.items()}
        self.by_name = {(table.schema, table.name): table for table in self.tables}
        self.attributes = {id(table): _attributes(table) for table in self.tables}
        self.links = self._links()

    def source(self) -> str:
        bodies = [self._enum(enum) for enum in self.enums.values()] + [self._model(table) for table in self.tables]
        head = f'"""{self._about()}"""\n\nfrom __future__ import annotations\n\n{self._imports()}'
        return "\n\n".join([head, *bodies])

    def _about(self) -> str:
        lines = ["Models of the tables of a database, as they were found there."]
        names = sorted(f"{table.kind} {table.name}" for table in self.left_out)
        names += [f"PARTITION BY {table.partition_key} of {table.name}" for table in self.tables if table.partition_key]
        if names:
            lines += ["", "Left to SQL:", "", *(f"- {name.replace(chr(34), chr(39))}" for name in names)]
        return "\n".join(lines) + ("\n" if names else "")

    def _imports(self) -> str:
        by_module: dict[str, set[str]] = defaultdict(set)
        for module, name in self.imports:
            by_module[module].add(name)
        standard = sorted(name for name in by_module if not name.startswith("psqlmodel"))
        own = sorted(name for name in by_module if name.startswith("psqlmodel"))
        blocks = [[_import(name, by_module[name]) for name in names] for names in (standard, own) if names]
        return "\n\n".join("\n".join(block) for block in blocks) + "\n"

    # --- enums ----------------------------------------------------------------------------------------------

    def _enum(self, enum: EnumInfo) -> str:
        self.imports.add(("enum", "Enum"))
        members: dict[str, str] = {}
        for label in enum.labels:
            members.setdefault(_free(_identifier(label).upper() or "EMPTY", members), label)
        about = enum.comment or f"The labels of the type {enum.name}."
        lines = [f"class {self.classes[id(enum)]}(Enum):", f"    {_docstring(about)}", ""]
        return "\n".join([*lines, *(f"    {name} = {_text(label)}" for name, label in members.items())]) + "\n"

    # --- models ---------------------------------------------------------------------------------------------

    def _model(self, table: TableInfo) -> str:
        name = self.classes[id(table)]
        fields = [self._column(table, column) for column in table.columns]
        fields += self._relations(table)
        about = table.comment or f"A row of {table.name}."
        lines = [*self._decorator(table), f"class {name}(PSQLModel):", f"    {_docstring(about)}", ""]
        return "\n".join([*lines, *(f"    {field}" for field in fields)]) + "\n"

    def _decorator(self, table: TableInfo) -> list[str]:
        options: dict[str, str] = {}
        if table.schema not in (None, "public"):
            options["schema"] = _text(table.schema or "")
        if table.comment is not None:
            options["comment"] = _text(table.comment)
        for option, calls in (("constraints", list(self._constraints(table))), ("indexes", list(self._indexes(table)))):
            if calls:
                options[option] = "[\n" + "".join(f"        {call},\n" for call in calls) + "    ]"
        if not options:
            return [f"@table({_text(table.name)})"]
        listed = "".join(f"    {name}={value},\n" for name, value in options.items())
        return [f"@table(\n    {_text(table.name)},\n{listed})"]

    def _column(self, table: TableInfo, column: ColumnInfo) -> str:
        attribute = self.attributes[id(table)][column.name]
        spelled = spell(column, self.enum_classes)
        self.imports |= {("psqlmodel", "Column"), *spelled.names}
        options = self._column_options(table, column, attribute)
        if column.name == _serial_column(table, column):
            type_ = _SERIALS[column.type_info.name if column.type_info else ""]
            self.imports.add(("psqlmodel.types", type_))
            options["type"] = type_
        elif spelled.type:
            options["type"] = spelled.type
        elif spelled.annotation == "int" and "foreign_key" in options:
            # By itself it would take the type of the key that it refers to.
            self.imports.add(("psqlmodel.types", "integer"))
            options["type"] = "integer"
        if spelled.max_len is not None:
            options["max_len"] = str(spelled.max_len)
        optional = " | None" if column.nullable and "primary_key" not in options else ""
        declared = f"{attribute}: Column[{spelled.annotation}{optional}]"
        if not options and not optional and not _in_key(table, column.name):
            return declared  # for type checkers: one that a new object must be given
        return f"{declared} = {_called('Column', [], options, 4, len(declared) + 3)}"

    def _column_options(self, table: TableInfo, column: ColumnInfo, attribute: str) -> dict[str, str]:
        options: dict[str, str] = {}
        if attribute != column.name:
            options["name"] = _text(column.name)
        if table.primary_key is not None and column.name in table.primary_key.columns:
            options["primary_key"] = "True"
        key = _short_key(table, column.name)
        if key is not None:
            schema = f"{key.schema}." if key.schema not in (None, "public") else ""
            options["foreign_key"] = _text(f"{schema}{key.table}.{key.remote[0]}")
            for option, action in (("on_delete", key.on_delete), ("on_update", key.on_update)):
                if action != "NO ACTION":
                    options[option] = _text(action)
        if any(_is_short_unique(table, unique) and unique.columns == (column.name,) for unique in table.uniques):
            options["unique"] = "True"
        if any(
            _is_short_index(table, index) and index.elements[0].strip('"') == column.name for index in table.indexes
        ):
            options["index"] = "True"
        options |= self._makers(table, column)
        if column.comment is not None:
            options["comment"] = _text(column.comment)
        return options

    def _makers(self, table: TableInfo, column: ColumnInfo) -> dict[str, str]:
        """Return the options about what the database makes of a column that is not given."""
        if column.generated is not None:
            return {"generated": _text(column.generated)}
        if column.identity:
            automatic = column.identity == "BY DEFAULT" and _may_be_automatic(table, column)
            return {} if automatic else {"identity": _text(column.identity.lower())}
        if column.default is None:
            return {"identity": "False"} if _may_be_automatic(table, column) else {}
        return {} if _serial_column(table, column) else {"server_default": _text(column.default)}

    # --- constraints ----------------------------------------------------------------------------------------

    def _constraints(self, table: TableInfo) -> Iterator[str]:
        for unique in table.uniques:
            if not _is_short_unique(table, unique):
                yield self._call("Unique", self._named(table, unique.columns), **_unique_options(unique))
        for key in table.foreign_keys:
            if all(_short_key(table, name) is not key for name in key.columns):
                columns, remote = self._named(table, key.columns), [_text(name) for name in key.remote]
                schema = f"{key.schema}." if key.schema not in (None, "public") else ""
                target = [f"[{', '.join(columns)}]", _text(f"{schema}{key.table}"), f"[{', '.join(remote)}]"]
                yield self._call("ForeignKey", target, **_key_options(key))
        for check in table.checks:
            yield self._call("Check", [_text(check.condition)], name=check.name)
        for exclude in table.excludes:
            yield from self._exclude(exclude)

    def _exclude(self, exclude: ExcludeInfo) -> Iterator[str]:
        elements = _excluded(exclude.definition)
        if elements is not None:
            method, pairs, where = elements
            listed = [f"({_text(what)}, {_text(operator)})" for what, operator in pairs]
            yield self._call("Exclude", listed, method=method, where=where, name=exclude.name)

    def _indexes(self, table: TableInfo) -> Iterator[str]:
        for index in table.indexes:
            if _is_short_index(table, index):
                continue
            columns = {f'"{column.name}"': column.name for column in table.columns}
            columns |= {column.name: column.name for column in table.columns}
            elements = [_text(columns.get(element, element)) for element in index.elements]
            options: dict[str, Any] = {"name": index.name, "unique": index.unique or None, "where": index.where}
            options["method"] = None if index.method == "btree" else index.method
            if index.include:
                options["include"] = list(index.include)
            yield self._call("Index", elements, **options)

    def _call(self, kind: str, arguments: Iterable[str], /, **options: Any) -> str:
        self.imports.add(("psqlmodel", kind))
        given = {key: _literal(value) for key, value in options.items() if value is not None}
        return _called(kind, list(arguments), given, 8)

    def _named(self, table: TableInfo, columns: Iterable[str]) -> list[str]:
        return [_text(self.attributes[id(table)][name]) for name in columns]

    # --- relations ------------------------------------------------------------------------------------------

    def _links(self) -> list[_Link]:
        links: list[_Link] = []
        taken = {id(table): set(self.attributes[id(table)].values()) for table in self.tables}
        for table in self.tables:
            for key in table.foreign_keys:
                parent = self.by_name.get((key.schema, key.table))
                if parent is None or _is_junction(table):
                    continue
                to_one = _is_unique(table, key.columns)
                stem = _stem(key)
                own = _free(stem or _identifier(singular(parent.name)), taken[id(table)])
                taken[id(table)].add(own)
                plain = _identifier(table.name if not to_one else singular(table.name))
                far = plain if to_one else _plural(plain)
                if stem and stem != _identifier(singular(parent.name)) and _several(table, key):
                    far = f"{stem}_{far}"
                other = _free(far, taken[id(parent)])
                taken[id(parent)].add(other)
                links.append(_Link(key, table, parent, own, other, to_one))
        self.taken = taken
        return links

    def _relations(self, table: TableInfo) -> Iterator[str]:
        for link in self.links:
            if link.child is table:
                optional = any(table.column(name).nullable for name in link.key.columns)
                yield self._relation(link.own, self.classes[id(link.parent)], link, link.other, " | None" * optional)
            if link.parent is table:
                target = self.classes[id(link.child)]
                if link.to_one:
                    yield self._relation(link.other, target, link, link.own, " | None")
                else:
                    yield self._relation(link.other, f"list[{target}]", link, link.own)
        yield from self._many_to_many(table)

    def _relation(self, name: str, target: str, link: _Link, back: str, optional: str = "") -> str:
        self.imports.add(("psqlmodel", "Relation"))
        options = {}
        if _several(link.child, link.key) or link.child is link.parent:
            keys = self._named(link.child, link.key.columns)
            options["foreign_keys"] = keys[0] if len(keys) == 1 else f"({', '.join(keys)})"
            options["back"] = _text(back)
        declared = f"{name}: Relation[{target}{optional}]"
        return f"{declared} = {_called('Relation', [], options, 4, len(declared) + 3)}"

    def _many_to_many(self, table: TableInfo) -> Iterator[str]:
        for junction in filter(_is_junction, self.tables):
            first, second = junction.foreign_keys
            if first.table == second.table:
                continue  # which of the two keys is ours, nothing here says
            for ours, theirs in ((first, second), (second, first)):
                far = self.by_name.get((theirs.schema, theirs.table))
                if far is None or self.by_name.get((ours.schema, ours.table)) is not table:
                    continue
                self.imports.add(("psqlmodel", "Relation"))
                name = _free(_plural(_identifier(far.name)), self.taken[id(table)])
                self.taken[id(table)].add(name)
                target = f"list[{self.classes[id(far)]}]"
                yield f"{name}: Relation[{target}] = Relation(secondary={_text(self.classes[id(junction)])})"


# --- names --------------------------------------------------------------------------------------------------


def _class_names(described: Sequence[TableInfo | EnumInfo]) -> dict[int, str]:
    names: dict[int, str] = {}
    taken = set(_TAKEN)
    for each in described:
        name = singular(each.name) if isinstance(each, TableInfo) else each.name
        words = _WORD.sub("_", name).split("_")
        made = "".join(word[:1].upper() + word[1:] for word in words) or "Model"
        made = f"Model{made}" if made[0].isdigit() else made
        names[id(each)] = _free(made, taken)
        taken.add(names[id(each)])
    return names


def _attributes(table: TableInfo) -> dict[str, str]:
    """Return the attributes of a table's columns by the names of these."""
    names: dict[str, str] = {}
    for column in table.columns:
        names[column.name] = _free(_identifier(column.name), {*names.values(), *RESERVED})
    return names


def _identifier(name: str) -> str:
    """Return the Python name that is nearest to a name of the database."""
    made = _WORD.sub("_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower() or "column"
    made = f"column_{made}" if made[0].isdigit() else made
    return f"{made}_" if keyword.iskeyword(made) else made


def _free(name: str, taken: Iterable[str]) -> str:
    known, made = set(taken), name
    while made in known:
        made += "_"
    return made


def _plural(name: str) -> str:
    if singular(name) != name:
        return name
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if re.search(r"(s|x|ch|sh)$", name) else f"{name}s"


def _stem(key: ForeignKeyInfo) -> str:
    """Return what a key column is named after: `buyer_id` → `buyer`; nothing for keys of several columns."""
    first, *more = key.columns
    if more:
        return ""
    name = _identifier(first)
    return name.removesuffix("_id") if name.endswith("_id") and name != "_id" else ""


# --- what is said shortly -----------------------------------------------------------------------------------


def _short_key(table: TableInfo, column: str) -> ForeignKeyInfo | None:
    """Return the key that `foreign_key=` on the column says completely, its name included."""
    for key in table.foreign_keys:
        name = stable_name("fk", table.name, *key.columns, key.table)
        if key.columns == (column,) and len(key.remote) == 1 and key.name == name and not key.deferrable:
            return key
    return None


def _is_short_unique(table: TableInfo, key: KeyInfo) -> bool:
    named = len(key.columns) == 1 and key.name == stable_name("uq", table.name, key.columns[0])
    return named and key.nulls_distinct and not key.deferrable


def _is_short_index(table: TableInfo, index: IndexInfo) -> bool:
    plain = len(index.elements) == 1 and index.where is None and not index.include and index.method == "btree"
    if not plain or index.unique:
        return False
    name = index.elements[0].strip('"')
    return any(column.name == name for column in table.columns) and index.name == stable_name("ix", table.name, name)


def _unique_options(key: KeyInfo) -> dict[str, Any]:
    return {
        "name": key.name,
        "nulls_distinct": None if key.nulls_distinct else False,
        "deferrable": key.deferrable or None,
        "initially_deferred": key.initially_deferred or None,
    }


def _key_options(key: ForeignKeyInfo) -> dict[str, Any]:
    return {
        "on_delete": None if key.on_delete == "NO ACTION" else key.on_delete,
        "on_update": None if key.on_update == "NO ACTION" else key.on_update,
        "deferrable": key.deferrable or None,
        "initially_deferred": key.initially_deferred or None,
        "name": key.name,
    }


def _serial_column(table: TableInfo, column: ColumnInfo) -> str | None:
    """Return the column's name where its default is that of a serial column."""
    info = column.type_info
    if info is None or info.name not in _SERIALS or column.default is None or column.nullable:
        return None
    sequence = f"{table.name}_{column.name}_seq"
    schema = r"(?:\w+\.)?"
    return (
        column.name
        if re.fullmatch(rf"nextval\('{schema}\"?{re.escape(sequence)}\"?'::regclass\)", column.default)
        else None
    )


def _may_be_automatic(table: TableInfo, column: ColumnInfo) -> bool:
    """Tell whether a model would take the column for one whose values come from the database."""
    info, key = column.type_info, table.primary_key
    alone = key is not None and key.columns == (column.name,)
    return alone and not _in_key(table, column.name) and info is not None and info.name in _SERIALS


def _in_key(table: TableInfo, column: str) -> bool:
    return any(column in key.columns for key in table.foreign_keys)


def _is_unique(table: TableInfo, columns: Sequence[str]) -> bool:
    keys = [key.columns for key in (table.primary_key, *table.uniques) if key is not None]
    return any(set(key) == set(columns) for key in keys)


def _is_junction(table: TableInfo) -> bool:
    """Tell whether a table only links two others: its primary key is their keys, and nothing must be given beside."""
    if len(table.foreign_keys) != 2 or table.primary_key is None:
        return False
    keys = [name for key in table.foreign_keys for name in key.columns]
    given = [column.name for column in table.columns if column.default is None and not column.nullable]
    return set(table.primary_key.columns) == set(keys) and set(given) <= set(keys)


def _several(child: TableInfo, key: ForeignKeyInfo) -> bool:
    """Tell whether other keys of the table lead to the same other table."""
    return sum((other.schema, other.table) == (key.schema, key.table) for other in child.foreign_keys) > 1


_EXCLUDE = re.compile(r"USING (?P<method>\w+) \((?P<elements>.*?)\)(?: WHERE \((?P<where>.*)\))?", re.DOTALL)


def _excluded(definition: str) -> tuple[str, list[tuple[str, str]], str | None] | None:
    found = _EXCLUDE.fullmatch(definition)
    if found is None:
        return None
    pairs = [element.rpartition(" WITH ") for element in found["elements"].split(", ")]
    return found["method"], [(what.strip('"'), operator) for what, _, operator in pairs], found["where"]


# --- Python -------------------------------------------------------------------------------------------------


def _import(module: str, names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    line = f"from {module} import {', '.join(ordered)}"
    return (
        line
        if len(line) <= WIDTH
        else f"from {module} import (\n" + "".join(f"    {each},\n" for each in ordered) + ")"
    )


def _called(name: str, arguments: Sequence[str], options: Mapping[str, str], indent: int, before: int = 0) -> str:
    """Return a call as Python source: on one line where it has the room, else an argument a line."""
    given = [*arguments, *(f"{key}={value}" for key, value in options.items())]
    line = f"{name}({', '.join(given)})"
    if indent + before + len(line) < WIDTH:
        return line
    margin = " " * indent
    return f"{name}(\n" + "".join(f"{margin}    {each},\n" for each in given) + f"{margin})"


def _text(value: str) -> str:
    """Return a text as Python source, in double quotes."""
    made = repr(value)
    return made if made[0] == '"' or '"' in value else f'"{made[1:-1].replace(chr(92) + chr(39), chr(39))}"'


def _literal(value: Any) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _docstring(text: str) -> str:
    made = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    made = f"{made} " if made.endswith('"') else made
    return f'"""{made}"""'
