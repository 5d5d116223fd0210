"""Joining: what a session sends, turned into what fits inside the one transaction that is rolled back. Steps.

`Lease` is one user of the connection: it behaves like a connection of its own, whose transactions are savepoints. What
its owner sends is looked at for BEGIN, COMMIT, ROLLBACK and savepoints; all else goes as it is. Sends nothing itself.

What can't be had within one transaction: an isolation level, two-phase commit, what refuses to run in a transaction
block. A COMMIT checks what is deferred, as a real one does.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import Final

from psqlmodel.core.alone import reads_only
from psqlmodel.drivers.failure import make_error
from psqlmodel.errors import DatabaseError, SessionError
from psqlmodel.query.lexing import first_word, is_script, tokens
from psqlmodel.steps import NO_COLUMNS, Copy, Rows, Statement, Steps
from psqlmodel.testing.nesting import Nesting, Part

_NOTHING: Final = Rows((), NO_COLUMNS, 0)
_STALE_PLAN: Final = "0A000"  # the table has changed; the driver has forgotten the plan
_IN_A_BLOCK: Final = "25001"  # "… cannot run inside a transaction block"
_SNAPSHOT: Final = "SELECT pg_export_snapshot()"
_MOST_TEXTS: Final = 4096
_known: dict[str, tuple[str, ...]] = {}

# What COMMIT does: deferred constraints are checked now, and are deferred again for the next transaction.
_CHECK_DEFERRED: Final = """DO $$
DECLARE names text;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    SELECT string_agg(format('%I.%I', n.nspname, c.conname), ', ') INTO names
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace WHERE c.condeferred;
    IF names IS NOT NULL THEN
        EXECUTE 'SET CONSTRAINTS ' || names || ' DEFERRED';
    END IF;
END $$"""
_WHY: Final = (
    "since it began, another session of this test has committed on the same connection. Commit before others begin, "
    "which costs nothing in a test, or use fresh_engine, whose sessions have connections of their own"
)
_KEPT: Final = f"this transaction can't be rolled back by itself, and stays: {_WHY}"
_LOSES: Final = f"an error rolls a transaction back, and takes along what another one has committed: {_WHY}"


class IsolationWarning(UserWarning):
    """A session of a test lost work that it had committed, because all sessions of the test share one transaction."""


class Lease:
    """One user of the connection, in the place of a connection of its own."""

    pooled = False

    def __init__(self, nesting: Nesting, pid: int) -> None:
        self._nesting = nesting
        self._failed = False
        self.pid = pid

    @property
    def in_transaction(self) -> bool:
        """True when a transaction of this user is open."""
        return self._nesting.transaction(self) is not None

    def execute(self, request: Statement | Copy) -> Steps[Rows]:
        """Send a request as it is meant within the transaction around."""
        words = control(request.text) if isinstance(request, Statement) else ()
        if words and words[0] not in ("SNAPSHOT", "MODE"):
            yield from self._control(*words)
            return _NOTHING
        self._refuse_failed(request.text)
        first = bool(request.prelude) and not self.in_transaction
        if request.prelude:
            yield from self._begin(request.prelude)
            request = copy(request)
            request.prelude = ""
        if words:
            return (yield _simple(f"SELECT {_JOINED}" if words[0] == "SNAPSHOT" else _mode(request.text)))
        if isinstance(request, Statement) and request.text.startswith("SELECT set_config("):
            yield from self._keep_settings(request)
        return (yield from self._send(request, first=first or not self.in_transaction))

    def reset(self) -> Steps[None]:
        """Roll back what is open. Nobody can be told in another way: a warning says what others lose by it."""
        part = self._nesting.transaction(self)
        self._failed = False
        if part is None:
            return
        if not self._nesting.wrote(part):
            yield from self._release(part)  # there is nothing to undo, but what others did in the meantime
            return
        self._warn_of_loss(part)
        _ = yield _simple(self._nesting.roll_back(part))

    # --- statements -------------------------------------------------------------------------------------------------

    def _send(self, request: Statement | Copy, *, first: bool) -> Steps[Rows]:
        guard = self._nesting.guard(self)
        if guard:
            _ = yield _simple(guard)
        try:
            rows = yield request
        except GeneratorExit:
            raise
        except BaseException as error:
            yield from self._recover(error)
            if not first or not _is_stale(error):
                raise
            rows = yield request
            self._failed = False
        if not _leaves_nothing(request):
            self._nesting.written(self)
            self._nesting.reshaped = self._nesting.reshaped or _may_reshape(request)
        return rows

    def _recover(self, error: BaseException) -> Steps[None]:
        """Make the connection usable again; the transaction of this user, if it has one, has failed."""
        self._failed = self.in_transaction
        _explain(error)
        try:
            _ = yield _simple(self._nesting.failed())
        except DatabaseError:  # it is lost, and the test with it: the first error says why
            raise error from None

    def _refuse_failed(self, statement: str) -> None:
        if self._failed:
            message = "current transaction is aborted, commands ignored until end of transaction block"
            raise make_error(message, sqlstate="25P02", statement=statement)

    def _keep_settings(self, request: Statement) -> Steps[None]:
        """Remember what is set until COMMIT: after RELEASE it would count in the transactions of others."""
        part = self._nesting.transaction(self)
        names = list(request.args[::2])
        if part is None or not names:
            return
        texts = ", ".join([f"current_setting(${at}, true)" for at in range(1, len(names) + 1)])
        rows = yield Statement(f"SELECT {texts}", names, purpose="transaction")
        for name, value in zip(names, rows.data[0], strict=True):
            _ = part.settings.setdefault(name, value or "")

    # --- transactions -----------------------------------------------------------------------------------------------

    def _control(self, verb: str, name: str = "") -> Steps[None]:
        if verb == "BEGIN":
            yield from self._begin(name)
        elif verb == "COMMIT":
            yield from self._commit()
        elif verb == "ROLLBACK":
            yield from self._roll_back()
        elif verb == "SAVEPOINT":
            yield from self._savepoint(name)
        elif verb in ("RELEASE", "ROLLBACK TO", "UNDO"):
            yield from self._end_savepoint(verb, name)
        else:
            raise SessionError(
                f"{name} can't be done in the one transaction of a test: use the fixture fresh_engine, whose sessions "
                "have connections and transactions of their own"
            )

    def _begin(self, text: str) -> Steps[None]:
        if not self.in_transaction:
            _ = yield _simple(self._nesting.open(self) + ("; SET TRANSACTION READ ONLY" if _reads(text) else ""))

    def _commit(self) -> Steps[None]:
        part = self._nesting.transaction(self)
        if part is None:
            return
        if self._failed:
            yield from self._roll_back()
            return
        if self._nesting.wrote(part):
            try:
                _ = yield _simple(_CHECK_DEFERRED)
            except DatabaseError:
                self._warn_of_loss(part)
                _ = yield _simple(self._nesting.roll_back(part))
                raise
        yield from self._release(part)

    def _restore(self, part: Part) -> Steps[None]:
        names = sorted(part.settings, key=lambda name: name != "role")  # another role may not be allowed the rest
        calls = [f"set_config(${2 * at + 1}, ${2 * at + 2}, true)" for at in range(len(names))]
        args = [each for name in names for each in (name, part.settings[name])]
        _ = yield Statement(f"SELECT {', '.join(calls)}", args, purpose="transaction")

    def _roll_back(self) -> Steps[None]:
        part = self._nesting.transaction(self)
        if part is None:
            return
        if self._loses(part) and not self._failed:
            yield from self._release(part)
            raise SessionError(_KEPT)
        yield from self.reset()

    def _release(self, part: Part) -> Steps[None]:
        if part.settings:
            yield from self._restore(part)
        text = self._nesting.release(part)
        if text:  # else it waits for what was opened after it
            _ = yield _simple(text)

    def _savepoint(self, name: str) -> Steps[None]:
        self._refuse_failed("SAVEPOINT")
        if not self.in_transaction:
            raise make_error("SAVEPOINT can only be used in transaction blocks", sqlstate="25P01")
        _ = yield _simple(self._nesting.open(self, name))

    def _end_savepoint(self, verb: str, name: str) -> Steps[None]:
        part = self._nesting.named(self, name)
        if part is None:
            raise make_error("savepoint does not exist", sqlstate="3B001", statement=verb)
        if verb == "RELEASE":
            self._refuse_failed(verb)
            yield from self._release(part)
            return
        self._failed = False
        if not self._nesting.wrote(part):
            text = self._nesting.release(part) if verb == "UNDO" else self._nesting.return_to(part)
        else:
            self._warn_of_loss(part)
            text = self._nesting.roll_back(part) if verb == "UNDO" else self._nesting.roll_back_to(part)
        if text:
            _ = yield _simple(text)

    def _warn_of_loss(self, part: Part) -> None:
        if self._nesting.would_lose(part):
            warnings.warn(_LOSES, IsolationWarning, stacklevel=2)

    def _loses(self, part: Part) -> bool:
        return self._nesting.wrote(part) and self._nesting.would_lose(part)


# --- what a text is -------------------------------------------------------------------------------------------------


def control(text: str) -> tuple[str, ...]:
    """Return what a text means for transactions: a verb, and a name or the text; empty where it is any statement.

    control("ROLLBACK TO SAVEPOINT a")  # ("ROLLBACK TO", "a")
    """
    found = _known.get(text)
    if found is None:
        if len(_known) >= _MOST_TEXTS:
            _known.clear()
        found = _known[text] = _control(text)
    return found


def _control(text: str) -> tuple[str, ...]:
    if text == _SNAPSHOT:
        return ("SNAPSHOT",)
    meant = [_verb(words, text) for words in _statements(text)]
    verbs = [verb for verb in meant if verb]
    if not verbs or first_word(text) == "CREATE":  # the body of a function has statements of its own
        return ()
    if len(meant) == 1:
        return verbs[0]
    if len(meant) == 2 and [verb[0] for verb in verbs] == ["ROLLBACK TO", "RELEASE"] and verbs[0][1] == verbs[1][1]:
        return ("UNDO", verbs[0][1])
    return ("REFUSED", "a script that begins or ends transactions")


def _verb(words: list[str], text: str) -> tuple[str, ...]:
    first, rest = words[0].upper(), [word.upper() for word in words[1:3]]
    if first == "BEGIN" or (first == "START" and rest[:1] == ["TRANSACTION"]):
        return ("BEGIN", text)
    if rest[:1] == ["PREPARED"] or (first == "PREPARE" and rest[:1] == ["TRANSACTION"]):
        return ("REFUSED", " ".join((first, *rest[:1])))
    if first == "SET" and rest[:1] == ["TRANSACTION"]:
        return ("MODE",)
    if first in ("ROLLBACK", "ABORT") and "TO" in rest:
        return ("ROLLBACK TO", words[-1])
    if first in ("SAVEPOINT", "RELEASE"):
        return (first, words[-1])
    return (_ENDS[first],) if first in _ENDS else ()


_ENDS: Final = {"COMMIT": "COMMIT", "END": "COMMIT", "ROLLBACK": "ROLLBACK", "ABORT": "ROLLBACK"}
_JOINED: Final = "'the transaction of the test' AS pg_export_snapshot"


def _statements(text: str) -> list[list[str]]:
    """Return the words of each statement; a name in quotes is the bare name."""
    found: list[list[str]] = [[]]
    for kind, piece in tokens(text):
        if kind == "semicolon":
            found.append([])
        elif kind == "word":
            found[-1].append(piece)
        elif kind == "opaque" and piece[:1] == '"':
            found[-1].append(piece[1:-1].replace('""', '"'))
    return [words for words in found if words]


def _mode(text: str) -> str:
    """Return what is left of SET TRANSACTION: the isolation and the snapshot are those of the test."""
    return "SET TRANSACTION READ ONLY" if _reads(text) else "SELECT"


def _reads(text: str) -> bool:
    return "READ ONLY" in " ".join(text.upper().split())


def _leaves_nothing(request: Statement | Copy) -> bool:
    """Tell whether a rollback of this request would undo nothing that anybody misses."""
    if isinstance(request, Statement) and request.purpose == "raw":
        request = Statement(request.text, purpose="query")  # written by hand; it may be a mere SELECT all the same
    return request.purpose == "transaction" or reads_only(request)


def _may_reshape(request: Statement | Copy) -> bool:
    """Tell whether a request may have changed tables or types, of which the engine keeps what it knows."""
    if request.purpose == "raw":
        return first_word(request.text) not in _OF_ROWS or is_script(request.text)
    return request.purpose == "schema"


_OF_ROWS: Final = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "SELECT", "VALUES", "TRUNCATE", "LOCK", "SET"}
)


def _is_stale(error: BaseException) -> bool:
    return isinstance(error, DatabaseError) and error.sqlstate == _STALE_PLAN and "plan" in str(error)


def _explain(error: BaseException) -> None:
    if isinstance(error, DatabaseError) and error.sqlstate == _IN_A_BLOCK:
        error.add_note("the engine of a test is within one transaction: use the fixture fresh_engine for this")


def _simple(text: str) -> Statement:
    return Statement(text, prepare=False, purpose="transaction")
