"""Files: what COPY reads from and writes to, and the text of its query. Used by both drivers.

`opened` takes a path or an open file, binary or of text. What goes wrong with a file is kept in `error`, so that it can
be told from what goes wrong with the connection. Nothing here talks to a server.
"""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psqlmodel.drivers.wire import to_text
from psqlmodel.errors import InvalidValueError
from psqlmodel.query.lexing import tokens
from psqlmodel.steps import CopyOut
from psqlmodel.types.quoting import quote_literal


class Source:
    """A `file` that is read: `read` gives bytes, whatever the file gives."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, about `size`; none at the end."""
        try:
            return _bytes(self.file.read(size))
        except BaseException as error:
            self.error = error
            raise

    def readline(self) -> str:
        """Return the next line, with its end; nothing at the end of the file."""
        return _bytes(self.file.readline()).decode("utf-8-sig")


class Sink:
    """A file that is written: `write` takes bytes, whatever the file takes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        is_text = isinstance(file, io.TextIOBase)
        self._decode = codecs.getincrementaldecoder("utf-8")().decode if is_text else None
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write bytes, all of them, and return their number."""
        try:
            if self._decode is not None:
                self._file.write(self._decode(bytes(data)))
                return len(data)
            rest = memoryview(bytes(data))
            while rest:
                written = self._file.write(rest)  # a raw file may take a part only
                rest = rest[len(rest) if written is None else written :]
        except BaseException as error:
            self.error = error
            raise
        return len(data)


@contextmanager
def reading(file: Any, *, binary: bool) -> Iterator[Source]:
    """Give the source for a path or an open file; the file of a path is closed afterwards."""
    if not isinstance(file, str | os.PathLike):
        yield Source(_checked(file, "read", binary))
        return
    with open(file, "rb") as made:
        yield Source(made)


@contextmanager
def writing(file: Any, *, binary: bool) -> Iterator[Sink]:
    """Give the sink for a path or an open file.

    The file of a path is there under its name when it is whole: until then it is called `….part`.
    """
    if not isinstance(file, str | os.PathLike):
        yield Sink(_checked(file, "write", binary))
        return
    path = os.fspath(file)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, or the like
        with open(path, "wb") as made:
            yield Sink(made)
        return
    part = f"{path}.part"
    try:
        with open(part, "wb") as made:
            yield Sink(made)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


def literal_text(request: CopyOut) -> str:
    """Return the query of a COPY with its arguments as constants, for COPY takes no parameters.

    They stay untyped, so that the server infers their types from the context, as it does for `$1`.
    """
    if not request.args:
        return request.query
    constants = [_constant(value) for value in request.args]
    pieces = [constants[int(piece[1:]) - 1] if kind == "dollar" else piece for kind, piece in tokens(request.query)]
    return "".join(pieces)


def _constant(value: Any) -> str:
    return "NULL" if value is None else quote_literal(value if type(value) is str else to_text(value))


def _checked(file: Any, verb: str, binary: bool) -> Any:
    if not hasattr(file, verb):
        raise InvalidValueError(f"a file is a path or an open file with {verb}(), not {type(file).__name__}")
    if binary and isinstance(file, io.TextIOBase):
        raise InvalidValueError("the binary format needs a file that was opened in binary mode")
    return file


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)
