"""The verbs as methods of the two sessions: shells, one line each. `Books` is what needs no statement, on both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from psqlmodel.core.verbs import books, fetching, merging, planning, syncing, upserting
from psqlmodel.core.verbs.planning import Plan
from psqlmodel.core.verbs.written import Written
from psqlmodel.query.expression import Expression
from psqlmodel.query.statement import Query
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.done import Done
    from psqlmodel.core.verbs.paging import Page
    from psqlmodel.core.workspace import Workspace

M = TypeVar("M")
T = TypeVar("T")


class Books:
    """What a session knows: to be looked at, without a statement."""

    if TYPE_CHECKING:
        _workspace: Workspace

        def _now(self, register: Callable[[Any], None], model: Any) -> Done: ...

    @property
    def new(self) -> tuple[Any, ...]:
        """The objects that wait for their first flush."""
        return books.new(self._workspace.unit)

    @property
    def dirty(self) -> tuple[Any, ...]:
        """The objects with changes that were not flushed."""
        return books.dirty(self._workspace.unit)

    @property
    def deleted(self) -> tuple[Any, ...]:
        """The objects that the next flush deletes."""
        return books.deleted(self._workspace.unit)

    def changes(self, model: Any) -> dict[str, tuple[Any, Any]]:
        """Return what was changed in an object since its last flush: old and new value by attribute.

        session.changes(user)  # {"name": ("Ada", "Ada L.")}
        """
        return books.changes(model)

    def plan(self) -> Plan:
        """Return what a flush would send now, statement by statement; nothing is sent, and printing it is readable.

        print(session.plan())  # INSERT "users" (name): 2 rows
        """
        return planning.plan(self._workspace)

    def expunge(self, model: Any) -> None:
        """Let an object go: a new one is transient again, another one detached, with the changes that it has.

        Raises `ObjectStateError` for an object that is not the session's.
        """
        _ = self._now(lambda obj: books.expunge(self._workspace.unit, obj), model)

    def expunge_all(self) -> None:
        """Let all objects go; the transaction stays."""
        _ = self._now(lambda _: self._workspace.unit.let_go(), None)


class Verbs:
    """The verbs of `Session`."""

    if TYPE_CHECKING:
        _workspace: Workspace

        def _run(self, steps: Steps[T]) -> T: ...

    def get_many(self, model: type[M], pks: Iterable[Any]) -> list[M | None]:
        """Return the objects with these primary keys, in their order; None where there is no row.

        What the session has needs no statement; the rest is one query.

            ada, bob = session.get_many(User, [1, 2])
        """
        return self._run(fetching.get_many(self._workspace, model, pks))

    def get_or_create(self, model: type[M], /, defaults: Mapping[str, Any] | None = None, **by: Any) -> tuple[M, bool]:
        """Return the object with the values of a unique key, and whether it was made, with `defaults` besides.

        One statement, and right whatever others insert at the same time. Raises `QueryError` where `by` is no unique
        key of the model.

            tag, made = session.get_or_create(Tag, defaults={"color": "red"}, name="new")
        """
        return self._run(upserting.get_or_create(self._workspace, model, defaults, by))

    def page(self, query: Query[T], *, after: str | None = None, before: str | None = None, size: int = 20) -> Page[T]:
        """Return a page of a query's objects: those after the token of another page, or before it.

        The query is ordered by columns of its model; the primary key comes last by itself. A page begins at its place
        instead of counting rows, and rows that come or go meanwhile shift nothing. Raises `QueryError` for another
        query, and for a token that it did not give.

            page = session.page(Select(User).OrderBy(User.name), size=20)
            page = session.page(Select(User).OrderBy(User.name), after=page.next, size=20)
        """
        from psqlmodel.core.verbs import paging

        return self._run(paging.page(self._workspace, query, after, before, size))

    @overload
    def merge(self, models: list[M] | tuple[M, ...]) -> list[M]: ...
    @overload
    def merge(self, models: M) -> M: ...
    def merge(self, models: Any) -> Any:
        """Bring the values of objects from elsewhere into this session's objects, and return these.

        Takes one object or a list. A new object gives all values that it has, a detached one what was changed in it;
        loaded relations are followed, with one query for each class. Raises `StaleObjectError` where a detached one is
        older than its row.

            user = session.merge(User(id=1, name="Ada L."))
        """
        return self._run(merging.merge(self._workspace, models))

    def upsert(self, models: Iterable[M], *, on: Any = None, update: Any = None) -> Written[M]:
        """Insert objects, or update the rows that agree with them in the columns `on`; one statement.

        `on` has a unique constraint (default: the primary key); `update` are the columns that are written where the
        row is there (default: all that are set). Returns the session's objects, with `.inserted` and `.updated`.

            session.upsert([User(email="a@x", name="Ada")], on=User.email, update=[User.name])
        """
        return self._run(upserting.upsert(self._workspace, models, on, update))

    def sync_set(
        self, model: type[M], models: Iterable[M], *, scope: Expression[bool] | bool, on: Any = None
    ) -> Written[M]:
        """Make the rows for which `scope` is true equal to the objects: insert, update what differs, delete the rest.

        One statement; rows that are equal are not written. Rows are found by `on` (default: the primary key).

            session.sync_set(Line, lines, scope=Line.order_id == 7, on=[Line.order_id, Line.number])
        """
        return self._run(syncing.sync_set(self._workspace, model, models, scope, on))


class AsyncVerbs:
    """The verbs of `AsyncSession`."""

    if TYPE_CHECKING:
        _workspace: Workspace

        async def _run(self, steps: Steps[T]) -> T: ...

    async def get_many(self, model: type[M], pks: Iterable[Any]) -> list[M | None]:
        """Return the objects with these primary keys; see `Session.get_many`."""
        return await self._run(fetching.get_many(self._workspace, model, pks))

    async def get_or_create(
        self, model: type[M], /, defaults: Mapping[str, Any] | None = None, **by: Any
    ) -> tuple[M, bool]:
        """Return the object with a unique key, and whether it was made; see `Session.get_or_create`."""
        return await self._run(upserting.get_or_create(self._workspace, model, defaults, by))

    async def page(
        self, query: Query[T], *, after: str | None = None, before: str | None = None, size: int = 20
    ) -> Page[T]:
        """Return a page of a query's objects; see `Session.page`."""
        from psqlmodel.core.verbs import paging

        return await self._run(paging.page(self._workspace, query, after, before, size))

    @overload
    async def merge(self, models: list[M] | tuple[M, ...]) -> list[M]: ...
    @overload
    async def merge(self, models: M) -> M: ...
    async def merge(self, models: Any) -> Any:
        """Bring the values of objects from elsewhere into this session's objects; see `Session.merge`."""
        return await self._run(merging.merge(self._workspace, models))

    async def upsert(self, models: Iterable[M], *, on: Any = None, update: Any = None) -> Written[M]:
        """Insert objects, or update the rows that are there; see `Session.upsert`."""
        return await self._run(upserting.upsert(self._workspace, models, on, update))

    async def sync_set(
        self, model: type[M], models: Iterable[M], *, scope: Expression[bool] | bool, on: Any = None
    ) -> Written[M]:
        """Make a slice of a table equal to the objects; see `Session.sync_set`."""
        return await self._run(syncing.sync_set(self._workspace, model, models, scope, on))
