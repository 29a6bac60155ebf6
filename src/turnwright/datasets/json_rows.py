"""Rows of jsonl (one object per line, streamed) and json (one array of objects, read whole)."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from turnwright.core.finding import Finding
from turnwright.datasets.rows import MAX_ROW_BYTES, Row, broken, quote, too_large

MAX_ARRAY_BYTES = 256 * 2**20
"""Largest json array; larger files belong into jsonl, which is streamed."""
OBJECT = 'expected an object such as {"prompt": "..."}'
_SPACE = re.compile(r"[ \t\n\r]*")


def read_jsonl(path: Path) -> Iterator[Row | Finding]:
    """Yield the rows of a jsonl file; a line that is too large is skipped without being held in memory."""
    decoder = _Decoder()
    with path.open("rb") as file:
        for number, line in enumerate(_bounded_lines(file), start=1):
            where = f"{path}, line {number}"
            if line is None:
                yield too_large(where)
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _line_row(line, number, where, decoder)


def read_array(path: Path) -> Iterator[Row | Finding]:
    """Yield the rows of a json array; reading ends at the first place that is not JSON."""
    if path.stat().st_size > MAX_ARRAY_BYTES:
        limit = f"is larger than {MAX_ARRAY_BYTES // 2**20} MiB"
        yield broken("file.too_large", str(path), limit, "write one object per line and name the file .jsonl")
        return
    # What is not UTF-8 is found row by row, when the row is looked at.
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    position = _skip_space(text, 0)
    if text[position : position + 1] != "[":
        yield broken("file.not_array", str(path), "is not a JSON array", f"{OBJECT} in [...], or name the file .jsonl")
        return
    yield from _items(text, _skip_space(text, position + 1), path)


def _items(text: str, position: int, path: Path) -> Iterator[Row | Finding]:
    decoder, number = _Decoder(), 0
    more = text[position : position + 1] != "]"
    while more:
        number += 1
        where = f"{path}, row {number}"
        try:
            value, end = decoder.decode_at(text, position)
        except (ValueError, RecursionError) as error:
            yield broken("row.not_json", where, f"is not JSON: {error}", "mend it; the rows after it were not read")
            return
        yield too_large(where) if end - position > MAX_ROW_BYTES else _object_row(value, number, where, decoder)
        position = _skip_space(text, end)
        separator = text[position : position + 1]
        if separator not in (",", "]"):
            found = quote(separator) if separator else "the end of the file"
            cure = "expected ',' or ']'; the rows after it were not read"
            yield broken("row.not_json", where, f"is followed by {found}", cure)
            return
        more = separator == ","
        position = _skip_space(text, position + 1) if more else position
    if _skip_space(text, position + 1) < len(text):
        yield broken("file.not_array", str(path), "goes on after its array", "remove what follows the last ']'")


def _bounded_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield lines, and None for one that is too large. Bytes: text also splits at separators a prompt may hold."""
    while line := file.readline(MAX_ROW_BYTES + 1):
        if len(line) <= MAX_ROW_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(2**20)
        yield None


def _line_row(line: bytes, number: int, where: str, decoder: "_Decoder") -> Row | Finding:
    try:
        value = decoder.decode(line.decode())
    except UnicodeDecodeError as error:
        return broken("row.not_utf8", where, f"is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
    except (ValueError, RecursionError) as error:
        return broken("row.not_json", where, f"is not JSON: {error}", "each line is one object with a 'prompt'")
    return _object_row(value, number, where, decoder)


def _object_row(value: object, number: int, where: str, decoder: "_Decoder") -> Row | Finding:
    if not isinstance(value, dict):
        return broken("row.not_object", where, f"is {type(value).__name__}", OBJECT)
    if decoder.repeated:
        cure = "keep one of them: readers disagree on which counts"
        return broken("row.repeated_key", where, f"has the key {decoder.repeated[0]!r} twice", cure)
    return Row(number=number, where=where, columns=cast("dict[str, Any]", value))


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


class _Decoder:
    """Decodes JSON and remembers which keys of the last document stood twice in one object."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self._json = json.JSONDecoder(object_pairs_hook=self._object)

    def decode(self, text: str) -> Any:
        self.repeated.clear()
        return self._json.decode(text)

    def decode_at(self, text: str, start: int) -> tuple[Any, int]:
        self.repeated.clear()
        return self._json.raw_decode(text, start)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            self.repeated += [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        return result
