"""The workloads: what each is called, which method of an adapter does it, how much, and what must be true afterwards.

A check asks the database through `Control` and looks at the objects, outside of the clock; it raises `Wrong`. It must
not ask the library that is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.adapters.base import Adapter
from benchmarks.adapters.plain import ITEM, ORDER, READING, USER
from benchmarks.data import Control
from benchmarks.rows import CHILDREN, TOTAL

FIRST_NEW = 1_000_000  # keys above are of new rows
CLOSELY = 100  # objects of which every attribute is compared

_COLUMNS = {"users": USER, "orders": ORDER, "items": ITEM, "readings": READING, "tags": "id, name"}
Check = Callable[[Control, Adapter, Any, int], None]


class Wrong(AssertionError):
    """An adapter did something else than the work."""


@dataclass(frozen=True)
class Workload:
    """One row of the table. `each`: the figure is for one operation, not for all."""

    key: str
    method: str
    title: str
    count: int
    warm: int
    check: Check
    undo: tuple[str, ...] = ()
    each: bool = False
    before: str = ""  # SQL that makes {count} rows for it
    where: str = "here"  # or "remote": 1 ms for each round trip; or "apart": a process of its own


def check_rows(control: Control, table: str, objects: list[Any], count: int) -> None:
    """Compare objects with their rows: how many, the sum of the keys, and every attribute of some of them."""
    keys = {obj.id for obj in objects}
    if len(objects) != count or len(keys) != count or None in keys:
        raise Wrong(f"{len(objects)} objects with {len(keys)} keys, not {count}")
    found = control.row(f"SELECT count(*) FROM {table} WHERE id = ANY(%s)", [list(keys)])[0]
    if found != count:
        raise Wrong(f"{found} of {count} objects have rows in {table}")
    some = objects[:: max(1, count // CLOSELY)]
    columns = _COLUMNS[table]
    rows = {row[0]: row for row in control.rows(f"SELECT {columns} FROM {table} WHERE id = ANY(%s)", [_keys(some)])}
    for obj in some:
        values = tuple(getattr(obj, column) for column in columns.split(", "))
        if values != rows[obj.id]:
            raise Wrong(f"the object has {values}, its row {rows[obj.id]}")


def _keys(objects: list[Any]) -> list[int]:
    return [obj.id for obj in objects]


def _equal(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {found}, not {wanted}")


# --- reading ----------------------------------------------------------------------------------------------------


def _loaded(table: str) -> Check:
    def check(control: Control, adapter: Adapter, result: Any, count: int) -> None:
        check_rows(control, table, result, count)

    return check


def _same_user(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    check_rows(control, "users", [result], 1)


def _with_orders(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    check_rows(control, "users", result, count)
    orders = _children(adapter, result, "orders", "user_id")
    wanted = control.row("SELECT count(*) FROM orders WHERE user_id <= %s", [count])[0]
    check_rows(control, "orders", orders, wanted)


def _with_items(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    _with_orders(control, adapter, result, count)
    orders = [order for user in result for order in adapter.many(user, "orders")]
    items = _children(adapter, orders, "items", "order_id")
    wanted = control.row("SELECT count(*) FROM items JOIN orders o ON o.id = order_id WHERE user_id <= %s", [count])[0]
    check_rows(control, "items", items, wanted)


def _children(adapter: Adapter, parents: list[Any], name: str, key: str) -> list[Any]:
    found = []
    for parent in parents:
        children = adapter.many(parent, name)
        if any(getattr(child, key) != parent.id for child in children):
            raise Wrong(f"{name} hang on the wrong object")
        found += children
    return found


def _with_tags(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    check_rows(control, "users", result, count)
    links = sorted((user.id, tag.id) for user in result for tag in adapter.many(user, "tags"))
    _equal("links", links, control.rows("SELECT * FROM user_tags WHERE user_id <= %s ORDER BY 1, 2", [count]))
    tags = list({tag.id: tag for user in result for tag in adapter.many(user, "tags")}.values())
    check_rows(control, "tags", tags, len(tags))


def _streamed(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    _equal("rows and keys", tuple(result), control.row("SELECT count(*), sum(id) FROM readings"))


# --- writing ----------------------------------------------------------------------------------------------------


def _added(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    check_rows(control, "users", result, count)
    _equal("new users", control.row("SELECT count(*) FROM users WHERE id > %s", [FIRST_NEW])[0], count)


def _graph(children: int) -> Check:
    def check(control: Control, adapter: Adapter, result: Any, count: int) -> None:
        users, orders = result
        _added(control, adapter, users, count)
        check_rows(control, "orders", orders, count * children)
        found = control.row("SELECT count(DISTINCT user_id), count(*) FROM orders WHERE id > %s", [FIRST_NEW])
        _equal("parents and children", found, (count, count * children))

    return check


def _graphs(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    users = [user for user, _ in result]
    orders = [order for _, children in result for order in children]
    _graph(2)(control, adapter, (users, orders), count)


def _changed(at_most: int | None) -> Check:
    def check(control: Control, adapter: Adapter, result: Any, count: int) -> None:
        check_rows(control, "users", result, count)
        wanted = count if at_most is None else min(at_most, count)
        found = control.row(
            "SELECT count(*), sum(u.age - o.age) FROM users u JOIN origin.users o USING (id) WHERE u.age <> o.age"
        )
        _equal("changed users and by how much", found, (wanted, wanted))

    return check


def _copied(table: str) -> Check:
    def check(control: Control, adapter: Adapter, result: Any, count: int) -> None:
        found = control.row(f"SELECT count(*), count(DISTINCT id) FROM {table} WHERE id > %s", [FIRST_NEW])
        _equal("new rows", found, (count, count))

    return check


def _updated(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    found = control.row(
        "SELECT count(*) FROM orders WHERE id <= %s AND total = id %% 700 + 0.75 AND paid = (id %% 3 = 0)", [count]
    )[0]
    _equal("orders with the new values", found, count)


def _deleted(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    gone = control.row("SELECT count(*) FROM origin.items o WHERE NOT EXISTS (SELECT FROM items i WHERE i.id = o.id)")
    _equal("deleted items", gone[0], count)
    _equal("the last of them", control.row("SELECT min(id) FROM items")[0], count + 1)


def _web(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    for user, last, _ in result[:5]:
        _equal("last orders", len(last), 10)
        check_rows(control, "users", [user], 1)
        check_rows(control, "orders", last, 10)
        _equal("whose they are", {order.user_id for order in last}, {user.id})
    check_rows(control, "orders", [order for _, _, order in result], count)
    found = control.row(
        "SELECT count(*), sum(o.balance - u.balance) FROM users u JOIN origin.users o USING (id) "
        "WHERE u.balance <> o.balance"
    )
    _equal("users who paid and how much", found, (count, count * TOTAL))


def _built(control: Control, adapter: Adapter, result: Any, count: int) -> None:
    sql, params = result
    text = " ".join(sql.split()).upper()
    if " JOIN " not in text or len(params) < 4:  # the fifth, a truth value, may be a constant
        raise Wrong(f"no join, or not five conditions: {sql}")


_NEW_GONE = (
    f"DELETE FROM orders WHERE id > {FIRST_NEW}",
    f"DELETE FROM users WHERE id > {FIRST_NEW}",
    "VACUUM (TRUNCATE FALSE) orders",
    "VACUUM (TRUNCATE FALSE) users",
)
_USERS_BACK = (
    "UPDATE users u SET age = o.age, balance = o.balance FROM origin.users o "
    "WHERE o.id = u.id AND (o.age, o.balance) <> (u.age, u.balance)",
)
_ORDERS_BACK = (
    "UPDATE orders t SET total = o.total, paid = o.paid FROM origin.orders o "
    "WHERE o.id = t.id AND (o.total, o.paid) <> (t.total, t.paid)",
    "VACUUM (TRUNCATE FALSE) orders",
)
_ITEMS_BACK = (
    "INSERT INTO items SELECT * FROM origin.items o WHERE NOT EXISTS (SELECT FROM items i WHERE i.id = o.id)",
    "VACUUM (TRUNCATE FALSE) items",
)

_MANY_ROWS = (
    "INSERT INTO readings (sensor, place, value, amount, taken) "
    "SELECT 'sensor ' || n % 50, 'place ' || n % 7, n / 4.0, n % 1000 / 4.0, "
    "timestamptz '2025-01-01 00:00Z' + n * interval '1 second' FROM generate_series(1, {count}) n"
)

WORKLOADS = (
    Workload("W1", "get", "`get` 2,000 distinct keys in one session", 2_000, 50, _loaded("users")),
    Workload("W1b", "get_again", "the same key again (identity map)", 20_000, 100, _same_user, each=True),
    Workload("W2", "load_users", "10,000 users into objects", 10_000, 100, _loaded("users")),
    Workload("W2o", "load_orders", "100,000 orders into objects", 100_000, 100, _loaded("orders")),
    Workload("W3", "include", "1,000 users with their 10,000 orders", 1_000, 50, _with_orders),
    Workload("W3l", "include_deep", "three levels: and their 30,000 items", 1_000, 50, _with_items),
    Workload("W3m", "include_many", "1,000 users with their tags, many-to-many", 1_000, 50, _with_tags),
    Workload("W4", "add", "10,000 new objects added one by one, one commit", 10_000, 100, _added, _NEW_GONE),
    Workload("W4b", "add_graph", "1,000 parents × 10 children, one commit", 1_000, 20, _graph(CHILDREN), _NEW_GONE),
    Workload(
        "W5",
        "change_all",
        "load 10,000, change one column of each, commit",
        10_000,
        100,
        _changed(None),
        (*_USERS_BACK, *_NEW_GONE[3:]),
    ),
    Workload(
        "W5b",
        "change_few",
        "load 10,000, change 10 of them, commit",
        10_000,
        100,
        _changed(10),
        (*_USERS_BACK, *_NEW_GONE[3:]),
    ),
    Workload("W6", "bulk_insert", "bulk insert 100,000 orders", 100_000, 100, _copied("orders"), _NEW_GONE[::2]),
    Workload(
        "W6n",
        "bulk_insert_plain",
        "bulk insert 100,000 rows without a foreign key",
        100_000,
        100,
        _copied("readings"),
        ("TRUNCATE readings",),
    ),
    Workload("W7", "bulk_update", "bulk update 100,000, two columns", 100_000, 100, _updated, _ORDERS_BACK),
    Workload("W8", "web", "web transaction", 640, 64, _web, (*_USERS_BACK, *_NEW_GONE), each=True),
    Workload(
        "W8r",
        "web_remote",
        "web transaction, 1 ms for each round trip",
        40,
        10,
        _web,
        (*_USERS_BACK, *_NEW_GONE),
        each=True,
        where="remote",
    ),
    Workload(
        "W4r",
        "add_remote",
        "a parent with two children, 1 ms for each round trip",
        40,
        10,
        _graphs,
        _NEW_GONE,
        each=True,
        where="remote",
    ),
    Workload("W9", "delete", "delete 10,000 loaded objects", 10_000, 100, _deleted, _ITEMS_BACK),
    Workload("W10", "build", "build a five-condition query with a join, get its SQL", 2_000, 20, _built, each=True),
    Workload("W10r", "render", "get the SQL of one that is built, a repeated shape", 2_000, 20, _built, each=True),
    Workload("W11m", "memory", "memory for one of 20,000 loaded orders", 20_000, 100, _loaded("orders"), where="apart"),
    Workload(
        "W11s",
        "stream",
        "peak memory while streaming 1,000,000 rows",
        1_000_000,
        0,
        _streamed,
        ("TRUNCATE readings",),
        where="apart",
        before=_MANY_ROWS,
    ),
)
# W11i, the time of the import, needs no adapter: benchmarks/importing.py
