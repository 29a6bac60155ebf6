"""Row: one row of a file as it was read, before anything is asked of its columns.

Every format is a function ``path -> Iterator[Row | Finding]``: a row that cannot be read becomes a finding in its
place, and reading goes on where the format allows it. A finding's evidence continues the sentence that its ``where``
begins, so that ``explain`` reads: "tasks.jsonl, line 3 is not JSON: <cure>".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from turnwright.core.finding import Finding

MAX_ROW_BYTES = 8 * 2**20
"""Largest row, as it stands in the file; what exceeds it is refused before it fills the memory."""
SHOWN = 80
"""Characters of a value that a message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row.

    Example: ``Row(number=3, where="tasks.jsonl, line 3", columns={"prompt": "order: O3", "gold": "refund"})``
    """

    number: int
    """Line where it begins (jsonl, csv) or place in the sequence (json, parquet); counted from 1."""
    where: str
    columns: Mapping[str, Any]
    """In the order of the file."""


def broken(code: str, where: str, evidence: str, cure: str) -> Finding:
    """Return the finding that a file or a row of it cannot be used."""
    return Finding(code=code, severity="error", where=where, evidence=evidence, cure=cure)


def too_large(where: str, cure: str = "keep large material in files and put their names into the row") -> Finding:
    """Return the finding that a row exceeds the limit."""
    return broken("row.too_large", where, f"is larger than {MAX_ROW_BYTES // 2**20} MiB", cure)


def explain(finding: Finding) -> str:
    """Return a finding about a file as one sentence: where, what and the cure."""
    return f"{finding.where} {finding.evidence}: {finding.cure}"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def quote(value: object) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
