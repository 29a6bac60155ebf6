"""How reading commands print: plain aligned text, or one JSON document with ``--json``."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def print_json(document: Any) -> None:
    """Print a document; paths and other objects as text."""
    print(json.dumps(document, indent=2, default=str))


def print_line(document: Any) -> None:
    """Print a document as one line, at once: for a program that waits for it."""
    print(json.dumps(document, default=str), flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; the last one is as long as it likes."""
    lines = [tuple(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def human_bytes(count: int) -> str:
    """Return a size as "1.5 GB", in powers of 1000.

    >>> human_bytes(1_500_000_000), human_bytes(12)
    ('1.5 GB', '12 B')
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
