"""Rows of tables: csv with a header (streamed, cells are text) and Parquet (read whole, needs the extra [train])."""

import csv
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

from turnwright.core.finding import Finding
from turnwright.datasets.rows import MAX_ROW_BYTES, Row, broken, too_large


def read_csv(path: Path) -> Iterator[Row | Finding]:
    """Yield the rows of a csv file; after a row that is too large, reading ends."""
    # The limit belongs to the whole process, and the rows are bounded before they reach the parser.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    header: list[str] | None = None
    with path.open("rb") as file:
        for number, cells in _records(file):
            where = f"{path}, line {number}"
            if cells is None:
                yield too_large(where, "close its quotation mark or make it smaller; the rows after it were not read")
            elif isinstance(cells, csv.Error):
                cure = "quote cells that hold commas, quotes or line ends, and double the quotes inside"
                yield broken("row.not_csv", where, f"is not CSV: {cells}", cure)
            elif header is None:
                header = cells
                if problem := _header_problem(header):
                    yield broken("file.header", where, problem, "the first line names each column once")
                    return
            elif len(cells) != len(header):
                cure = f"expected {len(header)}, as in the header; quote cells that hold commas"
                yield broken("row.cells", where, f"has {len(cells)} cells", cure)
            else:
                yield Row(number=number, where=where, columns=dict(zip(header, cells, strict=True)))


def read_parquet(path: Path) -> Iterator[Row | Finding]:
    """Yield the rows of a Parquet file; dates and decimals become text, as they would in JSON."""
    # Imported here: polars belongs to the extra [train], and this module to the base install.
    import polars

    try:
        frame = polars.read_parquet(path, glob=False)
    except (polars.exceptions.PolarsError, OSError) as error:
        yield broken("file.unreadable", str(path), f"is not a Parquet file: {error}", "write it again")
        return
    for number, columns in enumerate(frame.iter_rows(named=True), start=1):
        yield Row(number=number, where=f"{path}, row {number}", columns=_plain(columns))


def _records(file: BinaryIO) -> Iterator[tuple[int, list[str] | csv.Error | None]]:
    """Yield the line each record begins in, with its cells; None = too large, and the last one."""
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    while True:
        number = reader.line_num + 1
        lines.size = 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, error
        except _TooLarge:
            yield number, None
            return
        else:
            if cells:
                yield number, cells


class _TooLarge(Exception):
    """A record exceeds the limit."""


class _Lines:
    """Feeds the parser line by line and stops it when the lines of one record exceed the limit."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        """Bytes of the record in work."""
        self._file = file
        self._first = True

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_ROW_BYTES + 1)
        self.size += len(line)
        if self.size > MAX_ROW_BYTES:
            raise _TooLarge
        if not line:
            raise StopIteration
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        # What is not UTF-8 is found row by row, when the row is looked at.
        return line.decode("utf-8", "surrogateescape")


def _header_problem(header: list[str]) -> str | None:
    if not all(name.strip() for name in header):
        return f"has no name for column {next(i for i, name in enumerate(header, start=1) if not name.strip())}"
    repeated = [name for i, name in enumerate(header) if name in header[:i]]
    return f"names column {repeated[0]!r} twice" if repeated else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | timedelta) else value
