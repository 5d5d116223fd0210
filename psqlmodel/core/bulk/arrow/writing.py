"""Writing: what COPY gives as CSV goes into a file as a stream of Arrow.

A driver writes to an `ArrowSink` as it would to the file. The rows of some MB become one batch: memory grows neither
with the rows nor with their width. A value that does not fit ends the work, not the transaction: what still comes is
let pass, and `close` raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psqlmodel.core.bulk.arrow.columns import Column
from psqlmodel.core.bulk.arrow.needed import arrow
from psqlmodel.drivers.files import Sink
from psqlmodel.errors import DataError

BLOCK: Final = 1 << 21  # bytes of CSV that become one batch


class ArrowSink:
    """A file that is written: `write` takes CSV whose first line names the columns.

    Each piece ends at the end of a row, for a server sends each row as a message of its own. `close` writes the end.
    """

    def __init__(self, sink: Sink, columns: Sequence[Column]) -> None:
        pa = arrow()
        self._sink = sink
        self._columns = columns
        self._schema = pa.schema([pa.field(column.name, column.type) for column in columns])
        # A first line of our own: names may be there twice, and it keeps a BOM in a value from being one of the file.
        self._header = (",".join(map(str, range(len(columns)))) + "\n").encode()
        self._block = bytearray(self._header)
        self._rows = 0
        self._began = False
        self._failure: DataError | None = None
        self._writer = pa.ipc.new_stream(_Out(sink), self._schema)

    @property
    def error(self) -> BaseException | None:
        """What went wrong with the file."""
        return self._sink.error

    def write(self, data: Any) -> int:
        """Take some rows, and return the number of bytes."""
        size = len(data)
        if not self._began:
            data = _without_first_line(bytes(data))
            self._began = True
        if self._failure is None:
            self._block += data
            if len(self._block) >= BLOCK:
                self._batch()
        return size

    def close(self) -> None:
        """Write what is left, and the end; raises `DataError` for a value that did not fit."""
        if self._failure is None and len(self._block) > len(self._header):
            self._batch()
        if self._failure is not None:
            raise self._failure
        self._writer.close()

    def _batch(self) -> None:
        pa = arrow()
        block = self._block
        self._block = bytearray(self._header)
        try:
            arrays = self._arrays(block)
        except DataError as error:
            self._failure = error
            return
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._rows += batch.num_rows
        self._writer.write_batch(batch)

    def _arrays(self, block: bytearray) -> list[Any]:
        columns = self._columns
        try:
            found = _read(block, [column.read_as for column in columns])
        except ValueError:  # a value that pyarrow does not take, somewhere
            texts = _read(block, [arrow().string() for _ in columns])
            return [column.array(each, self._rows) for column, each in zip(columns, texts, strict=True)]
        pairs = zip(columns, found, strict=True)
        return [each if column.direct else column.array(each, self._rows) for column, each in pairs]


class _Out:
    """The file as pyarrow wants it."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self.write = sink.write

    def flush(self) -> None:
        """Do nothing: the file is its owner's."""


def _read(block: bytearray, types: Sequence[Any]) -> list[Any]:
    """Return the columns of some lines of CSV."""
    csv = arrow().csv
    table = csv.read_csv(
        arrow().BufferReader(block),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(block) + 1),  # one piece
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types={str(n): type_ for n, type_ in enumerate(types)},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
        ),
    )
    return [column.combine_chunks() for column in table.columns]


def _without_first_line(data: bytes) -> bytes:
    """Return what follows the names of the columns; a name in quotes may have ends of lines."""
    at = data.find(b"\n")
    while at >= 0 and data.count(b'"', 0, at) % 2:
        at = data.find(b"\n", at + 1)
    return data[at + 1 :]
