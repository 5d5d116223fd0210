"""Reading: a file of Arrow, stream or file format, as what COPY reads.

A driver reads from an `ArrowSource` as it would from the file: text, with a row on each line. A batch is taken some MB
at a time; how much of the file is in memory at once is for the batches to say that it was written in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from psqlmodel.core.bulk.arrow.encoding import Encoded
from psqlmodel.core.bulk.arrow.needed import arrow
from psqlmodel.drivers.files import Source
from psqlmodel.errors import DataError, InvalidValueError
from psqlmodel.types import PgType

BLOCK: Final = 1 << 21  # bytes of a batch that are made text at once
_MAGIC: Final = b"ARROW1"


class ArrowSource:
    """A file that is read: `names` are its columns, `read` gives its rows once `into` has said where they go.

    Raises `InvalidValueError` for what is no Arrow.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._own: BaseException | None = None
        self._batches, self._schema = _opened(source)
        self._blocks: Iterator[bytes] = iter(())

    @property
    def names(self) -> list[str]:
        """The names of the columns in the file."""
        return list(self._schema.names)

    @property
    def error(self) -> BaseException | None:
        """What went wrong: with the file, or with a value in it."""
        return self._source.error or self._own

    def into(self, types: Sequence[PgType[Any]]) -> None:
        """Say of which types the columns of the table are; raises `InvalidValueError` for one that can't take its."""
        pairs = zip(self._schema, types, strict=True)
        self._blocks = self._texts([Encoded(field.name, field.type, type_) for field, type_ in pairs])

    def read(self, size: int) -> bytes:
        """Return some lines, however many bytes they have; nothing at the end."""
        try:
            return next(self._blocks, b"")
        except BaseException as error:
            self._own = error
            raise

    def _texts(self, columns: Sequence[Encoded]) -> Iterator[bytes]:
        rows = 0
        for batch in self._parts():
            yield _lines([column.texts(each, rows) for column, each in zip(columns, batch.columns, strict=True)])
            rows += batch.num_rows

    def _parts(self) -> Iterator[Any]:
        """Give the batches, in parts of some MB."""
        for batch in self._read():
            size = max(1, batch.num_rows * BLOCK // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, size):
                yield batch.slice(start, size)

    def _read(self) -> Iterator[Any]:
        batches = iter(self._batches)
        number = 0
        while True:
            try:
                batch = next(batches, None)
            except (arrow().ArrowException, OSError) as error:
                if self._source.error is not None:
                    raise self._source.error from None
                raise DataError(f"the Arrow file is damaged after {number} batches", sqlstate="22000") from error
            if batch is None:
                return
            number += 1
            yield batch


def _lines(texts: Sequence[Any]) -> bytes:
    pa = arrow()
    joined = pa.compute.binary_join_element_wise(*texts, "\t", null_handling="replace", null_replacement="\\N")
    together = pa.compute.binary_join(pa.ListArray.from_arrays([0, len(joined)], joined), "\n")
    return bytes(together[0].as_buffer()) + b"\n"


def _opened(source: Source) -> tuple[Any, Any]:
    """Return the batches of a file, to be iterated over, and its schema."""
    ipc = arrow().ipc
    try:
        if _is_file(source):
            reader = ipc.open_file(_In(source))
            return (reader.get_batch(n) for n in range(reader.num_record_batches)), reader.schema
        reader = ipc.open_stream(_In(source))
    except (arrow().ArrowException, OSError) as error:
        if source.error is not None:
            raise source.error from None
        raise InvalidValueError("copy_from: the file is no Arrow stream, and no Arrow file (Feather)") from error
    return reader, reader.schema


def _is_file(source: Source) -> bool:
    """Tell whether a file is of the format that begins with a magic word: that has to be read out of order."""
    seekable = getattr(source.file, "seekable", None)
    if seekable is None or not seekable():
        return False
    start = source.file.tell()
    found = source.read(len(_MAGIC)) == _MAGIC
    source.file.seek(start)
    return found


class _In:
    """A file as pyarrow wants it."""

    closed = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seek = getattr(source.file, "seek", None)
        self.tell = getattr(source.file, "tell", None)

    def read(self, size: int) -> bytes:
        """Return as many bytes, unless the file ends: a pipe gives what it has, and pyarrow takes less for the end."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._source.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
