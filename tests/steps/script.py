"""A server made of paper: what a step function asks for is compared with what was expected, and answered by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psqlmodel.core.engine.catalog import Catalog
from psqlmodel.core.workspace import Workspace
from psqlmodel.steps import NO_COLUMNS, Request, Rows, Shape, Statement, Steps

INT4, INT8, TEXT, JSONB, BOOL, UUID, TIMESTAMPTZ = 23, 20, 25, 3802, 16, 2950, 1184
INT4_ARRAY = 1007


def workspace(**options: Any) -> Workspace:
    """Return what the steps of a session share, without a session."""
    options.setdefault("lazy", True)
    return Workspace(None, Catalog(), **options)


def rows(data: Sequence[Sequence[Any]], *oids: int) -> Rows:
    """Return an answer; its columns have no names worth telling."""
    names = tuple(f"c{n}" for n in range(len(oids)))
    return Rows([tuple(row) for row in data], Shape(names, oids), len(data))


NOTHING = Rows((), NO_COLUMNS, 0)


class Script:
    """Drives steps: each answer is given to one request; the requests are kept in `sent`."""

    def __init__(self, *answers: Rows | BaseException) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []

    def run(self, steps: Steps[Any]) -> Any:
        """Return the result of the steps; every answer must have been asked for."""
        try:
            request = next(steps)
            while True:
                self.sent.append(request)
                assert self.answers, f"one more request than expected: {request}"
                answer = self.answers.pop(0)
                request = steps.throw(answer) if isinstance(answer, BaseException) else steps.send(_new(answer))
        except StopIteration as stop:
            assert not self.answers, f"{len(self.answers)} answers were not asked for"
            return stop.value

    @property
    def texts(self) -> list[str]:
        """The texts of the statements, on one line each."""
        return [" ".join(request.text.split()) for request in self.sent if isinstance(request, Statement)]

    @property
    def arguments(self) -> list[list[Any]]:
        """The arguments of the statements."""
        return [list(request.args) for request in self.sent if isinstance(request, Statement)]


def _new(answer: Rows) -> Rows:
    """Return an answer of its own, as a server gives: who loads the rows uses it up."""
    return Rows(answer.data, answer.shape, answer.count)
