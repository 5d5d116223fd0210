"""Catalog: what the columns of tables really are and what makes their values, read once for each engine.

A model's type that was only inferred from an annotation is a guess; the database knows. `ensure` yields one
statement of the purpose "catalog" for all tables that are not known yet, and none where all are. A table that
does not exist is not remembered: the types stay the model's, and the statement that uses it fails by itself.
It must not decide what is done with the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from psqlmodel.model.mapper import Mapper
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import TableSource
from psqlmodel.query.quoting import qualified
from psqlmodel.schema.inspect import TYPE_FIELDS, TYPES_UNDER_WANTED, type_of, types_from
from psqlmodel.steps import Statement, Steps
from psqlmodel.types import PgType, resolve

Key: TypeAlias = tuple[str | None, str]

# The search path decides which table an unqualified name is: to_regclass follows it, or gives NULL.
# Rows with a number are columns of that table (from 1), those of number 0 are types.
_COLUMNS_AND_TYPES = f"""
WITH RECURSIVE columns AS (
    SELECT r.number, a.attname, a.atttypid, a.attgenerated <> '' AS generated,
           -- NULL where there is no sequence of its own: a partition leaves its identity to the parent
           CASE WHEN a.attidentity <> '' THEN 'nextval('
                     || quote_literal(pg_catalog.pg_get_serial_sequence(r.name, a.attname)) || '::regclass)'
                WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(e.adbin, e.adrelid) END AS maker,
           c.relkind = 'r' AS ordinary,
           c.relkind = 'r' AND NOT c.relrowsecurity AND NOT c.relhasrules AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
           ) AS plain
    FROM unnest($1::text[]) WITH ORDINALITY AS r (name, number)
    JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(r.name)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
), wanted AS (SELECT DISTINCT c.atttypid AS oid FROM columns c), types AS ({TYPES_UNDER_WANTED})
SELECT 0::int8, {TYPE_FIELDS}, NULL::text, false, true, true FROM types t
UNION ALL
SELECT c.number, c.atttypid, c.attname::text, NULL, NULL, NULL, NULL, NULL, NULL, c.maker, c.generated, c.ordinary,
       c.plain
FROM columns c
"""  # noqa: S608 (constants)


class _Table:
    """One table: types by column name, the SQL that makes a column's default, the generated columns.

    `ordinary`: it holds its rows itself, unlike a partitioned table or a view. `plain`: and nobody put triggers, rules
    or row security on it.
    """

    __slots__ = ("generated", "makers", "ordinary", "plain", "types")

    def __init__(self) -> None:
        self.types: dict[str, PgType[Any]] = {}
        self.makers: dict[str, str] = {}
        self.generated: set[str] = set()
        self.ordinary = True
        self.plain = False


class _Known:
    """What has been read since the last invalidation, which puts a new one in its place.

    So needs no lock: what was read before an invalidation lands in the old one and is gone with it.
    """

    __slots__ = ("derived", "tables", "types")

    def __init__(self) -> None:
        self.derived: dict[Any, Any] = {}
        self.tables: dict[Key, _Table] = {}
        self.types: dict[tuple[Key, str | None, PgType[Any]], PgType[Any]] = {}


_UNKNOWN = _Table()
_MOST_DERIVED = 2000


class Catalog:
    """The actual column types of the tables of one engine's database, shared by its sessions and threads.

    Unqualified names are looked up on the search path of the first connection that asks.
    """

    def __init__(self) -> None:
        self._known = _Known()
        self.read_committed = False  # whether that is the default isolation of the database, once it is known

    def ensure(self, tables: Iterable[Mapper | TableSource]) -> Steps[None]:
        """Read the column types of those tables that are not known yet, in one statement.

        A table that does not exist stays unknown.

            yield from catalog.ensure([User.__mapper__])
        """
        missing = self.missing(tables)
        if not missing:
            return
        known = self._known
        names = [qualified(name, schema) for schema, name in missing]
        rows = yield Statement(_COLUMNS_AND_TYPES, [names], purpose="catalog")
        known.tables.update(_by_table(missing, rows.data))

    def knows(self, mappers: frozenset[Mapper]) -> bool:
        """Tell whether the tables of all these classes are known; `missing`, which takes longer, tells which not."""
        if mappers in self._known.derived:
            return True
        if self.missing(mappers):
            return False
        self.keep(mappers, True)
        return True

    def missing(self, tables: Iterable[Mapper | TableSource]) -> list[Key]:
        """Return the keys (schema, name) of those tables that are not known yet."""
        known = self._known.tables
        keys = dict.fromkeys(_key(table) for table in tables)
        return [key for key in keys if key not in known]

    def type_of(self, column: ColumnExpression[Any]) -> PgType[Any]:
        """Return the type that a column has in the database, or the model's where the table is not known.

        It is a `psqlmodel.query` type function: `compile(query, types=catalog.type_of)`.
        """
        origin = column.origin
        declared = origin.type
        assert declared is not None
        source = origin.source
        if not isinstance(source, TableSource):
            return declared
        key = ((source.schema, source.name), origin.name, declared)
        known = self._known
        return known.types.get(key) or _resolve(known, key)

    def actual(self, table: Mapper | TableSource) -> Mapping[str, PgType[Any]]:
        """Return the database's types by column name, of all columns; nothing for an unknown table."""
        return MappingProxyType(self._known.tables.get(_key(table), _UNKNOWN).types)

    def makers(self, table: Mapper | TableSource) -> Mapping[str, str]:
        """Return the SQL expressions that make the defaults, identities included, by column name."""
        return MappingProxyType(self._known.tables.get(_key(table), _UNKNOWN).makers)

    def generated(self, table: Mapper | TableSource) -> frozenset[str]:
        """Return the names of the columns that the database computes from others."""
        return frozenset(self._known.tables.get(_key(table), _UNKNOWN).generated)

    def is_ordinary(self, table: Mapper | TableSource) -> bool:
        """Tell whether a table holds its rows itself, so that an INSERT into it gives system columns back.

        A partitioned table and a view do not; a table that is not known is taken for ordinary.
        """
        return self._known.tables.get(_key(table), _UNKNOWN).ordinary

    def is_plain(self, table: Mapper | TableSource) -> bool:
        """Tell whether writing to a table is known to do nothing but write: no triggers, rules or row security."""
        return self._known.tables.get(_key(table), _UNKNOWN).plain

    def are_plain(self, mappers: frozenset[Mapper]) -> bool:
        """Tell whether all tables of these classes are plain; kept for the next flush of them."""
        key = ("plain", mappers)
        found: bool | None = self._known.derived.get(key)
        if found is None:
            found = all(map(self.is_plain, mappers))
            self.keep(key, found)
        return found

    @property
    def derived(self) -> dict[Any, Any]:
        """What others derive from the catalog and `keep` until it is read anew: texts by their shape."""
        return self._known.derived

    def keep(self, key: Any, value: Any) -> None:
        """Put something into `derived`, which is emptied when it has grown too large."""
        known = self._known.derived
        if len(known) >= _MOST_DERIVED:
            known.clear()
        known[key] = value

    def invalidate(self) -> None:
        """Forget everything, because tables may have changed: it is read again when it is needed."""
        self._known = _Known()


def _resolve(known: _Known, key: tuple[Key, str | None, PgType[Any]]) -> PgType[Any]:
    table, name, declared = key
    columns = known.tables.get(table)
    if columns is None:
        return declared
    actual = columns.types.get(name or "")
    resolved = known.types[key] = declared if actual is None else resolve(declared, actual)
    return resolved


def _key(table: Mapper | TableSource) -> Key:
    source = table.source if isinstance(table, Mapper) else table
    return source.schema, source.name


def _by_table(keys: Sequence[Key], rows: Sequence[Sequence[Any]]) -> dict[Key, _Table]:
    types = types_from(row[1:9] for row in rows if row[0] == 0)
    made: dict[int, PgType[Any]] = {}
    found: dict[Key, _Table] = {}
    for number, oid, name, *_, maker, generated, ordinary, plain in rows:
        if number == 0:
            continue
        if oid not in made:
            made[oid] = type_of(types[oid])
        table = found.setdefault(keys[int(number) - 1], _Table())
        table.types[name] = made[oid]
        table.ordinary = ordinary
        table.plain = plain
        if maker is not None:
            table.makers[name] = maker
        if generated:
            table.generated.add(name)
    return found
