"""Generated code: loaders, one for each class, columns and result types, that turn rows into objects; constructors.

A loader makes a plain twin of the class (without `__setattr__`), assigns a whole row at once and then turns
the twin into an instance: a third of the cost of what can be written by hand for all classes. An object that the
session has already is not made again; `Refresher`, which is not generated, gives it the fresh values.

A constructor has the attributes of its class as its keywords: three fifths of the time of one that takes any. All
sources are entered into `linecache`, so that debuggers and tracebacks show them. Nothing here sends anything.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from psqlmodel.errors import DataError
from psqlmodel.model.state import DELETED, TRANSIENT, UNSET, Presumed, Raw, raw_name, set_state
from psqlmodel.types import Multirange, Range, loader, quick
from psqlmodel.types.temporal import in_column, naming

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column
    from psqlmodel.model.mapper import Mapper
    from psqlmodel.model.relations import RelationInfo

# (rows, state of what is made, identity map of the class) → one object, or None, for each row
Load: TypeAlias = Callable[[Iterable[Any], Any, dict[Any, Any]], list[Any]]
# (rows, state of what is made) → one new object for each row
LoadFresh: TypeAlias = Callable[[Iterable[Any], Any], list[Any]]


OWN_NAMES = sys.version_info >= (3, 13)  # see `_with_own_names`


class Field:
    """One attribute in a loader: where its value is in the row, how it is converted, and where it goes.

    `raw`: the value can be edited in place and is kept as it came until the program asks for it. `quick` converts
    nearly all values in C, and raises ValueError for the others.
    """

    __slots__ = ("convert", "key", "position", "quick", "raw", "slot")

    def __init__(self, column: Column[Any], oid: int, position: int) -> None:
        self.key = column.key or ""
        self.position = position
        self.raw = column.type is not None and column.type.mutable
        self.slot = raw_name(self.key) if self.raw else self.key
        self.convert = _raw_conversion(column.type, oid) if self.raw else loader(column.type, oid)
        self.quick = quick(self.convert)
        if self.convert and column.type is not None and column.type.python in (Range, Multirange):
            self.convert = naming(self.convert, self.key)  # of dates, perhaps: its ends may be what Python can't hold


def entity_loader(
    mapper: Mapper,
    columns: Sequence[Column[Any]],
    oids: Sequence[int],
    start: int = 0,
    *,
    width: int | None = None,
    optional: bool = False,
) -> Load:
    """Return the loader of objects of one class.

    Parameters: `columns`, the attributes in the order of the row; `oids`, their types in the result; `start`,
    the index of the first one in the row; `width`, the width of the whole row; `optional`, whether the row
    may have no such object (an outer join), which gives None. A class without primary key gives an object for
    every row.
    """
    width = len(columns) + start if width is None else width
    keys = tuple(column.key for column in columns)
    known = (keys, tuple(oids), start, width, optional)
    found: Load | None = mapper.loaders.get(known)
    if found is None:
        fields = [Field(c, oid, start + i) for i, (c, oid) in enumerate(zip(columns, oids, strict=True))]
        source = source_of(mapper, fields, start, width, optional)
        made: Load = _compiled(mapper, fields, source)
        found = mapper.loaders[known] = made
    return found


def fresh_loader(mapper: Mapper, oids: Sequence[int]) -> LoadFresh:
    """Return the loader of whole objects of one class of which the session has none, each of them in one row.

    Parameters: `oids`, the types of the row, which begins with the columns of the class. It looks nothing up and
    enters nothing: 100,000 orders are loaded in 0.78 of the time (by psycopg2; 0.85 by asyncpg).
    """
    known = ("fresh", tuple(oids))
    found: LoadFresh | None = mapper.loaders.get(known)
    if found is None:
        fields = [Field(column, oids[n], n) for n, column in enumerate(mapper.columns)]
        made: LoadFresh = _compiled(mapper, fields, fresh_source_of(fields, len(oids)))
        found = mapper.loaders[known] = made
    return found


def source_of(mapper: Mapper, fields: Sequence[Field], start: int, width: int, optional: bool) -> str:
    """Return the source of a loader; see `entity_loader`."""
    key = _key_fields(mapper, fields)
    repeats = bool(key) and (optional or start > 0 or width > len(fields))  # of a join: an object may come again
    part = "row" if start == 0 and width == len(fields) else f"row[{start}:{start + len(fields)}]"
    lines = ["def load(rows, state, known):", "    objects = []", "    append = objects.append"]
    if key:
        lines.append("    get = known.get")
    if repeats:
        lines += ["    met = {}", "    met_before = met.get"]
    lines.append("    for row in rows:")
    if key:
        lines += _look_up(key, optional, part if repeats else "")
    elif optional:
        lines += [
            f"        if row[{start}:{start + len(fields)}] == NOTHING:",
            "            append(None)",
            "            continue",
        ]
    lines += _make(fields, "part" if repeats else part)
    if key:
        lines.append("        known[key] = ref(o)")
    if repeats:
        lines.append("        met[key] = part, o")
    lines += ["        append(o)", "    return objects", ""]
    return "\n".join(lines)


def fresh_source_of(fields: Sequence[Field], width: int) -> str:
    """Return the source of a loader; see `fresh_loader`."""
    part = "row" if width == len(fields) else f"row[:{len(fields)}]"
    head = ["def load(rows, state):", "    objects = []", "    append = objects.append", "    for row in rows:"]
    return "\n".join([*head, *_make(fields, part), "        append(o)", "    return objects", ""])


# --- constructors -------------------------------------------------------------------------------------------


def constructor(mapper: Mapper, general: Callable[..., None]) -> Callable[..., None] | None:
    """Return the `__init__` of one class, or None where its attributes can't be keywords of a function.

    `general` is the one of all classes: for unknown keywords, and for other classes that inherit this one.
    """
    names = [*mapper.attributes, *mapper.relations]
    if not all(name.isidentifier() and not iskeyword(name) for name in names):
        return None
    found: dict[str, Any] = {
        "_UNSET": UNSET,
        "_TRANSIENT": TRANSIENT,
        "_cls": mapper.cls,
        "_general": general,
        "_set_state": set_state,
    }
    for n, column in enumerate(mapper.defaults):
        found[f"_default{n}"] = column.default if column.default_factory is None else column.default_factory
    source = constructor_source_of(mapper)
    made: Callable[..., None] = _executed(f"<psqlmodel constructor {mapper.name}>", source, found)["__init__"]
    made.__qualname__, made.__module__ = f"{mapper.cls.__qualname__}.__init__", mapper.cls.__module__
    return made


def constructor_source_of(mapper: Mapper) -> str:
    """Return the source of a constructor; no attribute begins with `_`, as what is not one does."""
    names = [*mapper.attributes, *mapper.relations]
    given = ", ".join(f"{name}={name}" for name in names)
    lines = [
        f"def __init__(_self, /, *, {''.join(f'{name}=_UNSET, ' for name in names)}**_others):",
        "    if _others or _self.__class__ is not _cls:",
        f"        return _general(_self, _others, {given})",
        "    _set_state(_self, _TRANSIENT)",
        "    _own = _self.__dict__",
    ]
    for name in mapper.attributes:
        lines += [f"    if {name} is not _UNSET:", f"        _own[{name!r}] = {name}"]
    for name in mapper.relations:  # when the keys are there
        lines += [f"    if {name} is not _UNSET:", f"        _self.{name} = {name}"]
    for n, column in enumerate(mapper.defaults):  # of keys that no related object has brought
        value = f"_default{n}" if column.default_factory is None else f"_default{n}()"
        lines += [f"    if {column.key!r} not in _own:", f"        _own[{column.key!r}] = {value}"]
    return "\n".join([*lines, ""])


# --- what a loader is made of -------------------------------------------------------------------------------


def _key_fields(mapper: Mapper, fields: Sequence[Field]) -> list[Field]:
    by_key = {field.key: field for field in fields}
    if not all(column.key in by_key for column in mapper.primary_key):
        return []
    return [by_key[column.key or ""] for column in mapper.primary_key]


def _look_up(key: list[Field], optional: bool, part: str) -> list[str]:
    """Look for an object that the session has; it takes the fresh values.

    `part` is what to compare where an object may come again: it is as fresh as the row if that is the same. 5,000 tags
    of 1,000 users are 50, and their relation is loaded in half of the time.
    """
    lines = []
    if optional:
        lines += [
            f"        if row[{key[0].position}] is None:",
            "            append(None)",
            "            continue",
        ]
    parts = [f"c{f.position}(row[{f.position}])" if f.convert else f"row[{f.position}]" for f in key]
    lines.append(f"        key = {parts[0] if len(parts) == 1 else '(' + ', '.join(parts) + ')'}")
    if part:
        lines += [
            f"        part = {part}",
            "        before = met_before(key)",
            "        if before is not None and before[0] == part:",
            "            append(before[1])",
            "            continue",
        ]
    lines += [
        "        reference = get(key)",
        "        if reference is not None:",
        "            o = reference()",
        "            if o is not None:",
        "                refresh(o, row)",
        *(["                met[key] = part, o"] if part else []),
        "                append(o)",
        "                continue",
    ]
    return lines


def _make(fields: Sequence[Field], part: str) -> list[str]:
    """Make one object of a row, or of a part of it."""
    made = _with_own_names(fields, part) if OWN_NAMES else _with_shared_names(fields, part)
    return [*made, "        o._state = state", "        o.__class__ = cls"]


def _with_own_names(fields: Sequence[Field], part: str) -> list[str]:
    """Give the object a dictionary of its own.

    Where names are shared, CPython has room for thirty values in each object of a class with slots, from 3.13 on: this
    takes four fifths of the time and of the memory.
    """
    names = [f"v{field.position}" for field in fields]
    lines = [f"        {', '.join(names)}{',' if len(names) == 1 else ''} = {part}"]
    values: list[str] = []
    raw: list[str] = []
    for field, local in zip(fields, names, strict=True):
        if field.raw:
            raw += _keep(field, local)
            continue
        if field.quick:
            lines += _read(field, local, local)
        elif field.convert:
            lines.append(f"        {local} = None if {local} is None else c{field.position}({local})")
        values.append(f"{field.key!r}: {local}")
    return [*lines, "        o = twin()", f"        o.__dict__ = {{{', '.join(values)}}}", *raw]


def _with_shared_names(fields: Sequence[Field], part: str) -> list[str]:
    """Give the object its values by name: its dictionary shares the names with all others of the class."""
    targets = []
    later = []
    for field in fields:
        local = f"v{field.position}"
        if field.raw:
            later += _keep(field, local)
        elif field.quick:
            later += _read(field, local, _target(field.key))
        elif field.convert:
            value = f"None if {local} is None else c{field.position}({local})"
            later.append(f"        {_target(field.key)} = {value}")
        else:
            local = _target(field.key)
        targets.append(local)
    unpack = f"        {', '.join(targets)}{',' if len(targets) == 1 else ''} = {part}"
    return ["        o = twin()", unpack, *later]


def _keep(field: Field, local: str) -> list[str]:
    """Keep a value as it came, until the program asks for it."""
    kept = f"c{field.position}({local})" if field.convert else local
    return [
        f"        if {local} is None:",
        f"            {_target(field.key)} = None",
        "        else:",
        f"            {_target(field.slot)} = {kept}",
    ]


def _read(field: Field, local: str, target: str) -> list[str]:
    """Convert a value in C, and otherwise where that fails."""
    return [
        "        try:",
        f"            {target} = None if {local} is None else q{field.position}({local})",
        "        except ValueError:",
        f"            {target} = c{field.position}({local})",
    ]


def _target(name: str) -> str:
    # A name that is none in Python's grammar can only come from a class that was made by a call of `type`.
    return f"o.{name}" if name.isidentifier() and not iskeyword(name) else f"o.__dict__[{name!r}]"


def _compiled(mapper: Mapper, fields: list[Field], source: str) -> Any:
    filename = f"<psqlmodel loader {mapper.name}({', '.join(f.key for f in fields)}) #{len(mapper.loaders)}>"
    names: dict[str, Any] = {f"c{field.position}": field.convert for field in fields if field.convert}
    for field in fields:
        if field.quick and field.convert:  # then the other is for what fails there: it has the time to say what it is
            names[f"q{field.position}"] = field.quick
            names[f"c{field.position}"] = naming(field.convert, field.key)
    names |= {
        "NOTHING": (None,) * len(fields),
        "cls": mapper.cls,
        "ref": weakref.ref,
        "refresh": Refresher(mapper, fields),
        "twin": mapper.twin,
    }
    return _executed(filename, source, names)["load"]


def _executed(filename: str, source: str, names: dict[str, Any]) -> dict[str, Any]:
    """Execute generated source with these names, and return what they are then."""
    import linecache  # with tokenize; here, a program that loads nothing does without

    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), names)  # noqa: S102 - our own text
    return names


def _raw_conversion(type_: Any, oid: int) -> Callable[[Any], Any] | None:
    """Return what makes the raw value of the model's type where the column has another one (a dict over hstore)."""
    convert = loader(type_, oid)
    if convert is type_.load:
        return None
    dump = type_.dump
    return dump if convert is None else lambda wire: dump(convert(wire))


class Refresher:
    """Gives an object that the session has already what a fresh row says; changed attributes are kept.

    So is the version of an object that is about to be written: what the program decided was decided on that version,
    and with a fresh one the flush would write over what someone else did meanwhile.
    """

    __slots__ = ("fields", "links", "mapper", "version")

    def __init__(self, mapper: Mapper, fields: Sequence[Field]) -> None:
        self.mapper = mapper
        self.fields = tuple(fields)
        self.links = mapper.links_of_column
        self.version = None if mapper.version is None else mapper.version.key

    def __call__(self, obj: Any, row: Sequence[Any]) -> None:
        """Take over the values of `row` for all attributes without changes.

        Raises `DataError` with the name of the column for what Python can't hold.
        """
        unit: Any = obj._state.unit
        if obj._state.__class__ is Presumed:
            unit.revive(obj)
        if unit is None or not unit.undo.statements_wrote:
            self._take_over(obj, row)
            return
        former, handed_out = obj.__dict__.copy(), obj._state.original.copy()
        self._take_over(obj, row)
        if replaced := self._replaced(obj, former, handed_out):
            unit.undo.updated(obj, replaced)  # a rollback takes back what the row says

    def _replaced(self, obj: Any, former: dict[str, Any], handed_out: dict[str, Any]) -> dict[str, Any]:
        """Return what a row replaced, as states remember it: of a value that the program holds its wire form."""
        own, original = obj.__dict__, obj._state.original
        found: dict[str, Any] = {}
        for key, slot in ((field.key, field.slot) for field in self.fields):
            if original.get(key) is not handed_out.get(key) and isinstance(handed_out.get(key), Raw):
                found[key] = handed_out[key]
            elif key in own or key in former:
                before = former.get(key, UNSET)
                if own.get(key, UNSET) != before and key not in original:
                    found[key] = before if before is not UNSET or slot not in former else Raw(former[slot])
            elif own.get(slot, UNSET) != former.get(slot, UNSET):
                found[key] = Raw(former[slot]) if slot in former else UNSET
        return found

    def _take_over(self, obj: Any, row: Sequence[Any]) -> None:
        own = obj.__dict__
        kept = self.version if self.version is not None and self._waits_to_be_written(obj) else None
        original = obj._state.original
        for field in self.fields:
            value = row[field.position]
            if value is not None and field.convert is not None:
                try:
                    value = field.convert(value)
                except DataError as error:
                    raise in_column(error, field.key) from None
            if field.key in original and self._stays(own, original, field, value):
                continue
            if field.key == kept and own.get(kept) is not None:
                continue
            if field.raw:
                own.pop(field.key, None)
                own.pop(field.slot, None)
                own[field.key if value is None else field.slot] = value
            elif field.key in self.links and own.get(field.key, UNSET) != value:
                own[field.key] = value
                self._forget_links(own, original, field.key)
            else:
                own[field.key] = value

    def _stays(self, own: dict[str, Any], original: dict[str, Any], field: Field, value: Any) -> bool:
        """Tell whether what the program made of an attribute stays; setting it to what it was is no change."""
        key, before = field.key, original[field.key]
        if field.raw and isinstance(before, Raw):
            self._refresh_handed_out(own, original, key, value)
            return True
        if self._is_change(own, key, before) or any(relation.key in original for relation in self._links(key)):
            return True
        del original[key]
        return False

    def _refresh_handed_out(self, own: dict[str, Any], original: dict[str, Any], key: str, wire: Any) -> None:
        """Update, in place, a value that the program holds and did not edit: later edits are still seen."""
        before, value = original[key].wire, own.get(key)
        if wire == before or wire is None:
            return
        load = self.mapper.attributes[key].pg_type.load
        now: Any = wire if load is None else load(wire)
        if self._is_edited(key, before, value) or type(value) is not type(now):
            return
        if isinstance(value, dict):
            value.clear()
            value.update(cast("dict[Any, Any]", now))
        elif isinstance(value, list):
            value[:] = copied(now)
        else:
            own[key] = now
        original[key] = Raw(wire)

    def _is_edited(self, key: str, before: Any, value: Any) -> bool:
        load = self.mapper.attributes[key].pg_type.load
        # By their texts: to Python True equals 1, to JSON it does not.
        return repr(value) != repr(before if load is None else load(before))

    def _waits_to_be_written(self, obj: Any) -> bool:
        """Tell whether the next flush updates or deletes the row."""
        if obj._state.status == DELETED:
            return True
        return any(self._is_change(obj.__dict__, key, before) for key, before in obj._state.original.items())

    def _is_change(self, own: dict[str, Any], key: str, before: Any) -> bool:
        if key in self.mapper.attributes:
            now = own.get(key)
            if isinstance(before, Raw):
                return self._is_edited(key, before.wire, now)
            return before is UNSET or type(now) is not type(before) or bool(now != before)
        relation = self.mapper.relations.get(key) or self.mapper.hidden[key]
        return relation.outgoing and not relation.many

    def _links(self, key: str) -> Iterator[RelationInfo]:
        """Give the to-one relations that the column is a key of."""
        return (r for r in self.mapper.all_relations() if r.outgoing and key in r.local_keys)

    def _forget_links(self, own: dict[str, Any], original: dict[str, Any], key: str) -> None:
        """Forget loaded to-one relations that the fresh key no longer names."""
        for relation in self._links(key):
            if relation.key not in own or relation.key in original:
                continue
            target = own[relation.key]
            held = [own.get(local) for local in relation.local_keys]
            if target is None or [target.__dict__.get(c.key) for c in relation.remote] != held:
                del own[relation.key]


def copied(value: Any) -> Any:
    """Return a list with the lists inside it copied; anything else as it is."""
    return [copied(item) for item in value] if isinstance(value, list) else value
