"""Nesting: the savepoints that stand for transactions, where several sessions share one connection. Pure.

Inside the one transaction that is rolled back after a test, BEGIN becomes SAVEPOINT, COMMIT becomes RELEASE, ROLLBACK
becomes ROLLBACK TO. Savepoints are a stack and transactions are not: what was opened first may end first. A part that
has ended is therefore released when what was opened after it has ended too. Between transactions a *guard* lies on top:
a savepoint to which a failed statement goes back, so that it takes nothing else along.

`Nesting` returns the SQL that is to be sent; it sends nothing itself. Owners are told apart by identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Part:
    """One savepoint: a transaction (`alias` is None), a savepoint of a program, or a guard (no `owner`).

    `own`: its owner wrote in it. `foreign`: it holds what others have finished, which must outlive it.
    """

    __slots__ = ("alias", "ended", "foreign", "name", "own", "owner", "settings")

    def __init__(self, name: str, owner: object, alias: str | None) -> None:
        self.name = name
        self.owner = owner
        self.alias = alias
        self.own = False
        self.foreign = False
        self.ended = owner is None
        self.settings: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Part {self.name}{' ended' if self.ended else ''}>"


class Nesting:
    """The stack of one connection."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.reshaped = False  # whether tables or types may have been changed
        self._made = 0

    # --- looking ----------------------------------------------------------------------------------------------------

    def transaction(self, owner: object) -> Part | None:
        """Return the part that stands for the open transaction of an owner, or None."""
        return next((part for part in self._of(owner) if part.alias is None), None)

    def named(self, owner: object, alias: str) -> Part | None:
        """Return the innermost open savepoint of this name, or None."""
        return next((part for part in reversed(list(self._of(owner))) if part.alias == alias), None)

    def would_lose(self, part: Part) -> bool:
        """Tell whether rolling this part back would take along what others have done."""
        above = self.parts[self.parts.index(part) :]
        return any(each.foreign if each.owner is part.owner else each.own for each in above if each.owner is not None)

    def wrote(self, part: Part) -> bool:
        """Tell whether the owner wrote anything since this part was opened."""
        return any(each.own for each in self.parts[self.parts.index(part) :] if each.owner is part.owner)

    # --- opening ----------------------------------------------------------------------------------------------------

    def open(self, owner: object, alias: str | None = None) -> str:
        """Open a transaction, or a savepoint of this name."""
        part = self._push(owner, alias)
        return f"SAVEPOINT {part.name}"

    def guard(self, owner: object) -> str:
        """Return what makes the next statement of an owner safe to fail; empty where it is already.

        It is where the top of the stack is the owner's own part, which the error would end anyway (unless others have
        worked in it), or a guard behind which nothing was written.
        """
        top = self.parts[-1] if self.parts else None
        if top is not None and top.owner is owner and not top.foreign:
            return ""
        if top is None or top.owner is not None:
            return self.open(None)
        if not top.own:
            return ""
        _ = self.parts.pop()
        return f"RELEASE SAVEPOINT {top.name}; {self.open(None)}"

    # --- what happened ----------------------------------------------------------------------------------------------

    def written(self, owner: object) -> None:
        """Note that an owner wrote: in its transaction, or by a statement of its own."""
        mine = [at for at, part in enumerate(self.parts) if part.owner is owner and not part.ended]
        self._mark(self.parts[mine[0] if mine else 0 :], owner)
        for at in mine:
            self.parts[at].own = True
        for part in self.parts:
            part.own = part.own or part.owner is None

    @staticmethod
    def _mark(parts: list[Part], owner: object) -> None:
        for part in parts:
            part.foreign = part.foreign or part.owner is not owner

    def failed(self) -> str:
        """Return what makes the connection usable again after an error of the server."""
        return f"ROLLBACK TO SAVEPOINT {self.parts[-1].name}" if self.parts else ""

    # --- ending -----------------------------------------------------------------------------------------------------

    def release(self, part: Part) -> str:
        """End a part whose work stays; empty where it must wait for what was opened after it."""
        at = self.parts.index(part)
        if part.alias is None and self.wrote(part):
            self._mark(self.parts[:at], part.owner)
        for each in self.parts[at:]:
            each.ended = each.ended or each.owner is part.owner
        return self._release_ended()

    def return_to(self, part: Part) -> str:
        """End what its owner opened after a part, where there is nothing to undo."""
        for each in self.parts[self.parts.index(part) + 1 :]:
            each.ended = each.ended or each.owner is part.owner
        return self._release_ended()

    def roll_back_to(self, part: Part) -> str:
        """Undo what came since a part was opened; it stays open."""
        at = self.parts.index(part)
        lost = [each for each in self.parts[at + 1 :] if not each.ended and each.owner is not part.owner]
        del self.parts[at + 1 :]
        part.own = part.foreign = False
        return "; ".join([f"ROLLBACK TO SAVEPOINT {part.name}", *self._opened_again(lost)])

    def roll_back(self, part: Part) -> str:
        """Undo a part and end it."""
        at = self.parts.index(part)
        lost = [each for each in self.parts[at + 1 :] if not each.ended and each.owner is not part.owner]
        del self.parts[at:]
        text = f"ROLLBACK TO SAVEPOINT {part.name}; RELEASE SAVEPOINT {part.name}"
        return "; ".join([text, *self._opened_again(lost), *filter(None, [self._release_ended()])])

    # --- the stack --------------------------------------------------------------------------------------------------

    def _of(self, owner: object) -> Iterator[Part]:
        return (part for part in self.parts if part.owner is owner and not part.ended)

    def _push(self, owner: object, alias: str | None) -> Part:
        self._made += 1
        part = Part(f"psqlmodel_part_{self._made}", owner, alias)
        self.parts.append(part)
        return part

    def _opened_again(self, lost: list[Part]) -> list[str]:
        """Set the savepoints of others again that went with one under them; nothing was done in them."""
        self.parts += lost
        return [f"SAVEPOINT {part.name}" for part in lost]

    def _release_ended(self) -> str:
        """Release what has ended on top of the stack; a guard below it stays, for the next statement."""
        at = len(self.parts)
        while at and self.parts[at - 1].ended:
            at -= 1
        while at < len(self.parts) and self.parts[at].owner is None:
            at += 1
        ended = self.parts[at:]
        del self.parts[at:]
        return f"RELEASE SAVEPOINT {ended[0].name}" if ended else ""
